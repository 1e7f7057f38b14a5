//! Lines of JSON.

use std::io::Write;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::apply::events::{Event, Reporter};
use crate::plan::Plan;

use super::super::Purpose;
use super::super::plan_json::{self, FORMAT_VERSION};
use super::lock;

/// Writes a line of JSON for each event. The first line says which version of
/// the format follows; each line has a `type`.
#[derive(Debug)]
pub struct JsonReporter<W> {
    out: Mutex<W>,
}

impl<W: Write> JsonReporter<W> {
    /// A reporter onto a channel, which is stdout outside of tests. Writes the
    /// first line.
    pub fn new(out: W) -> Self {
        let reporter = Self { out: Mutex::new(out) };
        reporter.line(&json!({
            "type": "version",
            "format_version": FORMAT_VERSION,
            "stargate": env!("CARGO_PKG_VERSION"),
        }));
        reporter
    }

    /// Writes the plan of a round, which goes before its events.
    pub fn plan(&self, plan: &Plan, purpose: Purpose) {
        let plan = serde_json::to_value(plan_json::to_json(plan, purpose)).unwrap_or_default();
        self.line(&json!({ "type": "plan", "plan": plan }));
    }

    /// Writes the last line: how it ended, as an exit code.
    pub fn end(&self, exit_code: u8) {
        self.line(&json!({ "type": "end", "exit_code": exit_code }));
    }

    fn line(&self, line: &Value) {
        let mut out = lock(&self.out);
        // A reader that went away must not stop an apply that it had started.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }
}

impl<W: Write + Send> Reporter for JsonReporter<W> {
    fn event(&self, event: &Event) {
        self.line(&flat(event));
    }
}

/// An event on one level: `type` tells which, and an outcome's own fields
/// stand beside it.
fn flat(event: &Event) -> Value {
    let Ok(Value::Object(fields)) = serde_json::to_value(event) else { return Value::Null };
    let mut line = Map::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("event", value) => drop(line.insert("type".to_owned(), value)),
            ("outcome", Value::Object(outcome)) => line.extend(outcome),
            (_, value) => drop(line.insert(name, value)),
        }
    }
    Value::Object(line)
}
