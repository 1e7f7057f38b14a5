//! Server-side apply: merges the configurations of several field managers.

use serde_json::{Map, Value};

use super::compare::{compare, owned, set_of};
use super::definition::Definition;
use super::fields::FieldSet;
use super::managers::{self, Manager, ManagerOperation, Writer};
use super::path::Subresource;
use super::status::{StatusCause, StatusError, StatusReason};
use super::structure::{ListKind, Structure, element};
use super::value::fields;

/// Applies a configuration to the live object, or creates the object.
pub(super) fn apply(
    definition: &Definition,
    live: Option<&Value>,
    mut config: Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, StatusError> {
    restrict(definition, writer.subresource, &mut config);
    let structure = Structure::of(definition);
    let nothing = Value::Object(Map::new());
    let base = live.unwrap_or(&nothing);
    let expected = owned(set_of(&config, structure));
    let mut managers = managers::read(base);
    let mut own = writer.entry(definition, ManagerOperation::Apply);
    let place = managers.iter().position(|manager| manager.is(&own));
    let previous = place.map(|place| managers.remove(place));

    let mut kept = expected.clone();
    for manager in &managers {
        kept.union(&manager.fields);
    }
    let merged = merge(base, &config, structure);
    let removed =
        previous.as_ref().map(|previous| previous.fields.difference(&kept)).unwrap_or_default();
    let mut result = prune(&merged, &removed, Some(&kept), structure).unwrap_or(merged);

    let comparison = compare(base, &result, structure);
    if live.is_some() && !force {
        check_conflicts(&managers, &comparison.changed)?;
    }
    for manager in &mut managers {
        manager.fields =
            manager.fields.difference(&comparison.changed).difference(&comparison.removed);
    }
    if let Some(previous) = previous
        && previous.fields == expected
        && comparison.changed.is_empty()
    {
        own.time = previous.time;
    }
    own.fields = expected;
    managers.insert(place.unwrap_or(managers.len()).min(managers.len()), own);
    managers::write(&mut result, &managers);
    Ok(result)
}

/// Keeps only the part of a configuration that its endpoint may write.
fn restrict(definition: &Definition, subresource: Option<Subresource>, config: &mut Value) {
    let map = fields(config);
    match subresource {
        Some(_) => map.retain(|field, _| {
            matches!(field.as_str(), "apiVersion" | "kind" | "metadata" | "status")
        }),
        None if definition.traits.status => {
            map.remove("status");
        }
        None => {}
    }
    let Some(Value::Object(metadata)) = map.get_mut("metadata") else { return };
    let outside = subresource.is_some();
    metadata.retain(|field, _| match field.as_str() {
        "labels" | "annotations" | "finalizers" | "ownerReferences" => !outside,
        "name" | "namespace" => true,
        _ => false,
    });
}

/// Merges a configuration into a live value.
fn merge<'a>(live: &'a Value, config: &'a Value, structure: Structure<'a>) -> Value {
    match (live, config) {
        (Value::Object(below), Value::Object(above)) if !structure.map_is_atomic() => {
            let mut result = below.clone();
            for (field, value) in above {
                let value = match below.get(field) {
                    Some(earlier) => merge(earlier, value, structure.field(field)),
                    None => value.clone(),
                };
                result.insert(field.clone(), value);
            }
            Value::Object(result)
        }
        (Value::Array(below), Value::Array(above)) => {
            match structure.list_kind_of(&[below, above]) {
                ListKind::Atomic => config.clone(),
                kind => Value::Array(merge_lists(below, above, &kind, structure)),
            }
        }
        _ => config.clone(),
    }
}

fn merge_lists<'a>(
    live: &'a [Value],
    config: &'a [Value],
    kind: &ListKind,
    structure: Structure<'a>,
) -> Vec<Value> {
    let same = |one: &Value, other: &Value| element(one, kind) == element(other, kind);
    let combine = |item: &'a Value| match live.iter().find(|it| same(it, item)) {
        Some(earlier) => merge(earlier, item, structure.item()),
        None => item.clone(),
    };
    let named = |item: &Value| config.iter().any(|it| same(it, item));
    // The configuration determines the order of its items. Items that only the live list has keep
    // their place among them.
    let mut rest = live;
    let mut result = Vec::with_capacity(live.len() + config.len());
    for (place, item) in config.iter().enumerate() {
        while let Some((first, after)) = rest.split_first() {
            match config.iter().position(|it| same(it, first)) {
                None => result.push(first.clone()),
                Some(expected) if expected >= place => break,
                Some(_) => {}
            }
            rest = after;
        }
        if rest.first().is_some_and(|first| same(first, item)) {
            rest = rest.get(1..).unwrap_or_default();
        }
        result.push(combine(item));
    }
    result.extend(rest.iter().filter(|it| !named(it)).cloned());
    result
}

/// Removes fields that the manager no longer applies and no other manager owns. Returns `None` if
/// nothing is left.
fn prune<'a>(
    value: &'a Value,
    removed: &FieldSet,
    kept: Option<&FieldSet>,
    structure: Structure<'a>,
) -> Option<Value> {
    let held = kept.is_some_and(|kept| !kept.is_empty());
    if removed.member && !held {
        return None;
    }
    let below = |element: &str| kept.and_then(|kept| kept.children.get(element));
    match value {
        Value::Object(map) => {
            let mut result = Map::new();
            for (field, child) in map {
                let name = format!("f:{field}");
                let rest = match removed.children.get(&name) {
                    Some(removed) => prune(child, removed, below(&name), structure.field(field)),
                    None => Some(child.clone()),
                };
                if let Some(rest) = rest {
                    result.insert(field.clone(), rest);
                }
            }
            (held || !result.is_empty() || map.is_empty()).then_some(Value::Object(result))
        }
        Value::Array(list) => {
            let kind = structure.list_kind_of(&[list]);
            let rest: Vec<Value> = list
                .iter()
                .filter_map(|item| {
                    let name = element(item, &kind);
                    match removed.children.get(&name) {
                        Some(removed) => prune(item, removed, below(&name), structure.item()),
                        None => Some(item.clone()),
                    }
                })
                .collect();
            (held || !rest.is_empty()).then_some(Value::Array(rest))
        }
        scalar => Some(scalar.clone()),
    }
}

fn check_conflicts(managers: &[Manager], changed: &FieldSet) -> Result<(), StatusError> {
    let mut causes = Vec::new();
    let mut sentences = Vec::new();
    for manager in managers {
        let paths = manager.fields.intersection(changed).paths();
        let sentence = format!("conflict with {}", manager.rendered());
        for path in &paths {
            causes.push(StatusCause::new("FieldManagerConflict", path, sentence.clone()));
        }
        match paths.as_slice() {
            [] => {}
            [only] => sentences.push(format!("{sentence}: {only}")),
            several => {
                let lines = several.join("\n- ");
                sentences.push(format!("conflicts with {}:\n- {lines}", manager.rendered()));
            }
        }
    }
    if causes.is_empty() {
        return Ok(());
    }
    let plural = if causes.len() == 1 { "" } else { "s" };
    let message =
        format!("Apply failed with {} conflict{plural}: {}", causes.len(), sentences.join("\n"));
    Err(StatusError::new(StatusReason::Conflict, message).with_causes(&causes))
}
