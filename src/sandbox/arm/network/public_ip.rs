//! Public IP addresses.

use serde_json::{Value, json};

use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};

/// Adds the fields that the service fills in. A static address is assigned at once.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    json::copy_from(body, draft.old, &["sku", "name"]);
    json::fill(body, &["sku", "name"], json!("Basic"));
    json::fill(body, &["sku", "tier"], json!("Regional"));
    json::copy_from(body, draft.old, &["properties", "publicIPAllocationMethod"]);
    let defaults = [
        ("publicIPAllocationMethod", json!("Dynamic")),
        ("publicIPAddressVersion", json!("IPv4")),
        ("idleTimeoutInMinutes", json!(4)),
        ("ipTags", json!([])),
    ];
    for (name, value) in defaults {
        json::fill(body, &["properties", name], value);
    }
    for computed_from_references in ["ipConfiguration", "natGateway", "ipAddress"] {
        json::take(body, &["properties", computed_from_references]);
    }
    let is_static = json::text(body, "/properties/publicIPAllocationMethod")
        .is_some_and(|method| method.eq_ignore_ascii_case("Static"));
    let is_standard =
        json::text(body, "/sku/name").is_some_and(|sku| sku.eq_ignore_ascii_case("Standard"));
    if is_standard && !is_static {
        let message = format!("Standard sku public IP address {} must be static.", draft.id);
        return Err(ArmError::bad("PublicIPAddressWithStandardSkuMustBeStatic", message));
    }
    if is_static {
        let old = draft.old.and_then(|old| json::text(old, "/properties/ipAddress"));
        let address = old.map_or_else(|| new_address(&(context.guid)()), str::to_owned);
        json::set(body, &["properties", "ipAddress"], json!(address));
    }
    Ok(())
}

/// An address of a range that Azure owns, derived from random digits.
fn new_address(guid: &str) -> String {
    let digits =
        guid.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let [second, third, fourth, _] = digits.to_be_bytes();
    format!("20.{second}.{third}.{}", fourth.clamp(1, 254))
}
