//! The members that every body has: id, name, type, region and provisioning state.

use serde_json::{Value, json};

use super::json;
use super::kind::{ArmKind, ChildKind};
use crate::resource::ArmId;

/// The body of a resource that the service itself creates.
pub(super) fn new(location: &str, properties: Value) -> Value {
    json!({"location": location, "properties": properties})
}

/// Sets id, name and type of an object and of its children.
pub(super) fn set_identity(kind: ArmKind, id: &ArmId, mut body: Value) -> Value {
    json::set(&mut body, &["id"], json!(shown_id(kind, id)));
    json::set(&mut body, &["name"], json!(id.name()));
    let resource_type = match kind {
        ArmKind::Foreign => id.resource_type().unwrap_or_default(),
        known => known.shown_type().to_owned(),
    };
    json::set(&mut body, &["type"], json!(resource_type));
    if let Some(location) = json::text(&body, "/location").map(location_name) {
        json::set(&mut body, &["location"], json!(location));
    }
    json::fill(&mut body, &["properties", "provisioningState"], json!("Succeeded"));
    for child in kind.children() {
        for value in json::items_mut(&mut body, &child.pointer()) {
            set_child_identity(kind, id, *child, value);
        }
    }
    body
}

/// Sets the id and the type of a child, whose name is in its body.
pub(super) fn set_child_identity(
    kind: ArmKind,
    parent: &ArmId,
    child: ChildKind,
    value: &mut Value,
) {
    if child == ChildKind::AgentPool {
        json::fill(value, &["provisioningState"], json!("Succeeded"));
        return;
    }
    let name = json::text(value, "/name").unwrap_or_default().to_owned();
    json::set(value, &["id"], json!(parent.child(child.segment(), &name)));
    json::set(value, &["type"], json!(child.shown_type(kind)));
    json::fill(value, &["properties", "provisioningState"], json!("Succeeded"));
}

/// The id as bodies show it: AKS writes `resourcegroups`.
fn shown_id(kind: ArmKind, id: &ArmId) -> String {
    match kind {
        ArmKind::ManagedCluster => id.as_str().replacen("/resourceGroups/", "/resourcegroups/", 1),
        _ => id.as_str().to_owned(),
    }
}

/// The canonical form of a region, which clients may write with spaces and capitals.
pub(super) fn location_name(location: &str) -> String {
    location
        .chars()
        .filter(|letter| *letter != ' ')
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}
