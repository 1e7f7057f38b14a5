//! NAT gateways.

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};
use crate::resource::ArmId;

/// Validates a NAT gateway and adds the fields that the service fills in.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::fill(body, &["sku", "name"], json!("Standard"));
    json::fill(body, &["sku", "tier"], json!("Regional"));
    json::fill(body, &["properties", "idleTimeoutInMinutes"], json!(4));
    json::take(body, &["properties", "subnets"]);
    for address in json::items(body, "/properties/publicIpAddresses") {
        let Some(id) = json::text(address, "/id").map(ArmId::new) else { continue };
        let taken = draft.store.index.users(&id).find(|user| *user != draft.id);
        if let Some(user) = taken {
            let message = format!(
                "Resource {} is referencing public IP address {id} that is already allocated to \
                 resource {user}.",
                draft.id
            );
            return Err(ArmError::bad("PublicIPAddressInUse", message));
        }
        let sku = draft.store.get(&id).and_then(|body| json::text(body, "/sku/name"));
        if sku.is_some_and(|sku| !sku.eq_ignore_ascii_case("Standard")) {
            let message =
                format!("Nat Gateway {} needs public IP addresses of the Standard sku.", draft.id);
            return Err(ArmError::bad("NatGatewayOnlySupportsStandardSku", message));
        }
    }
    Ok(())
}
