//! Watches: changes since a version, as a stream of lines.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use super::definition::Definition;
use super::representation::View;
use super::selector::{FieldSelector, LabelSelector};
use super::status::{StatusError, StatusReason};
use super::store::{KubernetesStore, StoreChange};
use super::value::namespace;

/// After this many versions without an event, the watch sends a bookmark.
const BOOKMARK_INTERVAL: u64 = 512;

/// The type of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ChangeKind {
    /// The object exists now, or begins to match.
    Added,
    /// The object changed.
    Modified,
    /// The object was deleted, or no longer matches.
    Deleted,
}

/// One change of an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ObjectChange<'a> {
    /// The type of the change.
    pub kind: ChangeKind,
    /// The object after the change, or the last state of a deleted object.
    pub object: &'a Value,
    /// The version of the change.
    pub resource_version: u64,
}

/// The objects that a list or a watch selects.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) definition: Definition,
    pub(super) namespace: Option<String>,
    pub(super) labels: LabelSelector,
    pub(super) fields: FieldSelector,
}

impl Selection {
    pub(super) fn matches(&self, object: &Value) -> bool {
        let here = self.namespace.is_none() || self.namespace.as_deref() == namespace(object);
        here && self.labels.matches(object) && self.fields.matches(object)
    }

    fn translate<'a>(&self, change: &'a StoreChange) -> Option<ObjectChange<'a>> {
        let before = change.before.as_deref().is_some_and(|object| self.matches(object));
        let after = change.after.as_deref().is_some_and(|object| self.matches(object));
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => ChangeKind::Added,
            (true, true) => ChangeKind::Modified,
            (true, false) => ChangeKind::Deleted,
        };
        let resource_version = change.resource_version;
        Some(ObjectChange { kind, object: &change.emitted, resource_version })
    }
}

/// A running watch: the caller polls it and streams the lines.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    pub(super) selection: Selection,
    pub(super) view: View,
    /// All changes up to this version were sent; `None` if nothing was sent.
    pub(super) position: Option<u64>,
    /// The version of the last line.
    pub(super) last_sent: u64,
    pub(super) bookmarks: bool,
    pub(super) initial_bookmark: bool,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) finished: bool,
}

impl WatchRequest {
    /// The timeout that the client requested.
    #[must_use]
    pub fn timeout_seconds(&self) -> Option<u64> {
        self.timeout_seconds
    }

    /// Whether the last line was an error, after which the stream must be closed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    fn line(&self, kind: ChangeKind, object: &Value) -> Bytes {
        let definition = &self.selection.definition;
        line(&json!({"type": kind, "object": self.view.one(definition, object)}))
    }

    fn bookmark(&mut self, version: u64, initial: bool) -> Bytes {
        self.last_sent = version;
        let definition = &self.selection.definition;
        let mut metadata = json!({"resourceVersion": version.to_string()});
        if let (Value::Object(map), true) = (&mut metadata, initial) {
            let ended = json!({"k8s.io/initial-events-end": "true"});
            map.insert("annotations".to_owned(), ended);
        }
        line(&json!({"type": "BOOKMARK", "object": {
            "kind": definition.kind, "apiVersion": definition.api_version(), "metadata": metadata,
        }}))
    }
}

fn line(event: &Value) -> Bytes {
    let mut text = event.to_string();
    text.push('\n');
    Bytes::from(text)
}

impl KubernetesStore {
    /// The new lines since the last call; often none.
    pub fn watch_events(&self, request: &mut WatchRequest) -> Vec<Bytes> {
        if request.finished {
            return Vec::new();
        }
        let Some(position) = request.position else { return self.first_lines(request) };
        if position < self.horizon() {
            request.finished = true;
            let horizon = self.horizon();
            let message = format!("too old resource version: {position} ({horizon})");
            let status = StatusError::new(StatusReason::Expired, message).to_status();
            return vec![line(&json!({"type": "ERROR", "object": status}))];
        }
        let mut lines = Vec::new();
        let changes: Vec<_> = self.changes_after(position, &request.selection).collect();
        for change in changes {
            lines.push(request.line(change.kind, change.object));
            request.last_sent = change.resource_version;
        }
        request.position = Some(position.max(self.resource_version));
        if request.bookmarks && self.resource_version >= request.last_sent + BOOKMARK_INTERVAL {
            lines.push(request.bookmark(self.resource_version, false));
        }
        lines
    }

    /// Sends a bookmark with the current version, as a server does before it ends a watch.
    pub fn watch_bookmark(&self, request: &mut WatchRequest) -> Option<Bytes> {
        let due = request.bookmarks && !request.finished;
        let position = request.position.filter(|&position| due && position > request.last_sent)?;
        Some(request.bookmark(position, false))
    }

    fn first_lines(&self, request: &mut WatchRequest) -> Vec<Bytes> {
        let mut lines: Vec<Bytes> = self
            .select(&request.selection)
            .map(|object| request.line(ChangeKind::Added, object))
            .collect();
        request.position = Some(self.resource_version);
        request.last_sent = self.resource_version;
        if request.initial_bookmark {
            lines.push(request.bookmark(self.resource_version, true));
        }
        lines
    }

    /// The selected objects, ordered by key.
    pub(super) fn select<'a>(&'a self, selection: &Selection) -> impl Iterator<Item = &'a Value> {
        let collection = selection.definition.qualified_resource();
        self.scan(&collection, selection.namespace.as_deref(), None)
            .map(|(_, object)| &**object)
            .filter(|object| selection.matches(object))
    }

    fn changes_after<'a>(
        &'a self,
        version: u64,
        selection: &Selection,
    ) -> impl Iterator<Item = ObjectChange<'a>> {
        let collection = selection.definition.qualified_resource();
        let first = self.changes.partition_point(|change| change.resource_version <= version);
        self.changes
            .range(first..)
            .filter(move |change| change.collection == collection)
            .filter_map(|change| selection.translate(change))
    }

    /// The changes of a kind since a version. Returns `None` if the change log does not reach back
    /// that far, and for kinds that are not served.
    #[must_use]
    pub fn events_since(
        &self,
        api_version: &str,
        kind: &str,
        resource_version: u64,
    ) -> Option<Vec<ObjectChange<'_>>> {
        if resource_version < self.horizon() {
            return None;
        }
        let selection = Selection {
            definition: self.definition_of_kind(api_version, kind)?,
            namespace: None,
            labels: LabelSelector::default(),
            fields: FieldSelector::default(),
        };
        Some(self.changes_after(resource_version, &selection).collect())
    }
}
