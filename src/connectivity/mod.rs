//! The network as packets see it, out of what was observed or is planned.
//!
//! Builds the elements of [`crate::dataplane`] from resources: what a table holds,
//! what an interface may do, what a router's kernel was told. A resource that
//! could not be read becomes an unknown fact, and whatever depends on it is
//! answered with that.
//!
//! What no source tells is taken as Azure and AKS have it by default: where the
//! security group on AKS's nodes has no rule that fits, packets pass, and the
//! tailnet's policy lets routers pass.

mod cluster_site;
mod datacenter_site;
mod host_routing;
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

use crate::dataplane::tunnel::TAILSCALE_MTU;
use crate::dataplane::{Host, HostId, Member, Network, Segment, Tunnel};
use crate::desired::{Allocation, DesiredSet, Facts, allocate};
use crate::inventory::Inventory;
use crate::plan::Plan;
use crate::resource::{Address, Side};
use crate::topology::model::Topology;

pub use invariants::{BEYOND, Breach, Rule, Unchecked, Why, breaches, unchecked};
pub use matrix::{Broken, Matrix, PROTOCOL, Pairs, node_ends, pod_ends, usual};
pub use measured::{Comparison, Difference, Stranger, by_nearness};
use projected_state::ProjectedState;
pub use provenance::{Provenance, ProvenanceTable, addresses, provenance};
pub use service::{NoPort, Target, is_pod, is_service, translates};

/// Which world is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntermediateState {
    /// As it was read.
    Observed,
    /// As it is once the plan is applied.
    Planned,
    /// As it is once these changes of the plan are made.
    PlannedOnly(BTreeSet<Address>),
    /// As it is in between, while the plan is carried out.
    Between(Progress),
}

/// How far a plan is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// Changes that are made.
    pub made: BTreeSet<Address>,
    /// What is gone or rests and is to come again.
    pub gone: BTreeSet<Address>,
}

/// What a network is built from.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// Facts that resources are spelt out from.
    pub facts: &'a Facts,
    /// What should exist.
    pub desired: &'a DesiredSet,
    /// What exists.
    pub inventory: &'a Inventory,
    /// What is to be changed.
    pub plan: &'a Plan,
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

/// Builds the network of a moment.
pub fn path_model(sources: Sources<'_>, moment: &IntermediateState) -> PathModel {
    let allocation = allocate(sources.topology, sources.facts).unwrap_or_default();
    let mut builder = Builder {
        state: ProjectedState::new(sources, moment),
        sources,
        allocation,
        provenance: ProvenanceTable::default(),
        hosts: Vec::new(),
        segments: Vec::new(),
        members: BTreeMap::new(),
        routers: Vec::new(),
        sites: Vec::new(),
    };
    builder.cluster_site();
    for datacenter in &sources.topology.datacenters {
        builder.datacenter_site(datacenter);
    }
    builder.finish()
}

/// The network while it is put together.
struct Builder<'a> {
    state: ProjectedState<'a>,
    sources: Sources<'a>,
    allocation: Allocation,
    provenance: ProvenanceTable,
    hosts: Vec<Host>,
    segments: Vec<Segment>,
    members: BTreeMap<HostId, Member>,
    /// Routers whose kernels wait for the tailnet's tables.
    routers: Vec<host_routing::RouterInMaking>,
    sites: Vec<SiteHosts>,
}

impl Builder<'_> {
    fn add_host(&mut self, host: Host) -> HostId {
        self.hosts.push(host);
        HostId(self.hosts.len() - 1)
    }

    fn finish(mut self) -> PathModel {
        let members = std::mem::take(&mut self.members);
        let tunnel = Tunnel { name: "the tailnet".to_owned(), mtu: TAILSCALE_MTU, members };
        let tunnel = tunnel.of_tailnet();
        for router in std::mem::take(&mut self.routers) {
            let id = router.id;
            let kernel = router.kernel(tunnel.members.get(&id));
            if let Some(host) = self.hosts.get_mut(id.0) {
                host.kernel = kernel;
            }
        }
        let network = Network::new(self.hosts, self.segments, tunnel);
        PathModel { network, provenance: self.provenance, sites: self.sites }
    }
}
