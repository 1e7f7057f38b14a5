//! Whether the field of an `[[ignore]]` is one that resources have.

use serde_json::Value;

use super::known_drift::body;
use crate::resource::Resource;
use crate::resource::protection::is_record;
use crate::topology::ignore::FieldPattern;

/// Fields that are maps with names of the user's or of others as keys: an entry that the
/// pattern names may come later.
const MAPS: [&str; 11] = [
    "annotations",
    "data",
    "kernel_routes",
    "labels",
    "matchLabels",
    "node_pools",
    "nodeSelector",
    "routes",
    "rules",
    "taints",
    "wrong_sysctls",
];

/// Whether a resource has a field that a pattern matches, or may get one.
pub(super) fn may_have(resource: &Resource, pattern: &FieldPattern) -> bool {
    // Values are made of maps with text keys, so this cannot fail.
    let value = serde_json::to_value(resource).unwrap_or_default();
    body(&value, resource).is_some_and(|body| has(body, &mut Vec::new(), pattern))
}

fn has(value: &Value, path: &mut Vec<String>, pattern: &FieldPattern) -> bool {
    if pattern.matching_prefix(path).is_some() && !is_record(path) {
        return true;
    }
    if !path.is_empty() && !pattern.may_begin_with(path) {
        return false;
    }
    if path.last().is_some_and(|field| MAPS.contains(&field.as_str())) {
        return true;
    }
    let Some(fields) = value.as_object() else { return false };
    // A value that is pending or was not read may have any field.
    if !path.is_empty() && fields.keys().any(|key| key.starts_with('$')) {
        return true;
    }
    fields.iter().any(|(key, value)| {
        path.push(key.clone());
        let found = has(value, path, pattern);
        path.pop();
        found
    })
}
