//! What hosts and interfaces remember of a packet that passed, for its answer.

use std::net::Ipv4Addr;

use super::fabric::SegmentId;
use super::host::HostId;
use super::packet::Packet;

/// Connections as hosts know them, and flows as interfaces do.
#[derive(Debug, Clone, Default)]
pub(super) struct Tracking {
    connections: Vec<Connection>,
    flows: Vec<Flow>,
}

/// A connection that a host passed on: the source before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Connection {
    host: HostId,
    source: Ipv4Addr,
    translated_source: Ipv4Addr,
    destination: Ipv4Addr,
}

/// A flow that a security group at an interface let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    segment: SegmentId,
    interface: Ipv4Addr,
    source: Ipv4Addr,
    destination: Ipv4Addr,
}

impl Tracking {
    /// A host passed a packet on, which had that source before.
    pub(super) fn passed_on(&mut self, host: HostId, source: Ipv4Addr, packet: &Packet) {
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

    /// An interface's group let a packet pass.
    pub(super) fn let_pass(&mut self, segment: SegmentId, interface: Ipv4Addr, packet: &Packet) {
        let (source, destination) = (packet.source, packet.destination);
        self.flows.push(Flow { segment, interface, source, destination });
    }

    /// Whether a packet answers one that the interface's group let pass.
    pub(super) fn is_answer(
        &self,
        segment: SegmentId,
        interface: Ipv4Addr,
        packet: &Packet,
    ) -> bool {
        let (source, destination) = (packet.destination, packet.source);
        self.flows.contains(&Flow { segment, interface, source, destination })
    }
}
