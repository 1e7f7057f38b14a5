//! Resource groups.

use serde::Deserialize;
use serde_json::{Value, json};

use super::body::merge_onto;
use super::fields::{location, read};
use super::{DecodeError, Marks};
use crate::resource::azure::ResourceGroup;

const WHAT: &str = "resource group";

#[derive(Deserialize)]
struct Body {
    location: Option<String>,
}

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<ResourceGroup, DecodeError> {
    let read: Body = read(WHAT, body)?;
    Ok(ResourceGroup { location: location(WHAT, read.location.as_deref())?, protected_by: None })
}

/// Encodes the body of a PUT.
pub fn encode(group: &ResourceGroup, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let mut body = merge_onto(base, json!({ "location": group.location, "tags": marks.tags() }));
    // A group has one property, and only ARM may write it.
    if let Some(fields) = body.as_object_mut() {
        fields.remove("properties");
    }
    body
}
