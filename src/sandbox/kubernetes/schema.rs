//! Structural schemas of CRDs: pruning, defaulting and validation.

use regex::Regex;
use serde_json::{Map, Value};

use super::status::StatusCause;
use super::value::{items, text};

fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).and_then(Value::as_bool) == Some(true)
}

/// Removes the fields that are not in the schema and returns their paths.
pub(super) fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Value::Object(map) = object {
        prune_map(schema, map, "", true, &mut unknown);
    }
    unknown
}

fn prune_map(
    schema: &Value,
    map: &mut Map<String, Value>,
    path: &str,
    root: bool,
    unknown: &mut Vec<String>,
) {
    let open = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let root = root || flag(schema, "x-kubernetes-embedded-resource");
    let properties = schema.get("properties");
    let additional = schema.get("additionalProperties");
    map.retain(|field, value| {
        if root && matches!(field.as_str(), "apiVersion" | "kind" | "metadata") {
            return true;
        }
        let here = join(path, field);
        match properties.and_then(|properties| properties.get(field)).or(additional) {
            Some(below) => prune_value(below, value, &here, unknown),
            None if open => {}
            None => {
                unknown.push(here);
                return false;
            }
        }
        true
    });
}

fn prune_value(schema: &Value, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) if schema.is_object() => prune_map(schema, map, path, false, unknown),
        Value::Array(list) => {
            if let Some(below) = schema.get("items") {
                for (place, item) in list.iter_mut().enumerate() {
                    prune_value(below, item, &format!("{path}[{place}]"), unknown);
                }
            }
        }
        _ => {}
    }
}

/// Sets the default values of a schema.
pub(super) fn default(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let properties = schema.get("properties").and_then(Value::as_object);
            for (field, below) in properties.into_iter().flatten() {
                let nullable = flag(below, "nullable");
                if let Some(given) = below.get("default")
                    && map.get(field).is_none_or(|value| value.is_null() && !nullable)
                {
                    map.insert(field.clone(), given.clone());
                }
                if let Some(value) = map.get_mut(field) {
                    default(below, value);
                }
            }
            if let Some(below) = schema.get("additionalProperties") {
                map.values_mut().for_each(|value| default(below, value));
            }
        }
        Value::Array(list) => {
            if let Some(below) = schema.get("items") {
                list.iter_mut().for_each(|item| default(below, item));
            }
        }
        _ => {}
    }
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Validates a value against a schema.
pub(super) fn validate(schema: &Value, value: &Value, path: &str, causes: &mut Vec<StatusCause>) {
    if value.is_null() && flag(schema, "nullable") {
        return;
    }
    if !check_type(schema, value, path, causes) {
        return;
    }
    check_enumeration(schema, value, path, causes);
    match value {
        Value::String(text) => check_text(schema, text, path, causes),
        Value::Number(_) => check_number(schema, value, path, causes),
        Value::Array(list) => check_list(schema, list, path, causes),
        Value::Object(map) => check_map(schema, map, path, causes),
        Value::Bool(_) | Value::Null => {}
    }
}

fn check_type(schema: &Value, value: &Value, path: &str, causes: &mut Vec<StatusCause>) -> bool {
    if flag(schema, "x-kubernetes-int-or-string") {
        return value.is_string() || value.is_i64() || value.is_u64();
    }
    let Some(expected) = text(schema, &["type"]) else { return true };
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let (found, fits) = match value {
        Value::Null => ("null", false),
        Value::Bool(_) => ("boolean", expected == "boolean"),
        Value::Number(_) if whole => ("integer", matches!(expected, "integer" | "number")),
        Value::Number(_) => ("number", expected == "number"),
        Value::String(_) => ("string", expected == "string"),
        Value::Array(_) => ("array", expected == "array"),
        Value::Object(_) => ("object", expected == "object"),
    };
    if !fits {
        let message = format!(
            "Invalid value: {found:?}: {path} in body must be of type {expected}: {found:?}"
        );
        causes.push(StatusCause::new("FieldValueTypeInvalid", path, message));
    }
    fits
}

fn check_enumeration(schema: &Value, value: &Value, path: &str, causes: &mut Vec<StatusCause>) {
    let allowed = items(schema, &["enum"]);
    if !allowed.is_empty() && !allowed.contains(value) {
        let words: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", words.join(", "));
        causes.push(StatusCause::new("FieldValueNotSupported", path, message));
    }
}

fn bound(schema: &Value, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok())
}

fn check_text(schema: &Value, value: &str, path: &str, causes: &mut Vec<StatusCause>) {
    let length = value.chars().count();
    let rendered = Value::from(value);
    let mut refuse = |detail: String| {
        causes.push(StatusCause::invalid(
            path,
            &rendered,
            &format!("{path} in body should {detail}"),
        ));
    };
    if let Some(least) = bound(schema, "minLength").filter(|&least| length < least) {
        refuse(format!("be at least {least} chars long"));
    }
    if let Some(pattern) = text(schema, &["pattern"])
        && !Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(value))
    {
        refuse(format!("match '{pattern}'"));
    }
    if let Some(most) = bound(schema, "maxLength").filter(|&most| length > most) {
        let message = format!("Too long: may not be more than {most} bytes");
        causes.push(StatusCause::new("FieldValueTooLong", path, message));
    }
    let is_time = text(schema, &["format"]) == Some("date-time");
    if is_time && value.parse::<jiff::Timestamp>().is_err() {
        let message = format!(
            "Invalid value: {rendered}: {path} in body must be of type date-time: {rendered}"
        );
        causes.push(StatusCause::new("FieldValueTypeInvalid", path, message));
    }
}

