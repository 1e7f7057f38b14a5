//! Ends that every table treats alike.
//!
//! Walking each pair of a thousand nodes would take a million walks. Nearly all
//! of them go the same way: two workers of one datacenter differ only in that
//! routes to one lead to the one and routes to the other to the other. Each
//! table is asked once about each end; ends that get the same answers from all
//! of them, with "to the end's own host" as one and the same answer, are walked
//! once for all.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fabric::{EffectiveRoute, Fabric, FabricHop, Interface, Segment, UserRoutes};
use super::fact::Fact;
use super::host::{Host, HostId, KernelHop, Pods};
use super::kernel_shape::{distinct_kernels, range_of};
use super::network::{End, Network};
use super::packet::Protocol;
use super::security::AddressMatch;
use super::trip::{Trip, trip};

/// Ends in classes of equal treatment.
#[derive(Debug, Clone)]
pub struct Classes {
    ends: Vec<End>,
    class_of: Vec<usize>,
    members: Vec<Vec<usize>>,
}

/// The trip from one class to another, which stands for all their pairs.
#[derive(Debug, Clone)]
pub struct ClassTrip {
    /// The number of the class of the asking ends.
    pub from: usize,
    /// The number of the class of the asked ones.
    pub to: usize,
    /// How many pairs it stands for: all but those on one host.
    pub pairs: u64,
    /// The ends that were walked for all.
    pub example: (End, End),
    /// The walk.
    pub trip: Trip,
}

/// What a table answers about an end, its own host told apart from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Nothing,
    Unread,
    Yes(bool),
    Own(u32),
    Other(u32, Ipv4Addr),
    Host(HostId),
}

impl Classes {
    /// Sorts ends into classes.
    pub fn of(network: &Network, ends: Vec<End>) -> Self {
        let mut sorting = Sorting {
            network,
            class_of: vec![0; ends.len()],
            count: 1,
            singled_out: BTreeSet::new(),
            ends,
        };
        sorting.by_host();
        sorting.by_segments();
        sorting.by_kernels();
        sorting.by_tunnel();
        sorting.by_being_in_others_ways();
        let Sorting { ends, class_of, count, .. } = sorting;
        let mut members = vec![Vec::new(); count];
        for (end, class) in class_of.iter().enumerate() {
            members[*class].push(end);
        }
        Self { ends, class_of, members }
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no ends.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ends in the order that they were given.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The number of the class of the end of that number.
    pub fn class_of(&self, end: usize) -> usize {
        self.class_of[end]
    }

    /// The ends of a class.
    pub fn members(&self, class: usize) -> impl Iterator<Item = End> + '_ {
        self.members.get(class).into_iter().flatten().map(|end| self.ends[*end])
    }

    /// One trip for each pair of classes that has a pair of hosts.
    pub fn trips(&self, network: &Network, protocol: Protocol) -> Vec<ClassTrip> {
        let mut trips = Vec::new();
        for from in 0..self.len() {
            for to in 0..self.len() {
                let Some(example) = self.example(from, to) else { continue };
                let pairs = self.pairs(from, to);
                let trip = trip(network, example.0, example.1.address, protocol);
                trips.push(ClassTrip { from, to, pairs, example, trip });
            }
        }
        trips
    }

    /// Two ends of two classes that are on two hosts.
    fn example(&self, from: usize, to: usize) -> Option<(End, End)> {
        self.members(from).take(2).find_map(|one| {
            let other = self.members(to).take(2).find(|other| other.host != one.host)?;
            Some((one, other))
        })
    }

    fn pairs(&self, from: usize, to: usize) -> u64 {
        let count =
            |class: usize| self.members.get(class).map_or(0, |members| members.len() as u64);
        let hosts = |class| -> HashMap<HostId, u64> {
            let mut hosts = HashMap::new();
            self.members(class).for_each(|end| *hosts.entry(end.host).or_default() += 1);
            hosts
        };
        let others = hosts(to);
        let shared: u64 = hosts(from)
            .iter()
            .map(|(host, ends)| ends * others.get(host).copied().unwrap_or_default())
            .sum();
        count(from) * count(to) - shared
    }
}

/// Ends while they are sorted: with each question a class may fall apart.
struct Sorting<'a> {
    network: &'a Network,
    ends: Vec<End>,
    class_of: Vec<usize>,
    count: usize,
    /// Hosts that some table leads others' packets to.
    singled_out: BTreeSet<HostId>,
}

