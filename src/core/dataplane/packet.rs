//! Packets and protocols.

use std::net::Ipv4Addr;

/// An ephemeral port, to which replies are sent.
const EPHEMERAL: u16 = 49_152;

/// A packet: the fields that tables match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// The source address.
    pub source: Ipv4Addr,
    /// The destination address.
    pub destination: Ipv4Addr,
    /// The protocol.
    pub protocol: Protocol,
    /// The destination port, if the protocol has ports.
    pub port: u16,
}

/// The protocol of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// ICMP echo.
    Icmp,
    /// TCP to that port.
    Tcp(u16),
    /// UDP to that port.
    Udp(u16),
}

impl Protocol {
    /// The destination port of a request; ICMP has none.
    pub fn port(self) -> u16 {
        match self {
            Self::Icmp => 0,
            Self::Tcp(port) | Self::Udp(port) => port,
        }
    }
}

impl Packet {
    /// The first packet of a flow.
    pub fn request(source: Ipv4Addr, destination: Ipv4Addr, protocol: Protocol) -> Self {
        Self { source, destination, protocol, port: protocol.port() }
    }

    /// The reply to a packet as it arrived.
    pub fn answer(self) -> Self {
        let port = if self.protocol == Protocol::Icmp { 0 } else { EPHEMERAL };
        Self { source: self.destination, destination: self.source, port, ..self }
    }
}
