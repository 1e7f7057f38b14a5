//! Tables, as printed by `kubectl get`.

mod columns;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definition::Definition;
use super::representation::partial;
use super::value::{name, text};
use columns::{Column, ColumnValue, columns};

/// The age in its largest two units, in kubectl's format.
fn age(from: &str, now: &str) -> Option<String> {
    let (from, now): (Timestamp, Timestamp) = (from.parse().ok()?, now.parse().ok()?);
    let seconds = (now.as_second() - from.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    Some(match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        172_800..691_200 if hours % 24 > 0 => format!("{days}d{}h", hours % 24),
        _ => format!("{days}d"),
    })
}

fn follow<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let (mut here, mut rest) = (object, path);
    while !rest.is_empty() {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let (field, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        here = here.get(field)?;
        rest = after;
        if let Some((place, after)) = rest.strip_prefix('[').and_then(|it| it.split_once(']')) {
            (here, rest) = (element(here, place)?, after);
        }
    }
    Some(here)
}

/// An element of a list by its index, or by one field as in `?(@.type=="Ready")`.
fn element<'a>(list: &'a Value, place: &str) -> Option<&'a Value> {
    let filter = place.strip_prefix("?(@.").and_then(|it| it.strip_suffix(')'));
    let Some((field, value)) = filter.and_then(|it| it.split_once("==")) else {
        return list.get(place.parse::<usize>().ok()?);
    };
    let value = value.trim_matches('"');
    list.as_array()?.iter().find(|element| element[field] == value)
}

fn cell(column: &Column, object: &Value, now: &str) -> Value {
    let aged = |since: Option<&str>| {
        let unknown = || "<unknown>".to_owned();
        Value::from(since.and_then(|since| age(since, now)).unwrap_or_else(unknown))
    };
    match &column.cell {
        ColumnValue::Name => Value::from(name(object)),
        ColumnValue::Age => aged(text(object, &["metadata", "creationTimestamp"])),
        ColumnValue::Path(path) if column.kind == "date" => {
            aged(follow(object, path).and_then(Value::as_str))
        }
        ColumnValue::Path(path) => match follow(object, path) {
            Some(Value::Object(_) | Value::Array(_)) | None => Value::Null,
            Some(value) if column.kind == "string" && !value.is_string() => {
                Value::from(value.to_string())
            }
            Some(value) => value.clone(),
        },
        ColumnValue::With(make) => make(object),
    }
}

/// Renders objects as a table.
pub(super) fn render(
    definition: &Definition,
    objects: &[&Value],
    metadata: Value,
    now: &str,
) -> Value {
    let columns = columns(definition);
    let titles: Vec<Value> = columns
        .iter()
        .map(|column| {
            let format = if matches!(column.cell, ColumnValue::Name) { "name" } else { "" };
            json!({"name": column.title, "type": column.kind, "format": format,
                "description": "", "priority": column.priority})
        })
        .collect();
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let cells: Vec<Value> =
                columns.iter().map(|column| cell(column, object, now)).collect();
            json!({"cells": cells, "object": partial(object)})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": titles, "rows": rows})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_at_most_two_units() {
        let born = "2026-01-01T00:00:00Z";
        let rendered = |now: &str| age(born, now).unwrap();
        assert_eq!(rendered("2026-01-01T00:01:30Z"), "90s");
        assert_eq!(rendered("2026-01-01T00:05:30Z"), "5m30s");
        assert_eq!(rendered("2026-01-01T05:00:00Z"), "5h");
        assert_eq!(rendered("2026-01-04T03:00:00Z"), "3d3h");
    }
}
