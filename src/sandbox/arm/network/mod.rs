//! Validation and defaults of the network provider, by kind.

pub(super) mod effective_routes;
pub(super) mod interface;
pub(super) mod nat_gateway;
pub(super) mod public_ip;
pub(super) mod route_table;
pub(super) mod security_group;
pub(super) mod virtual_network;

use serde_json::{Value, json};

use super::draft::Draft;
use super::{ArmContext, json};

/// Adds the GUID that a network object keeps for its lifetime.
fn add_resource_guid(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    json::copy_from(body, draft.old, &["properties", "resourceGuid"]);
    if body.pointer("/properties/resourceGuid").is_none_or(Value::is_null) {
        json::set(body, &["properties", "resourceGuid"], json!((context.guid)()));
    }
}
