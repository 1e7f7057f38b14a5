//! The paths of a request and its reply.

use super::hop::{Cause, Drop, Place, Verdict};
use super::host::HostId;
use super::network::{End, Network};
use super::packet::{Packet, Protocol};
use super::trace::{SEGMENT_MTU, Trace, Tracer};
use super::tracking::ConnectionTracking;

/// The paths of a request and its reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundTrip {
    /// The path of the request.
    pub forward: Trace,
    /// The path of the reply; absent if the request did not arrive.
    pub return_path: Option<Trace>,
    /// Hosts that forward large packets into a tunnel with a smaller MTU and send
    /// no ICMP error: TCP stalls unless another host on the path clamps the MSS.
    pub unclamped: Vec<HostId>,
}

/// The direction of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The request.
    Forward,
    /// The reply.
    Return,
}

impl RoundTrip {
    /// Whether request and reply arrived.
    pub fn reached(&self) -> bool {
        self.forward.arrived() && self.return_path.as_ref().is_some_and(Trace::arrived)
    }

    /// The path that did not arrive, if any.
    pub fn broken(&self) -> Option<(Direction, &Verdict)> {
        if !self.forward.arrived() {
            return Some((Direction::Forward, &self.forward.verdict));
        }
        let return_path = self.return_path.as_ref().filter(|return_path| !return_path.arrived())?;
        Some((Direction::Return, &return_path.verdict))
    }

    /// The MTU of both paths, in bytes.
    pub fn mtu(&self) -> u16 {
        self.return_path
            .as_ref()
            .map_or(self.forward.mtu, |return_path| return_path.mtu.min(self.forward.mtu))
    }

    /// Whether segments of full size enter a tunnel with a smaller MTU and no
    /// host clamps their MSS.
    pub fn stalls(&self, network: &Network) -> bool {
        self.mtu() < SEGMENT_MTU
            && [Some(&self.forward), self.return_path.as_ref()].into_iter().flatten().any(
                |traced| {
                    let clamps = |id: &HostId| !is_unclamped(network, *id);
                    !traced.tunnel_ends.is_empty() && !traced.tunnel_ends.iter().any(clamps)
                },
            )
    }
}

/// Traces a packet to an address and its reply back.
pub fn trace_round_trip(
    network: &Network,
    from: End,
    to: std::net::Ipv4Addr,
    protocol: Protocol,
) -> RoundTrip {
    trace_to(network, from, (to, None), protocol)
}

/// Walks a packet to an address of one host, and its answer back. A packet that
/// another host of the same address receives is lost.
pub fn trace_round_trip_to_host(
    network: &Network,
    from: End,
    to: End,
    protocol: Protocol,
) -> RoundTrip {
    trace_to(network, from, (to.address, Some(to.host)), protocol)
}

fn trace_to(
    network: &Network,
    from: End,
    (to, receiver): (std::net::Ipv4Addr, Option<HostId>),
    protocol: Protocol,
) -> RoundTrip {
    let mut tracking = ConnectionTracking::default();
    let request = Packet::request(from.address, to, protocol);
    let mut forward = Tracer::traced(network, &mut tracking, from, request);
    if let (Verdict::Arrived(host), Some(receiver)) = (&forward.verdict, receiver)
        && *host != receiver
    {
        forward.verdict = misdelivered(&forward, *host);
    }
    let return_path = match forward.verdict {
        Verdict::Arrived(host) => {
            let end = End { host, address: to };
            Some(answer(network, &mut tracking, end, &forward, from))
        }
        _ => None,
    };
    let ends = forward
        .tunnel_ends
        .iter()
        .chain(return_path.iter().flat_map(|return_path| &return_path.tunnel_ends));
    let mut unclamped: Vec<HostId> =
        ends.copied().filter(|id| is_unclamped(network, *id)).collect();
    unclamped.sort();
    unclamped.dedup();
    RoundTrip { forward, return_path, unclamped }
}

/// Traces the reply. It arrives only at the sender of the request: a reply that
/// another host receives is lost.
fn answer(
    network: &Network,
    tracking: &mut ConnectionTracking,
    from: End,
    forward: &Trace,
    asker: End,
) -> Trace {
    let mut return_path = Tracer::traced(network, tracking, from, forward.packet.answer());
    if let Verdict::Arrived(host) = return_path.verdict
        && (host != asker.host || return_path.packet.destination != asker.address)
    {
        return_path.verdict = misdelivered(&return_path, host);
    }
    return_path
}

/// The verdict of a packet that the wrong host received.
fn misdelivered(traced: &Trace, host: HostId) -> Verdict {
    let provenance = traced.hops.last().map(|hop| hop.origin).into_iter().collect();
    Verdict::Dropped(Drop { place: Place::Host(host), cause: Cause::Misdelivered, provenance })
}

fn is_unclamped(network: &Network, id: HostId) -> bool {
    let kernel = network.host(id).and_then(|host| host.kernel.read().ok());
    kernel.is_some_and(|kernel| !kernel.clamps_segment_size)
}
