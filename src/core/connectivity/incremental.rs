//! A network that is moved from one state to another and back: only the parts that depend
//! on an object's value are rebuilt.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::builder::{ModelBuilder, Part};
use super::kernel::{PendingRouter, RouterParts};
use super::path_model::PathModel;
use super::projected_state::{ObjectValue, ProjectedState};
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::{Host, HostId, Member, PrefixTable, Segment, SegmentId, Tunnel};
use crate::resource::Site;

/// The network of a state, and the changes that lead to other states.
#[derive(Clone)]
pub(crate) struct IncrementalModel<'a> {
    builder: ModelBuilder<'a>,
    model: PathModel,
    workers: BTreeMap<(SegmentId, usize), HostId>,
    undo: Undo<'a>,
}

/// The parts of the network before a change.
#[derive(Clone, Default)]
struct Undo<'a> {
    values: Vec<(usize, ObjectValue<'a>)>,
    hosts: Vec<(HostId, Arc<Host>)>,
    segments: Vec<(SegmentId, Segment)>,
    members: Vec<(HostId, Member)>,
    routers: Vec<(HostId, PendingRouter)>,
    tunnel: Option<Tunnel>,
    owners: Option<PrefixTable<HostId>>,
}

/// Parts of a network that something depends on.
#[derive(Default)]
pub(crate) struct Watched(BTreeSet<Part>);

/// The parts that must be rebuilt.
#[derive(Default)]
struct Rebuilt {
    parts: BTreeSet<Part>,
    /// Routers without their kernels.
    routers: BTreeMap<HostId, Host>,
    /// Hosts whose addresses have changed, with the old addresses.
    moved: Vec<(HostId, Vec<Ipv4Net>)>,
    is_tunnel_stale: bool,
}

impl<'a> IncrementalModel<'a> {
    /// Builds the network of a state.
    pub(crate) fn new(state: ProjectedState<'a>) -> Self {
        let mut builder = ModelBuilder::new(state);
        builder.add_sites();
        let network = builder.network();
        let mut workers = BTreeMap::new();
        for (place, site) in builder.sites.iter().enumerate() {
            for host in &site.nodes {
                if let Some(number) = builder.workers.get(host) {
                    workers.insert((SegmentId(place), *number), *host);
                }
            }
        }
        let provenance = std::mem::take(&mut builder.provenance);
        let model = PathModel { network, provenance, sites: builder.sites.clone() };
        Self { builder, model, workers, undo: Undo::default() }
    }

    /// The network as it is now.
    pub(crate) fn model(&self) -> &PathModel {
        &self.model
    }

