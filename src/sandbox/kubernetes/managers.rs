//! `metadata.managedFields`: which manager owns which fields.

use serde_json::{Value, json};

use super::compare::compare;
use super::definition::Definition;
use super::fields::FieldSet;
use super::path::Subresource;
use super::structure::Structure;
use super::value::{items, metadata, text};

/// How a manager set its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ManagerOperation {
    Apply,
    Update,
}

impl ManagerOperation {
    fn word(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: ManagerOperation,
    pub(super) subresource: String,
    pub(super) api_version: String,
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

impl Manager {
    fn read(entry: &Value) -> Option<Self> {
        let word = |field: &str| text(entry, &[field]).unwrap_or_default().to_owned();
        let operation = match text(entry, &["operation"])? {
            "Apply" => ManagerOperation::Apply,
            _ => ManagerOperation::Update,
        };
        Some(Self {
            name: word("manager"),
            operation,
            subresource: word("subresource"),
            api_version: word("apiVersion"),
            time: word("time"),
            fields: FieldSet::read(entry.get("fieldsV1")?),
        })
    }

    fn write(&self) -> Value {
        let mut entry = json!({
            "manager": self.name,
            "operation": self.operation.word(),
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields.write(),
        });
        if let (Value::Object(map), false) = (&mut entry, self.subresource.is_empty()) {
            map.insert("subresource".to_owned(), Value::from(self.subresource.as_str()));
        }
        entry
    }

    /// Whether both entries have the same manager, operation and subresource.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
    }

    /// The manager in the format of conflicts.
    pub(super) fn rendered(&self) -> String {
        let mut words = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            words.push_str(&format!(" with subresource {:?}", self.subresource));
        }
        if self.operation == ManagerOperation::Update {
            words.push_str(&format!(" using {}", self.api_version));
            if !self.time.is_empty() {
                words.push_str(&format!(" at {}", self.time));
            }
        }
        words
    }
}

/// The manager, time and endpoint of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) manager: &'a str,
    pub(super) subresource: Option<Subresource>,
    pub(super) now: &'a str,
}

impl Writer<'_> {
    pub(super) fn entry(&self, definition: &Definition, operation: ManagerOperation) -> Manager {
        Manager {
            name: self.manager.to_owned(),
            operation,
            subresource: self.subresource.map_or("", Subresource::word).to_owned(),
            api_version: definition.api_version(),
            time: self.now.to_owned(),
            fields: FieldSet::default(),
        }
    }
}

pub(super) fn read(object: &Value) -> Vec<Manager> {
    items(object, &["metadata", "managedFields"]).iter().filter_map(Manager::read).collect()
}

pub(super) fn write(object: &mut Value, managers: &[Manager]) {
    let entries: Vec<Value> =
        managers.iter().filter(|manager| !manager.fields.is_empty()).map(Manager::write).collect();
    if entries.is_empty() {
        metadata(object).remove("managedFields");
    } else {
        metadata(object).insert("managedFields".to_owned(), Value::Array(entries));
    }
}

/// Records a change from `old` to `new`: the writer owns the fields that it changed, and no manager
/// owns the fields that it removed.
pub(super) fn track_update(
    definition: &Definition,
    old: Option<&Value>,
    new: &mut Value,
    writer: &Writer<'_>,
) {
    let nothing = Value::Object(serde_json::Map::new());
    let comparison = compare(old.unwrap_or(&nothing), new, Structure::of(definition));
    let mut managers = old.map(read).unwrap_or_default();
    let own = writer.entry(definition, ManagerOperation::Update);
    for manager in &mut managers {
        manager.fields = manager.fields.difference(&comparison.removed);
        if !manager.is(&own) {
            manager.fields = manager.fields.difference(&comparison.changed);
        }
    }
    if !comparison.changed.is_empty() {
        let place = managers.iter().position(|manager| manager.is(&own));
        let mut entry = place.map_or(own.clone(), |place| managers.remove(place));
        entry.fields.union(&comparison.changed);
        entry.time = own.time;
        entry.api_version = own.api_version;
        managers.push(entry);
    }
    write(new, &managers);
}
