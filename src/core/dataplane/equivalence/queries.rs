//! The answers of tables for the subjects.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use foldhash::{HashMap, HashSet, HashSetExt};

use ipnet::Ipv4Net;

use super::endpoints::Endpoints;
use super::fingerprint::AnswerSteps;
use super::kernel_shape::{Distinct, range_of};
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::fabric::{Fabric, FabricHop, FabricSubnet, Segment};
use crate::dataplane::fact::Origin;
use crate::dataplane::host::{HostId, KernelHop, RoutingRule};
use crate::dataplane::network::Network;
use crate::dataplane::security::{AddressMatch, SecurityGroup};
use crate::dataplane::table::PrefixTable;
use crate::dataplane::tunnel::Member;
use crate::net::prefix::TAILNET_RANGE;

/// The answer of a table for a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// It has no entry.
    Nothing,
    /// It is a set of prefixes, and one of them fits.
    Within,
    /// The longest prefix that fits.
    Entry { length: u8, lead: Lead, to: To, origin: Origin },
}

/// Where an entry leads. The address in it stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lead {
    Kernel(KernelHop),
    Fabric(FabricHop),
    Overlay,
    Peer(HostId),
}

/// The address that an entry leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum To {
    /// It names none.
    NoPeer,
    /// The port with that number on the endpoint's own host.
    Own(usize),
    /// Another one.
    Other(Ipv4Addr),
}

/// An entry as it is written.
struct Written {
    lead: Lead,
    to: Option<Ipv4Addr>,
    origin: Origin,
}

/// A route of the fabric as it is written.
fn of_fabric(hop: FabricHop, origin: Origin) -> Written {
    let (lead, to) = match hop {
        FabricHop::Appliance(to) => (FabricHop::Appliance(Ipv4Addr::UNSPECIFIED), Some(to)),
        other => (other, None),
    };
    Written { lead: Lead::Fabric(lead), to, origin }
}

/// Questions with their answers, and the hosts that these name.
pub(super) struct Queries<'a> {
    network: &'a Network,
    endpoints: &'a Endpoints,
    holders: &'a HashMap<Ipv4Addr, Vec<HostId>>,
    pub(super) steps: Vec<AnswerSteps<Answer>>,
    pub(super) singled_out: HashSet<HostId>,
    /// Sets of prefixes, of which something asks whether one fits.
    sets: BTreeSet<Vec<Ipv4Net>>,
}

