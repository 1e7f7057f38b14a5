//! Virtual networks.
//!
//! A PUT replaces the whole network: a subnet that the body leaves out is
//! deleted. So the body starts from what is there.

use azure_mgmt_network::package_2024_03::models;
use serde_json::{Value, json};

use super::body::merge_onto;
use super::fields::{location, missing, prefix, read, read_part};
use super::{DecodeError, Marks};
use crate::resource::azure::VirtualNetwork;

const WHAT: &str = "virtual network";

/// Reads what ARM answered, without IPv6 ranges.
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

/// Writes what ARM takes.
pub fn encode(network: &VirtualNetwork, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let ours = json!({
        "location": network.location,
        "tags": marks.tags(),
        "properties": { "addressSpace": { "addressPrefixes": network.address_prefixes } },
    });
    merge_onto(base, ours)
}
