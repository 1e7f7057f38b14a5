//! The network as packets see it, in a state of its resources.
//!
//! Builds the elements of [`crate::dataplane`] from resources: what a table holds,
//! what an interface may do, how a router's kernel is configured. A resource that
//! could not be read becomes an unknown fact, and every result that depends on
//! it is unknown.
//!
//! It knows states only: [`ProjectedState`] is the inventory with some objects'
//! values replaced. Which values a change replaces is the plan's to say.
//!
//! What no source tells is taken as Azure and AKS have it by default: where the
//! security group on AKS's nodes has no rule that fits, packets pass, and the
//! tailnet's policy lets routers pass.

mod cluster_site;
mod datacenter_site;
mod host_routing;
mod incremental;
mod invariants;
mod matrix;
mod measured;
mod projected_state;
mod provenance;
mod security;
mod segments;
mod service;
pub mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::dataplane::tunnel::TAILSCALE_MTU;
use crate::dataplane::{Host, HostId, Member, Network, Segment, SegmentId, Tunnel};
use crate::desired::{Allocation, DesiredSet, Facts, allocate};
use crate::inventory::Inventory;
use crate::resource::Side;
use crate::topology::model::Topology;

pub(crate) use incremental::{IncrementalModel, Watched};
pub use invariants::{BEYOND, Breach, Rule, Unchecked, Why, breaches, unchecked};
pub use matrix::{Broken, Matrix, PROTOCOL, Pairs, node_ends, pod_ends, usual};
pub use measured::{Comparison, Difference, Stranger, by_nearness};
pub use projected_state::{ObjectValue, ProjectedState};
pub use provenance::{Provenance, ProvenanceTable, addresses, provenance};
pub use service::{NoPort, Target, is_pod, is_service, translates};

/// What was observed, and what the topology makes of it.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// Facts that the desired resources are made from.
    pub facts: &'a Facts,
    /// What should exist.
    pub desired: &'a DesiredSet,
    /// What exists.
    pub inventory: &'a Inventory,
}

/// The network, and where each of its facts comes from.
#[derive(Debug, Clone)]
pub struct PathModel {
    /// The elements.
    pub network: Network,
    /// What each fact's origin is.
    pub provenance: ProvenanceTable,
    /// The cluster's site first, then the datacenters in the order of the file.
    pub sites: Vec<SiteHosts>,
}

/// The hosts of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteHosts {
    /// The side.
    pub side: Side,
    /// Its router.
    pub router: HostId,
    /// Its nodes: those that pods live on.
    pub nodes: Vec<HostId>,
}

/// Builds the network of a state.
pub fn path_model(state: ProjectedState<'_>) -> PathModel {
    let mut builder = Builder::new(state);
    builder.add_sites();
    let network = builder.network();
    PathModel { network, provenance: builder.provenance, sites: builder.sites }
}

/// What is built as a whole, and again when an object that it was built from
/// gets another value. Sites are known by their segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// What connects the hosts of a site.
    Segment(SegmentId),
    /// The router of a site: its host and its place in the tailnet.
    Router(SegmentId),
    /// A worker, by its place in the file.
    Worker(SegmentId, usize),
}

/// The network while it is put together.
#[derive(Clone)]
struct Builder<'a> {
    state: ProjectedState<'a>,
    sources: Sources<'a>,
    allocation: Allocation,
    provenance: ProvenanceTable,
    hosts: Vec<Host>,
    /// The address of each host on its segment.
    own_addresses: Vec<Option<Ipv4Addr>>,
    segments: Vec<Segment>,
    /// Members of the tailnet, without their tables of peers.
    members: BTreeMap<HostId, Member>,
    /// Routers whose kernels wait for the tailnet's tables.
    routers: BTreeMap<HostId, host_routing::RouterInMaking>,
    sites: Vec<SiteHosts>,
    /// The worker of each host of a datacenter, by its place in the file.
    workers: BTreeMap<HostId, usize>,
    /// AKS's nodes that have an address.
    aks_nodes: Vec<cluster_site::NodePlace>,
    /// The parts that each object's value went into, by the object's number.
    readers: BTreeMap<usize, BTreeSet<Part>>,
}

impl<'a> Builder<'a> {
    fn new(state: ProjectedState<'a>) -> Self {
        let sources = state.sources();
        Self {
            state,
            sources,
            allocation: allocate(sources.topology, sources.facts).unwrap_or_default(),
            provenance: ProvenanceTable::default(),
            hosts: Vec::new(),
            own_addresses: Vec::new(),
            segments: Vec::new(),
            members: BTreeMap::new(),
            routers: BTreeMap::new(),
            sites: Vec::new(),
            workers: BTreeMap::new(),
            aks_nodes: Vec::new(),
            readers: BTreeMap::new(),
        }
    }

    fn add_sites(&mut self) {
        self.cluster_site();
        for datacenter in &self.sources.topology.datacenters {
            self.datacenter_site(datacenter);
        }
    }

    /// Builds a part, and notes the objects that it was built from.
    fn part<T>(&mut self, part: Part, build: impl FnOnce(&mut Self) -> T) -> T {
        let _before = self.state.take_asked();
        let built = build(self);
        for object in self.state.take_asked() {
            self.readers.entry(object).or_default().insert(part);
        }
        built
    }

    /// The number that the next site's segment gets.
    fn next_segment(&self) -> SegmentId {
        SegmentId(self.segments.len())
    }

    fn add_host(&mut self, host: Host) -> HostId {
        self.own_addresses.push(host.ports.first().map(|port| port.address));
        self.hosts.push(host);
        HostId(self.hosts.len() - 1)
    }

    /// The address of a host on its segment.
    fn address_of(&self, host: HostId) -> Option<Ipv4Addr> {
        self.own_addresses.get(host.0).copied().flatten()
    }

    fn tunnel(&self) -> Tunnel {
        let members = self.members.clone();
        let tunnel = Tunnel { name: "the tailnet".to_owned(), mtu: TAILSCALE_MTU, members };
        tunnel.of_tailnet()
    }

    /// Puts the elements together, and takes hosts and segments out of the builder.
    fn network(&mut self) -> Network {
        let tunnel = self.tunnel();
        let mut hosts = std::mem::take(&mut self.hosts);
        for (id, router) in &self.routers {
            if let Some(host) = hosts.get_mut(id.0) {
                host.kernel = router.kernel(tunnel.members.get(id));
            }
        }
        Network::new(hosts, std::mem::take(&mut self.segments), tunnel)
    }
}
