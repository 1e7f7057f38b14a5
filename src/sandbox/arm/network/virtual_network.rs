//! Virtual networks and their subnets.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::super::children::find_child;
use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::kind::ChildKind;
use super::super::{ArmContext, json, usage};

/// Validates a virtual network and adds the fields that the service fills in.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::fill(body, &["properties", "subnets"], json!([]));
    json::fill(body, &["properties", "virtualNetworkPeerings"], json!([]));
    json::fill(body, &["properties", "enableDdosProtection"], json!(false));
    let space = address_space(draft, body)?;
    let mut taken: Vec<(String, Ipv4Net)> = Vec::new();
    for subnet in json::items_mut(body, "/properties/subnets") {
        let name = json::text(subnet, "/name").unwrap_or_default().to_owned();
        let prefix = complete_subnet(draft, &name, subnet)?;
        if !space.iter().any(|net| net.contains(&prefix)) {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range is outside the IP \
                 address range of virtual network '{}'.",
                draft.id.name()
            );
            return Err(ArmError::bad("NetcfgInvalidSubnet", message));
        }
        let overlaps = |net: &Ipv4Net| net.contains(&prefix) || prefix.contains(net);
        if let Some((other, _)) = taken.iter().find(|(_, net)| overlaps(net)) {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range overlaps with that of \
                 an existing subnet '{other}'."
            );
            return Err(ArmError::bad("NetcfgSubnetRangesOverlap", message));
        }
        taken.push((name, prefix));
    }
    keep_used_subnets(draft, body)
}

fn address_space(draft: &Draft<'_>, body: &Value) -> Result<Vec<Ipv4Net>, ArmError> {
    let prefixes = json::items(body, "/properties/addressSpace/addressPrefixes");
    let space: Option<Vec<Ipv4Net>> =
        prefixes.iter().map(|prefix| prefix.as_str()?.parse().ok()).collect();
    space.filter(|space| !space.is_empty()).ok_or_else(|| {
        let message =
            format!("The address space of virtual network {} is not valid.", draft.id.name());
        ArmError::bad("InvalidAddressPrefixFormat", message)
    })
}

fn complete_subnet(draft: &Draft<'_>, name: &str, subnet: &mut Value) -> Result<Ipv4Net, ArmError> {
    // The default changed with the API versions of 2022.
    let policies = if draft.api_version < "2022" { "Enabled" } else { "Disabled" };
    json::fill(subnet, &["properties", "delegations"], json!([]));
    json::fill(subnet, &["properties", "privateEndpointNetworkPolicies"], json!(policies));
    json::fill(subnet, &["properties", "privateLinkServiceNetworkPolicies"], json!("Enabled"));
    // The IP configurations in the subnet are computed when it is shown.
    json::take(subnet, &["properties", "ipConfigurations"]);
    let prefix = prefix(subnet).ok_or_else(|| {
        let message = format!("The address prefix of subnet {name} is not valid.");
        ArmError::bad("InvalidAddressPrefixFormat", message)
    })?;
    if prefix.trunc() != prefix || prefix.prefix_len() > 29 {
        let message = format!("The address prefix {prefix} of subnet {name} is not valid.");
        return Err(ArmError::bad("InvalidCIDRNotation", message));
    }
    Ok(prefix)
}

/// The prefix of a subnet, which clients write as a string or as a list.
pub(in super::super) fn prefix(subnet: &Value) -> Option<Ipv4Net> {
    json::text(subnet, "/properties/addressPrefix")
        .or_else(|| json::text(subnet, "/properties/addressPrefixes/0"))?
        .parse()
        .ok()
}

