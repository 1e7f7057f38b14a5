//! Decodes the fields that objects of several kinds have; an error names the path
//! of the field.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::DecodeError;
use crate::resource::ArmId;
use crate::resource::azure::Provisioning;

/// Decodes a model; the error names the field that does not match.
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

/// The etag that an object's body carries: `etag`, or as `Microsoft.ContainerService` writes
/// it, `eTag` of a cluster and `properties.eTag` of a node pool.
pub fn etag(body: &Value) -> Option<&str> {
    let etag = body.get("etag").or_else(|| body.get("eTag"));
    etag.or_else(|| body.pointer("/properties/eTag")).and_then(Value::as_str)
}

/// The id that an object's body carries.
pub fn id(body: &Value) -> Option<ArmId> {
    body.get("id").and_then(Value::as_str).map(ArmId::new)
}

/// The object that a property refers to; `None` if the property is missing or null.
///
/// # Errors
///
/// The property exists and refers to nothing: it must not pass for a missing one.
pub(super) fn referred(
    what: &'static str,
    body: &Value,
    property: &str,
) -> Result<Option<ArmId>, DecodeError> {
    let path = format!("properties.{property}");
    let Some(reference) = part_at(what, body, &path)? else { return Ok(None) };
    match reference.get("id").and_then(Value::as_str) {
        Some(id) => Ok(Some(ArmId::new(id))),
        None => Err(missing(what, &format!("{path}.id"))),
    }
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
        // Not every kind has the field.
        Some("Succeeded") | None => Provisioning::Ready,
        Some("Creating") => Provisioning::Creating,
        Some("Deleting") => Provisioning::Deleting,
        Some("Failed" | "Canceled") => Provisioning::Failed,
        // Among others `Upgrading`, `Scaling`, `Starting`, and words of later versions.
        Some(_) => Provisioning::Updating,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
