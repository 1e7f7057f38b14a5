//! Helpers for JSON bodies.

use serde_json::{Map, Value};

/// The string at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The elements of the array at a pointer; empty if there is no array.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The elements of the array at a pointer, mutable.
pub(super) fn items_mut<'a>(value: &'a mut Value, pointer: &str) -> &'a mut [Value] {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The member of an object, inserted as null if absent. A value that is not an object becomes one.
pub(super) fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    &mut value[name]
}

/// Sets the value at a path and creates the objects on the way.
pub(super) fn set(value: &mut Value, path: &[&str], new: Value) {
    let mut slot = value;
    for segment in path {
        slot = member(slot, segment);
    }
    *slot = new;
}

/// Sets the value at a path unless it has a value.
pub(super) fn fill(value: &mut Value, path: &[&str], new: Value) {
    let mut slot = value;
    for segment in path {
        slot = member(slot, segment);
    }
    if slot.is_null() {
        *slot = new;
    }
}

/// Removes and returns the value at a path.
pub(super) fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, front) = path.split_last()?;
    let mut slot = value;
    for segment in front {
        slot = slot.get_mut(*segment)?;
    }
    slot.as_object_mut()?.remove(*last)
}

/// Copies the value at a path from an older body.
pub(super) fn copy_from(value: &mut Value, old: Option<&Value>, path: &[&str]) {
    let pointer = format!("/{}", path.join("/"));
    if let Some(kept) = old.and_then(|old| old.pointer(&pointer)) {
        fill(value, path, kept.clone());
    }
}

/// Removes null members: Azure treats null as absent.
pub(super) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, member| !member.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Applies a merge patch: objects are merged member by member, other values are replaced.
pub(super) fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *value = patch.clone();
        return;
    };
    for (name, patched) in members {
        merge(member(value, name), patched);
    }
}

/// Whether two values are equal; texts are compared without regard to case.
pub(super) fn same_text(old: Option<&Value>, new: &Value) -> bool {
    match (old.and_then(Value::as_str), new.as_str()) {
        (Some(old), Some(new)) => old.eq_ignore_ascii_case(new),
        _ => old == Some(new),
    }
}
