//! Filters the changes of cluster objects by their relevance.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Map, Value, json};

use crate::provider::cluster::{OperationOrigin, WatchedChange, WatchedKind};
use crate::resource::custom_resources::APPROVE_ANNOTATION;

/// The prefix of the annotations and labels that stargate sets.
const OUR_PREFIX: &str = "stargate.io/";

/// The objects of one kind, as far as they matter.
#[derive(Debug)]
pub(super) struct Relevance {
    kind: WatchedKind,
    /// Digests of the relevant fields, by namespace and name.
    known: BTreeMap<String, u64>,
    /// The objects of a list that has not ended, and whether one of them changed.
    list: Option<(BTreeSet<String>, bool)>,
    was_listed: bool,
}

impl Relevance {
    pub(super) fn new(kind: WatchedKind) -> Self {
        Self { kind, known: BTreeMap::new(), list: None, was_listed: false }
    }

    /// How many objects are remembered.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Notes a change, and returns whether it calls for a reconcile. The first list does:
    /// an object may have changed after the state was read and before the watch began.
    pub(super) fn note(&mut self, change: &WatchedChange) -> bool {
        match change {
            WatchedChange::Listed(object)
            | WatchedChange::Changed(object)
            | WatchedChange::Deleted(object)
                if is_record(self.kind, object) =>
            {
                false
            }
            WatchedChange::ListBegins => {
                self.list = Some((BTreeSet::new(), false));
                false
            }
            WatchedChange::Listed(object) => {
                let is_changed = self.store(object);
                if let Some((names, any_changed)) = &mut self.list {
                    names.insert(name(object));
                    *any_changed |= is_changed;
                }
                false
            }
            WatchedChange::ListEnds => self.end_list(),
            WatchedChange::Changed(object) => self.store(object),
            WatchedChange::Deleted(object) => self.known.remove(&name(object)).is_some(),
        }
    }

    fn end_list(&mut self) -> bool {
        let Some((names, any_changed)) = self.list.take() else { return false };
        let before = self.known.len();
        self.known.retain(|name, _| names.contains(name));
        let is_first = !std::mem::replace(&mut self.was_listed, true);
        is_first || any_changed || self.known.len() != before
    }

    fn store(&mut self, object: &Value) -> bool {
        let mut hasher = DefaultHasher::new();
        essentials(self.kind, object).to_string().hash(&mut hasher);
        let digest = hasher.finish();
        let is_changed = self.known.insert(name(object), digest) != Some(digest);
        // Of a Topology only an approval matters; the rest is written by stargate.
        is_changed && (self.kind != WatchedKind::Topology || approval(object).is_some())
    }
}

fn name(object: &Value) -> String {
    let field = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", field("namespace"), field("name"))
}

/// The fields that plans are made from. Heartbeats, images and resource counts are not
/// among them.
fn essentials(kind: WatchedKind, object: &Value) -> Value {
    let spec = &object["spec"];
    match kind {
        WatchedKind::Node => json!([
            object["metadata"]["labels"],
            our_annotations(object),
            object["metadata"]["deletionTimestamp"],
            spec["podCIDR"],
            spec["providerID"],
            spec["taints"],
            spec["unschedulable"],
            object["status"]["addresses"],
            object["status"]["nodeInfo"]["kubeletVersion"],
            readiness(object),
        ]),
        WatchedKind::NodeNetworkConfig => object["status"]["networkContainers"].clone(),
        WatchedKind::CiliumNode => spec["ipam"]["podCIDRs"].clone(),
        WatchedKind::Server | WatchedKind::ProvisioningProfile => {
            json!([object["metadata"]["labels"], our_annotations(object), spec])
        }
        // Its labels and its status are stargate's own.
        WatchedKind::Operation => json!([object["metadata"]["deletionTimestamp"], spec]),
        WatchedKind::Topology => json!(approval(object)),
    }
}

/// Whether an object is the record of an operation, which requests nothing.
fn is_record(kind: WatchedKind, object: &Value) -> bool {
    kind == WatchedKind::Operation && OperationOrigin::of(object) == OperationOrigin::Record
}

fn approval(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][APPROVE_ANNOTATION].as_str()
}

