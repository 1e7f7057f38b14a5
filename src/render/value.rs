//! How one value of a field is written.

use serde_json::Value;

/// Stands for a value that another resource brings.
pub(super) const KNOWN_AFTER_APPLY: &str = "(known after apply)";

/// Stands for a value that is not there.
pub(super) const NONE: &str = "(none)";

/// The value on one line: texts in quotes, lists in brackets, and words for
/// what is not known.
pub(super) fn one_line(value: Option<&Value>) -> String {
    let Some(value) = value else { return NONE.to_owned() };
    match value {
        Value::Null => NONE.to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| one_line(Some(item))).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.contains_key("$after") => KNOWN_AFTER_APPLY.to_owned(),
        Value::Object(map) if map.contains_key("$unobserved") => "(not looked at)".to_owned(),
        Value::Object(map) => {
            let entry = |(key, value)| format!("{key}: {}", one_line(Some(value)));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        // Escapes of control characters come with the JSON form, so that no
        // value can play tricks on a terminal.
        other => other.to_string(),
    }
}
