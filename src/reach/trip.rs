//! There and back.

use super::hop::Verdict;
use super::host::HostId;
use super::network::{End, Network};
use super::packet::{Packet, Protocol};
use super::tracking::Tracking;
use super::walk::{SEGMENT_MTU, Walk, Walker};

/// A request's way, and its answer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// The request's way.
    pub there: Walk,
    /// The answer's; none where no request arrived.
    pub back: Option<Walk>,
    /// Hosts that pass large packets on into a smaller tunnel and tell no
    /// sender of it: TCP stalls when no other clamp on the way saves it.
    pub unclamped: Vec<HostId>,
}

/// One of the two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// The request's.
    There,
    /// The answer's.
    Back,
}

impl Trip {
    /// Whether request and answer arrived.
    pub fn reached(&self) -> bool {
        self.there.arrived() && self.back.as_ref().is_some_and(Walk::arrived)
    }

    /// The way that did not arrive, if one did not.
    pub fn broken(&self) -> Option<(Way, &Verdict)> {
        if !self.there.arrived() {
            return Some((Way::There, &self.there.verdict));
        }
        let back = self.back.as_ref().filter(|back| !back.arrived())?;
        Some((Way::Back, &back.verdict))
    }

    /// What a packet may weigh on both ways.
    pub fn mtu(&self) -> u16 {
        self.back.as_ref().map_or(self.there.mtu, |back| back.mtu.min(self.there.mtu))
    }

    /// Whether segments of full size go into a tunnel that does not take them,
    /// and nobody clamps them.
    pub fn stalls(&self, network: &Network) -> bool {
        self.mtu() < SEGMENT_MTU
            && [Some(&self.there), self.back.as_ref()].into_iter().flatten().any(|walk| {
                let clamps = |id: &HostId| !is_unclamped(network, *id);
                !walk.tunnel_ends.is_empty() && !walk.tunnel_ends.iter().any(clamps)
            })
    }
}

/// Walks a packet to an address, and its answer back.
pub fn trip(network: &Network, from: End, to: std::net::Ipv4Addr, protocol: Protocol) -> Trip {
    let mut tracking = Tracking::default();
    let request = Packet::request(from.address, to, protocol);
    let there = Walker::walk(network, &mut tracking, from, request);
    let back = match there.verdict {
        Verdict::Arrived(host) => {
            let end = End { host, address: to };
            Some(answer(network, &mut tracking, end, &there, from))
        }
        _ => None,
    };
    let ends = there.tunnel_ends.iter().chain(back.iter().flat_map(|back| &back.tunnel_ends));
    let mut unclamped: Vec<HostId> =
        ends.copied().filter(|id| is_unclamped(network, *id)).collect();
    unclamped.sort();
    unclamped.dedup();
    Trip { there, back, unclamped }
}

/// Sends the answer. It has arrived only where the request came from: an answer
/// that somebody else takes is lost.
fn answer(network: &Network, tracking: &mut Tracking, from: End, there: &Walk, asker: End) -> Walk {
    let mut back = Walker::walk(network, tracking, from, there.packet.answer());
    if let Verdict::Arrived(host) = back.verdict
        && (host != asker.host || back.packet.destination != asker.address)
    {
        let place = super::hop::Place::Host(host);
        let cause = super::hop::Cause::Misdelivered;
        let origins = back.hops.last().map(|hop| hop.origin).into_iter().collect();
        back.verdict = Verdict::Dropped(super::hop::Drop { place, cause, origins });
    }
    back
}

fn is_unclamped(network: &Network, id: HostId) -> bool {
    let kernel = network.host(id).and_then(|host| host.kernel.read().ok());
    kernel.is_some_and(|kernel| !kernel.clamps_segment_size)
}
