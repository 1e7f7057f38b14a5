//! Route tables, always written whole.

use std::collections::BTreeMap;

use azure_mgmt_network::package_2024_03::models;
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::body::{known, merge_onto, write};
use super::fields::{address, location, missing, prefix, read, read_part};
use super::route::undescribed;
use super::{DecodeError, EncodeError, Marks};
use crate::resource::azure::{NextHop, RouteTable};
use crate::resource::{ArmId, Pending};

const WHAT: &str = "route table";

/// Decodes a response of ARM. A route is identified by its prefix, not by its name; routes
/// to a service tag or an IPv6 prefix are omitted.
pub fn decode(body: &Value) -> Result<RouteTable, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    let routes: Option<Vec<models::Route>> = read_part(WHAT, body, "properties.routes")?;
    let routes: BTreeMap<Ipv4Net, NextHop> = routes
        .iter()
        .flatten()
        .filter_map(|route| route.properties.as_ref())
        .filter_map(|route| decode_route(route).transpose())
        .collect::<Result<_, _>>()?;
    Ok(RouteTable {
        location: location(WHAT, resource.location.as_deref())?,
        routes: Pending::Known(routes),
        protected_by: None,
    })
}

/// The subnets that have the table, as the table itself names them.
///
/// # Errors
///
/// The answer has another form: the table may be on any subnet.
pub fn subnets(body: &Value) -> Result<Vec<ArmId>, DecodeError> {
    const SUBNETS: &str = "properties.subnets";
    let subnets: Option<Vec<models::SubResource>> = read_part(WHAT, body, SUBNETS)?;
    let subnets = subnets.into_iter().flatten();
    subnets.map(|it| it.id.map(ArmId::new).ok_or_else(|| missing(WHAT, SUBNETS))).collect()
}

/// Whether a destination is an IPv4 prefix, and neither a service tag nor an IPv6 prefix.
pub(super) fn is_ipv4(destination: &str) -> bool {
    destination.starts_with(|letter: char| letter.is_ascii_digit()) && !destination.contains(':')
}

/// Decodes a route; `None` for one to a service tag or an IPv6 prefix.
pub(super) fn decode_route(
    route: &models::RoutePropertiesFormat,
) -> Result<Option<(Ipv4Net, NextHop)>, DecodeError> {
    let Some(text) = route.address_prefix.as_deref() else { return Ok(None) };
    if !is_ipv4(text) {
        return Ok(None);
    }
    let hop = match &route.next_hop_type {
        models::RouteNextHopType::VirtualAppliance => {
            let text = route.next_hop_ip_address.as_deref();
            let text = text.ok_or_else(|| missing(WHAT, "nextHopIpAddress"))?;
            NextHop::Appliance(address(WHAT, "nextHopIpAddress", text)?)
        }
        models::RouteNextHopType::VnetLocal => NextHop::VirtualNetwork,
        models::RouteNextHopType::Internet => NextHop::Internet,
        models::RouteNextHopType::VirtualNetworkGateway => NextHop::Gateway,
        models::RouteNextHopType::None => NextHop::None,
        models::RouteNextHopType::UnknownValue(other) => {
            return Err(DecodeError {
                what: WHAT,
                field: "nextHopType".to_owned(),
                reason: format!("`{other}` is not known"),
            });
        }
    };
    Ok(Some((prefix(WHAT, "addressPrefix", text)?, hop)))
}

/// Encodes the body of a PUT with exactly these routes to IPv4 prefixes. An existing route
/// keeps its name, and routes to service tags and IPv6 prefixes stay: no plan describes them.
pub fn encode(
    table: &RouteTable,
    base: Option<&Value>,
    marks: &Marks<'_>,
) -> Result<Value, EncodeError> {
    let names = base.map(names_by_prefix).unwrap_or_default();
    let described = known(&table.routes, "routes")?.iter().map(|(prefix, hop)| {
        let name = names.get(prefix).cloned().unwrap_or_else(|| route_name(prefix));
        write(&encode_route(name, prefix, hop))
    });
    let routes: Vec<Value> = described.chain(undescribed(base)).collect();
    // An empty list is written too: without it the table would keep its routes.
    let ours = json!({
        "location": table.location,
        "tags": marks.tags(),
        "properties": { "routes": routes },
    });
    Ok(merge_onto(base, ours))
}

pub(super) fn encode_route(name: String, prefix: &Ipv4Net, hop: &NextHop) -> models::Route {
    let (next_hop_type, next_hop) = match hop {
        NextHop::Appliance(address) => {
            (models::RouteNextHopType::VirtualAppliance, Some(address.to_string()))
        }
        NextHop::VirtualNetwork => (models::RouteNextHopType::VnetLocal, None),
        NextHop::Internet => (models::RouteNextHopType::Internet, None),
        NextHop::Gateway => (models::RouteNextHopType::VirtualNetworkGateway, None),
        NextHop::None => (models::RouteNextHopType::None, None),
    };
    let mut properties = models::RoutePropertiesFormat::new(next_hop_type);
    properties.address_prefix = Some(prefix.to_string());
    properties.next_hop_ip_address = next_hop;
    models::Route { name: Some(name), properties: Some(properties), ..Default::default() }
}

/// The name of a route that stargate makes, as in `to-10-50-0-0-16`.
pub fn route_name(prefix: &Ipv4Net) -> String {
    format!("to-{}", prefix.to_string().replace(['.', '/'], "-"))
}

fn names_by_prefix(base: &Value) -> BTreeMap<Ipv4Net, String> {
    let routes = base.pointer("/properties/routes").and_then(Value::as_array);
    routes
        .into_iter()
        .flatten()
        .filter_map(|route| {
            let prefix = route.pointer("/properties/addressPrefix")?.as_str()?;
            let name = route.get("name")?.as_str()?;
            Some((prefix.parse().ok()?, name.to_owned()))
        })
        .collect()
}
