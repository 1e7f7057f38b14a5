//! Changes of objects since a version, for the sandbox's controllers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::store::KubernetesStore;
use super::value::{name, namespace};

/// The change of one object between two versions: it existed before, it exists now, or both.
#[derive(Debug, Clone)]
pub(in crate::sandbox) struct ObjectDelta {
    /// The object at the start version.
    pub(in crate::sandbox) before: Option<Arc<Value>>,
    /// The current object.
    pub(in crate::sandbox) after: Option<Arc<Value>>,
}

impl ObjectDelta {
    /// The last state of the object.
    pub(in crate::sandbox) fn last(&self) -> Option<&Value> {
        self.after.as_deref().or(self.before.as_deref())
    }
}

impl KubernetesStore {
    /// The objects of a kind that changed since a version, or `None` if the change log does not
    /// reach back that far.
    pub(in crate::sandbox) fn deltas(
        &self,
        kind: (&str, &str),
        since: u64,
    ) -> Option<Vec<ObjectDelta>> {
        if since < self.horizon() {
            return None;
        }
        let Some(definition) = self.definition_of_kind(kind.0, kind.1) else {
            return Some(Vec::new());
        };
        let collection = definition.qualified_resource();
        let recent = self.changes.iter().rev().take_while(|it| it.resource_version > since);
        let mut deltas: BTreeMap<(Option<&str>, &str), ObjectDelta> = BTreeMap::new();
        for change in recent.filter(|change| change.collection == collection) {
            let before = change.before.clone();
            deltas
                .entry((namespace(&change.emitted), name(&change.emitted)))
                .and_modify(|later| later.before.clone_from(&before))
                .or_insert_with(|| ObjectDelta { before, after: change.after.clone() });
        }
        Some(deltas.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NODE: (&str, &str) = ("v1", "Node");
    const NOW: &str = "2026-01-02T03:04:05Z";

    fn node(name: &str, pod_cidr: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
            "spec": { "podCIDR": pod_cidr },
        })
    }

    #[test]
    fn several_changes_of_an_object_are_one_delta() {
        let mut store = KubernetesStore::new("v1.33.5");
        store.put(node("a", "10.0.0.0/24"), "test", NOW).unwrap();
        store.put(node("b", "10.0.1.0/24"), "test", NOW).unwrap();
        let since = store.resource_version();
        store.put(node("a", "10.0.2.0/24"), "test", NOW).unwrap();
        store.put(node("a", "10.0.3.0/24"), "test", NOW).unwrap();
        store.put(node("c", "10.0.4.0/24"), "test", NOW).unwrap();
        let deleted = super::super::ObjectIdentity {
            api_version: "v1",
            kind: "Node",
            namespace: None,
            name: "b",
        };
        store.delete(&deleted, NOW);
        let ranges = |object: &Option<Arc<Value>>| {
            object.as_ref().map(|object| object["spec"]["podCIDR"].as_str().unwrap().to_owned())
        };
        let deltas: Vec<_> = store.deltas(NODE, since).unwrap();
        let seen: Vec<_> =
            deltas.iter().map(|one| (ranges(&one.before), ranges(&one.after))).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            seen,
            [
                (some("10.0.0.0/24"), some("10.0.3.0/24")),
                (some("10.0.1.0/24"), None),
                (None, some("10.0.4.0/24")),
            ]
        );
        assert!(store.deltas(("v1", "Secret"), since).unwrap().is_empty());
        assert!(store.deltas(NODE, store.resource_version()).unwrap().is_empty());
    }

    #[test]
    fn a_truncated_change_log_is_reported() {
        let mut store = KubernetesStore::new("v1.33.5");
        store.put(node("a", "10.0.0.0/24"), "test", NOW).unwrap();
        let text = serde_json::to_string(&store).unwrap();
        let loaded: KubernetesStore = serde_json::from_str(&text).unwrap();
        assert!(loaded.deltas(NODE, 0).is_none());
    }
}
