//! Etags and provisioning states, in a body and in those of its children.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::json;
use super::kind::{ChildKind, Kind};
use crate::resource::ArmId;

/// Gives a body of the network a new etag. All its children carry the same:
/// writing one of them changes the parent's.
pub(super) fn stamp(kind: Kind, body: &mut Value, guid: &mut dyn FnMut() -> String) {
    if !kind.has_etag() {
        return;
    }
    let etag = Value::String(format!("W/\"{}\"", guid()));
    for child in kind.children() {
        for value in json::items_mut(body, &child.pointer()) {
            json::set(value, &["etag"], etag.clone());
        }
    }
    json::set(body, &["etag"], etag);
}

/// Sets the state of an object and of all its children, or of one child only.
pub(super) fn set_state(kind: Kind, body: &mut Value, state: &str, only: Option<&str>) {
    json::set(body, &["properties", "provisioningState"], json!(state));
    for child in kind.children() {
        for value in json::items_mut(body, &child.pointer()) {
            let name = json::text(value, "/name").unwrap_or_default();
            if *child == ChildKind::DefaultRule
                || only.is_some_and(|only| !only.eq_ignore_ascii_case(name))
            {
                continue;
            }
            json::set(value, state_path(*child), json!(state));
        }
    }
}

/// The state of an object or of a child, as its own body has it.
pub(super) fn state(body: &Value) -> &str {
    json::text(body, "/properties/provisioningState")
        .or_else(|| json::text(body, "/provisioningState"))
        .unwrap_or("Succeeded")
}

fn state_path(child: ChildKind) -> &'static [&'static str] {
    match child {
        ChildKind::AgentPool => &["provisioningState"],
        _ => &["properties", "provisioningState"],
    }
}

/// Holds the request's conditions against what is there.
pub(super) fn check(
    headers: &HeaderMap,
    id: &ArmId,
    present: Option<&Value>,
) -> Result<(), ArmError> {
    let none_match = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if none_match == Some("*") && present.is_some() {
        return Err(ArmError::already_there(id));
    }
    let Some(asked) = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let Some(present) = present else {
        return Err(ArmError::etag_mismatch(asked, "(none)"));
    };
    match json::text(present, "/etag") {
        // What has no etag cannot be held against one.
        None => Ok(()),
        Some(_) if asked == "*" => Ok(()),
        Some(etag) if bare(etag) == bare(asked) => Ok(()),
        Some(etag) => Err(ArmError::etag_mismatch(asked, etag)),
    }
}

/// Without the mark of weakness and the quotes, which clients send or leave out.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}
