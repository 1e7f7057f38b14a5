//! Subnets that stargate makes.

use serde_json::{Value, json};

use super::DecodeError;
use super::body::{reference, set_property};
use super::fields::{id, missing, prefix, referred};
use crate::resource::azure::Subnet;
use crate::resource::{ArmId, Pending};

const WHAT: &str = "subnet";

/// Reads what ARM answered.
pub fn decode(body: &Value) -> Result<Subnet, DecodeError> {
    let parent = id(body).and_then(|id| id.parent()).ok_or_else(|| missing(WHAT, "id"))?;
    // Newer services answer the one range as a list.
    let range = body
        .pointer("/properties/addressPrefix")
        .or_else(|| body.pointer("/properties/addressPrefixes/0"))
        .and_then(Value::as_str)
        .ok_or_else(|| missing(WHAT, "properties.addressPrefix"))?;
    Ok(Subnet {
        virtual_network: Pending::Known(parent),
        address_prefix: prefix(WHAT, "properties.addressPrefix", range)?,
        route_table: referred(body, "routeTable"),
        nat_gateway: referred(body, "natGateway"),
        network_security_group: referred(body, "networkSecurityGroup"),
    })
}

/// Writes what ARM takes. A subnet carries no tags.
pub fn encode(subnet: &Subnet, base: Option<&Value>) -> Value {
    let mut body = base.cloned().unwrap_or_else(|| json!({}));
    set_property(&mut body, "addressPrefix", Some(json!(subnet.address_prefix)));
    set_property(&mut body, "addressPrefixes", None);
    let mut refer = |name: &str, id: &Option<ArmId>| {
        set_property(&mut body, name, id.as_ref().map(reference));
    };
    refer("routeTable", &subnet.route_table);
    refer("natGateway", &subnet.nat_gateway);
    refer("networkSecurityGroup", &subnet.network_security_group);
    body
}