    /// The values that it is built from now.
    pub(crate) fn state(&self) -> &ProjectedState<'a> {
        &self.builder.state
    }

    /// Replaces the values of objects, by their numbers, and returns the difference of the
    /// network. If parts are watched, only these are rebuilt.
    /// [`IncrementalModel::roll_back`] undoes it.
    pub(crate) fn change(
        &mut self,
        values: &[(usize, ObjectValue<'a>)],
        watched: Option<&Watched>,
    ) -> NetworkDifference {
        let mut rebuilt = Rebuilt::default();
        let is_watched = |part: &&Part| watched.is_none_or(|watched| watched.0.contains(part));
        for (object, value) in values {
            let before = self.builder.state.set(*object, *value);
            self.undo.values.push((*object, before));
            if before != *value {
                let readers = self.builder.readers(*object);
                rebuilt.parts.extend(readers.filter(is_watched));
            }
        }
        let mut difference = NetworkDifference::default();
        std::mem::swap(&mut self.builder.provenance, &mut self.model.provenance);
        self.rebuild_hosts(&mut rebuilt, &mut difference);
        self.rebuild_tunnel(&mut rebuilt, &mut difference);
        self.rebuild_kernels(&mut rebuilt, &mut difference);
        self.rebuild_segments(&rebuilt.parts, &mut difference);
        std::mem::swap(&mut self.builder.provenance, &mut self.model.provenance);
        if !rebuilt.moved.is_empty() {
            difference.addresses_overlap = self.move_addresses(&rebuilt.moved);
        }
        difference
    }

    /// Commits the change: it can no longer be rolled back.
    pub(crate) fn commit(&mut self) {
        self.undo = Undo::default();
    }

    /// The parts that these hosts and segments are built from. Where members of
    /// the tailnet are among the hosts, every router is: their tables depend on all.
    pub(crate) fn watch(
        &self,
        hosts: &BTreeSet<HostId>,
        segments: &BTreeSet<SegmentId>,
    ) -> Watched {
        let mut parts: BTreeSet<Part> = segments.iter().map(|id| Part::Segment(*id)).collect();
        let sites = self.model.sites.iter().enumerate();
        for (site, id) in sites.map(|(place, site)| (site, SegmentId(place))) {
            let routers = self.model.sites.iter().map(|site| site.router);
            if routers.clone().any(|router| hosts.contains(&router)) {
                parts.insert(Part::Router(id));
            }
            let all = site.nodes.iter().chain([&site.router]);
            if all.clone().any(|host| hosts.contains(host)) {
                parts.insert(Part::Segment(id));
            }
            // A LAN knows its hosts by the addresses that these have.
            let is_lan = matches!(self.model.network.segment(id), Some(Segment::Lan(_)));
            let knows_all = is_lan && parts.contains(&Part::Segment(id));
            for host in all.filter(|host| knows_all || hosts.contains(host)) {
                let number = self.builder.workers.get(host);
                parts.extend(number.map(|number| Part::Worker(id, *number)));
            }
        }
        Watched(parts)
    }

    /// Whether objects with other values change one of these parts.
    pub(crate) fn touches(
        &self,
        objects: impl IntoIterator<Item = usize>,
        watched: &Watched,
    ) -> bool {
        let mut readers = objects.into_iter().flat_map(|object| self.builder.readers(object));
        readers.any(|part| watched.0.contains(part))
    }

    /// Undoes the change.
    pub(crate) fn roll_back(&mut self) {
        let undo = std::mem::take(&mut self.undo);
        for (object, value) in undo.values.into_iter().rev() {
            self.builder.state.set(object, value);
        }
        for (id, host) in undo.hosts.into_iter().rev() {
            self.note_address(id, &host);
            self.model.network.exchange_host(id, host);
        }
        for (id, segment) in undo.segments.into_iter().rev() {
            self.model.network.exchange_segment(id, segment);
        }
        self.builder.members.extend(undo.members);
        self.builder.routers.extend(undo.routers);
        if let Some(tunnel) = undo.tunnel {
            self.model.network.exchange_tunnel(tunnel);
        }
        if let Some(owners) = undo.owners {
            self.model.network.restore_owners(owners);
        }
    }

    fn note_address(&mut self, id: HostId, host: &Host) {
        if let Some(known) = self.builder.own_addresses.get_mut(id.0) {
            *known = host.ports.first().map(|port| port.address);
        }
    }

    fn rebuild_hosts(&mut self, rebuilt: &mut Rebuilt, difference: &mut NetworkDifference) {
        let topology = self.builder.sources.topology;
        for part in std::mem::take(&mut rebuilt.parts) {
            let (segment, worker) = match part {
                Part::Segment(_) => {
                    rebuilt.parts.insert(part);
                    continue;
                }
                Part::Router(segment) => (segment, None),
                Part::Worker(segment, number) => (segment, Some(number)),
            };
            let Some(site) = self.builder.sites.get(segment.0) else { continue };
            let router = site.router;
            let datacenter = match &site.site {
                Site::Cluster => None,
                Site::Datacenter(name) => topology.datacenters.iter().find(|it| it.name == *name),
            };
            match (worker, datacenter) {
                (Some(number), Some(datacenter)) => {
                    let id = self.workers.get(&(segment, number)).copied();
                    let worker = datacenter.workers.get(number);
                    let (Some(id), Some(worker)) = (id, worker) else { continue };
                    let host = self
                        .builder
                        .part(part, |builder| builder.worker(datacenter, worker, segment));
                    if let Some(host) = host {
                        self.swap_parts(id, host, rebuilt, difference);
                    }
                }
                (None, Some(datacenter)) => {
                    let parts = self
                        .builder
                        .part(part, |builder| builder.datacenter_router(datacenter, segment));
                    self.note_router(router, parts, rebuilt);
                }
                (None, None) => {
                    let parts = self.builder.part(part, |builder| builder.cluster_router(segment));
                    self.note_router(router, parts, rebuilt);
                }
                (Some(_), None) => {}
            }
        }
    }

    fn note_router(&mut self, id: HostId, parts: RouterParts, rebuilt: &mut Rebuilt) {
        if self.builder.members.get(&id) != Some(&parts.member)
            && let Some(member) = self.builder.members.insert(id, parts.member)
        {
            self.undo.members.push((id, member));
            rebuilt.is_tunnel_stale = true;
        }
        if let Some(router) = self.builder.routers.insert(id, parts.pending) {
            self.undo.routers.push((id, router));
        }
        rebuilt.routers.insert(id, parts.host);
    }

    /// Tables of peers, and the kernels that hold copies of them.
    fn rebuild_tunnel(&mut self, rebuilt: &mut Rebuilt, difference: &mut NetworkDifference) {
        if !rebuilt.is_tunnel_stale {
            return;
        }
        let tunnel = self.builder.tunnel();
        let network = &mut self.model.network;
        for (id, member) in &tunnel.members {
            let known = network.tunnel().members.get(id);
            if known == Some(member) {
                continue;
            }
            difference.members.insert(*id);
            if let Some(host) = network.host(*id) {
                rebuilt.routers.entry(*id).or_insert_with(|| host.clone());
            }
        }
        self.undo.tunnel = Some(network.exchange_tunnel(tunnel));
    }

    fn rebuild_kernels(&mut self, rebuilt: &mut Rebuilt, difference: &mut NetworkDifference) {
        for (id, mut host) in std::mem::take(&mut rebuilt.routers) {
            let member = self.model.network.tunnel().members.get(&id);
            if let Some(router) = self.builder.routers.get(&id) {
                host.kernel = router.kernel(member);
            }
            self.swap_parts(id, host, rebuilt, difference);
        }
    }

    fn swap_parts(
        &mut self,
        id: HostId,
        host: Host,
        rebuilt: &mut Rebuilt,
        difference: &mut NetworkDifference,
    ) {
        let Some(known) = self.model.network.host(id) else { return };
        if *known == host {
            return;
        }
        difference.hosts.insert(id);
        let (before, now) = (addresses(known), addresses(&host));
        if before != now {
            let segments = known.ports.iter().map(|port| Part::Segment(port.segment));
            rebuilt.parts.extend(segments);
            rebuilt.moved.push((id, before.into_iter().chain(now).collect()));
        }
        self.note_address(id, &host);
        if let Some(before) = self.model.network.exchange_host(id, Arc::new(host)) {
            self.undo.hosts.push((id, before));
        }
    }

    fn rebuild_segments(&mut self, parts: &BTreeSet<Part>, difference: &mut NetworkDifference) {
        let topology = self.builder.sources.topology;
        for part in parts {
            let Part::Segment(id) = *part else { continue };
            let Some(site) = self.builder.sites.get(id.0).cloned() else { continue };
            let segment = match &site.site {
                Site::Cluster => {
                    self.builder.part(*part, |builder| builder.cluster_segment(site.router))
                }
                Site::Datacenter(name) => {
                    let datacenter = topology.datacenters.iter().find(|it| it.name == *name);
                    let Some(datacenter) = datacenter else { continue };
                    self.builder.part(*part, |builder| {
                        builder.datacenter_segment(datacenter, site.router, &site.nodes)
                    })
                }
            };
            if let Some(known) = self.model.network.segment(id) {
                difference.add_segment(id, known, &segment);
            }
            if let Some(before) = self.model.network.exchange_segment(id, segment) {
                self.undo.segments.push((id, before));
            }
        }
    }

    /// Finds the owners of addresses again; says whether one that a host got or
    /// gave up is also another host's.
    fn move_addresses(&mut self, moved: &[(HostId, Vec<Ipv4Net>)]) -> bool {
        let before = self.model.network.assign_owners();
        let overlaps = |owners: &PrefixTable<HostId>| {
            moved.iter().any(|(id, prefixes)| {
                prefixes.iter().any(|prefix| {
                    let around = owners.lookup(prefix.network()).into_iter();
                    around.chain(owners.within(prefix)).any(|(_, owner)| owner != id)
                })
            })
        };
        let is_overlapping = overlaps(&before) || overlaps(self.model.network.owners());
        self.undo.owners.get_or_insert(before);
        is_overlapping
    }
}

/// The addresses of a host and the range of its pods.
fn addresses(host: &Host) -> Vec<Ipv4Net> {
    let ports = host.ports.iter().map(|port| Ipv4Net::from(port.address));
    ports.chain(host.pods.read().ok().and_then(|pods| pods.range())).collect()
}
