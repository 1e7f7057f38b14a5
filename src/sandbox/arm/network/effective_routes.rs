//! The effective routes of an interface: Azure's system routes and the route table of its subnet.

use serde_json::{Value, json};

use super::super::{ArmStore, json};
use crate::resource::ArmId;

/// Prefixes that Azure drops unless a user-defined route matches. They include Tailscale's range.
const BLACKHOLE_PREFIXES: [&str; 4] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];

/// The table in the format of `effectiveRouteTable`.
pub(in super::super) fn table(store: &ArmStore, interface: &ArmId) -> Value {
    let subnet = store
        .get(interface)
        .and_then(|body| json::text(body, "/properties/ipConfigurations/0/properties/subnet/id"))
        .map(ArmId::new);
    let network = subnet.as_ref().and_then(ArmId::parent).and_then(|id| store.get(&id));
    let space: Vec<&str> = network
        .map_or(&[][..], |body| json::items(body, "/properties/addressSpace/addressPrefixes"))
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let user = subnet
        .and_then(|id| store.get(&id))
        .and_then(|body| json::text(body, "/properties/routeTable/id"))
        .and_then(|id| store.get(&ArmId::new(id)));
    let user = user.map_or(&[][..], |table| json::items(table, "/properties/routes"));
    let overridden = |prefix: &str| {
        user.iter().any(|route| json::text(route, "/properties/addressPrefix") == Some(prefix))
    };
    let none_routes = BLACKHOLE_PREFIXES.iter().filter(|prefix| !space.contains(prefix));
    let system = space
        .iter()
        .map(|prefix| (*prefix, "VnetLocal"))
        .chain([("0.0.0.0/0", "Internet")])
        .chain(none_routes.map(|prefix| (*prefix, "None")));
    let mut value: Vec<Value> =
        system.map(|(prefix, hop)| system_route(prefix, hop, overridden(prefix))).collect();
    value.extend(user.iter().map(user_route));
    json!({"value": value})
}

fn system_route(prefix: &str, hop: &str, overridden: bool) -> Value {
    json!({
        "source": "Default",
        "state": if overridden { "Invalid" } else { "Active" },
        "addressPrefix": [prefix],
        "nextHopType": hop,
        "nextHopIpAddress": [],
        "disableBgpRoutePropagation": false,
        "hasBgpOverride": false,
    })
}

fn user_route(route: &Value) -> Value {
    let text = |member: &str| json::text(route, &format!("/properties/{member}"));
    let address: Vec<&str> = text("nextHopIpAddress").into_iter().collect();
    json!({
        "name": json::text(route, "/name"),
        "source": "User",
        "state": "Active",
        "addressPrefix": [text("addressPrefix")],
        "nextHopType": text("nextHopType"),
        "nextHopIpAddress": address,
        "disableBgpRoutePropagation": false,
        "hasBgpOverride": false,
    })
}
