//! NAT gateways.

use azure_mgmt_network::package_2024_03::models;
use serde_json::Value;

use super::body::{merge_onto, write};
use super::fields::{location, missing, read};
use super::{DecodeError, Marks};
use crate::resource::ArmId;
use crate::resource::azure::NatGateway;

const WHAT: &str = "NAT gateway";

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<NatGateway, DecodeError> {
    let model: models::NatGateway = read(WHAT, body)?;
    let properties = model.properties.unwrap_or_default();
    let public_ip = properties.public_ip_addresses.into_iter().find_map(|address| address.id);
    Ok(NatGateway {
        location: location(WHAT, model.resource.location.as_deref())?,
        public_ip: ArmId::new(
            public_ip.ok_or_else(|| missing(WHAT, "properties.publicIpAddresses"))?,
        ),
        protected_by: None,
    })
}

/// Encodes the body of a PUT.
pub fn encode(gateway: &NatGateway, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let public_ip = models::SubResource { id: Some(gateway.public_ip.as_str().to_owned()) };
    let model = models::NatGateway {
        resource: models::Resource {
            location: Some(gateway.location.clone()),
            tags: Some(marks.tags()),
            ..Default::default()
        },
        sku: Some(models::NatGatewaySku { name: Some(models::nat_gateway_sku::Name::Standard) }),
        properties: Some(models::NatGatewayPropertiesFormat {
            public_ip_addresses: vec![public_ip],
            ..Default::default()
        }),
        ..Default::default()
    };
    merge_onto(base, write(&model))
}
