//! The elements that packets pass, and that their trips depend on.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use crate::connectivity::PROTOCOL;
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

/// What the packets of pairs pass that are reached in a state.
#[derive(Default)]
pub(super) struct Traced {
    pub(super) passed: HashMap<(End, End), Vec<Element>>,
}

impl Traced {
    /// Notes the trip of a pair.
    pub(super) fn note(&mut self, network: &Network, pair: (End, End), round_trip: &RoundTrip) {
        if round_trip.reached() {
            self.passed.insert(pair, elements(network, round_trip));
        }
    }
}

/// What the packets of a pair pass, if it is reached.
pub(super) fn passed_by(network: &Network, from: End, to: End) -> Option<Vec<Element>> {
    let round_trip = trace_round_trip(network, from, to.address, PROTOCOL);
    round_trip.reached().then(|| elements(network, &round_trip))
}

/// The elements whose tables a round trip was looked up in.
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