/// A PUT deletes the subnets that it omits, and is refused if one of them is in use.
fn keep_used_subnets(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let old = draft.old.map_or(&[][..], |old| json::items(old, "/properties/subnets"));
    for subnet in old {
        let name = json::text(subnet, "/name").unwrap_or_default();
        let id = draft.id.child("subnets", name);
        let Some(new) = find_child(body, ChildKind::Subnet, name) else {
            usage::refuse_subnet(draft.store, &id)?;
            continue;
        };
        if prefix(new) != prefix(subnet)
            && let Some(user) = draft.store.index.users(&id).next()
        {
            let message =
                format!("IP prefix of subnet {name} is in use by {user} and cannot be changed.");
            return Err(ArmError::bad("InUsePrefixCannotBeDeleted", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, network};

    #[test]
    fn a_subnet_must_be_inside_the_address_space_and_not_overlap() {
        let mut client = TestClient::new();
        let path = client.make_network();
        for (prefix, code) in [
            ("10.1.1.128/25", "NetcfgSubnetRangesOverlap"),
            ("10.2.0.0/24", "NetcfgInvalidSubnet"),
            ("10.1.2.1/24", "InvalidCIDRNotation"),
        ] {
            let reply = client.put(
                &format!("{path}/subnets/m"),
                json!({"properties": {"addressPrefix": prefix}}),
            );
            assert_eq!(reply.refusal(), (400, code), "{prefix}");
        }
    }

    #[test]
    fn a_put_deletes_omitted_subnets_unless_in_use() {
        let mut client = TestClient::new();
        let path = client.make_network();
        client.make(
            &format!("{path}/subnets/m"),
            json!({"properties": {"addressPrefix": "10.1.2.0/24"}}),
        );
        let nic = client.put(&network("networkInterfaces/i"), TestClient::interface(None));
        assert_eq!(nic.status, 201);
        let whole = |subnets| {
            json!({"location": "westeurope", "properties": {
                "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "subnets": subnets,
            }})
        };
        let refused = client.put(&path, whole(json!([])));
        assert_eq!(refused.refusal(), (400, "InUseSubnetCannotBeDeleted"));
        let kept = json!([{"name": "n", "properties": {"addressPrefix": "10.1.1.0/24"}}]);
        let body = client.make(&path, whole(kept));
        assert_eq!(body["properties"]["subnets"].as_array().unwrap().len(), 1);
        assert_eq!(client.get(&format!("{path}/subnets/m")).status, 404);
        let rendered = &body["properties"]["subnets"][0]["properties"]["ipConfigurations"][0]["id"];
        assert_eq!(rendered, &json!(network("networkInterfaces/i/ipConfigurations/c")));
        let refused = client.delete(&format!("{path}/subnets/n"));
        assert_eq!(refused.refusal(), (400, "InUseSubnetCannotBeDeleted"));
        client.destroy(&network("networkInterfaces/i"));
        client.destroy(&format!("{path}/subnets/n"));
    }

    #[test]
    fn writes_below_one_parent_are_serialised() {
        let mut client = TestClient::new();
        let path = client.make_network();
        let first = client.put(
            &format!("{path}/subnets/a"),
            json!({"properties": {"addressPrefix": "10.1.2.0/24"}}),
        );
        assert_eq!((first.status.as_u16(), first.state()), (201, "Updating"));
        let second = json!({"properties": {"addressPrefix": "10.1.3.0/24"}});
        let refused = client.put(&format!("{path}/subnets/b"), second.clone());
        assert_eq!(refused.refusal(), (409, "AnotherOperationInProgress"));
        // The refused request advanced the first write to its end.
        assert_eq!(client.put(&format!("{path}/subnets/b"), second).status, 201);
    }

    #[test]
    fn a_referenced_object_must_exist_and_be_idle() {
        let mut client = TestClient::new();
        let path = client.make_network();
        let table = network("routeTables/t");
        let subnet = json!({"properties": {
            "addressPrefix": "10.1.1.0/24", "routeTable": {"id": table},
        }});
        let missing = client.put(&format!("{path}/subnets/n"), subnet.clone());
        assert_eq!(missing.refusal(), (400, "InvalidResourceReference"));
        assert_eq!(client.put(&table, json!({"location": "westeurope"})).status, 201);
        let early = client.put(&format!("{path}/subnets/n"), subnet.clone());
        assert_eq!(early.refusal(), (429, "RetryableError"));
        let detail = &early.body["error"]["details"][0];
        assert_eq!(detail["code"], "ReferencedResourceNotProvisioned");
        assert!(detail["message"].as_str().unwrap().contains("PutRouteTableOperation"));
        assert_eq!(client.put(&format!("{path}/subnets/n"), subnet).status, 200);
        let busy = client.put(&table, json!({"location": "westeurope"}));
        assert_eq!(busy.refusal(), (409, "AnotherOperationInProgress"));
        let used = client.delete(&table);
        assert_eq!(used.refusal(), (400, "InUseRouteTableCannotBeDeleted"));
        assert_eq!(
            client.get(&table).body["properties"]["subnets"][0]["id"],
            format!("{path}/subnets/n")
        );
    }
}
