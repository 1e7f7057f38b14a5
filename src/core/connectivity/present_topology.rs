//! The topology as far as it is applied: with the current names of its objects, without
//! objects that were never created. Live objects forward packets, whatever an edited file
//! says.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::HashSet;

use super::Sources;
use crate::desired::{self, DesiredSet, allocate, names};
use crate::resource::azure::MachineRole;
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};
use crate::topology::model::{Datacenter, DatacenterKind, Topology, Worker};
use crate::topology::names::{ResourceGroupName, RouterName, WorkerName};

/// The applied topology, and the resources that it describes.
#[derive(Debug, Clone)]
pub struct PresentTopology {
    topology: Topology,
    desired: DesiredSet,
}

impl PresentTopology {
    /// Finds edits that are not applied yet; `None` if all objects of the topology exist.
    pub fn of(sources: Sources<'_>) -> Option<Self> {
        let live = LiveNames::of(sources);
        let mut topology = sources.topology.clone();
        live.rename_routers(&mut topology);
        topology.datacenters.retain(|datacenter| !live.is_new(datacenter));
        for datacenter in &mut topology.datacenters {
            live.rename_group(datacenter);
            live.place_workers(datacenter);
        }
        if topology == *sources.topology {
            return None;
        }
        let allocation = allocate(&topology, sources.facts).ok().map(Arc::new)?;
        let desired = desired::build_with(&topology, sources.facts, allocation);
        Some(Self { topology, desired })
    }

    /// The same sources with this topology.
    pub fn sources<'a>(&'a self, observed: Sources<'a>) -> Sources<'a> {
        Sources { topology: &self.topology, desired: &self.desired, ..observed }
    }
}

/// Existing objects by kind and place.
struct LiveNames<'a> {
    sources: Sources<'a>,
    /// The machines of routers that the topology owns, by their sites.
    routers: BTreeMap<Site, Vec<&'a str>>,
    /// The Nodes of workers that the topology owns, by name.
    nodes: BTreeMap<&'a str, (Site, &'a JoinedWorker)>,
    /// The names of these Nodes by the sites that they are on.
    nodes_of_sites: BTreeMap<Site, Vec<&'a str>>,
}

impl<'a> LiveNames<'a> {
    fn of(sources: Sources<'a>) -> Self {
        let (routers, nodes, nodes_of_sites) = Default::default();
        let mut live = Self { sources, routers, nodes, nodes_of_sites };
        for (key, observed) in sources.inventory.iter() {
            let Some(site) = observed.site() else { continue };
            match &observed.resource {
                Resource::VirtualMachine(machine) if machine.role == MachineRole::Router => {
                    live.routers.entry(site).or_default().push(key.name());
                }
                Resource::Worker(worker) if matches!(key, ObjectKey::Kubernetes(_)) => {
                    live.nodes.insert(key.name(), (site, worker));
                }
                _ => {}
            }
        }
        for (name, (site, _)) in &live.nodes {
            live.nodes_of_sites.entry(site.clone()).or_default().push(name);
        }
        live
    }

    /// Whether an object of the topology exists, or may exist.
    fn may_exist(&self, address: &Address) -> bool {
        let Some(desired) = self.sources.desired.get(address) else { return false };
        let key = desired.key.as_ref();
        let inventory = self.sources.inventory;
        inventory.gap_for(address.kind, key).is_some()
            || key.is_some_and(|key| inventory.get(key).is_some())
    }

    fn rename_routers(&self, topology: &mut Topology) {
        let cluster = &mut topology.cluster.router.name;
        if let Some(router) = self.present_router(&Site::Cluster, cluster) {
            *cluster = router;
        }
        for datacenter in &mut topology.datacenters {
            let site = Site::Datacenter(datacenter.name.clone());
            if let Some(router) = self.present_router(&site, &datacenter.router.name) {
                datacenter.router.name = router;
            }
        }
    }

    /// The router that a site has under another name, while that of the topology is not there.
    fn present_router(&self, site: &Site, desired: &RouterName) -> Option<RouterName> {
        let device = Address::new(Kind::TailnetDevice, site.clone(), desired);
        if self.may_exist(&device) {
            return None;
        }
        let recorded = self.sources.facts.present_routers.get(site).map(String::as_str);
        let machine = self.routers.get(site).and_then(|names| names.first().copied());
        let present = recorded.or(machine).filter(|name| *name != desired.as_str())?;
        let device = ObjectKey::Device(present.to_owned());
        self.sources.inventory.get(&device).map(|_| RouterName::new(present))
    }

