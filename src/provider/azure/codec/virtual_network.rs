//! Virtual networks.
//!
//! A PUT replaces the whole network and deletes the subnets that the body omits. So the
//! body starts from the current one.

use azure_mgmt_network::package_2024_03::models;
use serde_json::{Value, json};

use super::body::merge_onto;
use super::fields::{location, missing, prefix, read, read_part};
use super::{DecodeError, Marks};
use crate::resource::azure::VirtualNetwork;

const WHAT: &str = "virtual network";

/// Decodes a response of ARM, without IPv6 ranges.
pub fn decode(body: &Value) -> Result<VirtualNetwork, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    let ranges: Option<Vec<String>> =
        read_part(WHAT, body, "properties.addressSpace.addressPrefixes")?;
    let address_prefixes = ranges
        .ok_or_else(|| missing(WHAT, "properties.addressSpace.addressPrefixes"))?
        .iter()
        .filter(|text| !text.contains(':'))
        .map(|text| prefix(WHAT, "addressPrefixes", text))
        .collect::<Result<_, _>>()?;
    Ok(VirtualNetwork {
        location: location(WHAT, resource.location.as_deref())?,
        address_prefixes,
        protected_by: None,
    })
}

/// Encodes the body of a PUT.
pub fn encode(network: &VirtualNetwork, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let ours = json!({
        "location": network.location,
        "tags": marks.tags(),
        "properties": { "addressSpace": { "addressPrefixes": network.address_prefixes } },
    });
    merge_onto(base, ours)
}
