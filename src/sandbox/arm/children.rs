//! Children in the body of their parent.

use serde_json::{Value, json};

use super::json;
use super::kind::ChildKind;
use super::resource_body::set_child_identity;
use crate::resource::ArmId;

/// The child of a name, which may differ in letter case.
pub(super) fn find_child<'a>(parent: &'a Value, child: ChildKind, name: &str) -> Option<&'a Value> {
    json::items(parent, &child.pointer()).iter().find(|value| is_named(value, name))
}

/// Whether a child has a name, which may differ in letter case.
pub(super) fn is_named(value: &Value, name: &str) -> bool {
    json::text(value, "/name").is_some_and(|present| present.eq_ignore_ascii_case(name))
}

/// Inserts a child into the body of its parent, replacing a child of the same name.
pub(super) fn put_child(
    parent: &mut Value,
    parent_id: &ArmId,
    child: ChildKind,
    name: &str,
    body: Value,
) {
    let mut value = match (child, body) {
        // AKS shows a pool flat inside the cluster, and with `properties` at its own URL.
        (ChildKind::AgentPool, mut body) => json::take(&mut body, &["properties"]).unwrap_or(body),
        (_, body) => body,
    };
    let pointer = child.pointer();
    let old = json::items(parent, &pointer).iter().position(|value| is_named(value, name));
    let cased = match old.and_then(|at| json::items(parent, &pointer).get(at)) {
        Some(old) => json::text(old, "/name").unwrap_or(name).to_owned(),
        None => name.to_owned(),
    };
    json::set(&mut value, &["name"], json!(cased));
    set_child_identity(child.parent(), parent_id, child, &mut value);
    json::fill(parent, &["properties", child.member()], json!([]));
    let Some(values) = parent.pointer_mut(&pointer).and_then(Value::as_array_mut) else { return };
    match old.and_then(|at| values.get_mut(at)) {
        Some(slot) => *slot = value,
        None => values.push(value),
    }
}
