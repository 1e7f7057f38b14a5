//! The one rule that stargate's own definitions have beside their schemas: that
//! a part of an object never changes once it is there.

use serde_json::Value;

use super::status::Cause;
use super::value::{items, text};

/// The rule, as a definition writes it.
const UNCHANGED: &str = "self == oldSelf";
/// Whatever is wrong in one of these ways keeps the rules from being looked at.
const BLOCKING: [&str; 5] = [
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
];

/// Checks the rules of a schema, or says that they were not checked: `causes`
/// are what is wrong with the object by its schema.
pub(super) fn check(schema: &Value, old: Option<&Value>, new: &Value, causes: &mut Vec<Cause>) {
    if !has_rules(schema) {
        return;
    }
    if causes.iter().any(|cause| BLOCKING.contains(&cause.reason)) {
        let told = "some validation rules were not checked because the object was invalid; \
                    correct the existing errors to complete validation";
        causes.push(Cause::invalid("<nil>", &Value::from("null"), told));
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

fn unchanged(schema: &Value, old: &Value, new: &Value, path: &str, causes: &mut Vec<Cause>) {
    for rule in items(schema, &["x-kubernetes-validations"]) {
        if text(rule, &["rule"]) == Some(UNCHANGED) && old != new {
            let told = text(rule, &["message"]).unwrap_or("failed rule: self == oldSelf");
            let kind = text(schema, &["type"]).unwrap_or_default();
            causes.push(Cause::invalid(path, &Value::from(kind), told));
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