impl Sorting<'_> {
    fn ask<A: Eq + Hash>(&mut self, question: impl Fn(&End) -> A) {
        let mut classes: HashMap<(usize, A), usize> = HashMap::new();
        for (end, class) in self.ends.iter().zip(&mut self.class_of) {
            let next = classes.len();
            *class = *classes.entry((*class, question(end))).or_insert(next);
        }
        self.count = classes.len();
    }

    /// Asks about an address that a table leads to, and notes who is in the way.
    fn ask_where(&mut self, question: impl Fn(&End) -> Answer) {
        let network = self.network;
        let mut met = BTreeSet::new();
        for end in &self.ends {
            match question(end) {
                Answer::Other(_, address) => met.extend(network.owner_of(address)),
                Answer::Host(host) => {
                    met.insert(host);
                }
                _ => {}
            }
        }
        self.singled_out.extend(met);
        self.ask(question);
    }

    /// What an end's own host is like.
    fn by_host(&mut self) {
        let network = self.network;
        let kernels = distinct_kernels(network).1;
        self.ask(|end| {
            let host = network.host(end.host);
            let ports: Vec<_> =
                host.iter().flat_map(|host| &host.ports).map(|p| p.segment).collect();
            let runs = host.map(|host| known(&host.runs, |runs| Answer::Yes(*runs)));
            let pods = host.map(|host| pods_answer(host, end.address));
            let owned = network.owner_of(end.address) == Some(end.host);
            let kernel = kernels.get(end.host.0).copied();
            let member = network.tunnel().members.contains_key(&end.host).then_some(end.host);
            (ports, runs, pods, owned, kernel, member)
        });
    }

    fn by_segments(&mut self) {
        let network = self.network;
        for (_, segment) in network.segments() {
            match segment {
                Segment::Fabric(fabric) => self.by_fabric(fabric),
                Segment::Lan(lan) => self.ask_where(|end| {
                    let within = u32::from(lan.prefix.contains(&end.address));
                    match lan.hosts.get(&end.address) {
                        Some(host) if *host == end.host => Answer::Own(within),
                        Some(host) => Answer::Host(*host),
                        None => Answer::Own(within + 2),
                    }
                }),
            }
        }
    }

    fn by_fabric(&mut self, fabric: &Fabric) {
        let network = self.network;
        self.ask(|end| interface_answer(fabric, network.host(end.host)));
        self.ask(|end| {
            let own = own_interface(fabric, network.host(end.host));
            own.is_some_and(|(at, interface)| fabric.is_own(at, interface, end.address))
        });
        for (number, subnet) in fabric.subnets.iter().enumerate() {
            let Ok(routes) = subnet.routes.read() else { continue };
            for in_overlay in [false, true] {
                let forwarding = Fact::unknown(fabric.origin);
                let asking = Interface { host: HostId(0), subnet: number, forwarding, in_overlay };
                self.ask_where(|end| {
                    let route = fabric.effective_route(&asking, routes, end.address);
                    route_answer(fabric, &route, network.host(end.host), end)
                });
            }
            self.by_security(fabric, number, routes);
        }
    }

    fn by_security(&mut self, fabric: &Fabric, subnet: usize, routes: &UserRoutes) {
        let Some(group) = fabric.subnets.get(subnet).and_then(|it| it.security.read().ok()) else {
            return;
        };
        self.ask(|end| fabric.is_virtual_network(routes, end.address));
        let prefixes: BTreeSet<Ipv4Net> = group
            .rules
            .iter()
            .flat_map(|rule| rule.sources.iter().chain(&rule.destinations))
            .filter_map(|one| match one {
                AddressMatch::Prefix(prefix) => Some(*prefix),
                _ => None,
            })
            .collect();
        self.ask(|end| fits_of(prefixes.iter(), end.address));
    }

    fn by_kernels(&mut self) {
        let network = self.network;
        for kernel in distinct_kernels(network).0 {
            for table in kernel.tables.values() {
                self.ask_where(|end| match table.lookup(end.address) {
                    None => Answer::Nothing,
                    Some((_, route)) => hop_answer(route.hop, network.host(end.host)),
                });
            }
            let rules = kernel.rules.iter().flat_map(|rule| [rule.from, rule.to]);
            let hidden = kernel
                .translations
                .iter()
                .flat_map(|rule| std::iter::once(rule.sources).chain(rule.except.iter().copied()));
            let prefixes: BTreeSet<Ipv4Net> = rules.chain(hidden).collect();
            // A node's translation of its own pods tells nothing of others.
            let shared = prefixes
                .into_iter()
                .filter(|prefix| network.hosts().all(|(_, host)| range_of(host) != Some(*prefix)));
            let shared: Vec<_> = shared.collect();
            self.ask(|end| fits_of(shared.iter(), end.address));
        }
    }

    fn by_tunnel(&mut self) {
        let network = self.network;
        for member in network.tunnel().members.values() {
            let Ok(peers) = member.peers.read() else { continue };
            self.ask(|end| peers.lookup(end.address).map(|(_, peer)| peer.owner));
            let offers = [&member.offers.advertised, &member.offers.approved];
            for prefixes in offers.into_iter().filter_map(|prefixes| prefixes.read().ok()) {
                self.ask(|end| prefixes.iter().any(|prefix| prefix.contains(&end.address)));
            }
        }
    }

    /// Whoever is on the way of others is alike with nobody.
    fn by_being_in_others_ways(&mut self) {
        let singled_out = std::mem::take(&mut self.singled_out);
        self.ask(|end| singled_out.get(&end.host).copied());
    }
}

