//! Tables: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definition::{APPS, CERTIFICATES, CORE, Definition};
use super::value::{at, items, name, text};
use super::view::partial;

/// How a cell is made from an object.
#[derive(Debug, Clone)]
enum Cell {
    Name,
    Age,
    /// A dotted path, as CRDs give it.
    Path(String),
    With(fn(&Value) -> Value),
}

struct Column {
    title: String,
    kind: String,
    cell: Cell,
    priority: u64,
}

fn column(title: &str, cell: Cell) -> Column {
    Column { title: title.to_owned(), kind: "string".to_owned(), cell, priority: 0 }
}

fn path(title: &str, path: &str) -> Column {
    column(title, Cell::Path(path.to_owned()))
}

fn columns(definition: &Definition) -> Vec<Column> {
    let mut columns = vec![column("Name", Cell::Name)];
    if let Some(version) = definition.custom_version() {
        let printed = items(version, &["additionalPrinterColumns"]);
        columns.extend(printed.iter().map(printed_column));
        if !printed.is_empty() {
            return columns;
        }
    }
    match (definition.group.as_str(), definition.plural.as_str()) {
        (CORE, "nodes") => {
            columns.push(column("Status", Cell::With(node_status)));
            columns.push(column("Roles", Cell::With(node_roles)));
            columns.push(column("Age", Cell::Age));
            columns.push(path("Version", ".status.nodeInfo.kubeletVersion"));
            return columns;
        }
        (CORE, "namespaces" | "pods") => columns.push(path("Status", ".status.phase")),
        (CORE, "services") => {
            columns.push(path("Type", ".spec.type"));
            columns.push(path("Cluster-IP", ".spec.clusterIP"));
        }
        (CORE, "secrets") => columns.push(path("Type", ".type")),
        (APPS, "daemonsets") => {
            columns.push(path("Desired", ".status.desiredNumberScheduled"));
            columns.push(path("Ready", ".status.numberReady"));
        }
        (CERTIFICATES, _) => {
            columns.push(path("SignerName", ".spec.signerName"));
            columns.push(path("Requestor", ".spec.username"));
            columns.push(column("Condition", Cell::With(request_condition)));
        }
        _ => {}
    }
    columns.push(column("Age", Cell::Age));
    columns
}

fn printed_column(described: &Value) -> Column {
    let word = |field: &str| text(described, &[field]).unwrap_or_default().to_owned();
    Column {
        title: word("name"),
        kind: word("type"),
        cell: Cell::Path(word("jsonPath")),
        priority: described.get("priority").and_then(Value::as_u64).unwrap_or_default(),
    }
}

fn node_status(node: &Value) -> Value {
    let ready = items(node, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == Some("Ready"))
        .and_then(|condition| text(condition, &["status"]));
    let mut words = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, &["spec", "unschedulable"]) == Some(&Value::Bool(true)) {
        words.push_str(",SchedulingDisabled");
    }
    Value::from(words)
}

fn node_roles(node: &Value) -> Value {
    let labels = at(node, &["metadata", "labels"]).and_then(Value::as_object);
    let roles: Vec<&str> = labels
        .into_iter()
        .flat_map(|labels| labels.keys())
        .filter_map(|label| label.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    Value::from(if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") })
}

fn request_condition(request: &Value) -> Value {
    let mut words: Vec<&str> = items(request, &["status", "conditions"])
        .iter()
        .filter_map(|condition| text(condition, &["type"]))
        .collect();
    if at(request, &["status", "certificate"]).is_some() {
        words.push("Issued");
    }
    Value::from(if words.is_empty() { "Pending".to_owned() } else { words.join(",") })
}

/// The largest two units, as kubectl writes ages.
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
    path.split('.').filter(|part| !part.is_empty()).try_fold(object, |here, part| {
        match part.trim_end_matches(']').split_once('[') {
            Some((field, place)) => here.get(field)?.get(place.parse::<usize>().ok()?),
            None => here.get(part),
        }
    })
}

fn cell(column: &Column, object: &Value, now: &str) -> Value {
    let aged = |since: Option<&str>| {
        let unknown = || "<unknown>".to_owned();
        Value::from(since.and_then(|since| age(since, now)).unwrap_or_else(unknown))
    };
    match &column.cell {
        Cell::Name => Value::from(name(object)),
        Cell::Age => aged(text(object, &["metadata", "creationTimestamp"])),
        Cell::Path(path) if column.kind == "date" => {
            aged(follow(object, path).and_then(Value::as_str))
        }
        Cell::Path(path) => match follow(object, path) {
            Some(Value::Object(_) | Value::Array(_)) | None => Value::Null,
            Some(value) if column.kind == "string" && !value.is_string() => {
                Value::from(value.to_string())
            }
            Some(value) => value.clone(),
        },
        Cell::With(make) => make(object),
    }
}

/// The table of some objects.
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
            let format = if matches!(column.cell, Cell::Name) { "name" } else { "" };
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
    fn ages_are_short() {
        let born = "2026-01-01T00:00:00Z";
        let shown = |now: &str| age(born, now).unwrap();
        assert_eq!(shown("2026-01-01T00:01:30Z"), "90s");
        assert_eq!(shown("2026-01-01T00:05:30Z"), "5m30s");
        assert_eq!(shown("2026-01-01T05:00:00Z"), "5h");
        assert_eq!(shown("2026-01-04T03:00:00Z"), "3d3h");
    }
}
