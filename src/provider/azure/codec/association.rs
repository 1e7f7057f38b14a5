//! The route table of a subnet that is not ours.

use serde_json::{Value, json};

use super::DecodeError;
use super::body::{reference, set_property};
use super::fields::{id, missing, referred};
use crate::resource::Pending;
use crate::resource::azure::RouteTableAssociation;

/// Reads it off the subnet that ARM answered.
pub fn decode(subnet: &Value) -> Result<RouteTableAssociation, DecodeError> {
    let id = id(subnet).ok_or_else(|| missing("subnet", "id"))?;
    Ok(RouteTableAssociation {
        subnet: Pending::Known(id),
        route_table: referred("subnet", subnet, "routeTable")?,
    })
}

/// Changes the one property on the subnet; the rest of the body is written back unchanged.
pub fn encode(association: &RouteTableAssociation, subnet: Option<&Value>) -> Value {
    let mut body = subnet.cloned().unwrap_or_else(|| json!({}));
    set_property(&mut body, "routeTable", association.route_table.as_ref().map(reference));
    body
}
