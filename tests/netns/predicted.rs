//! The observations that the model predicts for a packet.

use std::net::Ipv4Addr;

use stargate::dataplane::fabric::{FabricHop, Segment, SegmentId};
use stargate::dataplane::host::{KernelHop, Port};
use stargate::dataplane::{Decision, End, HostId, Network, Place, Trace, Verdict};

use super::network_spec::HOSTS;
use super::trail::{self, Trail};
use super::wiring::{FABRICS, SINK};

/// Follows the hops of a trace.
struct Follower<'a> {
    network: &'a Network,
    trace: &'a Trace,
    trail: Trail,
    host: HostId,
    entered: Port,
    destination: Ipv4Addr,
}

/// The predicted observations of a packet from an endpoint to an address.
pub(crate) fn trail(network: &Network, from: End, to: Ipv4Addr, trace: &Trace) -> Trail {
    let (trail, host, entered) = (Trail::new(), from.host, Port::Local);
    let mut follower = Follower { network, trace, trail, host, entered, destination: to };
    for (number, hop) in trace.hops.iter().enumerate() {
        let is_last = number + 1 == trace.hops.len();
        follower.follow(hop.place, &hop.decision, is_last);
    }
    if trace.arrived() {
        follower.observe(trail::RECEIVED.to_owned());
    }
    follower.trail
}

fn name(host: HostId) -> &'static str {
    HOSTS[host.0].name
}

fn fabric_name(segment: SegmentId) -> &'static str {
    FABRICS.iter().find(|(number, _)| *number == segment.0).unwrap().1
}

impl Follower<'_> {
    fn observe(&mut self, word: String) {
        self.trail.insert(word);
    }

    fn is_dropped_at(&self, place: Place) -> bool {
        matches!(&self.trace.verdict, Verdict::Dropped(drop) if drop.place == place)
    }

    fn enter(&mut self, host: HostId, by: Port) {
        (self.host, self.entered) = (host, by);
        self.observe(trail::entered(name(host), by));
    }

    fn follow(&mut self, place: Place, decision: &Decision, is_last: bool) {
        match decision {
            Decision::Routed(found) => self.leave(found.route.hop),
            Decision::Delivered(neighbour) => {
                let Place::Interface(segment, _) = place else { return };
                if let Some(Segment::Lan(lan)) = self.network.segment(segment) {
                    self.enter(lan.hosts[neighbour], Port::Segment(0));
                }
            }
            Decision::FabricRouted(route) => {
                let Place::Interface(segment, _) = place else { return };
                self.forward(segment, route.hop, is_last);
            }
            Decision::Tunnelled { owner, .. } => self.tunnel(*owner, is_last),
            Decision::Arrived => self.observe(trail::delivered(name(self.host), self.entered)),
            Decision::UnNat { to, .. } => self.destination = *to,
            Decision::Translated { .. } | Decision::Passed { .. } | Decision::Established => {}
        }
    }

    fn leave(&mut self, hop: KernelHop) {
        let port = match hop {
            KernelHop::OnLink(number) | KernelHop::Via(number, _) => Port::Segment(number),
            KernelHop::Tunnel => Port::Tunnel,
            KernelHop::Unreachable | KernelHop::Throw => return,
        };
        self.observe(trail::forwarded(name(self.host), self.entered, port));
        let Port::Segment(number) = port else { return };
        let segment = self.network.host(self.host).unwrap().ports[number].segment;
        if let Some(Segment::Fabric(_)) = self.network.segment(segment) {
            self.observe(trail::in_fabric(fabric_name(segment), name(self.host)));
        }
    }

    fn forward(&mut self, segment: SegmentId, hop: FabricHop, is_last: bool) {
        let Some(Segment::Fabric(fabric)) = self.network.segment(segment) else { return };
        let to = match hop {
            FabricHop::Appliance(address) => address,
            _ => self.destination,
        };
        let (at, from) = (fabric_name(segment), name(self.host));
        let Some(receiver) = fabric.interfaces.get(&to) else {
            self.observe(trail::towards(at, from, SINK));
            // The sink device accepts everything.
            self.observe(trail::out_of_fabric(at, from, SINK));
            return;
        };
        self.observe(trail::towards(at, from, name(receiver.host)));
        if !(is_last && self.is_dropped_at(Place::Interface(segment, to))) {
            self.observe(trail::out_of_fabric(at, from, name(receiver.host)));
            self.enter(receiver.host, Port::Segment(0));
        }
    }

    fn tunnel(&mut self, owner: HostId, is_last: bool) {
        self.observe(trail::tunnelled(name(self.host), name(owner)));
        if !(is_last && self.is_dropped_at(Place::Tunnel(owner))) {
            self.enter(owner, Port::Tunnel);
        }
    }
}
