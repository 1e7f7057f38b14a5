//! The differences within one field: items of lists by key, and texts around the change.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::plan::diff::FieldChange;

/// Members by which items of a list are known, the best first.
const KEYS: [&str; 6] = ["name", "id", "key", "mountPath", "containerPort", "port"];

/// Characters that are shown before the first difference of two long texts.
const MAX_CONTEXT: usize = 24;

/// A part of a field that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// The way to it, as in `containers[router].image`.
    pub(super) path: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// The parts of a field that differ; the field itself if it cannot be taken apart.
pub(super) fn parts(field: &FieldChange) -> Vec<Part> {
    let mut found = Vec::new();
    let (before, after) = (field.before.as_ref(), field.after.as_ref());
    compare(field.path.to_string(), before, after, &mut found);
    found
}

fn compare(path: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<Part>) {
    if before == after {
        return;
    }
    match (before, after) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                let is_plain = !name.contains(['.', '/', ':']);
                let path =
                    if is_plain { format!("{path}.{name}") } else { format!("{path}[{name}]") };
                compare(path, old.get(name), new.get(name), found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new))) if key_of(old, new).is_some() => {
            compare_items(&path, old, new, found);
        }
        _ => found.push(Part { path, before: before.cloned(), after: after.cloned() }),
    }
}

/// Items by key; one part for the whole list where only their order differs.
fn compare_items(path: &str, old: &[Value], new: &[Value], found: &mut Vec<Part>) {
    let Some(key) = key_of(old, new) else { return };
    let item = |list: &'_ [Value], of: &str| {
        list.iter().position(|item| text(item.get(key)).as_deref() == Some(of))
    };
    let count = found.len();
    let names: BTreeSet<String> =
        old.iter().chain(new).filter_map(|item| text(item.get(key))).collect();
    for name in names {
        let (before, after) = (item(old, &name), item(new, &name));
        let before = before.and_then(|at| old.get(at));
        let after = after.and_then(|at| new.get(at));
        compare(format!("{path}[{name}]"), before, after, found);
    }
    if found.len() == count {
        let order = |list: &[Value]| {
            Some(Value::Array(list.iter().filter_map(|item| item.get(key).cloned()).collect()))
        };
        let path = format!("{path} (order)");
        found.push(Part { path, before: order(old), after: order(new) });
    }
}

/// The member by which the items of both lists are known: every item has one, and no
/// two of a list the same.
fn key_of(old: &[Value], new: &[Value]) -> Option<&'static str> {
    let is_known_by = |list: &[Value], key: &str| {
        let names: Option<BTreeSet<String>> = list.iter().map(|item| text(item.get(key))).collect();
        names.is_some_and(|names| names.len() == list.len())
    };
    let keys = KEYS.into_iter().filter(|_| !(old.is_empty() && new.is_empty()));
    keys.into_iter().find(|key| is_known_by(old, key) && is_known_by(new, key))
}

fn text(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Two long texts, truncated around their difference.
pub(super) fn around(old: &str, new: &str, width: usize) -> (String, String) {
    let (one, other): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    if one.len().max(other.len()) <= width {
        return (old.to_owned(), new.to_owned());
    }
    let alike = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let behind = one.iter().rev().zip(other.iter().rev());
    let behind = behind.take_while(|(one, other)| one == other).count();
    let behind = behind.min(one.len().min(other.len()) - alike);
    let changed = one.len().max(other.len()) - alike - behind;
    // Context in front, but no more than leaves room for the change.
    let context = MAX_CONTEXT.min(width.saturating_sub(changed + 2)).max(1);
    let start = alike.saturating_sub(context);
    // The last segment of an id in full, where it fits.
    let segment = one.get(start..alike).and_then(|context| {
        context.iter().rposition(|character| *character == '/').map(|at| start + at)
    });
    let start = segment.filter(|at| *at > 0).unwrap_or(start);
    (window(&one, start, width), window(&other, start, width))
}

/// A part of a text, with an ellipsis where something is left out.
fn window(text: &[char], start: usize, width: usize) -> String {
    let mut displayed = String::new();
    if start > 0 {
        displayed.push('…');
    }
    let room = width.saturating_sub(usize::from(start > 0));
    let rest = text.get(start..).unwrap_or_default();
    if rest.len() <= room {
        displayed.extend(rest);
    } else {
        displayed.extend(rest.iter().take(room.saturating_sub(1)));
        displayed.push('…');
    }
    displayed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::diff::FieldPath;

    fn parts_of(before: Value, after: Value) -> Vec<(String, Option<Value>, Option<Value>)> {
        let field = FieldChange {
            path: FieldPath(vec!["spec".to_owned(), "containers".to_owned()]),
            before: Some(before),
            after: Some(after),
            pending: false,
            forces_replacement: false,
        };
        parts(&field).into_iter().map(|part| (part.path, part.before, part.after)).collect()
    }

    #[test]
    fn items_are_compared_by_key() {
        let old = json!([{"name": "a", "image": "x:1", "env": [{"name": "E", "value": "1"}]},
                         {"name": "gone"}]);
        let new = json!([{"name": "new"},
                         {"name": "a", "image": "x:2", "env": [{"name": "E", "value": "2"}]}]);
        assert_eq!(
            parts_of(old, new),
            [
                ("spec.containers[a].env[E].value".to_owned(), Some(json!("1")), Some(json!("2"))),
                ("spec.containers[a].image".to_owned(), Some(json!("x:1")), Some(json!("x:2"))),
                ("spec.containers[gone]".to_owned(), Some(json!({"name": "gone"})), None),
                ("spec.containers[new]".to_owned(), None, Some(json!({"name": "new"}))),
            ]
        );
    }

    #[test]
    fn a_change_of_order_is_shown_as_one() {
        let (a, b) = (json!({"name": "a"}), json!({"name": "b"}));
        let found = parts_of(json!([a, b]), json!([b, a]));
        let expected = (
            "spec.containers (order)".to_owned(),
            Some(json!(["a", "b"])),
            Some(json!(["b", "a"])),
        );
        assert_eq!(found, [expected]);
    }

    #[test]
    fn items_without_a_unique_key_are_left_whole() {
        for (old, new) in [
            (json!([1]), json!([2])),
            (json!([{"name": "a"}, {"name": "a"}]), json!([])),
            (json!([{"x": 1}]), json!([{"x": 2}])),
        ] {
            let found = parts_of(old.clone(), new.clone());
            assert_eq!(found, [("spec.containers".to_owned(), Some(old), Some(new))]);
        }
    }

    #[test]
    fn long_texts_are_cut_around_the_change() {
        let front = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/mc_group";
        let (old, new) = around(
            &format!("{front}/providers/Microsoft.Network/routeTables/theirs"),
            &format!("{front}/providers/Microsoft.Network/routeTables/stargate-workers-rt"),
            60,
        );
        assert_eq!((old.as_str(), new.as_str()), ("…/theirs", "…/stargate-workers-rt"));
        assert_eq!(around("short", "shorter", 60), ("short".to_owned(), "shorter".to_owned()));
        let long = "x".repeat(200);
        for (old, new) in [
            (format!("{long}a{long}"), format!("{long}b{long}")),
            (format!("a{long}"), format!("b{long}")),
            (long.clone(), format!("{long}{long}")),
            (format!("{long}é"), format!("{long}ü")),
        ] {
            let (old, new) = around(&old, &new, 50);
            assert_ne!(old, new);
            assert!(old.chars().count() <= 50 && new.chars().count() <= 50, "{old}\n{new}");
        }
    }
}
