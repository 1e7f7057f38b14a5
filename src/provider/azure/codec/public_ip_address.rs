//! Public IP addresses.

use azure_mgmt_network::package_2024_03::models;
use serde_json::{Value, json};

use super::body::{merge_onto, write};
use super::fields::{location, read};
use super::{DecodeError, Marks};
use crate::resource::azure::PublicIpAddress;

const WHAT: &str = "public IP address";

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<PublicIpAddress, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    Ok(PublicIpAddress {
        location: location(WHAT, resource.location.as_deref())?,
        protected_by: None,
    })
}

/// Encodes the body of a PUT.
pub fn encode(address: &PublicIpAddress, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let sku = models::PublicIpAddressSku {
        name: Some(models::public_ip_address_sku::Name::Standard),
        ..Default::default()
    };
    let ours = json!({
        "location": address.location,
        "tags": marks.tags(),
        "sku": write(&sku),
        "properties": {
            "publicIPAllocationMethod": models::IpAllocationMethod::Static,
            "publicIPAddressVersion": models::IpVersion::IPv4,
        },
    });
    merge_onto(base, ours)
}
