//! What is sent.

use std::net::Ipv4Addr;

/// A port that no service listens on: what an answer goes to.
const EPHEMERAL: u16 = 49_152;

/// A packet, as far as tables look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Who is to get it.
    pub destination: Ipv4Addr,
    /// What it carries.
    pub protocol: Protocol,
    /// The port that it goes to, where the protocol has ports.
    pub port: u16,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// An echo.
    Icmp,
    /// A connection to that port.
    Tcp(u16),
    /// A datagram to that port.
    Udp(u16),
}

impl Protocol {
    /// The port that a request goes to; echoes have none.
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

    /// The answer to a packet as it arrived.
    pub fn answer(self) -> Self {
        let port = if self.protocol == Protocol::Icmp { 0 } else { EPHEMERAL };
        Self { source: self.destination, destination: self.source, port, ..self }
    }
}
