//! Network security groups, always written with all their rules.

use azure_mgmt_network::package_2024_03::models;
use models::security_rule_properties_format::Protocol;
use serde_json::{Value, json};

use super::body::{merge_onto, write};
use super::fields::{location, read, read_part};
use super::{DecodeError, Marks};
use crate::resource::azure::{Access, NetworkSecurityGroup, RuleDirection, SecurityRule};

const WHAT: &str = "network security group";

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<NetworkSecurityGroup, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    let rules: Option<Vec<models::SecurityRule>> =
        read_part(WHAT, body, "properties.securityRules")?;
    let rules = rules
        .into_iter()
        .flatten()
        .filter_map(|rule| Some((rule.name?, rule.properties?)))
        .map(|(name, rule)| Ok((name, decode_rule(rule)?)))
        .collect::<Result<_, DecodeError>>()?;
    Ok(NetworkSecurityGroup {
        location: location(WHAT, resource.location.as_deref())?,
        rules,
        protected_by: None,
    })
}

fn decode_rule(rule: models::SecurityRulePropertiesFormat) -> Result<SecurityRule, DecodeError> {
    let odd = |field: &str, value: &str| DecodeError {
        what: WHAT,
        field: field.to_owned(),
        reason: format!("`{value}` is not known"),
    };
    let direction = match rule.direction {
        models::SecurityRuleDirection::Inbound => RuleDirection::Inbound,
        models::SecurityRuleDirection::Outbound => RuleDirection::Outbound,
        models::SecurityRuleDirection::UnknownValue(value) => return Err(odd("direction", &value)),
    };
    let access = match rule.access {
        models::SecurityRuleAccess::Allow => Access::Allow,
        models::SecurityRuleAccess::Deny => Access::Deny,
        models::SecurityRuleAccess::UnknownValue(value) => return Err(odd("access", &value)),
    };
    let priority =
        u16::try_from(rule.priority).map_err(|_| odd("priority", &rule.priority.to_string()))?;
    Ok(SecurityRule {
        priority,
        direction,
        access,
        protocol: protocol_name(&rule.protocol),
        source_prefixes: together(rule.source_address_prefix, rule.source_address_prefixes),
        destination_prefixes: together(
            rule.destination_address_prefix,
            rule.destination_address_prefixes,
        ),
        destination_ports: together(rule.destination_port_range, rule.destination_port_ranges),
    })
}

fn protocol_name(protocol: &Protocol) -> String {
    let written = write(protocol);
    let text = written.as_str().unwrap_or_default();
    // Services keep the case that a client wrote.
    let known = ["Tcp", "Udp", "Icmp", "Esp", "Ah"];
    known.into_iter().find(|name| name.eq_ignore_ascii_case(text)).unwrap_or(text).to_owned()
}

/// A rule has a field for one value and another for several.
fn together(one: Option<String>, several: Vec<String>) -> Vec<String> {
    one.into_iter().chain(several).collect()
}

fn apart(values: &[String]) -> (Option<String>, Vec<String>) {
    match values {
        [one] => (Some(one.clone()), Vec::new()),
        several => (None, several.to_vec()),
    }
}

/// Encodes the body of a PUT with exactly these rules.
pub fn encode(group: &NetworkSecurityGroup, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let rules: Vec<Value> =
        group.rules.iter().map(|(name, rule)| write(&encode_rule(name, rule))).collect();
    // An empty list is written too: without it the group would keep its rules.
    let ours = json!({
        "location": group.location,
        "tags": marks.tags(),
        "properties": { "securityRules": rules },
    });
    merge_onto(base, ours)
}

fn encode_rule(name: &str, rule: &SecurityRule) -> models::SecurityRule {
    let access = match rule.access {
        Access::Allow => models::SecurityRuleAccess::Allow,
        Access::Deny => models::SecurityRuleAccess::Deny,
    };
    let direction = match rule.direction {
        RuleDirection::Inbound => models::SecurityRuleDirection::Inbound,
        RuleDirection::Outbound => models::SecurityRuleDirection::Outbound,
    };
    let protocol =
        rule.protocol.parse().unwrap_or_else(|_| Protocol::UnknownValue(rule.protocol.clone()));
    let mut properties = models::SecurityRulePropertiesFormat::new(
        protocol,
        access,
        i32::from(rule.priority),
        direction,
    );
    properties.source_port_range = Some("*".to_owned());
    (properties.source_address_prefix, properties.source_address_prefixes) =
        apart(&rule.source_prefixes);
    (properties.destination_address_prefix, properties.destination_address_prefixes) =
        apart(&rule.destination_prefixes);
    (properties.destination_port_range, properties.destination_port_ranges) =
        apart(&rule.destination_ports);
    models::SecurityRule {
        name: Some(name.to_owned()),
        properties: Some(properties),
        ..Default::default()
    }
}
