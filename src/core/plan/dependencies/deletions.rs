//! The changes that precede a deletion.

use super::Index;
use crate::plan::Change;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Site};

impl<'a> Index<'a> {
    /// A deletion follows the changes of resources that refer to the object or that it
    /// contains.
    pub(super) fn before_deletion(&self, change: &Change) -> Vec<&'a Address> {
        let mut edges = Vec::new();
        match &change.key {
            ObjectKey::Azure(id) => self.before_azure_deletion(id, change, &mut edges),
            ObjectKey::AzureAssociation(_) => {}
            ObjectKey::Kubernetes(_) => self.before_kubernetes_deletion(change, &mut edges),
            // A worker without a Node waits for nothing, its router for it.
            ObjectKey::Host(_) if change.address.kind == Kind::Worker => {}
            ObjectKey::Device(_)
            | ObjectKey::DeviceAdvertised(_)
            | ObjectKey::DeviceApproved(_)
            | ObjectKey::Host(_) => self.before_router_deletion(change, &mut edges),
        }
        edges.retain(|address| **address != change.address);
        edges
    }

    fn before_azure_deletion(&self, id: &ArmId, change: &Change, edges: &mut Vec<&'a Address>) {
        let pointing = self.pointing_at.get(id).into_iter().flatten();
        edges.extend(pointing.map(|change| &change.address));
        edges.extend(self.inside(id));
        match change.address.kind {
            Kind::VirtualMachine => {
                let site = &change.address.site;
                let name = id.name();
                for kind in kinds_with(|kind| kind.is_contained_in(Kind::VirtualMachine)) {
                    edges.extend(self.changed(&Address::new(kind, site.clone(), name)));
                }
                edges.extend(self.leaving_workers.get(name));
                let moving = self.moving_from.get(site).into_iter().flatten();
                edges.extend(moving.filter(|worker| worker.name == name));
            }
            // Its packets end with it: workers leave before, and a subnet that had its table
            // has another one. Which one had it may have been read too early.
            Kind::Route => {
                let all = self.changes.iter().map(|change| &change.address);
                edges.extend(all.filter(|it| it.kind == Kind::RouteTableAssociation));
                edges.extend(self.leaving_workers.values());
                edges.extend(self.moving_from.values().flatten());
            }
            // The cluster is deleted with its API server, and the group with the router and
            // the tables.
            Kind::ManagedCluster => {
                let goes_before = |address: &Address| {
                    address.site == Site::Cluster
                        && !matches!(address.kind, Kind::ManagedCluster | Kind::ResourceGroup)
                        || address.kind.is_kubernetes()
                };
                let all = self.changes.iter().map(|change| &change.address);
                edges.extend(all.filter(|address| goes_before(address)));
            }
            _ => {}
        }
    }

    /// Deletions of objects whose ids begin with this one.
    pub(super) fn inside(&self, id: &ArmId) -> impl Iterator<Item = &'a Address> {
        let below = self.deleted.range(ArmId::new(format!("{id}/"))..);
        below.take_while(|(candidate, _)| candidate.is_inside(id)).map(|(_, address)| *address)
    }

    fn before_kubernetes_deletion(&self, change: &Change, edges: &mut Vec<&'a Address>) {
        let kind = change.address.kind;
        if matches!(kind, Kind::Server | Kind::CiliumNode) {
            let name = change.address.name.as_str();
            edges.extend(self.leaving_workers.get(name));
        }
        // A Server records the router of its datacenter, so it is deleted after the router.
        if kind == Kind::Server {
            for router in [Kind::TailnetDevice, Kind::RouterHost] {
                let deleted = self.deleted_kinds.get(&router).into_iter().flatten();
                edges.extend(deleted.filter(|address| address.site == change.address.site));
            }
        }
        let holds = matches!(kind, Kind::CustomResourceDefinition | Kind::Namespace);
        let is_deleted_before = |other: Kind| {
            holds && other.is_contained_in(kind) || other.facts().relies_on.contains(&kind)
        };
        for kind in kinds_with(is_deleted_before) {
            let deleted = self.deleted_kinds.get(&kind).into_iter().flatten();
            edges.extend(deleted);
        }
    }

    /// Workers are reached through their router, so they leave first.
    fn before_router_deletion(&self, change: &Change, edges: &mut Vec<&'a Address>) {
        let site = &change.address.site;
        edges.extend(self.leaving_from.get(site).into_iter().flatten());
        edges.extend(self.moving_from.get(site).into_iter().flatten());
        edges.extend(self.rejoining_at.get(site).into_iter().flatten());
        if change.address.kind == Kind::TailnetDevice {
            let host = Address::new(
                Kind::RouterHost,
                change.address.site.clone(),
                change.address.name.clone(),
            );
            edges.extend(self.changed(&host));
        }
    }
}

fn kinds_with(holds: impl Fn(Kind) -> bool) -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(move |kind| holds(*kind))
}
