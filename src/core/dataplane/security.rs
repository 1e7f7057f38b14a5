//! Security groups: rules for inbound and outbound traffic of a subnet.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::fact::Origin;
use super::packet::{Packet, Protocol};

/// A security group; one without rules allows all traffic, as a subnet
/// without a group does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityGroup {
    /// The origin of the fact.
    pub origin: Origin,
    /// The rules in order of priority, Azure's default rules last.
    pub rules: Vec<FilterRule>,
}

/// A rule of a security group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// The name; each packet that the rule allows refers to it.
    pub name: Arc<str>,
    /// The priority; lower numbers take precedence.
    pub priority: u16,
    /// The direction.
    pub direction: TrafficDirection,
    /// Whether it allows the packet.
    pub allows: bool,
    /// The protocol.
    pub protocol: ProtocolMatch,
    /// Sources.
    pub sources: Vec<AddressMatch>,
    /// Destinations.
    pub destinations: Vec<AddressMatch>,
    /// Destination ports.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// The direction of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrafficDirection {
    /// Inbound.
    Inbound,
    /// Outbound.
    Outbound,
}

/// The protocols that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProtocolMatch {
    /// Any protocol.
    Any,
    /// ICMP.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// A protocol that no trace sends.
    Other,
}

/// The addresses that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressMatch {
    /// A prefix; `0.0.0.0/0` is any.
    Prefix(Ipv4Net),
    /// The virtual network and the prefixes routed from the subnet.
    VirtualNetwork,
    /// Public addresses.
    Internet,
    /// Azure's load balancer, which sends none of the traced packets.
    LoadBalancer,
    /// A tag whose addresses are unknown.
    Unclear,
}

/// The decision of a group about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleMatch<'a> {
    /// The rule allows it.
    Allowed(&'a FilterRule),
    /// The rule drops it.
    Denied(&'a FilterRule),
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
    /// A group that allows all traffic.
    pub fn open(origin: Origin) -> Self {
        Self { origin, rules: Vec::new() }
    }

    /// A group with these rules and Azure's default rules.
    pub fn with_defaults(origin: Origin, mut rules: Vec<FilterRule>) -> Self {
        rules.extend(default_rules());
        rules.sort_by_key(|rule| rule.priority);
        Self { origin, rules }
    }

    /// The same without Azure's default rules.
    pub fn without_defaults(&self) -> Self {
        let own = |rule: &&FilterRule| rule.priority < FIRST_DEFAULT;
        Self { origin: self.origin, rules: self.rules.iter().filter(own).cloned().collect() }
    }

    /// The decision of the first matching rule.
    pub fn ask(
        &self,
        direction: TrafficDirection,
        packet: &Packet,
        is_virtual_network: &dyn Fn(Ipv4Addr) -> bool,
    ) -> RuleMatch<'_> {
        for rule in self.rules.iter().filter(|rule| rule.direction == direction) {
            match rule.fits(packet, is_virtual_network) {
                Fits::Yes if rule.allows => return RuleMatch::Allowed(rule),
                Fits::Yes => return RuleMatch::Denied(rule),
                Fits::Unclear => return RuleMatch::Unclear,
                Fits::No => {}
            }
        }
        RuleMatch::NoRules
    }
}

impl FilterRule {
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

/// The lowest priority number of Azure's default rules.
const FIRST_DEFAULT: u16 = 65_000;

/// The default rules of every group.
fn default_rules() -> Vec<FilterRule> {
    use AddressMatch::{Internet, LoadBalancer, Prefix, VirtualNetwork};
    use TrafficDirection::{Inbound, Outbound};
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
    .map(|(name, priority, direction, allows, source, destination)| FilterRule {
        name: name.into(),
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
