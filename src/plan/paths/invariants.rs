//! What must hold besides every pair being reached: what would break the next
//! node, or the next change, or hide that something is broken.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::view::{Seen, View};
use super::{Moment, PathModel, Sources, usual};
use crate::net::prefix::{self, TAILNET_RANGE};
use crate::reach::fabric::{FabricHop, Segment};
use crate::reach::host::{KernelHop, TableId};
use crate::reach::{Fact, HostId, Origin};
use crate::resource::{Address, Kind, Resource, Side};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// No route leads to an address that nobody has.
    RoutesLeadToSomebody,
    /// No router offers a prefix that holds another's pods.
    NobodyOffersOthersPods,
    /// No two nodes have pods of one range.
    PodRangesAreApart,
    /// Interfaces of routers and workers forward.
    InterfacesForward,
    /// A router hides both what goes into the tunnel and what comes out, or
    /// neither.
    SourcesAreHiddenBothWaysOrNot,
    /// A router clamps the segment size to the tunnel's.
    SegmentSizesAreClamped,
    /// In a virtual network neighbours' pods are reached straight, and not by
    /// the router.
    NeighboursAreReachedStraight,
    /// What has no route ends at the datacenter's router.
    WhatHasNoRouteEnds,
    /// A worker's CiliumNode names its pods.
    CiliumKnowsThePods,
    /// A Server names its router by an address of the tailnet.
    ServersNameTheirRouter,
    /// Every worker's Node is Ready.
    WorkersAreReady,
}

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    /// The rule.
    pub rule: Rule,
    /// The resource that breaks it.
    pub address: Address,
    /// What was found, in words.
    pub found: String,
}

/// Looks at every rule.
pub fn breaches(sources: Sources<'_>, model: &PathModel, moment: &Moment) -> Vec<Breach> {
    let view = View::new(sources, moment);
    let mut found = Found { model, view, breaches: BTreeSet::new() };
    found.routes_to_nobody();
    found.others_pods();
    found.shared_ranges();
    found.interfaces();
    found.detours();
    found.routers(sources);
    for desired in sources.desired.iter() {
        let address = &desired.address;
        let looked_at = [Kind::CiliumNode, Kind::Server, Kind::Worker].contains(&address.kind);
        if let (true, Seen::There(seen)) = (looked_at, found.view.resource(address)) {
            found.of_worker(sources, address, seen);
        }
    }
    found.breaches.into_iter().collect()
}

struct Found<'a> {
    model: &'a PathModel,
    view: View<'a>,
    breaches: BTreeSet<Breach>,
}

