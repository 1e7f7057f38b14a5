//! Subnets that stargate makes.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::DecodeError;
use super::body::{reference, set_property};
use super::fields::{id, missing, prefix, read_part, referred};
use crate::resource::azure::Subnet;
use crate::resource::{ArmId, Pending};

const WHAT: &str = "subnet";

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<Subnet, DecodeError> {
    let parent = id(body).and_then(|id| id.parent()).ok_or_else(|| missing(WHAT, "id"))?;
    Ok(Subnet {
        virtual_network: Pending::Known(parent),
        address_prefix: range(body)?,
        route_table: referred(WHAT, body, "routeTable")?,
        nat_gateway: referred(WHAT, body, "natGateway")?,
        network_security_group: referred(WHAT, body, "networkSecurityGroup")?,
    })
}

/// The route table and the security group of a subnet, which need not be one of stargate's
/// and may have any range.
///
/// # Errors
///
/// A reference is malformed.
pub fn decode_attachments(body: &Value) -> Result<(Option<ArmId>, Option<ArmId>), DecodeError> {
    let table = referred(WHAT, body, "routeTable")?;
    Ok((table, referred(WHAT, body, "networkSecurityGroup")?))
}

/// The first IPv4 range. Services answer one range as `addressPrefix`, or as a
/// list, which also holds the IPv6 range of a dual-stack subnet.
fn range(body: &Value) -> Result<Ipv4Net, DecodeError> {
    const ONE: &str = "properties.addressPrefix";
    const SEVERAL: &str = "properties.addressPrefixes";
    let one: Option<String> = read_part(WHAT, body, ONE)?;
    let several: Option<Vec<String>> = read_part(WHAT, body, SEVERAL)?;
    let mut ranges = one.into_iter().chain(several.into_iter().flatten());
    let first = ranges.find(|text| !text.contains(':')).ok_or_else(|| missing(WHAT, ONE))?;
    prefix(WHAT, ONE, &first)
}

/// Encodes the body of a PUT. A subnet has no tags.
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