fn known<T>(fact: &Fact<T>, answer: impl Fn(&T) -> Answer) -> Answer {
    fact.read().map_or(Answer::Unread, answer)
}

fn pods_answer(host: &Host, address: Ipv4Addr) -> Answer {
    known(&host.pods, |pods| match pods {
        Pods::None => Answer::Own(0),
        Pods::Range(range) => Answer::Own(1 + u32::from(range.contains(&address))),
        Pods::NotPlumbed(range) => Answer::Own(3 + u32::from(range.contains(&address))),
    })
}

fn own_interface<'f>(fabric: &'f Fabric, host: Option<&Host>) -> Option<(Ipv4Addr, &'f Interface)> {
    let mut ports = host?.ports.iter();
    ports.find_map(|port| Some((port.address, fabric.interfaces.get(&port.address)?)))
}

/// What the interface of an end's own host is like.
fn interface_answer(fabric: &Fabric, host: Option<&Host>) -> (Option<usize>, Answer, bool) {
    let own = own_interface(fabric, host).map(|(_, interface)| interface);
    (
        own.map(|interface| interface.subnet),
        own.map_or(Answer::Nothing, |it| known(&it.forwarding, |on| Answer::Yes(*on))),
        own.is_some_and(|interface| interface.in_overlay),
    )
}

fn route_answer(fabric: &Fabric, route: &EffectiveRoute, host: Option<&Host>, end: &End) -> Answer {
    let is_own =
        |address| host.is_some_and(|it| it.ports.iter().any(|port| port.address == address));
    let source = route.source as u32;
    match route.hop {
        FabricHop::Appliance(address) if is_own(address) => Answer::Own(source * 8),
        FabricHop::Appliance(address) => Answer::Other(source * 8, address),
        FabricHop::VirtualNetwork => match fabric.interfaces.get(&end.address) {
            Some(interface) if interface.host == end.host => Answer::Own(source * 8 + 1),
            Some(interface) => Answer::Host(interface.host),
            None => Answer::Own(source * 8 + 2),
        },
        FabricHop::Internet => Answer::Own(source * 8 + 3),
        FabricHop::Gateway => Answer::Own(source * 8 + 4),
        FabricHop::Nowhere => Answer::Own(source * 8 + 5),
    }
}

fn hop_answer(hop: KernelHop, host: Option<&Host>) -> Answer {
    let is_own =
        |address| host.is_some_and(|it| it.ports.iter().any(|port| port.address == address));
    let code = |kind: u32, port: usize| u32::try_from(port).unwrap_or(u32::MAX / 8) * 8 + kind;
    match hop {
        KernelHop::OnLink(port) => Answer::Own(code(0, port)),
        KernelHop::Via(port, address) if is_own(address) => Answer::Own(code(1, port)),
        KernelHop::Via(port, address) => Answer::Other(code(1, port), address),
        KernelHop::Tunnel => Answer::Own(2),
        KernelHop::Unreachable => Answer::Own(3),
        KernelHop::Throw => Answer::Own(4),
    }
}

/// Which prefixes hold an address.
fn fits_of<'p>(prefixes: impl Iterator<Item = &'p Ipv4Net>, address: Ipv4Addr) -> Vec<bool> {
    prefixes.map(|prefix| prefix.contains(&address)).collect()
}
