//! The shape of endpoints: their hosts, and the answers of tables for their addresses.

use std::net::Ipv4Addr;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::endpoints::Endpoints;
use super::fingerprint::{Numbers, fingerprint};
use super::kernel_shape::distinct_kernels;
use super::queries::Queries;
use crate::dataplane::fabric::{Interface, Segment, SegmentId};
use crate::dataplane::fact::Fact;
use crate::dataplane::host::{Host, HostId, Pods};
use crate::dataplane::network::{End, Network};

/// Everything that distinguishes ends.
pub(super) struct Partition<'a> {
    network: &'a Network,
    ends: &'a [End],
    endpoints: Endpoints,
    /// The answers of all tables for each subject.
    fingerprint: Vec<u32>,
    /// The machines at each address of each segment.
    positions: HashMap<Ipv4Addr, Vec<Place>>,
    /// The hosts that have an address.
    holders: HashMap<Ipv4Addr, Vec<HostId>>,
    /// The number of each host's kernel.
    host_kernels: Vec<Option<usize>>,
    /// Hosts that are in others' way, or are taken for others.
    singled_out: HashSet<HostId>,
}

/// The machine at an address of a segment, and its interface if the
/// segment has such.
#[derive(Debug, Clone, Copy)]
struct Place {
    segment: SegmentId,
    host: HostId,
    interface: Option<InterfaceShape>,
}

/// The shape of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct InterfaceShape {
    subnet: usize,
    forwarding: Option<bool>,
    in_overlay: bool,
}

/// The shape of an address for its owner.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AddressShape {
    /// The answers of all tables for it.
    signature: Option<u32>,
    /// The machine on each segment, with the host if that is another one.
    positions: Vec<(SegmentId, Option<HostId>, Option<InterfaceShape>)>,
    /// Other hosts with the same address.
    others: Vec<HostId>,
    /// The address, if two endpoints have it: packets between them may never leave the
    /// host.
    shared: Option<Ipv4Addr>,
}

/// The shape of a host.
#[derive(Debug, PartialEq, Eq, Hash)]
struct HostShape {
    ports: Vec<(SegmentId, AddressShape)>,
    runs: Option<bool>,
    pods: Option<PodRouting>,
    kernel: Option<usize>,
    /// Itself, where there is no other like it.
    only: Option<HostId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum PodRouting {
    None,
    Range,
    NotPlumbed,
    NoNode,
}

/// The shape of an endpoint: its host, the index of its address, whether it is a pod
/// address, and the shape of the address.
type EndShape = (u32, Option<usize>, bool, AddressShape);

impl<'a> Partition<'a> {
    pub(super) fn new(network: &'a Network, ends: &'a [End]) -> Self {
        let endpoints = Endpoints::new(network, ends);
        let (distinct, host_kernels) = distinct_kernels(network);
        let holders = holders(network);
        let destination = Queries::new(network, &endpoints, &holders, &distinct);
        let mut singled_out = destination.singled_out;
        let fingerprint = fingerprint(endpoints.len(), &destination.steps);
        singled_out.extend(network.tunnel().members.keys());
        let positions = positions(network);
        Self {
            network,
            ends,
            endpoints,
            fingerprint,
            positions,
            holders,
            host_kernels,
            singled_out,
        }
    }

    /// The number of each end's class.
    pub(super) fn classes(mut self) -> Vec<usize> {
        self.single_out_shared_addresses();
        let mut looks = Numbers::new();
        let mut hosts: HashMap<HostId, u32> = HashMap::with_capacity(self.ends.len());
        let mut classes: HashMap<EndShape, usize> = HashMap::new();
        let mut class_of = Vec::with_capacity(self.ends.len());
        for end in self.ends {
            let aspect = |id: &HostId| looks.of(self.host_shape(*id));
            let host = *hosts.entry(end.host).or_insert_with_key(aspect);
            let next = classes.len();
            class_of.push(*classes.entry(self.end_shape(end, host)).or_insert(next));
        }
        class_of
    }

