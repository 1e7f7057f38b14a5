//! The text form of a field's value.

use serde_json::Value;

/// Placeholder for a pending value.
pub(super) const KNOWN_AFTER_APPLY: &str = "(known after apply)";

/// Placeholder for an absent value.
pub(super) const NONE: &str = "(none)";

/// The value on one line: strings in quotes, lists in brackets, placeholders
/// for pending and unobserved values.
pub(super) fn one_line(value: Option<&Value>) -> String {
    let Some(value) = value else { return NONE.to_owned() };
    match value {
        Value::Null => NONE.to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| one_line(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.contains_key("$after") => KNOWN_AFTER_APPLY.to_owned(),
        Value::Object(map) if map.contains_key("$unobserved") => "(not observed)".to_owned(),
        Value::Object(map) => {
            let entry = |(key, value)| format!("{key}: {}", one_line(Some(value)));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        // The JSON form escapes control characters.
        other => other.to_string(),
    }
}
