//! Security groups: what may come into a subnet, and what may go out.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnet::Ipv4Net;

use super::fact::Origin;
use super::packet::{Packet, Protocol};

/// A group of rules; one without rules lets everything pass, as a subnet
/// without a group does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// Where it was read.
    pub origin: Origin,
    /// The rules in the order of their priorities, Azure's own last.
    pub rules: Vec<SecurityRule>,
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityRule {
    /// What it is called.
    pub name: String,
    /// The lower wins.
    pub priority: u16,
    /// Which way it looks.
    pub direction: RuleDirection,
    /// Whether it lets pass.
    pub allows: bool,
    /// The protocol that it looks at.
    pub protocol: ProtocolMatch,
    /// Sources.
    pub sources: Vec<AddressMatch>,
    /// Destinations.
    pub destinations: Vec<AddressMatch>,
    /// Destination ports.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// Which way a rule looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleDirection {
    /// Into the subnet.
    Inbound,
    /// Out of it.
    Outbound,
}

/// Protocols that a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolMatch {
    /// All of them.
    Any,
    /// Echoes and other messages.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// One that no walk here sends.
    Other,
}

/// Addresses that a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressMatch {
    /// A prefix; `0.0.0.0/0` is any.
    Prefix(Ipv4Net),
    /// The virtual network and the prefixes routed from the subnet.
    VirtualNetwork,
    /// Public addresses.
    Internet,
    /// Azure's own load balancer: no packet here comes from it.
    LoadBalancer,
    /// A tag whose addresses are unknown.
    Unclear,
}

/// What a group says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The rule lets it pass.
    Allowed(&'a SecurityRule),
    /// The rule drops it.
    Denied(&'a SecurityRule),
    /// The group has no rules.
    NoRules,
    /// It depends on a tag whose addresses are unknown.
    Unclear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
    Unclear,
}

impl Fits {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unclear, _) | (_, Self::Unclear) => Self::Unclear,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

impl SecurityGroup {
    /// A group that lets everything pass.
    pub fn open(origin: Origin) -> Self {
        Self { origin, rules: Vec::new() }
    }

    /// A group with these rules and the ones that every group of Azure's has.
    pub fn with_defaults(origin: Origin, mut rules: Vec<SecurityRule>) -> Self {
        rules.extend(default_rules());
        rules.sort_by_key(|rule| rule.priority);
        Self { origin, rules }
    }

    /// The same without the rules that every group of Azure's has.
    pub fn without_defaults(&self) -> Self {
        let own = |rule: &&SecurityRule| rule.priority < FIRST_DEFAULT;
        Self { origin: self.origin, rules: self.rules.iter().filter(own).cloned().collect() }
    }

    /// What the first rule that fits says of a packet.
    pub fn ask(
        &self,
        direction: RuleDirection,
        packet: &Packet,
        is_virtual_network: &dyn Fn(Ipv4Addr) -> bool,
    ) -> Answer<'_> {
        for rule in self.rules.iter().filter(|rule| rule.direction == direction) {
            match rule.fits(packet, is_virtual_network) {
                Fits::Yes if rule.allows => return Answer::Allowed(rule),
                Fits::Yes => return Answer::Denied(rule),
                Fits::Unclear => return Answer::Unclear,
                Fits::No => {}
            }
        }
        Answer::NoRules
    }
}

impl SecurityRule {
    fn fits(&self, packet: &Packet, is_virtual_network: &dyn Fn(Ipv4Addr) -> bool) -> Fits {
        let protocol = matches!(
            (self.protocol, packet.protocol),
            (ProtocolMatch::Any, _)
                | (ProtocolMatch::Icmp, Protocol::Icmp)
                | (ProtocolMatch::Tcp, Protocol::Tcp(_))
                | (ProtocolMatch::Udp, Protocol::Udp(_))
        );
        let port = packet.protocol == Protocol::Icmp
            || self.ports.iter().any(|range| range.contains(&packet.port));
        if !protocol || !port {
            return Fits::No;
        }
        any(&self.sources, packet.source, is_virtual_network).and(any(
            &self.destinations,
            packet.destination,
            is_virtual_network,
        ))
    }
}

fn any(
    matches: &[AddressMatch],
    address: Ipv4Addr,
    is_virtual_network: &dyn Fn(Ipv4Addr) -> bool,
) -> Fits {
    let mut found = Fits::No;
    for one in matches {
        let fits = match one {
            AddressMatch::Prefix(prefix) => prefix.contains(&address),
            AddressMatch::VirtualNetwork => is_virtual_network(address),
            AddressMatch::Internet => is_public(address) && !is_virtual_network(address),
            AddressMatch::LoadBalancer => false,
            AddressMatch::Unclear => {
                found = Fits::Unclear;
                false
            }
        };
        if fits {
            return Fits::Yes;
        }
    }
    found
}

fn is_public(address: Ipv4Addr) -> bool {
    let shared = crate::net::prefix::TAILNET_RANGE.contains(&address);
    !(address.is_private() || shared || address.is_loopback() || address.is_link_local())
}

/// The priority from which on rules are Azure's own.
const FIRST_DEFAULT: u16 = 65_000;

/// What Azure puts behind the rules of every group.
fn default_rules() -> Vec<SecurityRule> {
    use AddressMatch::{Internet, LoadBalancer, Prefix, VirtualNetwork};
    use RuleDirection::{Inbound, Outbound};
    let any = Prefix(Ipv4Net::default());
    [
        ("AllowVnetInBound", 65_000, Inbound, true, VirtualNetwork, VirtualNetwork),
        ("AllowAzureLoadBalancerInBound", 65_001, Inbound, true, LoadBalancer, any),
        ("DenyAllInBound", 65_500, Inbound, false, any, any),
        ("AllowVnetOutBound", 65_000, Outbound, true, VirtualNetwork, VirtualNetwork),
        ("AllowInternetOutBound", 65_001, Outbound, true, any, Internet),
        ("DenyAllOutBound", 65_500, Outbound, false, any, any),
    ]
    .into_iter()
    .map(|(name, priority, direction, allows, source, destination)| SecurityRule {
        name: name.to_owned(),
        priority,
        direction,
        allows,
        protocol: ProtocolMatch::Any,
        sources: vec![source],
        destinations: vec![destination],
        ports: vec![0..=u16::MAX],
    })
    .collect()
}