    /// An address that is a host's and that another one is found at.
    fn single_out_shared_addresses(&mut self) {
        let mut found = Vec::new();
        for (_, subject) in self.endpoints.at(0..self.endpoints.len()) {
            let at = self.positions.get(&subject.address).into_iter().flatten();
            let held = self.holders.get(&subject.address).into_iter().flatten().copied();
            let hosts = at.map(|place| place.host).chain(held);
            found.extend(hosts.filter(|host| *host != subject.host));
        }
        self.singled_out.extend(found);
    }

    fn end_shape(&self, end: &End, host: u32) -> EndShape {
        let of_host = self.network.host(end.host);
        let port =
            of_host.and_then(|host| host.ports.iter().position(|it| it.address == end.address));
        let pods = of_host.and_then(|host| host.pods.read().ok()).and_then(|pods| pods.range());
        let is_pod = pods.is_some_and(|range| range.contains(&end.address));
        (host, port, is_pod, self.address_shape(end))
    }

    fn address_shape(&self, end: &End) -> AddressShape {
        let position = self.endpoints.position(end);
        let other = |host: HostId| (host != end.host).then_some(host);
        let positions = self.positions.get(&end.address).into_iter().flatten();
        let holders = self.holders.get(&end.address).into_iter().flatten();
        AddressShape {
            signature: position.and_then(|position| self.fingerprint.get(position)).copied(),
            positions: positions.map(|it| (it.segment, other(it.host), it.interface)).collect(),
            others: holders.filter_map(|host| other(*host)).collect(),
            shared: self.endpoints.is_shared(end.address).then_some(end.address),
        }
    }

    fn host_shape(&self, id: HostId) -> HostShape {
        let host = self.network.host(id);
        let ports = host.into_iter().flat_map(|host| &host.ports).map(|port| {
            let own = End { host: id, address: port.address };
            (port.segment, self.address_shape(&own))
        });
        HostShape {
            ports: ports.collect(),
            runs: host.and_then(|host| known(&host.runs)),
            pods: host.and_then(pod_routing),
            kernel: self.host_kernels.get(id.0).copied().flatten(),
            only: self.singled_out.contains(&id).then_some(id),
        }
    }
}

fn known(fact: &Fact<bool>) -> Option<bool> {
    fact.read().ok().copied()
}

fn pod_routing(host: &Host) -> Option<PodRouting> {
    host.pods.read().ok().map(|pods| match pods {
        Pods::None => PodRouting::None,
        Pods::Range(_) => PodRouting::Range,
        Pods::NotPlumbed(_) => PodRouting::NotPlumbed,
        Pods::NoNode(_) => PodRouting::NoNode,
    })
}

/// Hosts by the addresses that they take for their own.
pub(super) fn holders(network: &Network) -> HashMap<Ipv4Addr, Vec<HostId>> {
    let mut found: HashMap<Ipv4Addr, Vec<HostId>> = HashMap::with_capacity(network.hosts().count());
    for (id, host) in network.hosts() {
        for port in &host.ports {
            found.entry(port.address).or_default().push(id);
        }
    }
    for (id, member) in &network.tunnel().members {
        if let Ok(address) = member.address.read() {
            found.entry(*address).or_default().push(*id);
        }
    }
    found
}

fn positions(network: &Network) -> HashMap<Ipv4Addr, Vec<Place>> {
    let mut found: HashMap<Ipv4Addr, Vec<Place>> = HashMap::with_capacity(network.hosts().count());
    let mut add = |address: Ipv4Addr, place| found.entry(address).or_default().push(place);
    for (segment, it) in network.segments() {
        match it {
            Segment::Fabric(fabric) => {
                for (address, interface) in &fabric.interfaces {
                    let (host, interface) = (interface.host, Some(interface_shape(interface)));
                    add(*address, Place { segment, host, interface });
                }
            }
            Segment::Lan(lan) => {
                for (address, host) in &lan.hosts {
                    add(*address, Place { segment, host: *host, interface: None });
                }
            }
        }
    }
    found
}

fn interface_shape(interface: &Interface) -> InterfaceShape {
    InterfaceShape {
        subnet: interface.subnet,
        forwarding: known(&interface.forwarding),
        in_overlay: interface.in_overlay,
    }
}
