//! Puts a network together from the parts that sites are built of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::kernel::{NodeKernels, PendingRouter};
use super::path_model::{PathModel, SiteHosts, Sources};
use super::projected_state::ProjectedState;
use super::provenance::ProvenanceTable;
use crate::dataplane::tunnel::TAILSCALE_MTU;
use crate::dataplane::{Host, HostId, Member, Network, Segment, SegmentId, Tunnel};
use crate::desired::{Allocation, allocate};

/// Builds the network of a state.
pub fn path_model(state: ProjectedState<'_>) -> PathModel {
    let mut builder = ModelBuilder::new(state);
    builder.add_sites();
    let network = builder.network();
    PathModel { network, provenance: builder.provenance, sites: builder.sites }
}

/// A part of the network that is built as a whole, and again when an object that it was
/// built from changes. Sites are identified by their segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The network that connects the hosts of a site.
    Segment(SegmentId),
    /// The router of a site: its host and its place in the tailnet.
    Router(SegmentId),
    /// A worker, by its place in the file.
    Worker(SegmentId, usize),
}

/// Where a node of AKS is.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodePlace {
    pub(super) host: HostId,
    pub(super) address: Ipv4Addr,
    /// The pod range, if Azure reported it.
    pub(super) pods: Option<Ipv4Net>,
}

/// The network while it is put together.
#[derive(Clone)]
pub(super) struct ModelBuilder<'a> {
    pub(super) state: ProjectedState<'a>,
    pub(super) sources: Sources<'a>,
    pub(super) allocation: Arc<Allocation>,
    pub(super) provenance: ProvenanceTable,
    pub(super) hosts: Vec<Host>,
    /// The address of each host on its segment.
    pub(super) own_addresses: Vec<Option<Ipv4Addr>>,
    pub(super) segments: Vec<Segment>,
    /// Members of the tailnet, without their tables of peers.
    pub(super) members: BTreeMap<HostId, Member>,
    /// Routers whose kernels wait for the tailnet's tables.
    pub(super) routers: BTreeMap<HostId, PendingRouter>,
    pub(super) sites: Vec<SiteHosts>,
    pub(super) node_kernels: NodeKernels,
    /// The worker of each host of a datacenter, by its place in the file.
    pub(super) workers: BTreeMap<HostId, usize>,
    /// AKS's nodes that have an address.
    pub(super) aks_nodes: Vec<NodePlace>,
    /// The numbers of objects, with each part that the object's value went into.
    readers: BTreeSet<(usize, Part)>,
}

/// The places of workers: those that the desired resources were built with, or would
/// be. Without an allocation no worker has a place.
fn allocation(sources: Sources<'_>) -> Arc<Allocation> {
    let allocate = || allocate(sources.topology, sources.facts).unwrap_or_default();
    sources.desired.allocation().cloned().unwrap_or_else(|| Arc::new(allocate()))
}

impl<'a> ModelBuilder<'a> {
    pub(super) fn new(state: ProjectedState<'a>) -> Self {
        let sources = state.sources();
        Self {
            state,
            sources,
            allocation: allocation(sources),
            provenance: ProvenanceTable::default(),
            hosts: Vec::new(),
            own_addresses: Vec::new(),
            segments: Vec::new(),
            members: BTreeMap::new(),
            routers: BTreeMap::new(),
            sites: Vec::new(),
            node_kernels: NodeKernels::default(),
            workers: BTreeMap::new(),
            aks_nodes: Vec::new(),
            readers: BTreeSet::new(),
        }
    }

    pub(super) fn add_sites(&mut self) {
        self.cluster_site();
        for datacenter in &self.sources.topology.datacenters {
            self.datacenter_site(datacenter);
        }
        self.foreign_peers();
    }

    /// Builds a part, and notes the objects that it was built from.
    pub(super) fn part<T>(&mut self, part: Part, build: impl FnOnce(&mut Self) -> T) -> T {
        let _before = self.state.take_reads();
        let built = build(self);
        for object in self.state.take_reads() {
            self.readers.insert((object, part));
        }
        built
    }

    /// The parts that the value of an object went into.
    pub(super) fn readers(&self, object: usize) -> impl Iterator<Item = &Part> {
        // No part is before this one.
        let from = self.readers.range((object, Part::Segment(SegmentId(0)))..);
        from.take_while(move |(read, _)| *read == object).map(|(_, part)| part)
    }

    /// The number that the next site's segment gets.
    pub(super) fn next_segment(&self) -> SegmentId {
        SegmentId(self.segments.len())
    }

    pub(super) fn add_host(&mut self, host: Host) -> HostId {
        self.own_addresses.push(host.ports.first().map(|port| port.address));
        self.hosts.push(host);
        HostId(self.hosts.len() - 1)
    }

    /// The address of a host on its segment.
    pub(super) fn address_of(&self, host: HostId) -> Option<Ipv4Addr> {
        self.own_addresses.get(host.0).copied().flatten()
    }

    pub(super) fn tunnel(&self) -> Tunnel {
        let members = self.members.clone();
        let tunnel = Tunnel { name: "the tailnet".to_owned(), mtu: TAILSCALE_MTU, members };
        tunnel.of_tailnet()
    }

    /// Puts the elements together, and takes hosts and segments out of the builder.
    pub(super) fn network(&mut self) -> Network {
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
