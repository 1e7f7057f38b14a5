//! Route tables and their routes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};

/// Azure takes no more routes in one table.
const MOST_ROUTES: usize = 400;

const HOPS: [&str; 5] =
    ["VirtualAppliance", "VnetLocal", "Internet", "VirtualNetworkGateway", "None"];

/// Checks a table and adds what the service adds.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::fill(body, &["properties", "disableBgpRoutePropagation"], json!(false));
    json::fill(body, &["properties", "routes"], json!([]));
    // Who uses the table is told by the users.
    json::take(body, &["properties", "subnets"]);
    let routes = json::items_mut(body, "/properties/routes");
    if routes.len() > MOST_ROUTES {
        let message = format!(
            "Route table {} has {} routes; at most {MOST_ROUTES} are allowed.",
            draft.id.name(),
            routes.len()
        );
        return Err(ArmError::bad("TooManyRoutesInRouteTable", message));
    }
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for route in routes {
        let name = json::text(route, "/name").unwrap_or_default().to_owned();
        let prefix = check_route(&name, route)?;
        if let Some(other) = seen.insert(prefix.clone(), name.clone()) {
            let message = format!(
                "Route {name} and route {other} have the same address prefix {prefix}. Routes of \
                 a table cannot have the same address prefix."
            );
            return Err(ArmError::bad("RouteConflict", message));
        }
        json::fill(route, &["properties", "hasBgpOverride"], json!(false));
    }
    Ok(())
}

fn check_route(name: &str, route: &Value) -> Result<String, ArmError> {
    let prefix = json::text(route, "/properties/addressPrefix").unwrap_or_default();
    let is_tag = prefix.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if !is_tag && prefix.parse::<ipnet::IpNet>().map_or(true, |net| net.trunc() != net) {
        let message = format!("The address prefix '{prefix}' of route {name} is not valid.");
        return Err(ArmError::bad("InvalidAddressPrefixFormat", message));
    }
    let hop = json::text(route, "/properties/nextHopType").unwrap_or_default();
    if !HOPS.contains(&hop) {
        let message = format!("The next hop type '{hop}' of route {name} is not valid.");
        return Err(ArmError::bad("InvalidRequestFormat", message));
    }
    let address = json::text(route, "/properties/nextHopIpAddress");
    let fits = match (hop, address) {
        ("VirtualAppliance", Some(address)) => address.parse::<Ipv4Addr>().is_ok(),
        ("VirtualAppliance", None) => false,
        (_, address) => address.is_none_or(str::is_empty),
    };
    if !fits {
        let message = format!(
            "Route {name} has next hop type {hop}: a next hop IP address is needed for a \
             VirtualAppliance and for nothing else."
        );
        return Err(ArmError::bad("InvalidNextHopIpAddress", message));
    }
    Ok(prefix.to_owned())
}
