//! Small steps on JSON bodies.

use serde_json::{Map, Value};

/// The text at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// The elements at a pointer; none where there is no array.
pub(super) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The elements at a pointer, to change them.
pub(super) fn items_mut<'a>(value: &'a mut Value, pointer: &str) -> &'a mut [Value] {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// The member of an object, null where it was absent; what was no object becomes one.
pub(super) fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    &mut value[name]
}

/// Sets the value at a path, making the objects on the way.
pub(super) fn set(value: &mut Value, path: &[&str], new: Value) {
    let mut place = value;
    for segment in path {
        place = member(place, segment);
    }
    *place = new;
}

/// Sets the value at a path unless there is one.
pub(super) fn fill(value: &mut Value, path: &[&str], new: Value) {
    let mut place = value;
    for segment in path {
        place = member(place, segment);
    }
    if place.is_null() {
        *place = new;
    }
}

/// Takes the value at a path away.
pub(super) fn take(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, front) = path.split_last()?;
    let mut place = value;
    for segment in front {
        place = place.get_mut(*segment)?;
    }
    place.as_object_mut()?.remove(*last)
}

/// Carries the value at a path over from an older body.
pub(super) fn carry(value: &mut Value, old: Option<&Value>, path: &[&str]) {
    let pointer = format!("/{}", path.join("/"));
    if let Some(kept) = old.and_then(|old| old.pointer(&pointer)) {
        fill(value, path, kept.clone());
    }
}

/// Azure reads a member that is null as one that is absent.
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

/// Lays a patch over a body: members of objects one by one, all else as a whole.
pub(super) fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(members) = patch else {
        *value = patch.clone();
        return;
    };
    for (name, patched) in members {
        merge(member(value, name), patched);
    }
}
