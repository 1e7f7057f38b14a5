//! Computes the fields of an object and the differences between two objects.

use serde_json::Value;

use super::fields::FieldSet;
use super::structure::{ListKind, Structure, element};

/// The fields that a value sets.
pub(super) fn set_of<'a>(value: &'a Value, structure: Structure<'a>) -> FieldSet {
    let mut set = FieldSet::default();
    match value {
        Value::Object(map) if !map.is_empty() && !structure.map_is_atomic() => {
            for (field, below) in map {
                set.insert(format!("f:{field}"), set_of(below, structure.field(field)));
            }
        }
        Value::Array(list) if !list.is_empty() => match structure.list_kind_of(&[list]) {
            ListKind::Atomic => return FieldSet::leaf(),
            kind => {
                for item in list {
                    let mut below = set_of(item, structure.item());
                    below.member = true;
                    set.insert(element(item, &kind), below);
                }
            }
        },
        _ => return FieldSet::leaf(),
    }
    set
}

/// The fields that both have with different values.
fn modified<'a>(old: &'a Value, new: &'a Value, structure: Structure<'a>) -> FieldSet {
    let mut set = FieldSet::default();
    if old == new {
        return set;
    }
    match (old, new) {
        (Value::Object(before), Value::Object(after)) if !structure.map_is_atomic() => {
            for (field, value) in after {
                if let Some(earlier) = before.get(field) {
                    set.insert(
                        format!("f:{field}"),
                        modified(earlier, value, structure.field(field)),
                    );
                }
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            match structure.list_kind_of(&[before, after]) {
                ListKind::Atomic => return FieldSet::leaf(),
                ListKind::Set => {}
                ListKind::Keyed(keys) => {
                    let kind = ListKind::Keyed(keys);
                    for item in after {
                        let name = element(item, &kind);
                        if let Some(earlier) = before.iter().find(|it| element(it, &kind) == name) {
                            set.insert(name, modified(earlier, item, structure.item()));
                        }
                    }
                }
            }
        }
        _ => return FieldSet::leaf(),
    }
    set
}

/// The difference between two objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldComparison {
    /// Fields that were added or whose value changed.
    pub(super) changed: FieldSet,
    pub(super) removed: FieldSet,
}

/// Compares two objects, without the metadata that the server maintains.
pub(super) fn compare<'a>(
    old: &'a Value,
    new: &'a Value,
    structure: Structure<'a>,
) -> FieldComparison {
    let before = owned(set_of(old, structure));
    let after = owned(set_of(new, structure));
    let mut changed = after.difference(&before);
    changed.union(&owned(modified(old, new, structure)));
    FieldComparison { changed, removed: before.difference(&after) }
}

/// Removes the fields that no manager can own.
pub(super) fn owned(mut set: FieldSet) -> FieldSet {
    const SERVER: &[&str] = &[
        "f:name",
        "f:namespace",
        "f:generateName",
        "f:uid",
        "f:resourceVersion",
        "f:generation",
        "f:creationTimestamp",
        "f:deletionTimestamp",
        "f:deletionGracePeriodSeconds",
        "f:managedFields",
        "f:selfLink",
    ];
    set.member = false;
    set.remove(&["f:apiVersion"]);
    set.remove(&["f:kind"]);
    for field in SERVER {
        set.remove(&["f:metadata", field]);
    }
    if let Some(metadata) = set.children.get_mut("f:metadata") {
        metadata.member = false;
        if metadata.is_empty() {
            set.children.remove("f:metadata");
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_found_by_field_and_by_key() {
        let old = json!({"spec": {"a": 1, "b": 2, "containers": [{"name": "x", "image": "1"}]}});
        let new = json!({"spec": {"a": 1, "c": 3, "containers": [{"name": "x", "image": "2"}]}});
        let comparison = compare(&old, &new, Structure::Root(None));
        assert_eq!(comparison.changed.paths(), [".spec.c", ".spec.containers[name=\"x\"].image"]);
        assert_eq!(comparison.removed.paths(), [".spec.b"]);
    }
}
