//! Route tables and their routes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};

/// Azure takes no more routes in one table.
const MAX_ROUTES: usize = 400;

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
    if routes.len() > MAX_ROUTES {
        let message = format!(
            "Route table {} has {} routes; at most {MAX_ROUTES} are allowed.",
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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::sandbox::arm::testing::{Driver, network};

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
    fn a_route_changes_the_etag_of_its_table_and_shares_it() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        let made = driver.put(&path, table(&[]));
        assert_eq!((made.status.as_u16(), made.state()), (201, "Updating"));
        assert!(made.header("location").is_none() && made.header("etag").is_none());
        driver.follow(&made);
        let shown = driver.get(&path);
        assert_ne!(shown.body["etag"], made.body["etag"]);
        assert_eq!(shown.state(), "Succeeded");
        let child = driver.make(&format!("{path}/routes/r"), route("r", "10.2.0.0/16"));
        assert_eq!(child["properties"]["hasBgpOverride"], false);
        let after = driver.get(&path.to_lowercase()).body;
        assert_eq!(after["etag"], child["etag"]);
        assert_ne!(after["etag"], shown.body["etag"]);
        assert_eq!(after["id"], json!(path));
    }

    #[test]
    fn a_write_of_the_whole_loses_the_tags_that_it_omits() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        driver.make(&path, json!({"location": "westeurope", "tags": {"a": "b"}}));
        let child = driver.make(&format!("{path}/routes/r"), route("r", "10.2.0.0/16"));
        assert_eq!(child["name"], "r");
        assert_eq!(driver.get(&path).body["tags"]["a"], "b");
        assert!(driver.make(&path, table(&[])).get("tags").is_none());
    }

    #[test]
    fn conditions_hold() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        driver.make(&path, table(&[]));
        let etag = driver.get(&path).body["etag"].as_str().unwrap().to_owned();
        let put = |driver: &mut Driver, name, value: &str| {
            driver.call(Method::PUT, &path, &[(name, value)], Some(table(&[])))
        };
        let stale = put(&mut driver, "if-match", "W/\"old\"");
        assert_eq!(stale.refusal(), (412, "PreconditionFailed"));
        assert_eq!(stale.body["error"]["details"][0]["code"], "PreconditionFailedEtagMismatch");
        assert_eq!(put(&mut driver, "if-none-match", "*").status, 412);
        assert_eq!(put(&mut driver, "if-match", &etag).status, 200);
    }

    #[test]
    fn routes_that_cannot_be_are_refused() {
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
        let mut driver = Driver::new();
        for (routes, code) in cases {
            let reply = driver.put(&network("routeTables/t"), table(&routes));
            assert_eq!(reply.refusal(), (400, code));
        }
    }

    #[test]
    fn effective_routes_come_by_location_and_keep_it() {
        let mut driver = Driver::new();
        let network_path = driver.make_network();
        let path = network("routeTables/t");
        driver.make(&path, table(&[route("r", "100.64.0.0/10")]));
        driver.make(
            &format!("{network_path}/subnets/n"),
            json!({"properties": {"addressPrefix": "10.1.1.0/24", "routeTable": {"id": path}}}),
        );
        driver.put(&network("networkInterfaces/i"), Driver::interface(None));
        let asked = network("networkInterfaces/i/effectiveRouteTable");
        let reply = driver.call(Method::POST, &asked, &[], None);
        assert_eq!(reply.status, 202);
        assert!(reply.header("azure-asyncoperation").is_none());
        let url = reply.header("location").unwrap().to_owned();
        let result = driver.get(&url);
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
