//! Route tables and their routes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};

/// Azure's limit of routes per table.
const MAX_ROUTES: usize = 400;

const NEXT_HOP_TYPES: [&str; 5] =
    ["VirtualAppliance", "VnetLocal", "Internet", "VirtualNetworkGateway", "None"];

/// Validates a route table and adds the fields that the service fills in.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::fill(body, &["properties", "disableBgpRoutePropagation"], json!(false));
    json::fill(body, &["properties", "routes"], json!([]));
    // The subnets that use the table are computed when it is shown.
    json::take(body, &["properties", "subnets"]);
    let routes = json::items_mut(body, "/properties/routes");
    if routes.len() > MAX_ROUTES {
        let message = format!(
            "Route table {} has {} routes; at most {MAX_ROUTES} are allowed.",
            draft.id.name(),
            routes.len()
        );
        return Err(ArmError::bad("TooManyRoutesInRouteTable", message));
    }
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for route in routes {
        let name = json::text(route, "/name").unwrap_or_default().to_owned();
        let prefix = check_route(&name, route)?;
        if let Some(other) = known.insert(prefix.clone(), name.clone()) {
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
    if !NEXT_HOP_TYPES.contains(&hop) {
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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::sandbox::arm::test_client::{TestClient, network};

    fn route(name: &str, prefix: &str) -> Value {
        json!({"name": name, "properties": {
            "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress":
             "10.1.1.4",
        }})
    }

    fn table(routes: &[Value]) -> Value {
        json!({"location": "westeurope", "properties": {"routes": routes}})
    }

    #[test]
    fn a_route_shares_the_etag_of_its_table() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        let made = client.put(&path, table(&[]));
        assert_eq!((made.status.as_u16(), made.state()), (201, "Updating"));
        assert!(made.header("location").is_none() && made.header("etag").is_none());
        client.follow(&made);
        let rendered = client.get(&path);
        assert_ne!(rendered.body["etag"], made.body["etag"]);
        assert_eq!(rendered.state(), "Succeeded");
        let child = client.make(&format!("{path}/routes/r"), route("r", "10.2.0.0/16"));
        assert_eq!(child["properties"]["hasBgpOverride"], false);
        let after = client.get(&path.to_lowercase()).body;
        assert_eq!(after["etag"], child["etag"]);
        assert_ne!(after["etag"], rendered.body["etag"]);
        assert_eq!(after["id"], json!(path));
    }

    #[test]
    fn a_put_removes_the_tags_that_it_omits() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        client.make(&path, json!({"location": "westeurope", "tags": {"a": "b"}}));
        let child = client.make(&format!("{path}/routes/r"), route("r", "10.2.0.0/16"));
        assert_eq!(child["name"], "r");
        assert_eq!(client.get(&path).body["tags"]["a"], "b");
        assert!(client.make(&path, table(&[])).get("tags").is_none());
    }

    #[test]
    fn conditional_headers_are_evaluated() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        client.make(&path, table(&[]));
        let etag = client.get(&path).body["etag"].as_str().unwrap().to_owned();
        let put = |client: &mut TestClient, name, value: &str| {
            client.call(Method::PUT, &path, &[(name, value)], Some(table(&[])))
        };
        let stale = put(&mut client, "if-match", "W/\"old\"");
        assert_eq!(stale.refusal(), (412, "PreconditionFailed"));
        assert_eq!(stale.body["error"]["details"][0]["code"], "PreconditionFailedEtagMismatch");
        let written = put(&mut client, "if-match", &etag);
        assert_eq!(written.status, 200);
        client.follow(&written);
        // Not documented for route tables, and ignored.
        assert_eq!(put(&mut client, "if-none-match", "*").status, 200);
    }

    #[test]
    fn invalid_routes_are_refused() {
        let many: Vec<Value> = (0..401)
            .map(|n| route(&format!("r{n}"), &format!("10.{}.{}.0/24", n / 256, n % 256)))
            .collect();
        let no_hop = json!({"name": "r", "properties": {
            "addressPrefix": "10.0.0.0/8", "nextHopType": "VirtualAppliance",
        }});
        let cases = [
            (vec![route("a", "10.0.0.0/8"), route("b", "10.0.0.0/8")], "RouteConflict"),
            (many, "TooManyRoutesInRouteTable"),
            (vec![route("a", "10.0.0.1/8")], "InvalidAddressPrefixFormat"),
            (vec![no_hop], "InvalidNextHopIpAddress"),
        ];
        let mut client = TestClient::new();
        for (routes, code) in cases {
            let reply = client.put(&network("routeTables/t"), table(&routes));
            assert_eq!(reply.refusal(), (400, code));
        }
    }

    #[test]
    fn effective_routes_are_polled_by_location() {
        let mut client = TestClient::new();
        let network_path = client.make_network();
        let path = network("routeTables/t");
        client.make(&path, table(&[route("r", "100.64.0.0/10")]));
        client.make(
            &format!("{network_path}/subnets/n"),
            json!({"properties": {"addressPrefix": "10.1.1.0/24", "routeTable": {"id": path}}}),
        );
        client.put(&network("networkInterfaces/i"), TestClient::interface(None));
        let requested = network("networkInterfaces/i/effectiveRouteTable");
        let reply = client.call(Method::POST, &requested, &[], None);
        assert_eq!(reply.status, 202);
        assert!(reply.header("azure-asyncoperation").is_none());
        let url = reply.header("location").unwrap().to_owned();
        let result = client.get(&url);
        assert_eq!((result.status.as_u16(), result.header("location")), (200, Some(url.as_str())));
        let states: Vec<(&str, &str, &str)> = result.body["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| {
                let text = |value: &'static str| route[value].as_str().unwrap();
                (route["addressPrefix"][0].as_str().unwrap(), text("source"), text("state"))
            })
            .collect();
        assert!(states.contains(&("100.64.0.0/10", "Default", "Invalid")));
        assert!(states.contains(&("100.64.0.0/10", "User", "Active")));
        assert!(states.contains(&("192.168.0.0/16", "Default", "Active")));
    }
}
