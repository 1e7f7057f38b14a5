//! Network security groups and their rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};

/// The default rules of every group: name, priority, access, direction, source, destination.
const DEFAULT_RULES: [(&str, u16, &str, &str, &str, &str); 6] = [
    ("AllowVnetInBound", 65000, "Allow", "Inbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowAzureLoadBalancerInBound", 65001, "Allow", "Inbound", "AzureLoadBalancer", "*"),
    ("DenyAllInBound", 65500, "Deny", "Inbound", "*", "*"),
    ("AllowVnetOutBound", 65000, "Allow", "Outbound", "VirtualNetwork", "VirtualNetwork"),
    ("AllowInternetOutBound", 65001, "Allow", "Outbound", "*", "Internet"),
    ("DenyAllOutBound", 65500, "Deny", "Outbound", "*", "*"),
];

/// Validates a security group and adds the fields that the service fills in.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::fill(body, &["properties", "securityRules"], json!([]));
    json::set(body, &["properties", "defaultSecurityRules"], defaults(draft));
    for computed_from_references in ["subnets", "networkInterfaces"] {
        json::take(body, &["properties", computed_from_references]);
    }
    let mut known: BTreeMap<(String, u64), String> = BTreeMap::new();
    for rule in json::items_mut(body, "/properties/securityRules") {
        let name = json::text(rule, "/name").unwrap_or_default().to_owned();
        let priority = check_rule(&name, rule)?;
        if let Some(other) = known.insert(priority, name.clone()) {
            let message = format!(
                "Security rule {name} conflicts with rule {other}. Rules cannot have the same \
                 Priority and Direction. To learn more, see aka.ms/nsgrules."
            );
            return Err(ArmError::bad("SecurityRuleConflict", message));
        }
        for list in [
            "sourceAddressPrefixes",
            "destinationAddressPrefixes",
            "sourcePortRanges",
            "destinationPortRanges",
        ] {
            json::fill(rule, &["properties", list], json!([]));
        }
    }
    Ok(())
}

fn check_rule(name: &str, rule: &Value) -> Result<(String, u64), ArmError> {
    let invalid = |what: &str| {
        let message = format!("Security rule {name} has invalid {what}.");
        ArmError::bad("SecurityRuleInvalid", message)
    };
    let member =
        |member: &str| json::text(rule, &format!("/properties/{member}")).unwrap_or_default();
    let direction = member("direction");
    if !["Inbound", "Outbound"].contains(&direction) {
        return Err(invalid("Direction"));
    }
    if !["Allow", "Deny"].contains(&member("access")) {
        return Err(invalid("Access"));
    }
    if !["*", "Tcp", "Udp", "Icmp", "Esp", "Ah"].contains(&member("protocol")) {
        return Err(invalid("Protocol"));
    }
    let priority = rule.pointer("/properties/priority").and_then(Value::as_u64).unwrap_or_default();
    if !(100..=4096).contains(&priority) {
        return Err(ArmError::bad(
            "SecurityRuleInvalidPriority",
            format!(
                "Security rule has invalid Priority. Value provided: {priority} Allowed range \
                 100-4096."
            ),
        ));
    }
    let has = |one: &str, many: &str| {
        !member(one).is_empty() || !json::items(rule, &format!("/properties/{many}")).is_empty()
    };
    let sites = [
        ("sourceAddressPrefix", "sourceAddressPrefixes"),
        ("destinationAddressPrefix", "destinationAddressPrefixes"),
        ("sourcePortRange", "sourcePortRanges"),
        ("destinationPortRange", "destinationPortRanges"),
    ];
    match sites.into_iter().find(|(one, many)| !has(one, many)) {
        Some((missing, _)) => Err(invalid(missing)),
        None => Ok((direction.to_owned(), priority)),
    }
}

fn defaults(draft: &Draft<'_>) -> Value {
    let rules = DEFAULT_RULES.map(|(name, priority, access, direction, source, destination)| {
        json!({
            "id": draft.id.child("defaultSecurityRules", name),
            "name": name,
            "type": "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
            "properties": {
                "provisioningState": "Succeeded", "protocol": "*", "priority": priority,
                "access": access, "direction": direction,
                "sourcePortRange": "*", "destinationPortRange": "*",
                "sourceAddressPrefix": source, "destinationAddressPrefix": destination,
                "sourceAddressPrefixes": [], "destinationAddressPrefixes": [],
                "sourcePortRanges": [], "destinationPortRanges": [],
            },
        })
    });
    Value::Array(rules.into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::sandbox::arm::test_client::{TestClient, network};

    fn rule(name: &str, priority: u16) -> Value {
        json!({"name": name, "properties": {
            "priority": priority, "direction": "Inbound", "access": "Allow", "protocol": "Udp",
            "sourceAddressPrefix": "*", "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "41641",
        }})
    }

    #[test]
    fn rules_are_validated_and_completed() {
        let mut client = TestClient::new();
        let path = network("networkSecurityGroups/s");
        let body = |rules: Value| json!({"location": "x", "properties": {"securityRules": rules}});
        for (rules, code) in [
            (json!([rule("a", 100), rule("b", 100)]), "SecurityRuleConflict"),
            (json!([rule("a", 99)]), "SecurityRuleInvalidPriority"),
            (json!([{"name": "a"}]), "SecurityRuleInvalid"),
        ] {
            assert_eq!(client.put(&path, body(rules)).refusal(), (400, code));
        }
        let made = client.make(&path, body(json!([rule("a", 100)])));
        assert_eq!(made["properties"]["defaultSecurityRules"].as_array().unwrap().len(), 6);
        let rendered = client.get(&format!("{path}/securityRules/a")).body;
        assert_eq!(rendered["properties"]["sourceAddressPrefixes"], json!([]));
        assert_eq!(rendered["etag"], made["etag"]);
    }
}
