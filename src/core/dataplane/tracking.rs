//! Connection tracking of hosts and flow tracking of interfaces.

use std::net::Ipv4Addr;

use super::fabric::SegmentId;
use super::host::HostId;
use super::packet::Packet;

/// Tracked connections and flows.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionTracking {
    connections: Vec<Connection>,
    flows: Vec<Flow>,
}

/// A connection that a host forwarded: the source before and after SNAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Connection {
    host: HostId,
    source: Ipv4Addr,
    translated_source: Ipv4Addr,
    destination: Ipv4Addr,
}

/// A flow that a security group at an interface allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    segment: SegmentId,
    interface: Ipv4Addr,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl ConnectionTracking {
    /// Records that a host forwarded a packet, which had that source before.
    pub(super) fn track_connection(&mut self, host: HostId, source: Ipv4Addr, packet: &Packet) {
        let (translated_source, destination) = (packet.source, packet.destination);
        self.connections.push(Connection { host, source, translated_source, destination });
    }

    /// The destination that an answer had before the host hid it; nothing for a
    /// packet that answers none that the host passed on.
    pub(super) fn answered(&self, host: HostId, packet: &Packet) -> Option<Ipv4Addr> {
        let fits = |known: &&Connection| {
            known.host == host
                && known.destination == packet.source
                && known.translated_source == packet.destination
        };
        self.connections.iter().find(fits).map(|known| known.source)
    }

    /// Records that the group of an interface allowed a packet.
    pub(super) fn track_flow(&mut self, segment: SegmentId, interface: Ipv4Addr, packet: &Packet) {
        let (source, destination) = (packet.source, packet.destination);
        self.flows.push(Flow { segment, interface, source, destination });
    }

    /// Whether a packet is a reply to one that the interface's group allowed.
    pub(super) fn is_response(
        &self,
        segment: SegmentId,
        interface: Ipv4Addr,
        packet: &Packet,
    ) -> bool {
        let (source, destination) = (packet.destination, packet.source);
        self.flows.contains(&Flow { segment, interface, source, destination })
    }
}
