//! What happened to a packet on its way.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fabric::{EffectiveRoute, SegmentId};
use super::fact::Origin;
use super::host::{Found, HostId};
use super::tunnel::Lacking;

/// One look into a table, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Where.
    pub place: Place,
    /// What was decided.
    pub decision: Decision,
    /// Where the fact that decided was read.
    pub origin: Origin,
}

/// Where something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In a host.
    Host(HostId),
    /// On a segment, at the interface with that address.
    Interface(SegmentId, Ipv4Addr),
    /// In the tunnel, at that member.
    Tunnel(HostId),
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A kernel's route matched.
    Routed(Found),
    /// A source was hidden behind another.
    Translated {
        /// The source before.
        from: Ipv4Addr,
        /// The source after.
        to: Ipv4Addr,
    },
    /// The answer to a hidden source got its destination back.
    Restored {
        /// The destination before.
        from: Ipv4Addr,
        /// The destination after.
        to: Ipv4Addr,
    },
    /// A rule of a security group let it pass.
    Passed {
        /// The rule.
        rule: String,
    },
    /// It belongs to a flow that was let pass before.
    Established,
    /// A route of the fabric matched.
    Carried(EffectiveRoute),
    /// A neighbour took it.
    HandedTo(Ipv4Addr),
    /// A peer took it.
    Tunnelled {
        /// The peer.
        owner: HostId,
        /// The prefix of the peer that matched.
        prefix: Ipv4Net,
    },
    /// It is there.
    Arrived,
}

/// How a way ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived at that host.
    Arrived(HostId),
    /// It was dropped.
    Dropped(Drop),
    /// It went out of what the network knows, to the internet or a gateway.
    Left(Place),
    /// A fact that it depends on could not be read.
    Unknown {
        /// Where the packet was.
        place: Place,
        /// Where the fact would have been.
        origin: Origin,
    },
}

/// Where a packet was dropped, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// Where.
    pub place: Place,
    /// Why.
    pub cause: Cause,
    /// Where the facts that decided were read, the most telling first.
    pub provenance: Vec<Origin>,
}

/// Why a packet was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// There is no machine, or it does not run.
    NotRunning,
    /// The kernel does not pass on packets of others.
    NotForwarding,
    /// The kernel has no way to the source, or another than the packet came.
    ReversePath,
    /// No table has a route.
    NoRoute,
    /// A route says that there is no way.
    Unreachable(Found),
    /// No host on the LAN has that address.
    NoNeighbour(Ipv4Addr),
    /// The interface may only send from its own address.
    SourceCheck,
    /// The interface may only take what goes to its own address.
    DestinationCheck,
    /// A rule of a security group.
    Denied {
        /// The rule.
        rule: String,
    },
    /// The fabric's route has next hop None.
    Nowhere(EffectiveRoute),
    /// No interface in the virtual network has that address.
    NobodyAt(Ipv4Addr),
    /// The sender has no peer for the destination.
    NoPeer(Lacking),
    /// The host is not in the tunnel.
    NotInTunnel,
    /// A member is not connected.
    Offline(HostId),
    /// The receiver takes no such source from the sender.
    SourceNotAllowed {
        /// Why it does not know the source as the sender's.
        lacking: Lacking,
    },
    /// Nothing on the node gives addresses to its pods.
    PodsNotPlumbed,
    /// The packet goes round.
    Loop,
    /// Another host of the same address received the packet.
    Misdelivered,
}
