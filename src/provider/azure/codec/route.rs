//! Single routes, in route tables of other owners.

use azure_mgmt_network::package_2024_03::models;
use serde_json::Value;

use super::DecodeError;
use super::body::{merge_onto, write};
use super::fields::{id, missing, read};
use super::route_table::{decode_route, encode_route};
use crate::inventory::TableRoute;
use crate::resource::ArmId;
use crate::resource::azure::SingleRoute;

const WHAT: &str = "route";

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<SingleRoute, DecodeError> {
    let route: models::Route = read(WHAT, body)?;
    let decoded = route.properties.as_ref().map(decode_route).transpose()?.flatten();
    let (address_prefix, next_hop) = decoded.ok_or_else(|| missing(WHAT, "addressPrefix"))?;
    Ok(SingleRoute { address_prefix, next_hop })
}

/// Encodes the body of a PUT of a route with this ID.
pub fn encode(route: &SingleRoute, base: Option<&Value>, object: &ArmId) -> Value {
    let name = object.name().to_owned();
    let model = write(&encode_route(name, &route.address_prefix, &route.next_hop));
    let mut body = merge_onto(base, model);
    if route.next_hop.address().is_none()
        && let Some(properties) = body["properties"].as_object_mut()
    {
        properties.remove("nextHopIpAddress");
    }
    body
}

/// The routes in the body of a table, those to service tags and IPv6 prefixes included, each
/// as it is shown and with the ID by which it is read and written.
pub fn in_table(table: &Value) -> Vec<(ArmId, TableRoute, &Value)> {
    let Some(id) = id(table) else { return Vec::new() };
    let routes = table.pointer("/properties/routes").and_then(Value::as_array);
    let text = |route: &Value, pointer: &str| {
        route.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let decoded = |route: &Value| TableRoute {
        name: text(route, "/name"),
        destination: text(route, "/properties/addressPrefix"),
        next_hop: match text(route, "/properties/nextHopIpAddress") {
            address if address.is_empty() => text(route, "/properties/nextHopType"),
            address => address,
        },
    };
    let routes = routes.into_iter().flatten();
    routes
        .map(|route| {
            let decoded = decoded(route);
            (id.child("routes", &decoded.name), decoded, route)
        })
        .collect()
}

/// The routes of a table's body that a table of the topology does not describe: to service
/// tags and to IPv6 prefixes. A write of the whole table keeps them.
pub(super) fn undescribed(table: Option<&Value>) -> Vec<Value> {
    let routes = table.and_then(|it| it.pointer("/properties/routes")).and_then(Value::as_array);
    let is_described = |route: &&Value| {
        let prefix = route.pointer("/properties/addressPrefix").and_then(Value::as_str);
        prefix.is_none_or(super::route_table::is_ipv4)
    };
    routes.into_iter().flatten().filter(|route| !is_described(route)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::{Marks, route_table};
    use super::*;
    use crate::resource::azure::{NextHop, RouteTable};
    use crate::resource::names::{TailnetTag, TopologyName};
    use crate::resource::{Owner, Pending, Site};

    fn table() -> ArmId {
        ArmId::resource_group("s", "g").in_group("Microsoft.Network/routeTables", "firewall")
    }

    fn body() -> Value {
        let route = |name: &str, prefix: &str, hop: &str| json!({ "name": name, "properties": { "addressPrefix": prefix, "nextHopType": hop } });
        json!({ "id": table().to_string(), "location": "x", "properties": { "routes": [
            route("tag", "AzureMonitor", "Internet"), route("six", "2001:db8::/32", "Internet"),
            route("four", "10.0.0.0/8", "Internet"),
        ] } })
    }

    #[test]
    fn a_write_of_a_whole_table_keeps_routes_that_no_plan_describes() {
        let tag = TailnetTag::new("tag:x");
        let owner = Owner::new(TopologyName::new("lab"), tag);
        let marks = Marks { owner: &owner, site: &Site::Cluster, object: &table() };
        let routes = BTreeMap::from([("10.50.0.0/16".parse().unwrap(), NextHop::None)]);
        let desired = RouteTable {
            location: "x".to_owned(),
            routes: Pending::Known(routes),
            protected_by: None,
        };
        let written = route_table::encode(&desired, Some(&body()), &marks).unwrap();
        let routes = written["properties"]["routes"].as_array().unwrap();
        let names: Vec<&str> = routes.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["to-10-50-0-0-16", "tag", "six"]);
        assert_eq!(routes[1], body()["properties"]["routes"][0]);
    }

    #[test]
    fn a_route_is_written_by_its_id_and_keeps_unknown_fields() {
        let address_prefix = "10.50.0.0/16".parse().unwrap();
        let next_hop = NextHop::Appliance([10, 0, 0, 4].into());
        let route = SingleRoute { address_prefix, next_hop };
        let id = table().child("routes", "stargate-lab-10.50.0.0-16");
        let base = json!({ "etag": "e", "properties": { "future": 1, "nextHopType": "None" } });
        let written = encode(&route, Some(&base), &id);
        assert_eq!((&written["name"], &written["etag"]), (&json!(id.name()), &json!("e")));
        assert_eq!(written["properties"]["future"], 1);
        assert_eq!(decode(&written).unwrap(), route);
        let internet = SingleRoute { next_hop: NextHop::Internet, ..route };
        let written = encode(&internet, Some(&written), &id);
        assert!(written["properties"].get("nextHopIpAddress").is_none(), "{written}");
    }

    #[test]
    fn all_routes_of_a_table_are_named() {
        let body = body();
        let texts: Vec<String> =
            in_table(&body).iter().map(|(id, route, _)| format!("{} {route}", id.name())).collect();
        let expected = [
            "tag AzureMonitor → Internet",
            "six 2001:db8::/32 → Internet",
            "four 10.0.0.0/8 → Internet",
        ];
        assert_eq!(texts, expected);
    }
}