impl Found<'_> {
    fn add(&mut self, rule: Rule, address: Address, found: String) {
        self.breaches.insert(Breach { rule, address, found });
    }

    fn add_at(&mut self, rule: Rule, origin: Origin, found: String) {
        if let Some(told) = self.model.origins.get(origin) {
            self.add(rule, told.address.clone(), found);
        }
    }

    fn routes_to_nobody(&mut self) {
        for (_, segment) in self.model.network.segments() {
            let Segment::Fabric(fabric) = segment else { continue };
            if fabric.unread.is_some() {
                continue;
            }
            for routes in fabric.subnets.iter().filter_map(|subnet| subnet.routes.read().ok()) {
                for (prefix, route) in routes.iter() {
                    let FabricHop::Appliance(hop) = route.hop else { continue };
                    if !fabric.interfaces.contains_key(&hop) {
                        let found = format!("{prefix} leads to {hop}, where nobody is");
                        self.add_at(Rule::RoutesLeadToSomebody, route.origin, found);
                    }
                }
            }
        }
    }

    /// A broad prefix steals the packets of a site that takes it up: a kernel
    /// asks Tailscale's table before its own.
    fn others_pods(&mut self) {
        for site in &self.model.sites {
            for node in &site.nodes {
                let Some(range) = self.range(*node) else { continue };
                for (member, offers) in self.offers() {
                    if member == site.router {
                        continue;
                    }
                    for (prefix, origin) in offers.iter().filter(|it| it.0.contains(&range)) {
                        let node = self.model.network.name(*node);
                        let found = format!("{prefix} holds the pods of {node} ({range})");
                        self.add_at(Rule::NobodyOffersOthersPods, *origin, found);
                    }
                }
            }
        }
        self.one_example_of_each();
    }

    /// A prefix that holds the pods of a thousand nodes is one breach.
    fn one_example_of_each(&mut self) {
        let mut seen = BTreeSet::new();
        self.breaches.retain(|breach| {
            let prefix = breach.found.split(' ').next().unwrap_or_default().to_owned();
            breach.rule != Rule::NobodyOffersOthersPods
                || seen.insert((breach.address.clone(), prefix))
        });
    }

    /// What each member offers or may offer, and where that was read.
    fn offers(&self) -> Vec<(HostId, Vec<(Ipv4Net, Origin)>)> {
        let told = |prefixes: &Fact<Vec<Ipv4Net>>| {
            let origin = prefixes.origin();
            let all = prefixes.read().cloned().unwrap_or_default();
            all.into_iter().map(move |prefix| (prefix, origin))
        };
        let members = self.model.network.tunnel().members.iter();
        members
            .map(|(id, member)| {
                let offers = &member.offers;
                (*id, told(&offers.advertised).chain(told(&offers.approved)).collect())
            })
            .collect()
    }

    fn range(&self, host: HostId) -> Option<Ipv4Net> {
        self.model.network.host(host)?.pods.read().ok()?.range()
    }

    /// Prefixes nest or are apart: of the sorted ones only neighbours can share.
    fn shared_ranges(&mut self) {
        let nodes = self.model.sites.iter().flat_map(|site| &site.nodes);
        let mut ranges: Vec<(Ipv4Net, HostId)> =
            nodes.filter_map(|node| Some((self.range(*node)?, *node))).collect();
        ranges.sort();
        let mut widest: Option<(Ipv4Net, HostId)> = None;
        for (range, node) in ranges {
            let holder = widest.filter(|(wide, _)| wide.contains(&range));
            let Some((_, holder)) = holder else {
                widest = Some((range, node));
                continue;
            };
            let name = |id| self.model.network.name(id).to_owned();
            let found = format!("{range} of {} is also {}'s", name(node), name(holder));
            let network = &self.model.network;
            let origin = network.host(node).map(|host| host.pods.origin());
            if let Some(origin) = origin {
                self.add_at(Rule::PodRangesAreApart, origin, found);
            }
        }
    }

    fn interfaces(&mut self) {
        for (_, segment) in self.model.network.segments() {
            let Segment::Fabric(fabric) = segment else { continue };
            let ours = fabric.interfaces.iter().filter(|(_, interface)| !interface.in_overlay);
            for (address, interface) in ours {
                if interface.forwarding.read() == Ok(&false) {
                    let found = format!("{address} takes and sends only packets of its own");
                    self.add_at(Rule::InterfacesForward, interface.forwarding.origin(), found);
                }
            }
        }
    }

    fn detours(&mut self) {
        for site in self.model.sites.clone() {
            let network = &self.model.network;
            let port = site.nodes.first().and_then(|id| network.host(*id)?.ports.first().copied());
            let segment = port.and_then(|port| network.segment(port.segment));
            let (Some(port), Some(Segment::Fabric(fabric))) = (port, segment) else { continue };
            let Some(asking) = fabric.interfaces.get(&port.address) else { continue };
            let Some(subnet) = fabric.subnets.get(asking.subnet) else { continue };
            let Ok(routes) = subnet.routes.read() else { continue };
            let mut found = Vec::new();
            for node in &site.nodes {
                let own = network.host(*node).and_then(|host| host.ports.first());
                let (Some(own), Some(range)) = (own, self.range(*node)) else { continue };
                let route = fabric.effective_route(asking, routes, usual(&range));
                if let FabricHop::Appliance(hop) = route.hop
                    && hop != own.address
                    && fabric.interfaces.get(&hop).is_some_and(|it| it.host == site.router)
                {
                    found.push(format!("neighbours reach {range} by {hop}, not straight"));
                }
            }
            let origin = subnet.routes.origin();
            for found in found {
                self.add_at(Rule::NeighboursAreReachedStraight, origin, found);
            }
        }
    }

    fn routers(&mut self, sources: Sources<'_>) {
        for site in self.model.sites.clone() {
            let name = self.model.network.name(site.router).to_owned();
            let address = Address::new(Kind::RouterHost, site.side.clone(), name);
            let Seen::There(Resource::RouterHost(host)) = self.view.resource(&address) else {
                continue;
            };
            if host.masquerade != host.snat_subnet_routes {
                let (on, off) = ("what goes into the tunnel", "what comes out of it");
                let (on, off) = if host.masquerade { (on, off) } else { (off, on) };
                let found = format!("sources are hidden of {on}, and not of {off}");
                self.add(Rule::SourcesAreHiddenBothWaysOrNot, address.clone(), found);
            }
            if !host.mss_clamp {
                let found = "TCP's segments may be larger than the tunnel takes".to_owned();
                self.add(Rule::SegmentSizesAreClamped, address.clone(), found);
            }
            if site.side != Side::Cluster {
                self.ends(sources, site.router, &address);
            }
        }
    }

    /// An address of a broad range that nobody has must end at the router.
    fn ends(&mut self, sources: Sources<'_>, router: HostId, address: &Address) {
        let Some(cluster) = &sources.facts.cluster else { return };
        let host = self.model.network.host(router);
        let Some(kernel) = host.and_then(|host| host.kernel.read().ok()) else { return };
        let broad = cluster.address_prefixes.iter().copied();
        for range in broad.chain([cluster.pod_cidr, TAILNET_RANGE]) {
            let nobody = range.broadcast();
            if self.model.network.owner_of(nobody).is_some() {
                continue;
            }
            let main = kernel.tables.get(&TableId::MAIN);
            let ends = main.and_then(|main| main.get(&range)).map(|route| route.hop);
            if ends != Some(KernelHop::Unreachable) {
                let found = format!("what of {range} nobody has goes on instead of ending there");
                self.add(Rule::WhatHasNoRouteEnds, address.clone(), found);
            }
        }
    }

    fn of_worker(&mut self, sources: Sources<'_>, address: &Address, seen: &Resource) {
        match seen {
            Resource::CiliumNode(node) => {
                let range = self.worker_range(address);
                if let Some(range) = range.filter(|range| node.pod_cidrs != [*range]) {
                    let found = match &node.pod_cidrs[..] {
                        [] => format!("it names no pods; the worker's are {range}"),
                        [first, ..] => format!("it names {first}; the worker's pods are {range}"),
                    };
                    self.add(Rule::CiliumKnowsThePods, address.clone(), found);
                }
            }
            Resource::Manifest(server) => {
                let named = server.body.pointer("/spec/routerIP").and_then(|it| it.as_str());
                let named = named.unwrap_or_default();
                let known: BTreeSet<Ipv4Addr> =
                    sources.facts.router_addresses.values().copied().collect();
                // Without the tailnet's word nobody knows its addresses.
                let unread = sources.inventory.gap_for(Kind::TailnetDevice, None).is_some();
                if !unread && !named.parse().is_ok_and(|address| known.contains(&address)) {
                    let found = format!("`{named}` is no router's address in the tailnet");
                    self.add(Rule::ServersNameTheirRouter, address.clone(), found);
                }
            }
            Resource::Worker(worker) if !worker.ready => {
                let found = "its Node is not Ready: pods are moved away from it".to_owned();
                self.add(Rule::WorkersAreReady, address.clone(), found);
            }
            _ => {}
        }
    }

    fn worker_range(&self, address: &Address) -> Option<Ipv4Net> {
        let worker = Address::new(Kind::Worker, address.side.clone(), address.name.as_str());
        match self.view.resource(&worker) {
            Seen::There(Resource::Worker(worker)) => {
                Some(worker.pod_cidr).filter(|range| prefix::size(range) > 1)
            }
            _ => None,
        }
    }
}
