//! The difference between two JSON values, as JSON.
//!
//! - Two objects: an object with the members that differ. `"-"` lists the
//!   removed members.
//! - Two lists of one length: `{"#": {"2": …}}` with the indices that differ.
//! - Everything else: the new value. An object is wrapped in `{"=": …}`, so that
//!   it is not taken for one of the above.
//!
//! A member whose name begins with one of these signs gets a `=` in front.

use serde_json::{Map, Value, json};

const WHOLE: &str = "=";
const GONE: &str = "-";
const PLACES: &str = "#";

/// The difference that turns `base` into `value`; `None` if they are equal.
pub(super) fn between(base: &Value, value: &Value) -> Option<Value> {
    if base == value {
        return None;
    }
    let delta = match (base, value) {
        (Value::Object(base), Value::Object(value)) => between_objects(base, value),
        (Value::Array(base), Value::Array(value)) if base.len() == value.len() => {
            between_lists(base, value)
        }
        _ => None,
    };
    Some(delta.unwrap_or_else(|| whole(value)))
}

fn whole(value: &Value) -> Value {
    if value.is_object() { json!({ WHOLE: value }) } else { value.clone() }
}

fn escaped(key: &str) -> String {
    let is_sign = [WHOLE, GONE, PLACES].iter().any(|sign| key.starts_with(sign));
    if is_sign { format!("{WHOLE}{key}") } else { key.to_owned() }
}

fn unescaped(key: String) -> String {
    key.strip_prefix(WHOLE).map(str::to_owned).unwrap_or(key)
}

fn between_objects(base: &Map<String, Value>, value: &Map<String, Value>) -> Option<Value> {
    let kept = value.keys().filter(|key| base.contains_key(*key)).count();
    // A map with other keys is shorter as a whole.
    if kept == 0 && !base.is_empty() {
        return None;
    }
    let mut delta = Map::new();
    for (key, value) in value {
        let changed = match base.get(key) {
            Some(base) => between(base, value),
            None => Some(whole(value)),
        };
        delta.extend(changed.map(|changed| (escaped(key), changed)));
    }
    let removed: Vec<&String> = base.keys().filter(|key| !value.contains_key(*key)).collect();
    if !removed.is_empty() {
        delta.insert(GONE.to_owned(), json!(removed));
    }
    Some(Value::Object(delta))
}

fn between_lists(base: &[Value], value: &[Value]) -> Option<Value> {
    let mut positions = Map::new();
    for (place, (base, value)) in base.iter().zip(value).enumerate() {
        positions.extend(between(base, value).map(|changed| (place.to_string(), changed)));
    }
    // If all elements differ, the list is shorter as a whole.
    (positions.len() < value.len() || value.iter().any(Value::is_object))
        .then(|| json!({ PLACES: positions }))
}

/// Makes the value again; `None` where the delta does not fit the base.
pub(super) fn apply(base: Value, delta: Value) -> Option<Value> {
    let Value::Object(mut delta) = delta else { return Some(delta) };
    if let Some(whole) = delta.remove(WHOLE) {
        return Some(whole);
    }
    match (base, delta.remove(PLACES)) {
        (Value::Array(mut list), Some(Value::Object(positions))) => {
            for (place, changed) in positions {
                let value = list.get_mut(place.parse::<usize>().ok()?)?;
                *value = apply(value.take(), changed)?;
            }
            Some(Value::Array(list))
        }
        (Value::Object(mut object), None) => {
            if let Some(removed) = delta.remove(GONE) {
                for key in removed.as_array()? {
                    object.remove(key.as_str()?)?;
                }
            }
            for (key, changed) in delta {
                let key = unescaped(key);
                let base = object.remove(&key).unwrap_or(Value::Null);
                object.insert(key, apply(base, changed)?);
            }
            Some(Value::Object(object))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3_i64).prop_map(Value::from),
            "[a-b]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let key = prop_oneof!["[a-c]", "[=#-]{1,2}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_delta_transforms_any_value_into_any_other(base in values(), value in values()) {
            let made = match between(&base, &value) {
                Some(delta) => apply(base, delta),
                None => Some(base),
            };
            prop_assert_eq!(made, Some(value));
        }
    }

    #[test]
    fn only_differences_are_written() {
        let base = json!({"a": 1, "b": {"c": [1, 2, 3], "d": 4}, "gone": true});
        let value = json!({"a": 1, "b": {"c": [1, 5, 3], "d": 4}, "new": {"e": 6}});
        let delta = json!({"b": {"c": {"#": {"1": 5}}}, "new": {"=": {"e": 6}}, "-": ["gone"]});
        assert_eq!(between(&base, &value), Some(delta));
    }

    #[test]
    fn special_characters_in_names_are_escaped() {
        let (base, value) = (json!({"=": {"a": 1, "b": 2}}), json!({"=": {"a": 3, "b": 2}}));
        assert_eq!(between(&base, &value), Some(json!({"==": {"a": 3}})));
    }

    #[test]
    fn a_delta_of_another_value_is_refused() {
        for (base, delta) in [
            (json!([1]), json!({"#": {"1": 2}})),
            (json!([1]), json!({"a": 2})),
            (json!({"a": 1}), json!({"#": {"0": 2}})),
            (json!({"a": 1}), json!({"-": ["b"]})),
        ] {
            assert_eq!(apply(base, delta.clone()), None, "{delta}");
        }
    }
}