fn our_annotations(object: &Value) -> Map<String, Value> {
    let annotations = object["metadata"]["annotations"].as_object();
    let ours = annotations.into_iter().flatten().filter(|(key, _)| key.starts_with(OUR_PREFIX));
    ours.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The status of the condition Ready, without the time of its heartbeat.
fn readiness(object: &Value) -> Option<&Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    Some(&conditions.iter().find(|condition| condition["type"] == "Ready")?["status"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ready: &str, heartbeat: &str) -> Value {
        json!({
            "metadata": { "name": name, "annotations": { "other.io/a": heartbeat } },
            "status": {
                "conditions": [
                    { "type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat },
                ],
                "images": [heartbeat],
            },
        })
    }

    /// A relevance that has listed these nodes.
    fn listed(names: &[&str]) -> Relevance {
        let mut relevance = Relevance::new(WatchedKind::Node);
        assert!(list(&mut relevance, names), "the first list");
        relevance
    }

    fn list(relevance: &mut Relevance, names: &[&str]) -> bool {
        assert!(!relevance.note(&WatchedChange::ListBegins));
        for name in names {
            assert!(!relevance.note(&WatchedChange::Listed(node(name, "True", "1"))));
        }
        relevance.note(&WatchedChange::ListEnds)
    }

    #[test]
    fn a_heartbeat_does_not_matter_and_readiness_does() {
        let mut relevance = listed(&["a"]);
        assert!(!relevance.note(&WatchedChange::Changed(node("a", "True", "2"))));
        assert!(relevance.note(&WatchedChange::Changed(node("a", "False", "3"))));
        assert!(!relevance.note(&WatchedChange::Changed(node("a", "False", "4"))));
    }

    #[test]
    fn nodes_that_come_and_go_matter_once() {
        let mut relevance = listed(&["a"]);
        assert!(relevance.note(&WatchedChange::Changed(node("b", "True", "1"))));
        assert!(relevance.note(&WatchedChange::Deleted(node("b", "True", "1"))));
        assert!(!relevance.note(&WatchedChange::Deleted(node("b", "True", "1"))));
    }

    #[test]
    fn a_second_list_matters_only_if_an_object_came_went_or_changed() {
        let mut relevance = listed(&["a", "b"]);
        assert!(!list(&mut relevance, &["a", "b"]));
        assert!(list(&mut relevance, &["a"]));
        assert!(list(&mut relevance, &["a", "c"]));
        assert!(relevance.note(&WatchedChange::Changed(node("c", "Unknown", "1"))));
        assert!(list(&mut relevance, &["a", "c"]));
    }

    #[test]
    fn a_request_matters_and_neither_its_status_nor_a_record_does() {
        let mut relevance = Relevance::new(WatchedKind::Operation);
        let operation = |name: &str, labels: Value, phase: &str| {
            let metadata = json!({ "name": name, "namespace": "stargate", "labels": labels });
            let status = json!({ "phase": phase });
            json!({ "metadata": metadata, "spec": { "operation": "repave" }, "status": status })
        };
        let record = json!({ "stargate.io/server": "w", "stargate.io/origin": "record" });
        let claimed = json!({ "stargate.io/server": "w", "stargate.io/origin": "request" });
        let changed = |object| WatchedChange::Changed(object);
        assert!(!relevance.note(&changed(operation("r", record.clone(), "Running"))));
        assert!(!relevance.note(&WatchedChange::Deleted(operation("r", record, "Running"))));
        assert!(relevance.note(&changed(operation("a", json!({}), ""))));
        assert!(!relevance.note(&changed(operation("a", claimed.clone(), "Running"))));
        assert!(relevance.note(&WatchedChange::Deleted(operation("a", claimed, "Running"))));
    }

    #[test]
    fn the_pod_cidr_of_an_aks_node_matters() {
        let mut relevance = Relevance::new(WatchedKind::NodeNetworkConfig);
        let config = |range: &str| {
            let containers = json!([{ "primaryIP": range }]);
            let metadata = json!({ "name": "a", "namespace": "kube-system" });
            json!({ "metadata": metadata, "status": { "networkContainers": containers } })
        };
        assert!(relevance.note(&WatchedChange::Changed(config("10.244.1.0/24"))));
        assert!(!relevance.note(&WatchedChange::Changed(config("10.244.1.0/24"))));
        assert!(relevance.note(&WatchedChange::Changed(config("10.244.2.0/24"))));
    }
}