impl<'a> Queries<'a> {
    /// Asks all tables of a network; `holders` are the hosts at each address.
    pub(super) fn new(
        network: &'a Network,
        endpoints: &'a Endpoints,
        holders: &'a HashMap<Ipv4Addr, Vec<HostId>>,
        host_kernels: &[Distinct<'_>],
    ) -> Self {
        let (steps, singled_out, sets) = (Vec::new(), HashSet::new(), BTreeSet::new());
        let mut queries = Self { network, endpoints, holders, steps, singled_out, sets };
        queries.query_segments();
        queries.query_kernels(host_kernels);
        queries.query_tunnel();
        queries.query_pods_of_other_hosts();
        queries.query_address_kinds();
        for set in std::mem::take(&mut queries.sets) {
            queries.query_set(&set);
        }
        queries
    }

    /// Asks only the elements that differ from those of another network.
    pub(super) fn of_difference(
        network: &'a Network,
        endpoints: &'a Endpoints,
        holders: &'a HashMap<Ipv4Addr, Vec<HostId>>,
        difference: &NetworkDifference,
    ) -> Self {
        let (steps, singled_out, sets) = (Vec::new(), HashSet::new(), BTreeSet::new());
        let mut queries = Self { network, endpoints, holders, steps, singled_out, sets };
        for segment in difference.segments.iter().filter_map(|id| network.segment(*id)) {
            queries.query_segment(segment);
        }
        for (segment, place) in &difference.subnets {
            let Some(Segment::Fabric(fabric)) = network.segment(*segment) else { continue };
            if let Some(subnet) = fabric.subnets.get(*place) {
                queries.query_subnet(subnet);
            }
        }
        let hosts = difference.hosts.iter().filter_map(|id| network.host(*id));
        let host_kernels = hosts
            .filter_map(|host| host.kernel.read().ok().map(|kernel| Distinct { host, kernel }));
        queries.query_kernels(&host_kernels.collect::<Vec<_>>());
        for id in &difference.members {
            if let Some(member) = network.tunnel().members.get(id) {
                queries.query_member(member);
            }
        }
        for set in std::mem::take(&mut queries.sets) {
            queries.query_set(&set);
        }
        queries
    }

    /// Asks a table, and notes who is in the way of others.
    fn ask<T>(&mut self, table: &PrefixTable<T>, written: impl Fn(&T) -> Written) {
        let mut steps = AnswerSteps::new(Answer::Nothing);
        for (run, entry) in self.endpoints.runs(table) {
            let Some((prefix, entry)) = entry else {
                steps.put(run.start, Answer::Nothing);
                continue;
            };
            let Written { lead, to, origin } = written(entry);
            let length = prefix.prefix_len();
            let answer = |to| Answer::Entry { length, lead, to, origin };
            let Some(address) = to else {
                steps.put(run.start, answer(To::NoPeer));
                continue;
            };
            let own = self.endpoints.own(address, &run);
            steps.put(run.start, answer(To::Other(address)));
            for (position, port) in own {
                steps.put(*position, answer(To::Own(*port)));
                if position + 1 < run.end {
                    steps.put(position + 1, answer(To::Other(address)));
                }
            }
            if own.len() < run.len() {
                self.singled_out.extend(self.holders.get(&address).into_iter().flatten());
            }
        }
        self.steps.push(steps);
    }

    fn query_set(&mut self, set: &[Ipv4Net]) {
        let table: PrefixTable<()> = set.iter().map(|prefix| (*prefix, ())).collect();
        let mut steps = AnswerSteps::new(Answer::Nothing);
        for (run, entry) in self.endpoints.runs(&table) {
            steps.put(run.start, entry.map_or(Answer::Nothing, |_| Answer::Within));
        }
        self.steps.push(steps);
    }

    fn add_set(&mut self, prefixes: impl IntoIterator<Item = Ipv4Net>) {
        let set: BTreeSet<Ipv4Net> = prefixes.into_iter().collect();
        self.sets.insert(set.into_iter().collect());
    }

    fn query_segments(&mut self) {
        for (_, segment) in self.network.segments() {
            self.query_segment(segment);
        }
    }

    fn query_segment(&mut self, segment: &Segment) {
        match segment {
            Segment::Fabric(fabric) => self.query_fabric(fabric),
            Segment::Lan(lan) => self.add_set([lan.prefix]),
        }
    }

    fn query_fabric(&mut self, fabric: &Fabric) {
        self.ask(&fabric.system_routes(), |hop| of_fabric(*hop, fabric.origin));
        self.ask(&fabric.overlay, |range| Written {
            lead: Lead::Overlay,
            to: Some(range.node),
            origin: range.origin,
        });
        self.add_set(fabric.address_space.iter().copied());
        fabric.subnets.iter().for_each(|subnet| self.query_subnet(subnet));
    }

    fn query_subnet(&mut self, subnet: &FabricSubnet) {
        if let Ok(routes) = subnet.routes.read() {
            self.ask(routes, |route| of_fabric(route.hop, route.origin));
        }
        for group in std::iter::once(&subnet.security).chain(&subnet.interface_security) {
            if let Ok(group) = group.read() {
                self.add_group(group);
            }
        }
    }

    /// The tables and the kinds of addresses define the meaning of its tags.
    fn add_group(&mut self, group: &SecurityGroup) {
        for matches in group.rules.iter().flat_map(|rule| [&rule.sources, &rule.destinations]) {
            self.add_set(matches.iter().filter_map(|one| match one {
                AddressMatch::Prefix(prefix) => Some(*prefix),
                _ => None,
            }));
        }
    }

    fn query_kernels(&mut self, host_kernels: &[Distinct<'_>]) {
        for Distinct { host, kernel } in host_kernels {
            let read = host.kernel.origin();
            for table in kernel.tables.values() {
                self.ask(table, |route| {
                    let (hop, to) = match route.hop {
                        KernelHop::Via(port, to) => {
                            (KernelHop::Via(port, Ipv4Addr::UNSPECIFIED), Some(to))
                        }
                        other => (other, None),
                    };
                    Written { lead: Lead::Kernel(hop), to, origin: route.origin.unwrap_or(read) }
                });
            }
            // Of rules side by side that ask one table any may be the one that fits.
            let key = |rule: &RoutingRule| (rule.priority, rule.from, rule.table);
            let alike = |one: &RoutingRule, next: &RoutingRule| key(one) == key(next);
            for rules in kernel.rules.chunk_by(alike) {
                self.add_set(rules.first().map(|rule| rule.from));
                self.add_set(rules.iter().map(|rule| rule.to));
            }
            // The owner of a pod determines whether its host applies SNAT to it.
            let own = range_of(host);
            for rule in &kernel.translations {
                self.add_set(Some(rule.sources).filter(|sources| Some(*sources) != own));
                self.add_set(rule.except.iter().copied());
            }
        }
    }

    fn query_tunnel(&mut self) {
        let network = self.network;
        network.tunnel().members.values().for_each(|member| self.query_member(member));
    }

    fn query_member(&mut self, member: &Member) {
        if let Ok(peers) = member.peers.read() {
            self.ask(peers, |peer| Written {
                lead: Lead::Peer(peer.owner),
                to: None,
                origin: peer.origin,
            });
        }
        for prefixes in [&member.advertised.advertised, &member.advertised.approved] {
            self.add_set(prefixes.read().into_iter().flatten().copied());
        }
    }

    /// A host that holds another's address for one of its own pods.
    fn query_pods_of_other_hosts(&mut self) {
        let endpoints = self.endpoints;
        for (id, host) in self.network.hosts() {
            let Some(range) = range_of(host) else { continue };
            let held = endpoints.within(&range);
            let mut steps = AnswerSteps::new(Answer::Nothing);
            for (position, subject) in endpoints.at(held.clone()) {
                let own = subject.host == id;
                steps.put(position, if own { Answer::Nothing } else { Answer::Within });
            }
            if endpoints.at(held.clone()).any(|(_, subject)| subject.host != id) {
                steps.put(held.end, Answer::Nothing);
                self.steps.push(steps);
                self.singled_out.insert(id);
            }
        }
    }

    /// Asks for the kinds of addresses that traces and tags distinguish by the address alone.
    fn query_address_kinds(&mut self) {
        let net = |a, b, c, d, length| Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length);
        let private = [net(10, 0, 0, 0, 8), net(172, 16, 0, 0, 12), net(192, 168, 0, 0, 16)];
        let others = [TAILNET_RANGE, net(127, 0, 0, 0, 8), net(169, 254, 0, 0, 16)];
        self.add_set(private);
        self.add_set(private.into_iter().chain(others));
    }
}
