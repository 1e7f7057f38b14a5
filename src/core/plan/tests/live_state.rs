//! Live state in memory: the changes of a plan take effect at once, together with
//! the objects that services would create by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::desired::tests::generate::{aks_nodes, cluster_facts, no_facts};
use crate::desired::{self, DesiredSet, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Inventory, Observed, Source};
use crate::plan::decision::Comparison;
use crate::plan::planner::plan_changes;
use crate::plan::version_remedies::RequestedVersions;
use crate::plan::{Action, ApplySettings, Change, Plan, surviving};
use crate::resource::azure::{MachineRole, RouteTableAssociation};
use crate::resource::host::RouterHost;
use crate::resource::kubernetes::{CiliumNode, ObjectName};
use crate::resource::ownership::SiteName;
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{
    Address, ArmId, Kind, ObjectKey, Observable, Ownership, Pending, Resource, Site,
};
use crate::topology::model::Topology;
use crate::topology::names::WorkerName;

/// Applies that need more iterations than this do not converge.
const MAX_ITERATIONS: usize = 4;

/// Objects by key, and the addresses that the tailnet assigned.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveState {
    pub(super) objects: BTreeMap<ObjectKey, Observed>,
    joined: BTreeMap<String, Ipv4Addr>,
    addresses: u8,
}

/// The options and the state of a refresh.
#[derive(Debug, Clone, Default)]
pub(super) struct RefreshCase {
    pub(super) gaps: BTreeSet<Source>,
    /// With a gap, some objects of the source may have been read.
    pub(super) partly: bool,
    pub(super) adopt: BTreeSet<Address>,
    pub(super) destroying: bool,
}

/// A plan and its inputs.
pub(super) struct Refreshed {
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    pub(super) whole: DesiredSet,
    pub(super) inventory: Inventory,
}

/// The id of the topology's cluster.
fn cluster_key(topology: &Topology) -> ObjectKey {
    let group = ArmId::resource_group(
        no_facts().subscription.as_str(),
        topology.cluster.resource_group.as_str(),
    );
    let name = topology.cluster.name.as_str();
    ObjectKey::Azure(group.in_group("Microsoft.ContainerService/managedClusters", name))
}

fn kubernetes(kind: &'static str, name: &str) -> ObjectKey {
    let (kind, name) = (kind.into(), name.to_owned());
    ObjectKey::Kubernetes(ObjectName { kind, namespace: None, name })
}

fn ours(site: &Site) -> Ownership {
    Ownership::Ours { site: SiteName::from(site) }
}

impl LiveState {
    /// The facts that a refresh reads.
    pub(super) fn facts(&self, topology: &Topology, case: &RefreshCase) -> Facts {
        let mut facts = no_facts();
        let seen = |source: Source| !case.gaps.contains(&source);
        let there = topology.cluster.existing || self.objects.contains_key(&cluster_key(topology));
        if seen(Source::Azure) && there {
            facts.cluster = Some(cluster_facts(topology));
            if seen(Source::Kubernetes) {
                facts.nodes = aks_nodes();
            }
        }
        if seen(Source::Tailscale) {
            facts.router_addresses = self.joined.clone();
        }
        for worker in topology.datacenters.iter().flat_map(|it| &it.workers) {
            let held = facts.assigned.entry(worker.name.clone()).or_default();
            if let Some(Resource::Worker(node)) =
                self.value(&kubernetes("Node", worker.name.as_str()))
                && seen(Source::Kubernetes)
            {
                (held.ip, held.pod_cidr) = (Some(node.ip), Some(node.pod_cidr));
            }
        }
        self.held_by_interfaces(&mut facts, seen(Source::Azure));
        facts
    }

    fn held_by_interfaces(&self, facts: &mut Facts, seen: bool) {
        for (key, observed) in self.objects.iter().filter(|_| seen) {
            let (ObjectKey::Azure(id), Resource::NetworkInterface(interface)) =
                (key, &observed.resource)
            else {
                continue;
            };
            let worker = id.name().strip_suffix("-nic").map(WorkerName::new);
            if let Some(held) = worker.and_then(|worker| facts.assigned.get_mut(&worker)) {
                held.ip = Some(interface.private_ip);
            }
        }
    }

    fn value(&self, key: &ObjectKey) -> Option<&Resource> {
        self.objects.get(key).map(|observed| &observed.resource)
    }