    /// Whether nothing of a datacenter exists, nor anything else of its name.
    fn is_new(&self, datacenter: &Datacenter) -> bool {
        let site = Site::Datacenter(datacenter.name.clone());
        let mut desired = self.sources.desired.iter().filter(|it| it.address.site == site);
        // Whether a host exists is known by its device only.
        let may_exist =
            desired.any(|it| it.address.kind != Kind::RouterHost && self.may_exist(&it.address));
        let mut live = self.sources.inventory.iter();
        !may_exist && !live.any(|(_, observed)| observed.site().as_ref() == Some(&site))
    }

    /// Gives a datacenter the resource group that it is in while that of the topology is not
    /// there, or is another site's.
    fn rename_group(&self, datacenter: &mut Datacenter) {
        let site = Site::Datacenter(datacenter.name.clone());
        let DatacenterKind::Azure(azure) = &mut datacenter.kind else { return };
        let desired = Address::new(Kind::ResourceGroup, site.clone(), &azure.resource_group);
        if self.may_exist(&desired) && !self.is_of_another_site(&desired) {
            return;
        }
        let mut groups = self.sources.inventory.iter().filter(|(_, observed)| {
            observed.resource.kind() == Kind::ResourceGroup
                && observed.site().as_ref() == Some(&site)
        });
        if let Some((key, _)) = groups.next() {
            azure.resource_group = ResourceGroupName::new(key.name());
        }
    }

    fn is_of_another_site(&self, address: &Address) -> bool {
        let desired = self.sources.desired.get(address).and_then(|it| it.key.as_ref());
        let owner = desired.and_then(|key| self.sources.inventory.get(key)?.site());
        owner.is_some_and(|owner| owner != address.site)
    }

    /// Gives a datacenter the workers that it has, each at its place.
    fn place_workers(&self, datacenter: &mut Datacenter) {
        let site = Site::Datacenter(datacenter.name.clone());
        datacenter.workers.retain(|worker| self.is_at(&worker.name, &site));
        for worker in &mut datacenter.workers {
            if let Some((_, node)) = self.nodes.get(worker.name.as_str()) {
                place(worker, node);
            }
        }
        let listed: HashSet<&str> =
            datacenter.workers.iter().map(|worker| worker.name.as_str()).collect();
        let nodes = self.nodes_of_sites.get(&site).into_iter().flatten();
        let others = nodes.filter(|name| !listed.contains(**name));
        let others = others.filter_map(|name| {
            let (_, node) = self.nodes.get(name)?;
            Some(worker_of_node(name, node, datacenter))
        });
        let others: Vec<Worker> = others.collect();
        datacenter.workers.extend(others);
    }

    /// Whether a worker is in a datacenter, or was: a part of it exists there, and its Node
    /// does not say that it is in another datacenter of the topology.
    fn is_at(&self, name: &WorkerName, site: &Site) -> bool {
        if let Some((at, _)) = self.nodes.get(name.as_str()) {
            let mut listed = self.sources.topology.datacenters.iter();
            let is_at = |datacenter: &Datacenter| match at {
                Site::Datacenter(name) => datacenter.name == *name,
                Site::Cluster => false,
            };
            return at == site || !listed.any(is_at);
        }
        let interface = names::interface(name.as_str());
        let parts = [
            (Kind::Worker, name.as_str()),
            (Kind::Server, name.as_str()),
            (Kind::CiliumNode, name.as_str()),
            (Kind::VirtualMachine, name.as_str()),
            (Kind::NetworkInterface, interface.as_str()),
        ];
        let address = |(kind, name)| Address::new(kind, site.clone(), name);
        parts.into_iter().any(|part| self.may_exist(&address(part)))
    }
}

/// Gives a worker the place of its Node.
fn place(worker: &mut Worker, node: &JoinedWorker) {
    // Without its own range, a Node has the one that is allocated.
    if node.pod_cidr != JoinedWorker::NO_POD_CIDR && worker.pod_cidr.is_some() {
        worker.pod_cidr = Some(node.pod_cidr);
    }
    if worker.ip.is_some() {
        worker.ip = Some(node.ip);
    }
}

/// A worker that the topology has no longer, or not there.
fn worker_of_node(name: &str, node: &JoinedWorker, datacenter: &Datacenter) -> Worker {
    let range = node.pod_cidr;
    Worker {
        name: WorkerName::new(name),
        ip: Some(node.ip),
        pod_cidr: (range != JoinedWorker::NO_POD_CIDR).then_some(range),
        mac: None,
        gateway: None,
        host_key: None,
        vm_size: None,
        profile: datacenter.profile.clone(),
        protect: false,
    }
}
