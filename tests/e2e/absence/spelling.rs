//! Other ways to write a field, which each service allows.

use serde_json::{Value, json};
use stargate::provider::http::Api;

use super::mutation::{remove, set};

/// Whether [`respell`] changes a field.
pub(crate) fn has_another_spelling(api: Api, object: &Value, pointer: &str) -> bool {
    let mut other = object.clone();
    respell(api, &mut other, pointer);
    other != *object
}

/// Writes a field in another way that means the same.
pub(super) fn respell(api: Api, object: &mut Value, pointer: &str) {
    let Some(field) = object.pointer(pointer).cloned() else { return };
    match &field {
        Value::Array(items) if items.is_empty() => return remove(object, pointer),
        Value::Null => return remove(object, pointer),
        _ => {}
    }
    match api {
        Api::Azure => respell_azure(object, pointer, &field),
        Api::Kubernetes => respell_kubernetes(object, pointer, field),
        Api::Tailscale => respell_tailscale(object, pointer, field),
    }
}

/// Ids, names, regions and sizes in another letter case, one range as a list.
fn respell_azure(object: &mut Value, pointer: &str, field: &Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    match (name, field) {
        ("addressPrefix", Value::String(text)) if pointer.contains("subnets") => {
            let range = json!([text]);
            set(object, parent, |fields| {
                fields["addressPrefixes"] = range;
                fields["addressPrefix"] = Value::Null;
            });
        }
        ("location", Value::String(text)) => {
            let (front, back) = text.split_at(text.len() / 2);
            let spelled = json!(format!("{} {back}", front.to_uppercase()));
            set(object, pointer, |field| *field = spelled);
        }
        ("id" | "vmSize" | "vnetSubnetID", Value::String(text)) => {
            let spelled = json!(other_case(text));
            set(object, pointer, |field| *field = spelled);
        }
        _ => {}
    }
}

/// Times with an offset; lists without an order in another one; of a node with two address
/// families the other one first.
fn respell_kubernetes(object: &mut Value, pointer: &str, field: Value) {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let spelled = match (name, field) {
        ("addresses", Value::Array(mut items)) if object["kind"] != "EndpointSlice" => {
            items.insert(0, json!({ "type": "InternalIP", "address": "fd00::5" }));
            Value::Array(items)
        }
        ("conditions" | "taints" | "images" | "ownerReferences", Value::Array(mut items)) => {
            items.reverse();
            Value::Array(items)
        }
        ("podCIDRs", Value::Array(mut items)) => {
            items.push(json!("fd00:1::/64"));
            Value::Array(items)
        }
        (name, Value::String(text)) if name.ends_with("Timestamp") || name.ends_with("Time") => {
            json!(with_offset(&text))
        }
        (_, field) => field,
    };
    set(object, pointer, |field| *field = spelled);
}

/// Host names in another letter case, sets in another order and with the other address
/// family, old IDs as numbers, and without fields that only Tailscale's own servers return.
fn respell_tailscale(object: &mut Value, pointer: &str, field: Value) {
    let name = pointer.rsplit('/').next().unwrap_or_default();
    let spelled = match (name, field) {
        ("hostname", Value::String(text)) => json!(other_case(&text)),
        ("addresses", Value::Array(mut items)) => {
            items.reverse();
            items.insert(0, json!("fd7a:115c:a1e0::5"));
            Value::Array(items)
        }
        ("tags", Value::Array(mut items)) => {
            items.insert(0, json!("tag:of-another-team"));
            Value::Array(items)
        }
        ("advertisedRoutes" | "enabledRoutes", Value::Array(mut items)) => {
            items.reverse();
            items.insert(0, json!("fd00:1::/64"));
            Value::Array(items)
        }
        ("id", Value::String(text)) => {
            text.parse::<u64>().map_or(Value::String(text), |number| json!(number))
        }
        ("created" | "lastSeen" | "expires", Value::String(text)) => json!(with_offset(&text)),
        ("authorized" | "keyExpiryDisabled", Value::Bool(true)) => {
            return remove(object, pointer);
        }
        (_, field) => field,
    };
    set(object, pointer, |field| *field = spelled);
}

fn with_offset(time: &str) -> String {
    time.strip_suffix('Z').map_or_else(|| time.to_owned(), |time| format!("{time}+00:00"))
}

fn other_case(text: &str) -> String {
    let upper = text.to_uppercase();
    if upper == text { text.to_lowercase() } else { upper }
}
