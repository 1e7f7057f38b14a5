//! Encodes the body of a request: stargate's fields merged into the current body.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::EncodeError;
use crate::resource::{ArmId, Pending};

/// Writes a model without the nulls that some of its fields leave behind.
pub(super) fn write(model: &impl Serialize) -> Value {
    // The models have string keys only, so this cannot fail.
    let mut body = serde_json::to_value(model).unwrap_or_default();
    drop_nulls(&mut body);
    body
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Merges our fields into the current body: objects field by field, other values as a
/// whole.
pub(super) fn merge_onto(base: Option<&Value>, ours: Value) -> Value {
    let mut result = base.cloned().unwrap_or_else(|| json!({}));
    overlay(&mut result, ours);
    result
}

fn overlay(under: &mut Value, over: Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                // Tags differ from ours in case at most once: keep one of them.
                let key = existing_key(under, &key).unwrap_or(key);
                overlay(under.entry(key).or_insert(Value::Null), value);
            }
        }
        (under, over) => *under = over,
    }
}

fn existing_key(fields: &Map<String, Value>, key: &str) -> Option<String> {
    if fields.contains_key(key) {
        return None;
    }
    fields.keys().find(|candidate| candidate.eq_ignore_ascii_case(key)).cloned()
}

/// Sets or removes one field of `properties`.
pub(super) fn set_property(body: &mut Value, name: &str, value: Option<Value>) {
    if !body.is_object() {
        *body = json!({});
    }
    if !body["properties"].is_object() {
        body["properties"] = json!({});
    }
    let Some(properties) = body["properties"].as_object_mut() else { return };
    match value {
        Some(value) => {
            properties.insert(name.to_owned(), value);
        }
        None => {
            properties.remove(name);
        }
    }
}

/// How one object names another.
pub(super) fn reference(id: &ArmId) -> Value {
    json!({ "id": id.as_str() })
}

/// The value of a field that must be known before it is sent.
pub(super) fn known<'a, T>(
    value: &'a Pending<T>,
    field: &'static str,
) -> Result<&'a T, EncodeError> {
    match value {
        Pending::Known(value) => Ok(value),
        Pending::After(after) => Err(EncodeError { field, after: after.address.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_fields_are_kept() {
        let base = json!({"a": {"b": 1, "c": [1, 2]}, "tags": {"Managed-By": "x", "cost": "7"}});
        let ours = json!({"a": {"c": [3]}, "tags": {"managed-by": "stargate"}});
        let expected =
            json!({"a": {"b": 1, "c": [3]}, "tags": {"Managed-By": "stargate", "cost": "7"}});
        assert_eq!(merge_onto(Some(&base), ours), expected);
    }
}
