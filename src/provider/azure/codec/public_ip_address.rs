//! Public IP addresses.

use azure_mgmt_network::package_2024_03::models;
use serde_json::Value;

use super::base::{lay_over, location, read, write};
use super::{DecodeError, Marks};
use crate::resource::azure::PublicIpAddress;

const WHAT: &str = "public IP address";

/// Reads what ARM answered.
pub fn decode(body: &Value) -> Result<PublicIpAddress, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    Ok(PublicIpAddress { location: location(WHAT, resource.location.as_deref())? })
}

/// Writes what ARM takes.
pub fn encode(address: &PublicIpAddress, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let properties = models::PublicIpAddressPropertiesFormat {
        public_ip_allocation_method: Some(models::IpAllocationMethod::Static),
        public_ip_address_version: Some(models::IpVersion::IPv4),
        ..Default::default()
    };
    let model = models::PublicIpAddress {
        resource: models::Resource {
            location: Some(address.location.clone()),
            tags: Some(marks.tags()),
            ..Default::default()
        },
        sku: Some(models::PublicIpAddressSku {
            name: Some(models::public_ip_address_sku::Name::Standard),
            ..Default::default()
        }),
        properties: Some(Box::new(properties)),
        ..Default::default()
    };
    lay_over(base, write(&model))
}
