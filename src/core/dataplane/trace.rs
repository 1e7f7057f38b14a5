//! The path of a packet in one direction, hop by hop.

use super::fact::{Fact, Origin};
use super::hop::{Cause, Decision, Drop, Hop, Place, Verdict};
use super::host::{HostId, Port};
use super::network::{End, Network};
use super::packet::Packet;
use super::tracking::ConnectionTracking;

/// The MTU of an interface that is not a tunnel, in bytes.
pub(super) const SEGMENT_MTU: u16 = 1_500;
/// The maximum number of hops; a longer path is a loop.
const MAX_HOSTS: usize = 64;

/// The path of a packet in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The hops in order.
    pub hops: Vec<Hop>,
    /// How it ended.
    pub verdict: Verdict,
    /// The packet at the end of the path.
    pub packet: Packet,
    /// The path MTU in bytes.
    pub mtu: u16,
    /// The hosts at which the packet entered or left the tunnel.
    pub tunnel_ends: Vec<HostId>,
}

impl Trace {
    /// Whether the packet arrived.
    pub fn arrived(&self) -> bool {
        matches!(self.verdict, Verdict::Arrived(_))
    }
}

/// Why a trace ends.
#[derive(Debug, Clone)]
pub(super) enum Halt {
    Dropped(Drop),
    Unknown { place: Place, origin: Origin },
    Exited(Place),
}

/// The next place of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TraceStep {
    Arrived(HostId),
    At(HostId, Port),
}

/// The state of a trace.
#[derive(Debug)]
pub(super) struct Tracer<'a> {
    pub(super) network: &'a Network,
    pub(super) tracking: &'a mut ConnectionTracking,
    pub(super) packet: Packet,
    pub(super) mtu: u16,
    pub(super) tunnel_ends: Vec<HostId>,
    hops: Vec<Hop>,
}

impl<'a> Tracer<'a> {
    /// Sends a packet from an end and follows it.
    pub(super) fn traced(
        network: &'a Network,
        tracking: &'a mut ConnectionTracking,
        from: End,
        packet: Packet,
    ) -> Trace {
        let hops = Vec::with_capacity(16);
        let (mtu, tunnel_ends) = (SEGMENT_MTU, Vec::new());
        let mut tracer = Self { network, tracking, packet, mtu, tunnel_ends, hops };
        let verdict = match tracer.follow(from.host) {
            Ok(host) => Verdict::Arrived(host),
            Err(Halt::Dropped(drop)) => Verdict::Dropped(drop),
            Err(Halt::Unknown { place, origin }) => Verdict::Unknown { place, origin },
            Err(Halt::Exited(place)) => Verdict::Exited(place),
        };
        let Self { packet, mtu, tunnel_ends, hops, .. } = tracer;
        Trace { hops, verdict, packet, mtu, tunnel_ends }
    }

    fn follow(&mut self, from: HostId) -> Result<HostId, Halt> {
        let (mut host, mut port) = (from, Port::Local);
        let mut seen = Vec::new();
        loop {
            let here = (host, port, self.packet);
            if seen.contains(&here) || seen.len() >= MAX_HOSTS {
                return Err(self.dropped(Place::Host(host), Cause::Loop, self.last_origins()));
            }
            seen.push(here);
            match self.at_host(host, port)? {
                TraceStep::Arrived(host) => return Ok(host),
                TraceStep::At(next, entered) => (host, port) = (next, entered),
            }
        }
    }

    /// The origins of the last decisions, which form a loop. The broadest prefix
    /// is first, because it is the one that captures too much.
    pub(super) fn last_origins(&self) -> Vec<Origin> {
        let mut deciding: Vec<(u8, Origin)> = self
            .hops
            .iter()
            .rev()
            .filter_map(|hop| match &hop.decision {
                Decision::Routed(found) => Some((found.prefix.prefix_len(), hop.origin)),
                Decision::FabricRouted(route) => Some((route.prefix.prefix_len(), hop.origin)),
                _ => None,
            })
            .filter(|(length, _)| *length > 0)
            .take(4)
            .collect();
        deciding.sort_by_key(|(length, _)| *length);
        let mut provenance: Vec<Origin> = deciding.into_iter().map(|(_, origin)| origin).collect();
        provenance.dedup();
        provenance
    }

    pub(super) fn note(&mut self, place: Place, decision: Decision, origin: Origin) {
        self.hops.push(Hop { place, decision, origin });
    }

    pub(super) fn dropped(&self, place: Place, cause: Cause, provenance: Vec<Origin>) -> Halt {
        Halt::Dropped(Drop { place, cause, provenance })
    }

    /// A fact, or the end of the trace if it could not be read.
    pub(super) fn read<'f, T>(&self, place: Place, fact: &'f Fact<T>) -> Result<&'f T, Halt> {
        fact.read().map_err(|unread| Halt::Unknown { place, origin: unread.origin })
    }
}
