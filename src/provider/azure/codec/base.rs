//! What the codecs share: reading with a path, and laying over what is there.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::DecodeError;
use crate::resource::ArmId;
use crate::resource::azure::Provisioning;

/// Reads a model; the error tells where it did not fit.
pub(super) fn read<T: DeserializeOwned>(
    what: &'static str,
    body: &Value,
) -> Result<T, DecodeError> {
    serde_path_to_error::deserialize(body).map_err(|error| DecodeError {
        what,
        field: error.path().to_string(),
        reason: error.inner().to_string(),
    })
}

/// Reads the part of an object at `path`, as in `properties.routes`; nothing where
/// it is missing or null.
///
/// The models of whole objects contain each other, so that the code to read one of
/// them is that for a hundred. Codecs therefore read the parts that they need.
pub(super) fn read_part<T: DeserializeOwned>(
    what: &'static str,
    body: &Value,
    path: &str,
) -> Result<Option<T>, DecodeError> {
    let Some(part) = part_at(what, body, path)? else { return Ok(None) };
    read(what, part).map(Some).map_err(|error| DecodeError {
        field: match error.field.as_str() {
            "." => path.to_owned(),
            below if below.starts_with('[') => format!("{path}{below}"),
            below => format!("{path}.{below}"),
        },
        ..error
    })
}

fn part_at<'a>(
    what: &'static str,
    body: &'a Value,
    path: &str,
) -> Result<Option<&'a Value>, DecodeError> {
    let mut part = body;
    let mut end = 0;
    for name in path.split('.') {
        let Some(fields) = part.as_object() else {
            return Err(DecodeError {
                what,
                field: path[..end].trim_end_matches('.').to_owned(),
                reason: "it is not an object".to_owned(),
            });
        };
        part = fields.get(name).unwrap_or(&Value::Null);
        if part.is_null() {
            return Ok(None);
        }
        end += name.len() + 1;
    }
    Ok(Some(part))
}

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

/// Lays our fields over what is there: objects field by field, the rest whole.
pub(super) fn lay_over(base: Option<&Value>, ours: Value) -> Value {
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

/// The object that a property names.
pub(super) fn referred(body: &Value, property: &str) -> Option<ArmId> {
    let id = body.get("properties")?.get(property)?.get("id")?.as_str()?;
    Some(ArmId::new(id))
}

/// A region as ids write it: services also answer `Canada Central`.
pub(super) fn location(what: &'static str, text: Option<&str>) -> Result<String, DecodeError> {
    let text = text.ok_or_else(|| missing(what, "location"))?;
    Ok(text.chars().filter(|letter| *letter != ' ').collect::<String>().to_ascii_lowercase())
}

pub(super) fn missing(what: &'static str, field: &str) -> DecodeError {
    DecodeError { what, field: field.to_owned(), reason: "it is missing".to_owned() }
}

/// Reads a prefix; Azure never answers one with host bits, people write them.
pub(super) fn prefix(what: &'static str, field: &str, text: &str) -> Result<Ipv4Net, DecodeError> {
    let parsed: Result<Ipv4Net, _> = text.parse();
    parsed.map(|prefix| prefix.trunc()).map_err(|_| DecodeError {
        what,
        field: field.to_owned(),
        reason: format!("`{text}` is not an IPv4 prefix"),
    })
}

pub(super) fn address(
    what: &'static str,
    field: &str,
    text: &str,
) -> Result<Ipv4Addr, DecodeError> {
    text.parse().map_err(|_| DecodeError {
        what,
        field: field.to_owned(),
        reason: format!("`{text}` is not an IPv4 address"),
    })
}

/// How far the making of an object has come.
pub(super) fn provisioning(body: &Value) -> Provisioning {
    match body.pointer("/properties/provisioningState").and_then(Value::as_str) {
        Some("Creating") => Provisioning::Creating,
        Some("Failed" | "Canceled") => Provisioning::Failed,
        _ => Provisioning::Ready,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_stays() {
        let base = json!({"a": {"b": 1, "c": [1, 2]}, "tags": {"Managed-By": "x", "cost": "7"}});
        let ours = json!({"a": {"c": [3]}, "tags": {"managed-by": "stargate"}});
        let expected =
            json!({"a": {"b": 1, "c": [3]}, "tags": {"Managed-By": "stargate", "cost": "7"}});
        assert_eq!(lay_over(Some(&base), ours), expected);
    }

    #[test]
    fn a_part_that_is_missing_or_null_is_none() {
        let bodies = [json!({}), json!({"a": null}), json!({"a": {}}), json!({"a": {"b": null}})];
        for body in bodies {
            assert_eq!(read_part::<u8>("x", &body, "a.b"), Ok(None), "{body}");
        }
        assert_eq!(read_part("x", &json!({"a": {"b": 7}}), "a.b"), Ok(Some(7_u8)));
    }

    #[test]
    fn an_error_names_the_path_from_the_object_down() {
        let field = |body: Value| read_part::<Vec<u8>>("x", &body, "a.b").unwrap_err().field;
        assert_eq!(field(json!({"a": {"b": "text"}})), "a.b");
        assert_eq!(field(json!({"a": {"b": [1, "text"]}})), "a.b[1]");
        assert_eq!(field(json!({"a": "text"})), "a");
        let body = json!({"a": {"b": {"c": "text"}}});
        let error = read_part::<std::collections::BTreeMap<String, u8>>("x", &body, "a.b");
        assert_eq!(error.unwrap_err().field, "a.b.c");
    }

    #[test]
    fn regions_are_read_in_either_spelling() {
        assert_eq!(location("x", Some("Canada Central")).unwrap(), "canadacentral");
    }
}
