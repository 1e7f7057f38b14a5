//! Representations of objects: complete, metadata only, or table.

use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::definition::Definition;
use super::status::encode;
use super::table;
use super::value::{at, text};

/// The representation that the client accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum View {
    Complete,
    Metadata,
    /// A table, with the time that ages are computed for.
    Table(String),
}

/// The metadata of a list.
#[derive(Debug, Clone, Default)]
pub(super) struct ListMetadata {
    pub(super) resource_version: u64,
    pub(super) token: Option<String>,
    pub(super) remaining: Option<usize>,
}

impl ListMetadata {
    fn metadata(&self) -> Value {
        let mut map = Map::new();
        let version = Value::from(self.resource_version.to_string());
        map.insert("resourceVersion".to_owned(), version);
        if let Some(token) = &self.token {
            map.insert("continue".to_owned(), Value::from(token.as_str()));
        }
        if let Some(remaining) = self.remaining {
            map.insert("remainingItemCount".to_owned(), Value::from(remaining));
        }
        Value::Object(map)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: String,
    api_version: String,
    metadata: Value,
    items: &'a [&'a Value],
}

impl View {
    pub(super) fn of(headers: &HeaderMap, now: &str) -> Self {
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        // The first supported media type in the client's order of preference.
        for wish in accepted.unwrap_or_default().split(',') {
            if wish.contains("as=Table") && wish.contains("json") {
                return Self::Table(now.to_owned());
            }
            if wish.contains("as=PartialObjectMetadata") && wish.contains("json") {
                return Self::Metadata;
            }
            if wish.trim() == "application/json" {
                break;
            }
        }
        Self::Complete
    }

    /// Renders one object.
    pub(super) fn one(&self, definition: &Definition, object: &Value) -> Value {
        match self {
            Self::Complete => versioned(definition, object).unwrap_or_else(|| object.clone()),
            Self::Metadata => partial(object),
            Self::Table(now) => {
                let version = text(object, &["metadata", "resourceVersion"]).unwrap_or_default();
                let metadata = json!({"resourceVersion": version});
                table::render(definition, &[object], metadata, now)
            }
        }
    }

    /// Renders a list. Objects are serialised without copies, because lists may be large.
    pub(super) fn list(
        &self,
        definition: &Definition,
        objects: &[&Value],
        page: &ListMetadata,
    ) -> Bytes {
        match self {
            Self::Table(now) => encode(&table::render(definition, objects, page.metadata(), now)),
            Self::Metadata => encode(&json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": page.metadata(),
                "items": objects.iter().map(|object| partial(object)).collect::<Vec<_>>(),
            })),
            Self::Complete => {
                let moved: Option<Vec<Value>> =
                    objects.iter().map(|object| versioned(definition, object)).collect();
                let moved_references: Option<Vec<&Value>> =
                    moved.as_ref().map(|moved| moved.iter().collect());
                encode(&List {
                    kind: list_kind(definition),
                    api_version: definition.api_version(),
                    metadata: page.metadata(),
                    items: moved_references
                        .as_deref()
                        .filter(|moved| !moved.is_empty())
                        .unwrap_or(objects),
                })
            }
        }
    }
}

fn list_kind(definition: &Definition) -> String {
    format!("{}List", definition.kind)
}

/// The object in the requested version, if that differs from the stored one.
fn versioned(definition: &Definition, object: &Value) -> Option<Value> {
    let expected = definition.api_version();
    if text(object, &["apiVersion"]) == Some(expected.as_str()) {
        return None;
    }
    let mut object = object.clone();
    super::value::fields(&mut object).insert("apiVersion".to_owned(), Value::from(expected));
    Some(object)
}

pub(super) fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": at(object, &["metadata"]),
    })
}
