//! The three patch formats without field ownership: merge, strategic merge and JSON patch.

use serde_json::{Map, Value};

use super::status::{StatusError, StatusReason};
use super::structure::{ListKind, Structure, element};

/// The media type of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchFormat {
    Merge,
    Strategic,
    Json,
    Apply,
}

impl PatchFormat {
    pub(super) fn parse(media: &str) -> Result<Self, StatusError> {
        match media.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/json-patch+json" => Ok(Self::Json),
            "application/apply-patch+yaml" | "application/apply-patch+json" => Ok(Self::Apply),
            other => Err(StatusError::new(
                StatusReason::UnsupportedMediaType,
                format!("the body of the request was in an unknown format: {other}"),
            )),
        }
    }
}

/// JSON merge patch, RFC 7386.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    let map = super::value::fields(target);
    for (field, change) in changes {
        if change.is_null() {
            map.remove(field);
        } else {
            merge(map.entry(field.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Strategic merge: like a merge patch, but lists with merge keys are merged item by item.
pub(super) fn strategic<'a>(
    target: &'a Value,
    patch: &'a Value,
    structure: Structure<'a>,
) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut result = match (directive(patch), target) {
        (Some("replace"), _) | (_, Value::Null) => Map::new(),
        (_, Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    if let Some(Value::Array(kept)) = changes.get("$retainKeys") {
        result.retain(|field, _| kept.iter().any(|name| name == field.as_str()));
    }
    for (field, change) in changes {
        if let Some(list) = field.strip_prefix("$deleteFromPrimitiveList/") {
            drop_scalars(result.get_mut(list), change);
        } else if field.starts_with('$') {
            // Directives about order and keys carry no value.
        } else if change.is_null() || directive(change) == Some("delete") {
            result.remove(field);
        } else {
            let earlier = target.get(field).unwrap_or(&Value::Null);
            let below = structure.field(field);
            let value = match (earlier, change) {
                (Value::Array(list), Value::Array(changes)) => strategic_list(list, changes, below),
                _ => strategic(earlier, change, below),
            };
            result.insert(field.clone(), value);
        }
    }
    Value::Object(result)
}

fn directive(value: &Value) -> Option<&str> {
    value.get("$patch").and_then(Value::as_str)
}

fn drop_scalars(list: Option<&mut Value>, removed: &Value) {
    if let (Some(Value::Array(list)), Value::Array(removed)) = (list, removed) {
        list.retain(|item| !removed.contains(item));
    }
}

fn strategic_list<'a>(list: &'a [Value], changes: &'a [Value], structure: Structure<'a>) -> Value {
    if changes.iter().any(|change| directive(change) == Some("replace")) {
        return changes.iter().filter(|change| directive(change).is_none()).cloned().collect();
    }
    let kind = structure.list_kind_of(&[list, changes]);
    if kind == ListKind::Atomic {
        return Value::Array(changes.to_vec());
    }
    let mut result = list.to_vec();
    for change in changes {
        let name = element(change, &kind);
        let place = list_position(&result, &name, &kind);
        match (place, directive(change)) {
            (Some(place), Some("delete")) => {
                result.remove(place);
            }
            (None, Some("delete")) => {}
            (Some(place), _) => {
                let earlier = list.iter().find(|item| element(item, &kind) == name);
                let merged = strategic(earlier.unwrap_or(&Value::Null), change, structure.item());
                if let Some(item) = result.get_mut(place) {
                    *item = merged;
                }
            }
            (None, _) => result.push(strategic(&Value::Null, change, structure.item())),
        }
    }
    Value::Array(result)
}

fn list_position(list: &[Value], name: &str, kind: &ListKind) -> Option<usize> {
    list.iter().position(|item| element(item, kind) == name)
}

/// JSON patch, RFC 6902.
pub(super) fn json(target: &mut Value, patch: &Value) -> Result<(), StatusError> {
    let operations = patch
        .as_array()
        .ok_or_else(|| StatusError::bad_request("a JSON patch is a list of operations"))?;
    operations.iter().try_for_each(|operation| step(target, operation))
}

fn step(target: &mut Value, operation: &Value) -> Result<(), StatusError> {
    let word = |field: &str| {
        operation
            .get(field)
            .and_then(Value::as_str)
            .ok_or_else(|| StatusError::bad_request(format!("a patch operation lacks {field:?}")))
    };
    let given = || operation.get("value").cloned().unwrap_or(Value::Null);
    let path = word("path")?;
    match word("op")? {
        "add" => add(target, path, given()),
        "remove" => remove(target, path).map(|_| ()),
        "replace" if path.is_empty() => add(target, path, given()),
        "replace" => {
            let place = target.pointer_mut(path).ok_or_else(|| missing("replace", path))?;
            *place = given();
            Ok(())
        }
        "move" => {
            let value = remove(target, word("from")?)?;
            add(target, path, value)
        }
        "copy" => {
            let from = word("from")?;
            let value = target.pointer(from).cloned().ok_or_else(|| missing("copy", from))?;
            add(target, path, value)
        }
        "test" if target.pointer(path) == Some(&given()) => Ok(()),
        "test" => Err(unprocessable(format!("testing value {path} failed"))),
        other => Err(StatusError::bad_request(format!("unknown patch operation {other:?}"))),
    }
}

fn unprocessable(detail: String) -> StatusError {
    StatusError::new(
        StatusReason::Invalid,
        format!("the server rejected our request due to an error in our request: {detail}"),
    )
}

fn missing(operation: &str, path: &str) -> StatusError {
    unprocessable(format!("{operation} operation does not apply: doc is missing path: {path}"))
}

/// The container and the unescaped last segment of a pointer.
fn split<'a>(
    target: &'a mut Value,
    path: &str,
    operation: &str,
) -> Result<(&'a mut Value, String), StatusError> {
    let (above, last) = path.rsplit_once('/').ok_or_else(|| missing(operation, path))?;
    let container = target.pointer_mut(above).ok_or_else(|| missing(operation, path))?;
    Ok((container, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), StatusError> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    match split(target, path, "add")? {
        (Value::Object(map), field) => {
            map.insert(field, value);
            Ok(())
        }
        (Value::Array(list), place) => {
            let place = if place == "-" { Some(list.len()) } else { place.parse().ok() };
            let place = place.filter(|&place| place <= list.len());
            list.insert(place.ok_or_else(|| missing("add", path))?, value);
            Ok(())
        }
        _ => Err(missing("add", path)),
    }
}

fn remove(target: &mut Value, path: &str) -> Result<Value, StatusError> {
    let removed = match split(target, path, "remove")? {
        (Value::Object(map), field) => map.remove(&field),
        (Value::Array(list), place) => {
            let place = place.parse().ok().filter(|&place: &usize| place < list.len());
            place.map(|place| list.remove(place))
        }
        _ => None,
    };
    removed.ok_or_else(|| missing("remove", path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_strategic_patch_merges_lists_by_key() {
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1"}, {"name": "b"}]}});
        let patch = json!({"spec": {
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}]}});
        let patched = strategic(&pod, &patch, Structure::Root(None));
        assert_eq!(patched, json!({"spec": {"containers": [{"name": "a", "image": "2"}]}}));
    }

    #[test]
    fn a_json_patch_tests_and_changes_values() {
        let mut object = json!({"a": {"b/c": [1, 2]}});
        let patch = json!([
            {"op": "test", "path": "/a/b~1c/0", "value": 1},
            {"op": "add", "path": "/a/b~1c/-", "value": 3},
            {"op": "remove", "path": "/a/b~1c/0"},
            {"op": "move", "from": "/a/b~1c", "path": "/d"},
            {"op": "replace", "path": "/d/0", "value": 9},
        ]);
        json(&mut object, &patch).unwrap();
        assert_eq!(object, json!({"a": {}, "d": [9, 3]}));
        for wrong in [
            json!([{"op": "remove", "path": "/none"}]),
            json!([{"op": "test", "path": "/d/0", "value": 8}]),
            json!([{"op": "add", "path": "/d/7", "value": 8}]),
        ] {
            assert!(json(&mut object, &wrong).is_err());
        }
    }

    #[test]
    fn a_null_in_a_merge_patch_removes_a_field() {
        let mut object = json!({"a": {"b": 1, "c": 2}});
        merge(&mut object, &json!({"a": {"b": null, "d": {"e": null}}}));
        assert_eq!(object, json!({"a": {"c": 2, "d": {}}}));
    }
}
