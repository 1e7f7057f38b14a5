//! Helpers to read and write JSON objects.

use serde_json::{Map, Value};

/// The string at a path.
pub(super) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

/// The value at a path of field names.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |here, field| here.get(field))
}

/// The items of the list at a path; empty if there is no list.
pub(super) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of the list at a path.
pub(super) fn texts<'a>(value: &'a Value, path: &[&str]) -> Vec<&'a str> {
    items(value, path).iter().filter_map(Value::as_str).collect()
}

/// The value as an object. Any other value is replaced by an empty object.
pub(super) fn fields(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        // The line above made it an object.
        _ => unreachable!("the value was made an object"),
    }
}

/// The object in a field, created if it is missing.
pub(super) fn nested<'a>(value: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    fields(fields(value).entry(field).or_insert(Value::Null))
}

/// The metadata of an object, created if it is missing.
pub(super) fn metadata(value: &mut Value) -> &mut Map<String, Value> {
    nested(value, "metadata")
}

/// The name of an object; empty if it has none.
pub(super) fn name(value: &Value) -> &str {
    text(value, &["metadata", "name"]).unwrap_or_default()
}

/// The namespace of an object.
pub(super) fn namespace(value: &Value) -> Option<&str> {
    text(value, &["metadata", "namespace"]).filter(|namespace| !namespace.is_empty())
}

/// Sets a field, or removes it if there is no value.
pub(super) fn assign(map: &mut Map<String, Value>, field: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            map.insert(field.to_owned(), value);
        }
        None => {
            map.remove(field);
        }
    }
}

/// Copies a field, or its absence, to another object.
pub(super) fn copy_field(from: &Value, onto: &mut Map<String, Value>, field: &str) {
    assign(onto, field, from.get(field).cloned());
}

/// Sets a field unless it has a value.
pub(super) fn default_to(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    let entry = map.entry(field).or_insert(Value::Null);
    if entry.is_null() {
        *entry = value.into();
    }
}
