//! The elements that packets pass, and that their trips depend on.

use std::net::Ipv4Addr;
use std::rc::Rc;

use foldhash::{HashMap, HashSet};

use crate::connectivity::PROTOCOL;
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::{
    Decision, End, HostId, Network, Place, RoundTrip, Segment, SegmentId, trace_round_trip,
};

/// An element that a round trip passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Element {
    Host(HostId),
    Segment(SegmentId),
    Subnet(SegmentId, usize),
    Member(HostId),
}

/// The elements that the packets of reached pairs pass in one state.
#[derive(Default)]
pub(super) struct Traced {
    pub(super) passed: HashMap<(End, End), Rc<[Element]>>,
}

impl Traced {
    /// Notes the trip of a pair.
    pub(super) fn note(&mut self, network: &Network, pair: (End, End), round_trip: &RoundTrip) {
        if round_trip.reached() {
            self.passed.insert(pair, elements(network, round_trip).into());
        }
    }

    /// The trips that pass nothing that differs in another state of the same hosts: they
    /// are the same there. None are known to be if a host of that state has an address
    /// that is also another host's.
    pub(super) fn unaffected(&self, difference: &NetworkDifference) -> Self {
        if difference.addresses_overlap {
            return Self::default();
        }
        let differing: HashSet<Element> = differing(difference).collect();
        let same = |passed: &[Element]| !passed.iter().any(|element| differing.contains(element));
        let trips = self.passed.iter().filter(|(_, passed)| same(passed));
        Self { passed: trips.map(|(pair, passed)| (*pair, passed.clone())).collect() }
    }
}

/// The elements that differ between two states of a network.
pub(super) fn differing(difference: &NetworkDifference) -> impl Iterator<Item = Element> {
    let hosts = difference.hosts.iter().map(|id| Element::Host(*id));
    let segments = difference.segments.iter().map(|id| Element::Segment(*id));
    let subnets = difference.subnets.iter().map(|(id, it)| Element::Subnet(*id, *it));
    let members = difference.members.iter().map(|id| Element::Member(*id));
    hosts.chain(segments).chain(subnets).chain(members)
}

/// The elements that the packets of a pair pass; `None` if the pair is not reached.
pub(super) fn passed_by(network: &Network, from: End, to: End) -> Option<Rc<[Element]>> {
    let round_trip = trace_round_trip(network, from, to.address, PROTOCOL);
    round_trip.reached().then(|| elements(network, &round_trip).into())
}

/// The elements whose tables the round trip used.
fn elements(network: &Network, round_trip: &RoundTrip) -> Vec<Element> {
    let traces = std::iter::once(&round_trip.forward).chain(&round_trip.return_path);
    let (mut hosts, mut interfaces) = (Vec::new(), Vec::new());
    for hop in traces.flat_map(|trace| &trace.hops) {
        match hop.place {
            Place::Host(id) | Place::Tunnel(id) => hosts.push(id),
            Place::Interface(segment, address) => interfaces.push((segment, address)),
        }
        if let Decision::Tunnelled { owner, .. } = hop.decision {
            hosts.push(owner);
        }
    }
    hosts.sort_unstable();
    hosts.dedup();
    let mut found = Vec::new();
    for id in hosts {
        found.extend([Element::Host(id), Element::Member(id)]);
        let ports = network.host(id).into_iter().flat_map(|host| &host.ports);
        interfaces.extend(ports.map(|port| (port.segment, port.address)));
    }
    interfaces.sort_unstable();
    interfaces.dedup();
    for (segment, address) in interfaces {
        found.extend(interface(network, segment, address));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn interface(network: &Network, segment: SegmentId, address: Ipv4Addr) -> Vec<Element> {
    let mut found = vec![Element::Segment(segment)];
    if let Some(Segment::Fabric(fabric)) = network.segment(segment)
        && let Some(interface) = fabric.interfaces.get(&address)
    {
        found.push(Element::Subnet(segment, interface.subnet));
        found.push(Element::Host(interface.host));
    }
    found
}