fn check_number(schema: &Value, value: &Value, path: &str, causes: &mut Vec<StatusCause>) {
    let number = value.as_f64().unwrap_or_default();
    let limit = |name: &str| schema.get(name).and_then(Value::as_f64);
    let mut refuse = |detail: String| {
        causes.push(StatusCause::invalid(
            path,
            value,
            &format!("{path} in body should be {detail}"),
        ));
    };
    if let Some(least) = limit("minimum").filter(|&least| number < least) {
        refuse(format!("greater than or equal to {least}"));
    }
    if let Some(most) = limit("maximum").filter(|&most| number > most) {
        refuse(format!("less than or equal to {most}"));
    }
}

fn check_list(schema: &Value, list: &[Value], path: &str, causes: &mut Vec<StatusCause>) {
    let length = Value::from(list.len());
    if let Some(least) = bound(schema, "minItems").filter(|&least| list.len() < least) {
        let detail = format!("{path} in body should have at least {least} items");
        causes.push(StatusCause::invalid(path, &length, &detail));
    }
    if let Some(most) = bound(schema, "maxItems").filter(|&most| list.len() > most) {
        let message = format!("Too many: {length}: must have at most {most} items");
        causes.push(StatusCause::new("FieldValueTooMany", path, message));
    }
    if let Some(below) = schema.get("items") {
        for (place, item) in list.iter().enumerate() {
            validate(below, item, &format!("{path}[{place}]"), causes);
        }
    }
    check_unique(schema, list, path, causes);
}

/// Checks that items of a set, and keys of a keyed list, are unique.
fn check_unique(schema: &Value, list: &[Value], path: &str, causes: &mut Vec<StatusCause>) {
    let identity = |item: &Value| match text(schema, &["x-kubernetes-list-type"]) {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = items(schema, &["x-kubernetes-list-map-keys"]).iter();
            let keys = keys.filter_map(Value::as_str);
            Some(keys.map(|key| (key.to_owned(), item[key].clone())).collect())
        }
        _ => None,
    };
    for (place, item) in list.iter().enumerate() {
        let Some(own) = identity(item) else { return };
        if list[..place].iter().any(|earlier| identity(earlier).as_ref() == Some(&own)) {
            let message = format!("Duplicate value: {own}");
            causes.push(StatusCause::new(
                "FieldValueDuplicate",
                &format!("{path}[{place}]"),
                message,
            ));
        }
    }
}

fn check_map(schema: &Value, map: &Map<String, Value>, path: &str, causes: &mut Vec<StatusCause>) {
    for field in items(schema, &["required"]).iter().filter_map(Value::as_str) {
        if !map.contains_key(field) {
            causes.push(StatusCause::required(&join(path, field), ""));
        }
    }
    for (field, value) in map {
        let known = schema.get("properties").and_then(|properties| properties.get(field));
        if let Some(below) = known.or_else(|| schema.get("additionalProperties"))
            && below.is_object()
        {
            validate(below, value, &join(path, field), causes);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn causes(value: &Value) -> Vec<String> {
        let schema = json!({"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
            "list": {"type": "array", "maxItems": 1, "items": {"type": "boolean"}},
        }});
        let mut causes = Vec::new();
        validate(&schema, value, "spec", &mut causes);
        causes.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn each_schema_rule_is_checked() {
        assert!(
            causes(&json!({"name": "ab", "size": 1, "kind": "a", "tags": {"x": "y"}})).is_empty()
        );
        assert_eq!(causes(&json!({})), ["spec.name"]);
        assert_eq!(causes(&json!({"name": "A"})), ["spec.name", "spec.name"]);
        assert_eq!(causes(&json!({"name": "ab", "size": 10})), ["spec.size"]);
        assert_eq!(causes(&json!({"name": "ab", "size": "1"})), ["spec.size"]);
        assert_eq!(causes(&json!({"name": "ab", "kind": "c"})), ["spec.kind"]);
        assert_eq!(causes(&json!({"name": "ab", "tags": {"x": 1}})), ["spec.tags.x"]);
        assert_eq!(
            causes(&json!({"name": "ab", "list": [true, 1]})),
            ["spec.list", "spec.list[1]"]
        );
    }

    #[test]
    fn unknown_fields_are_pruned_and_defaults_set() {
        let schema = json!({"type": "object", "properties": {"spec": {"type": "object",
            "properties": {"a": {"type": "integer", "default": 4},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}});
        let mut object = json!({"metadata": {"name": "x"}, "spec": {"b": 1, "open": {"any": 1}}});
        assert_eq!(prune(&schema, &mut object), ["spec.b"]);
        default(&schema, &mut object);
        assert_eq!(object["spec"], json!({"open": {"any": 1}, "a": 4}));
    }
}
