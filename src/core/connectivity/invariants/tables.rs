//! Rules about route tables and routers.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::super::usual;
use super::{Checker, Invariant, Sources};
use crate::dataplane::fabric::{FabricHop, Segment};
use crate::dataplane::{Fact, HostId, Origin};
use crate::net::prefix::overlaps;
use crate::resource::{Kind, ObjectKey};

impl Checker<'_> {
    pub(super) fn missing_next_hops(&mut self) {
        for (_, segment) in self.model.network.segments() {
            let Segment::Fabric(fabric) = segment else { continue };
            if fabric.unread.is_some() {
                continue;
            }
            for routes in fabric.subnets.iter().filter_map(|subnet| subnet.routes.read().ok()) {
                for (prefix, route) in routes.iter() {
                    let FabricHop::Appliance(hop) = route.hop else { continue };
                    // The firewall of an owner may be in another network.
                    if self.is_of_others(route.origin) {
                        continue;
                    }
                    if !fabric.interfaces.contains_key(&hop) {
                        let found = format!("the next hop {hop} of {prefix} does not exist");
                        self.add_at(Invariant::NextHopExists, route.origin, found);
                    }
                }
            }
        }
    }

    /// Whether a route stands in a table of another owner, and is not the topology's.
    fn is_of_others(&self, origin: Origin) -> bool {
        let Some(provenance) = self.model.provenance.get(origin) else { return false };
        let Sources { desired, inventory, .. } = self.state.sources();
        let address = &provenance.address;
        let is_it = |key: &ObjectKey| key.name().eq_ignore_ascii_case(&address.name);
        address.kind == Kind::RouteTable
            && desired.get(address).is_none()
            && inventory.table_routes.keys().any(is_it)
    }

    /// A route for pods that no node has: a node that comes would get them.
    pub(super) fn stale_routes(&mut self, sources: Sources<'_>) {
        let Some(cluster) = &sources.facts.cluster else { return };
        let snat = self.state.is_unread(Kind::Worker, None);
        if snat || !sources.facts.nodes_without_pod_cidr.is_empty() {
            return;
        }
        let ranges: BTreeSet<Ipv4Net> = self.nodes().filter_map(|node| self.range(node)).collect();
        let pools: BTreeSet<Ipv4Net> =
            sources.topology.datacenters.iter().filter_map(|it| it.pod_pool).collect();
        let meets = |prefix: &Ipv4Net| {
            ranges.iter().any(|range| range.contains(prefix) || prefix.contains(range))
        };
        for (_, segment) in self.model.network.segments() {
            let Segment::Fabric(fabric) = segment else { continue };
            for routes in fabric.subnets.iter().filter_map(|subnet| subnet.routes.read().ok()) {
                for (prefix, route) in routes.within(&cluster.pod_cidr) {
                    let is_pods = prefix != cluster.pod_cidr && !pools.contains(&prefix);
                    if is_pods && !meets(&prefix) {
                        let found = format!("{prefix} is routed, but no node has this pod CIDR");
                        self.add_at(Invariant::NoStaleRoutes, route.origin, found);
                    }
                }
            }
        }
    }

    /// A broad prefix steals the packets of a site that takes it up: a kernel
    /// asks Tailscale's table before its own.
    pub(super) fn overlapping_advertisements(&mut self) {
        for site in &self.model.sites {
            for node in &site.nodes {
                let Some(range) = self.range(*node) else { continue };
                for (member, advertised) in self.advertised() {
                    if member == site.router {
                        continue;
                    }
                    for (prefix, origin) in advertised.iter().filter(|it| it.0.contains(&range)) {
                        let node = self.model.network.name(*node);
                        let found = format!("{prefix} contains the pod CIDR {range} of {node}");
                        self.add_at(Invariant::NoOverlappingAdvertisements, *origin, found);
                    }
                }
            }
        }
        self.one_example_of_each();
    }

    /// A prefix that holds the pods of a thousand nodes is one violation.
    fn one_example_of_each(&mut self) {
        let mut seen = BTreeSet::new();
        self.violations.retain(|violation| {
            let prefix = violation.found.split(' ').next().unwrap_or_default().to_owned();
            violation.rule != Invariant::NoOverlappingAdvertisements
                || seen.insert((violation.address.clone(), prefix))
        });
    }

    /// Routes that a router advertises and the tailnet does not approve, and the
    /// reverse.
    pub(super) fn advertisements_and_approvals(&mut self) {
        let known = |fact: &Fact<Vec<Ipv4Net>>| -> Option<BTreeSet<Ipv4Net>> {
            Some(fact.read().ok()?.iter().copied().collect())
        };
        for member in self.model.network.tunnel().members.values() {
            let routes = &member.advertised;
            let (Some(advertised), Some(approved)) =
                (known(&routes.advertised), known(&routes.approved))
            else {
                continue;
            };
            for prefix in advertised.difference(&approved) {
                let found = format!("{prefix} is advertised but not approved in the tailnet");
                self.add_at(Invariant::AdvertisedRoutesApproved, routes.approved.origin(), found);
            }
            for prefix in approved.difference(&advertised) {
                let found = format!("{prefix} is approved but the router does not advertise it");
                self.add_at(Invariant::AdvertisedRoutesApproved, routes.advertised.origin(), found);
            }
        }
    }

    /// The routes that each member advertises or may advertise, and where they were read.
    fn advertised(&self) -> Vec<(HostId, Vec<(Ipv4Net, Origin)>)> {
        let with_origins = |prefixes: &Fact<Vec<Ipv4Net>>| {
            let origin = prefixes.origin();
            let all = prefixes.read().cloned().unwrap_or_default();
            all.into_iter().map(move |prefix| (prefix, origin))
        };
        let members = self.model.network.tunnel().members.iter();
        members
            .map(|(id, member)| {
                let advertised = &member.advertised;
                (
                    *id,
                    with_origins(&advertised.advertised)
                        .chain(with_origins(&advertised.approved))
                        .collect(),
                )
            })
            .collect()
    }

    /// Prefixes nest or are apart: of the sorted ones only neighbours can share.
    pub(super) fn shared_ranges(&mut self) {
        let nodes = self.model.sites.iter().flat_map(|site| &site.nodes);
        let mut ranges: Vec<(Ipv4Net, HostId)> =
            nodes.filter_map(|node| Some((self.range(*node)?, *node))).collect();
        ranges.sort();
        self.foreign_ranges(&ranges);
        let mut widest: Option<(Ipv4Net, HostId)> = None;
        for (range, node) in ranges {
            let holder = widest.filter(|(wide, _)| wide.contains(&range));
            let Some((_, holder)) = holder else {
                widest = Some((range, node));
                continue;
            };
            let name = |id| self.model.network.name(id).to_owned();
            let found = format!("{range} of {} is also assigned to {}", name(node), name(holder));
            let network = &self.model.network;
            let origin = network.host(node).map(|host| host.pods.origin());
            if let Some(origin) = origin {
                self.add_at(Invariant::PodCidrsDisjoint, origin, found);
            }
        }
    }

    /// Ranges that Nodes of others have, too.
    fn foreign_ranges(&mut self, ranges: &[(Ipv4Net, HostId)]) {
        let inventory = self.state.sources().inventory;
        for foreign in &inventory.foreign_nodes {
            let Some(pods) = foreign.pod_cidr else { continue };
            let shared = ranges.iter().filter(|(range, _)| overlaps(range, &pods));
            for (range, node) in shared {
                let network = &self.model.network;
                let (name, other) = (network.name(*node), &foreign.name);
                let found = format!("{range} of {name} is also assigned to {other}");
                let origin = network.host(*node).map(|host| host.pods.origin());
                if let Some(origin) = origin {
                    self.add_at(Invariant::PodCidrsDisjoint, origin, found);
                }
            }
        }
    }

    pub(super) fn hairpins(&mut self) {
        for site in self.model.sites.clone() {
            let network = &self.model.network;
            let port = site.nodes.first().and_then(|id| network.host(*id)?.ports.first().copied());
            let segment = port.and_then(|port| network.segment(port.segment));
            let (Some(port), Some(Segment::Fabric(fabric))) = (port, segment) else { continue };
            let Some(source) = fabric.interfaces.get(&port.address) else { continue };
            let Some(subnet) = fabric.subnets.get(source.subnet) else { continue };
            let Ok(routes) = subnet.routes.read() else { continue };
            let mut found = Vec::new();
            for node in &site.nodes {
                let own = network.host(*node).and_then(|host| host.ports.first());
                let (Some(own), Some(range)) = (own, self.range(*node)) else { continue };
                let route = fabric.effective_route(source, routes, usual(&range));
                if let FabricHop::Appliance(hop) = route.hop
                    && hop != own.address
                    && fabric.interfaces.get(&hop).is_some_and(|it| it.host == site.router)
                {
                    found.push(format!(
                        "hosts of the VNet reach {range} through router {hop} \
                                        instead of directly"
                    ));
                }
            }
            let origin = subnet.routes.origin();
            for found in found {
                self.add_at(Invariant::NoRouterHairpinInVnet, origin, found);
            }
        }
    }
}
