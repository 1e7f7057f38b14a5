//! Edits of a topology's text, each by the path of a value.

use toml::{Table, Value};

/// The topology that the cases edit.
pub(super) const BASE: &str = include_str!("base.toml");

/// One assignment: the path of a value such as `datacenters.cloud.workers[0].ip`, and the
/// value in TOML. An empty text removes the value, and `@path` moves it from another path.
pub(super) type Assignment = (&'static str, &'static str);

/// The text of a topology with these assignments.
pub(super) fn edited(text: &str, assignments: &[Assignment]) -> String {
    let mut document: Value = toml::from_str(text).unwrap();
    for (path, value) in assignments {
        let value = match value.strip_prefix('@') {
            Some(from) => Some(take(&mut document, &steps(from))),
            None => parsed(value),
        };
        assign(&mut document, &steps(path), value);
    }
    toml::to_string(&document).unwrap()
}

/// A step of a path: the key of a table, or the index of an array.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, index) = part.split_once('[').map_or((part, None), |(key, rest)| {
            (key, Some(rest.trim_end_matches(']').parse().unwrap()))
        });
        steps.push(Step::Key(key));
        steps.extend(index.map(Step::Index));
    }
    steps
}

fn parsed(text: &str) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let table: Table = toml::from_str(&format!("value = {text}")).unwrap();
    table.get("value").cloned()
}

/// The table or array that holds the last step of a path; missing tables are added.
fn holder<'v>(document: &'v mut Value, path: &[Step<'_>]) -> &'v mut Value {
    path.iter().fold(document, |at, step| match step {
        Step::Key(key) => {
            let table = at.as_table_mut().unwrap();
            table.entry(unquoted(key)).or_insert_with(|| Value::Table(Table::new()))
        }
        Step::Index(index) => &mut at.as_array_mut().unwrap()[*index],
    })
}

fn take(document: &mut Value, path: &[Step<'_>]) -> Value {
    let (last, rest) = path.split_last().unwrap();
    let at = holder(document, rest);
    match last {
        Step::Key(key) => at.as_table_mut().unwrap().remove(&unquoted(key)).unwrap(),
        Step::Index(index) => at.as_array_mut().unwrap().remove(*index),
    }
}

fn assign(document: &mut Value, path: &[Step<'_>], value: Option<Value>) {
    let Some(value) = value else {
        take(document, path);
        return;
    };
    let (last, rest) = path.split_last().unwrap();
    let at = holder(document, rest);
    match last {
        Step::Key(key) => {
            at.as_table_mut().unwrap().insert(unquoted(key), value);
        }
        Step::Index(index) => {
            let items = at.as_array_mut().unwrap();
            match items.get_mut(*index) {
                Some(item) => *item = value,
                None => items.push(value),
            }
        }
    }
}

/// A key with dots is written with `|` in their place.
fn unquoted(key: &str) -> String {
    key.replace('|', ".")
}
