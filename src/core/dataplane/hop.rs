//! The decisions about a packet, hop by hop.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::fabric::{EffectiveRoute, SegmentId};
use super::fact::Origin;
use super::host::{Found, HostId};
use super::tunnel::NoPeerReason;

/// One lookup in a table and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The place.
    pub place: Place,
    /// The decision.
    pub decision: Decision,
    /// The origin of the fact that decided.
    pub origin: Origin,
}

/// A place on the path of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A host.
    Host(HostId),
    /// The interface with that address on a segment.
    Interface(SegmentId, Ipv4Addr),
    /// A member of the tunnel.
    Tunnel(HostId),
}

/// A decision about a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A kernel route matched.
    Routed(Found),
    /// SNAT: the source was translated.
    Translated {
        /// The source before.
        from: Ipv4Addr,
        /// The source after.
        to: Ipv4Addr,
    },
    /// Reverse SNAT: the destination of the reply was translated back.
    UnNat {
        /// The destination before.
        from: Ipv4Addr,
        /// The destination after.
        to: Ipv4Addr,
    },
    /// A rule of a security group allowed it.
    Passed {
        /// The rule.
        rule: Arc<str>,
    },
    /// It belongs to an established flow.
    Established,
    /// A route of the fabric matched.
    FabricRouted(EffectiveRoute),
    /// It was delivered to a neighbour.
    Delivered(Ipv4Addr),
    /// It was sent to a peer of the tunnel.
    Tunnelled {
        /// The peer.
        owner: HostId,
        /// The prefix of the peer that matched.
        prefix: Ipv4Net,
    },
    /// It arrived.
    Arrived,
}

/// How a path ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived at that host.
    Arrived(HostId),
    /// It was dropped.
    Dropped(Drop),
    /// It left the modelled network, to the internet or a gateway.
    Exited(Place),
    /// A fact that it depends on could not be read.
    Unknown {
        /// The place of the packet.
        place: Place,
        /// The origin of the missing fact.
        origin: Origin,
    },
}

/// The place and the cause of a drop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The place.
    pub place: Place,
    /// The cause.
    pub cause: Cause,
    /// The origins of the facts that decided, the most specific first.
    pub provenance: Vec<Origin>,
}

/// Why a packet was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The machine does not exist or is not running.
    NotRunning,
    /// IP forwarding is disabled in the kernel.
    NotForwarding,
    /// `rp_filter`: the kernel has no route to the source, or one through another port.
    ReversePath,
    /// No route matches.
    NoRoute,
    /// An unreachable route matches.
    Unreachable(Found),
    /// No host on the LAN has that address.
    NoNeighbour(Ipv4Addr),
    /// IP forwarding is disabled on the interface, and the source is another address.
    SourceCheck,
    /// IP forwarding is disabled on the interface, and the destination is another address.
    DestinationCheck,
    /// A rule of a security group.
    Denied {
        /// The rule.
        rule: String,
    },
    /// The fabric's route has the next hop None.
    RouteNone(EffectiveRoute),
    /// No interface in the virtual network has that address.
    NoInterface(Ipv4Addr),
    /// No peer of the sender accepts the destination.
    NoPeer(NoPeerReason),
    /// The peer that serves the destination is a device of others.
    ForeignPeer {
        /// The device.
        owner: HostId,
        /// Its prefix.
        prefix: Ipv4Net,
    },
    /// The receiver refuses connections from the tunnel.
    ShieldsUp,
    /// The host is not in the tunnel.
    NotInTunnel,
    /// A member is not connected.
    Offline(HostId),
    /// The receiver does not accept the source from the sender.
    SourceNotAllowed {
        /// Why the source is not one of the sender's prefixes.
        lacking: NoPeerReason,
    },
    /// The node has no CNI configuration, so its pods have no addresses.
    CniNotConfigured,
    /// The packet loops.
    Loop,
    /// Another host of the same address received the packet.
    Misdelivered,
}
