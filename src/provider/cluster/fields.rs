//! The part of a live object that stargate's field manager owns.
//!
//! `metadata.managedFields` has the form `FieldsV1`: nested objects whose keys are
//! `f:<field>`, `k:<keys of a list's element>`, `v:<value of a set's element>`,
//! `i:<index>`, and `.` for the item itself.

use serde_json::{Map, Value, json};

use crate::resource::ownership::{FIELD_MANAGER, SITE_LABEL, TOPOLOGY_LABEL};

/// Selects the fields that stargate applied from a live object, without the
/// ownership labels, which stargate sets itself and no user requests.
pub(super) fn owned_body(object: &Value) -> Value {
    let mut body = json!({});
    let entries = object["metadata"]["managedFields"].as_array();
    for entry in entries.into_iter().flatten() {
        if entry["manager"] == FIELD_MANAGER
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().unwrap_or_default().is_empty()
        {
            body = pick(object, &entry["fieldsV1"]);
        }
    }
    remove_marks(&mut body);
    body
}

/// The applied fields, and the current values of desired fields: another manager may have
/// taken a field over, and its value is the difference.
pub(super) fn with_desired_fields(object: &Value, desired: &Value) -> Value {
    let mut body = owned_body(object);
    fill_in(&mut body, desired, object);
    body
}

fn fill_in(observed: &mut Value, desired: &Value, live: &Value) {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            let Some(observed) = observed.as_object_mut() else { return };
            for (name, desired) in desired {
                let Some(live) = live.get(name) else { continue };
                match observed.get_mut(name) {
                    Some(observed) => fill_in(observed, desired, live),
                    None => drop(observed.insert(name.clone(), part(desired, live))),
                }
            }
        }
        (Value::Array(desired), Value::Array(live)) => {
            let Some(observed) = observed.as_array_mut() else { return };
            for (observed, desired) in observed.iter_mut().zip(desired) {
                if let Some(live) = live.iter().find(|live| holds(live, observed)) {
                    fill_in(observed, desired, live);
                }
            }
        }
        _ => {}
    }
}

/// The part of a live value that a desired value covers.
fn part(desired: &Value, live: &Value) -> Value {
    match (desired, live) {
        // A value that is still pending is a scalar to be.
        (Value::Object(desired), Value::Object(live)) if !desired.contains_key("$after") => desired
            .iter()
            .filter_map(|(name, desired)| Some((name.clone(), part(desired, live.get(name)?))))
            .collect(),
        _ => live.clone(),
    }
}

fn holds(live: &Value, some: &Value) -> bool {
    match (live, some) {
        (Value::Object(live), Value::Object(some)) => {
            some.iter().all(|(name, some)| live.get(name).is_some_and(|live| holds(live, some)))
        }
        _ => live == some,
    }
}

fn pick(live: &Value, fields: &Value) -> Value {
    let Some(children) = fields.as_object().filter(|children| !children.is_empty()) else {
        return live.clone();
    };
    match live {
        Value::Object(object) => pick_object(object, children),
        Value::Array(items) => Value::Array(
            items.iter().enumerate().filter_map(|at| pick_item(at, children)).collect(),
        ),
        scalar => scalar.clone(),
    }
}

fn pick_object(object: &Map<String, Value>, children: &Map<String, Value>) -> Value {
    let mut picked = Map::new();
    for (key, fields) in children {
        if let Some(name) = key.strip_prefix("f:")
            && let Some(value) = object.get(name)
        {
            picked.insert(name.to_owned(), pick(value, fields));
        }
    }
    Value::Object(picked)
}

fn pick_item((index, item): (usize, &Value), children: &Map<String, Value>) -> Option<Value> {
    children.iter().find_map(|(key, fields)| {
        let (form, text) = key.split_once(':')?;
        let chosen = match form {
            "k" => has_keys(item, &serde_json::from_str(text).ok()?),
            "v" => *item == serde_json::from_str::<Value>(text).ok()?,
            "i" => text.parse() == Ok(index),
            _ => false,
        };
        chosen.then(|| pick(item, fields))
    })
}

fn has_keys(item: &Value, keys: &Map<String, Value>) -> bool {
    keys.iter().all(|(name, value)| item.get(name) == Some(value))
}

fn remove_marks(body: &mut Value) {
    let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let labels = metadata.get_mut("labels").and_then(Value::as_object_mut);
    let only_marks = labels.is_some_and(|labels| {
        labels.remove(TOPOLOGY_LABEL);
        labels.remove(SITE_LABEL);
        labels.is_empty()
    });
    if only_marks {
        metadata.remove("labels");
    }
    if metadata.is_empty()
        && let Some(object) = body.as_object_mut()
    {
        object.remove("metadata");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_picked_by_their_paths() {
        let live = json!({
            "labels": { "a": "1", "b": "2" },
            "ports": [
                { "port": 80, "protocol": "TCP", "name": "http" },
                { "port": 443, "protocol": "TCP", "name": "https" },
            ],
            "finalizers": ["one", "two"],
            "args": ["x", "y"],
            "atomic": [{ "a": 1 }],
            "empty": {},
        });
        for (name, fields, expected) in [
            ("a field", json!({"f:labels": {"f:a": {}}}), json!({"labels": {"a": "1"}})),
            ("a missing field", json!({"f:labels": {"f:c": {}}}), json!({"labels": {}})),
            (
                "an element by its keys",
                json!({"f:ports": {"k:{\"port\":443,\"protocol\":\"TCP\"}": {
                    ".": {}, "f:port": {}, "f:name": {},
                }}}),
                json!({"ports": [{"port": 443, "name": "https"}]}),
            ),
            (
                "an element of a set",
                json!({"f:finalizers": {"v:\"two\"": {}}}),
                json!({"finalizers": ["two"]}),
            ),
            ("an element by its place", json!({"f:args": {"i:0": {}}}), json!({"args": ["x"]})),
            ("an atomic list", json!({"f:atomic": {}}), json!({"atomic": [{"a": 1}]})),
            ("an empty object", json!({"f:empty": {}}), json!({"empty": {}})),
            (
                "the whole of an element",
                json!({"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {}}}),
                json!({"ports": [{"port": 80, "protocol": "TCP", "name": "http"}]}),
            ),
        ] {
            assert_eq!(pick(&live, &fields), expected, "{name}");
        }
    }

    fn object(manager: &str, operation: &str) -> Value {
        json!({
            "metadata": {
                "labels": { TOPOLOGY_LABEL: "demo", SITE_LABEL: "cluster" },
                "managedFields": [{
                    "manager": manager, "operation": operation,
                    "fieldsV1": {
                        "f:metadata": {"f:labels": {
                            "f:stargate.io/topology": {}, "f:stargate.io/site": {},
                        }},
                        "f:spec": {"f:a": {}},
                    },
                }],
            },
            "spec": { "a": 1, "defaulted": 2 },
        })
    }

    #[test]
    fn defaults_and_marks_are_left_out() {
        assert_eq!(owned_body(&object(FIELD_MANAGER, "Apply")), json!({ "spec": { "a": 1 } }));
    }

    #[test]
    fn fields_of_other_managers_are_ignored() {
        assert_eq!(owned_body(&object("kubectl", "Apply")), json!({}));
        assert_eq!(owned_body(&object(FIELD_MANAGER, "Update")), json!({}));
    }
}
