//! The one validation rule that stargate's CRDs use beside their schemas: immutability of a field.

use serde_json::Value;

use super::status::StatusCause;
use super::value::{items, text};

/// The rule, as a CRD writes it.
const UNCHANGED: &str = "self == oldSelf";
/// Causes of these kinds prevent the evaluation of rules.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// Evaluates the rules of a schema, or reports that they were not evaluated; `causes` are the
/// schema's violations.
pub(super) fn check(
    schema: &Value,
    old: Option<&Value>,
    new: &Value,
    causes: &mut Vec<StatusCause>,
) {
    if !has_rules(schema) {
        return;
    }
    if causes.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
        let message = "some validation rules were not checked because the object was invalid; \
                    correct the existing errors to complete validation";
        causes.push(StatusCause::invalid("<nil>", &Value::from("null"), message));
    } else if let Some(old) = old {
        unchanged(schema, old, new, "", causes);
    }
}

fn has_rules(schema: &Value) -> bool {
    let below = ["properties", "additionalProperties"].iter().filter_map(|key| schema.get(*key));
    !items(schema, &["x-kubernetes-validations"]).is_empty()
        || schema.get("items").is_some_and(has_rules)
        || below.filter_map(Value::as_object).flat_map(|map| map.values()).any(has_rules)
}

fn unchanged(schema: &Value, old: &Value, new: &Value, path: &str, causes: &mut Vec<StatusCause>) {
    for rule in items(schema, &["x-kubernetes-validations"]) {
        if text(rule, &["rule"]) == Some(UNCHANGED) && old != new {
            let message = text(rule, &["message"]).unwrap_or("failed rule: self == oldSelf");
            let kind = text(schema, &["type"]).unwrap_or_default();
            causes.push(StatusCause::invalid(path, &Value::from(kind), message));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (field, below) in properties.into_iter().flatten() {
        if let (Some(old), Some(new)) = (old.get(field), new.get(field)) {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            unchanged(below, old, new, &path, causes);
        }
    }
}