    pub(super) fn inventory(&self, topology: &Topology, case: &RefreshCase) -> Inventory {
        let mut inventory = Inventory::default();
        for source in &case.gaps {
            inventory.note_gap(Gap {
                source: source.clone(),
                failure: Failure::new(Code::SourceGap, "it does not answer", "restore it"),
                explained: false,
                in_part: false,
            });
        }
        // A cluster that does not exist is not read.
        let looks_inside = self.facts(topology, case).cluster.is_some();
        for (key, observed) in &self.objects {
            let kind = observed.resource.kind();
            let unread = inventory.gap_for(kind, Some(key)).is_some() && !case.partly;
            if unread || matches!(key, ObjectKey::Kubernetes(_)) && !looks_inside {
                continue;
            }
            inventory.note(key.clone(), observed.resource.clone(), observed.ownership.clone());
            if kind == Kind::ResourceGroup {
                self.note_contents(key, &mut inventory);
            }
        }
        inventory
    }

    fn note_contents(&self, group: &ObjectKey, inventory: &mut Inventory) {
        let foreign: Vec<String> = self
            .objects
            .iter()
            .filter(|(key, it)| it.ownership.is_foreign() && is_in(key, group))
            .map(|(key, _)| format!("{key:?}"))
            .collect();
        if !foreign.is_empty() {
            inventory.foreign_contents.insert(group.clone(), foreign);
        }
    }

    /// Refreshes and plans, as an apply does.
    pub(super) fn refresh(&self, topology: &Topology, case: &RefreshCase) -> Refreshed {
        let facts = self.facts(topology, case);
        let inventory = self.inventory(topology, case);
        let whole = desired::build(topology, &facts).unwrap();
        let protected = whole.protected();
        let replace = whole.iter().map(|desired| desired.address.clone()).collect();
        let compare = |desired: &DesiredSet, inventory: &Inventory| {
            plan_changes(Comparison {
                settings: &ApplySettings::default(),
                desired,
                inventory,
                findings: &[],
                adopt: &case.adopt,
                replace: &replace,
                protected: &protected,
                rollout: &topology.rollout,
                worker_request: None,
                departed: &BTreeMap::new(),
                present_routers: &BTreeMap::new(),
                nodes: &[],
                requested_versions: &RequestedVersions::of(topology),
                control_plane: None,
                refused_upgrade: None,
                misplaced_routers: &BTreeMap::new(),
                requests: &BTreeMap::new(),
            })
        };
        let nothing = DesiredSet::default();
        let mut found = compare(if case.destroying { &nothing } else { &whole }, &inventory);
        if let Some((facts, inventory)) = surviving(&facts, &inventory, &found) {
            found = compare(&desired::build(topology, &facts).unwrap(), &inventory);
        }
        Refreshed { facts, plan: found.into(), whole, inventory }
    }

    /// Applies every change of a plan.
    pub(super) fn execute(&mut self, topology: &Topology, plan: &Plan) {
        for change in &plan.changes {
            if matches!(change.action, Action::Delete | Action::Replace) {
                self.take_away(&change.key);
            }
            if change.action != Action::Delete {
                self.make(topology, change);
            }
        }
    }

    /// Deletes an object and everything that is deleted with it.
    pub(super) fn take_away(&mut self, key: &ObjectKey) {
        let removed = self.objects.remove(key).map(|observed| observed.resource);
        match (removed, key) {
            (Some(Resource::ManagedCluster(cluster)), _) => {
                let group = &cluster.node_resource_group;
                let subscription = no_facts().subscription;
                let group = ObjectKey::Azure(ArmId::resource_group(subscription.as_str(), group));
                let goes =
                    |key: &ObjectKey| matches!(key, ObjectKey::Kubernetes(_)) || is_in(key, &group);
                self.objects.retain(|key, _| !goes(key));
            }
            (Some(Resource::VirtualMachine(machine)), ObjectKey::Azure(id))
                if machine.role == MachineRole::Router =>
            {
                self.objects.remove(&ObjectKey::Host(id.name().to_owned()));
                let device = self.objects.get_mut(&ObjectKey::Device(id.name().to_owned()));
                if let Some(Resource::TailnetDevice(device)) = device.map(|it| &mut it.resource) {
                    device.online = false;
                }
            }
            (Some(Resource::TailnetDevice(device)), _) => {
                self.joined.remove(&device.hostname);
                self.objects.remove(&ObjectKey::DeviceAdvertised(device.hostname.clone()));
                self.objects.remove(&ObjectKey::DeviceApproved(device.hostname));
            }
            (Some(Resource::Worker(worker)), _) => {
                self.objects.remove(&kubernetes("CiliumNode", &worker.name));
            }
            _ => {}
        }
        let inside: Vec<ObjectKey> =
            self.objects.keys().filter(|other| is_in(other, key)).cloned().collect();
        for inner in inside {
            self.take_away(&inner);
        }
    }

