//! Security groups, from Azure's words.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::builder::ModelBuilder;
use super::projected_state::ProjectedFact;
use crate::dataplane::Fact;
use crate::dataplane::security::{
    AddressMatch, FilterRule, ProtocolMatch, SecurityGroup, TrafficDirection,
};
use crate::resource::azure::{self, Access};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Site};

impl ModelBuilder<'_> {
    /// The group on a subnet of AKS nodes, without Azure's default rules. These do not
    /// apply to AKS's overlay, whose ranges the tag `VirtualNetwork` does not contain.
    pub(super) fn group_of_nodes(
        &mut self,
        subnet: &Address,
        group: Option<&ArmId>,
    ) -> Fact<Arc<SecurityGroup>> {
        let group = self.security_group(&Site::Cluster, subnet, group);
        match group.read() {
            Ok(known) => Fact::known(Arc::new(known.without_defaults()), group.origin()),
            Err(_) => group,
        }
    }

    /// The group that a subnet points at; without one everything may pass.
    pub(super) fn security_group(
        &mut self,
        site: &Site,
        subnet: &Address,
        group: Option<&ArmId>,
    ) -> Fact<Arc<SecurityGroup>> {
        let Some(id) = group else {
            let origin = self.provenance.of(subnet);
            return Fact::known(Arc::new(SecurityGroup::open(origin)), origin);
        };
        let kind = Kind::NetworkSecurityGroup;
        let address = self.state.address_of(kind, site, id);
        let origin = self.provenance.of(&address);
        match self.state.object(kind, &ObjectKey::Azure(id.clone())) {
            ProjectedFact::There(Resource::NetworkSecurityGroup(group)) => {
                let rules = group.rules.iter().map(|(name, rule)| security_rule(name, rule));
                let group = SecurityGroup::with_defaults(origin, rules.collect());
                Fact::known(Arc::new(group), origin)
            }
            _ => Fact::unknown(origin),
        }
    }
}

fn security_rule(name: &str, rule: &azure::SecurityRule) -> FilterRule {
    // Without prefixes it refers to groups of machines, which are not read.
    let addresses = |texts: &[String]| match texts {
        [] => vec![AddressMatch::Unclear],
        texts => texts.iter().map(|text| address_match(text)).collect(),
    };
    let ports: Option<Vec<_>> = rule.destination_ports.iter().map(|text| ports(text)).collect();
    let mut sources = addresses(&rule.source_prefixes);
    if ports.is_none() {
        sources = vec![AddressMatch::Unclear];
    }
    FilterRule {
        name: name.into(),
        priority: rule.priority,
        direction: match rule.direction {
            azure::RuleDirection::Inbound => TrafficDirection::Inbound,
            azure::RuleDirection::Outbound => TrafficDirection::Outbound,
        },
        allows: rule.access == Access::Allow,
        protocol: match rule.protocol.as_str() {
            "*" => ProtocolMatch::Any,
            "Icmp" => ProtocolMatch::Icmp,
            "Tcp" => ProtocolMatch::Tcp,
            "Udp" => ProtocolMatch::Udp,
            _ => ProtocolMatch::Other,
        },
        sources,
        destinations: addresses(&rule.destination_prefixes),
        ports: ports.unwrap_or_else(|| vec![0..=u16::MAX]),
    }
}

/// A prefix, an address, or one of Azure's tags.
fn address_match(text: &str) -> AddressMatch {
    let address = || text.parse().ok().map(|address: std::net::Ipv4Addr| address.into());
    match text.to_ascii_lowercase().as_str() {
        "*" => AddressMatch::Prefix(Ipv4Net::default()),
        "virtualnetwork" => AddressMatch::VirtualNetwork,
        "internet" => AddressMatch::Internet,
        "azureloadbalancer" => AddressMatch::LoadBalancer,
        _ => text.parse().ok().or_else(address).map_or(AddressMatch::Unclear, AddressMatch::Prefix),
    }
}

fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    if text == "*" {
        return Some(0..=u16::MAX);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_rules_of_azure_are_read() {
        assert_eq!(address_match("*"), AddressMatch::Prefix(Ipv4Net::default()));
        assert_eq!(address_match("10.0.0.4"), AddressMatch::Prefix("10.0.0.4/32".parse().unwrap()));
        assert_eq!(address_match("VirtualNetwork"), AddressMatch::VirtualNetwork);
        assert_eq!(address_match("Storage.WestEurope"), AddressMatch::Unclear);
        assert_eq!(ports("8000-8100"), Some(8_000..=8_100));
        assert_eq!(ports("22"), Some(22..=22));
        assert_eq!(ports("many"), None);
    }
}