    /// Creates an object with the value of a change.
    pub(super) fn make(&mut self, topology: &Topology, change: &Change) {
        let Some(mut value) = change.after.clone() else { return };
        let site = &change.address.site;
        match &mut value {
            Resource::VirtualMachine(machine) if machine.role == MachineRole::Router => {
                self.join(&change.address.name, site, topology);
            }
            Resource::TailnetDevice(device) => self.join(&device.hostname.clone(), site, topology),
            Resource::Worker(worker) => {
                worker.host = Observable::unobserved();
                let name = worker.name.clone();
                let key = kubernetes("CiliumNode", &name);
                let empty = Resource::CiliumNode(CiliumNode { name, pod_cidrs: Vec::new() }.into());
                self.objects
                    .entry(key)
                    .or_insert(Observed { resource: empty, ownership: Ownership::Inherited });
            }
            Resource::ManagedCluster(_) => self.add_cluster_subnets(topology),
            _ => {}
        }
        let existing = topology.datacenters.iter().any(|datacenter| {
            Site::Datacenter(datacenter.name.clone()) == *site && datacenter.is_existing()
        });
        let ownership = match value.kind() {
            Kind::CiliumNode => Ownership::Inherited,
            Kind::RouterHost if !existing => Ownership::Inherited,
            _ => ours(site),
        };
        self.objects.insert(change.key.clone(), Observed { resource: value, ownership });
    }

    /// AKS brings a subnet without a table.
    fn add_cluster_subnets(&mut self, topology: &Topology) {
        for subnet in cluster_facts(topology).node_subnets {
            let resource = Resource::RouteTableAssociation(RouteTableAssociation {
                subnet: Pending::Known(subnet.id.clone()),
                route_table: None,
            });
            let key = ObjectKey::AzureAssociation(subnet.id);
            let ownership = Ownership::Inherited;
            self.objects.entry(key).or_insert(Observed { resource, ownership });
        }
    }

    /// A router joins the tailnet, not configured yet.
    fn join(&mut self, name: &str, site: &Site, topology: &Topology) {
        let online = self.value(&ObjectKey::Device(name.to_owned())).is_some_and(
            |device| matches!(device, Resource::TailnetDevice(device) if device.online),
        );
        if online {
            return;
        }
        self.addresses += 1;
        self.joined.insert(name.to_owned(), Ipv4Addr::new(100, 64, 0, self.addresses));
        let hostname = name.to_owned();
        let device = Device::in_service(&hostname, topology.tailnet.tag.as_str());
        let none =
            RouteSet { hostname: hostname.clone(), prefixes: Pending::Known(BTreeSet::new()) };
        let host = RouterHost {
            hostname: hostname.clone(),
            ip_forwarding: false,
            reverse_path_filter: 1,
            send_redirects: true,
            masquerade: false,
            snat_subnet_routes: true,
            mss_clamp: false,
            accept_routes: false,
            local_prefixes: BTreeSet::new(),
            kernel_routes: Pending::Known(BTreeMap::new()),
            persistent: true,
            protected_by: None,
        };
        let mut note = |key, resource, ownership| {
            self.objects.insert(key, Observed { resource, ownership });
        };
        note(ObjectKey::Device(hostname.clone()), Resource::TailnetDevice(device), ours(site));
        let advertised = ObjectKey::DeviceAdvertised(hostname.clone());
        note(advertised, Resource::AdvertisedRoutes(none.clone()), ours(site));
        let approved = ObjectKey::DeviceApproved(hostname.clone());
        note(approved, Resource::ApprovedRoutes(none), ours(site));
        note(ObjectKey::Host(hostname), Resource::RouterHost(host.into()), Ownership::Inherited);
    }

    /// Applies a topology until nothing is left to do, and returns the plan that is
    /// left after the last iteration.
    pub(super) fn apply_repeatedly(&mut self, topology: &Topology, case: &RefreshCase) -> Plan {
        for _ in 0..MAX_ITERATIONS {
            let plan = self.refresh(topology, case).plan;
            if plan.is_empty() {
                return plan;
            }
            self.execute(topology, &plan);
        }
        self.refresh(topology, case).plan
    }

    /// The live state of a topology that was just applied.
    pub(super) fn of(topology: &Topology) -> Self {
        let mut live_state = Self::default();
        if topology.cluster.existing {
            live_state.add_cluster_subnets(topology);
        }
        // The machines of an existing site run before the first plan.
        let left = live_state.apply_repeatedly(topology, &RefreshCase::default());
        assert!(left.is_empty(), "{}", super::summary(&left));
        live_state
    }

    /// The objects that the topology owns.
    pub(super) fn ours(&self) -> BTreeSet<&ObjectKey> {
        let ours = |observed: &Observed| observed.ownership.is_ours();
        self.objects.iter().filter(|(_, observed)| ours(observed)).map(|(key, _)| key).collect()
    }
}

/// Whether an Azure object is deleted with another one, because it is below it.
pub(super) fn is_in(key: &ObjectKey, holder: &ObjectKey) -> bool {
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id), ObjectKey::Azure(holder)) =
        (key, holder)
    else {
        return false;
    };
    std::iter::successors(id.parent(), ArmId::parent).any(|parent| parent == *holder)
}
