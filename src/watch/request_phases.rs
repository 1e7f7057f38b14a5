//! The requested Operations of a topology by phase, as the watch of their objects shows them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::provider::cluster::{OperationOrigin, OperationPhase, WatchedChange};
use crate::resource::names::TopologyName;
use crate::resource::ownership::TOPOLOGY_LABEL;

/// How many requested Operations are in each phase. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub struct OperationCounts(Arc<Mutex<BTreeMap<OperationPhase, u64>>>);

impl OperationCounts {
    /// The counts of all phases.
    pub fn now(&self) -> BTreeMap<OperationPhase, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |phase| (phase, counts.get(&phase).copied().unwrap_or_default());
        OperationPhase::ALL.map(count).into()
    }

    pub(super) fn set(&self, counts: BTreeMap<OperationPhase, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = counts;
    }
}

/// The phase of each request.
#[derive(Debug)]
pub(super) struct RequestPhases {
    topology: TopologyName,
    known: BTreeMap<String, OperationPhase>,
    /// Those of a list that has not ended.
    list: Option<BTreeMap<String, OperationPhase>>,
}

impl RequestPhases {
    pub(super) fn new(topology: TopologyName) -> Self {
        Self { topology, known: BTreeMap::new(), list: None }
    }

    /// Notes a change, and returns the counts after it.
    pub(super) fn note(&mut self, change: &WatchedChange) -> BTreeMap<OperationPhase, u64> {
        match change {
            WatchedChange::ListBegins => self.list = Some(BTreeMap::new()),
            WatchedChange::Listed(object) => {
                let list = self.list.get_or_insert_default();
                list.extend(phase(&self.topology, object).map(|phase| (name(object), phase)));
            }
            WatchedChange::ListEnds => self.known = self.list.take().unwrap_or_default(),
            WatchedChange::Changed(object) => match phase(&self.topology, object) {
                Some(phase) => _ = self.known.insert(name(object), phase),
                None => _ = self.known.remove(&name(object)),
            },
            WatchedChange::Deleted(object) => _ = self.known.remove(&name(object)),
        }
        let mut counts = BTreeMap::new();
        for phase in self.known.values() {
            *counts.entry(*phase).or_default() += 1;
        }
        counts
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The phase of a request that was marked as one of the topology.
fn phase(topology: &TopologyName, object: &Value) -> Option<OperationPhase> {
    let is_ours = object["metadata"]["labels"][TOPOLOGY_LABEL] == topology.as_str();
    let is_request = OperationOrigin::of(object) != OperationOrigin::Record;
    let phase = object["status"]["phase"].as_str().and_then(OperationPhase::of);
    (is_ours && is_request).then(|| phase.unwrap_or(OperationPhase::Pending))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn operation(name: &str, topology: &str, origin: &str, phase: &str) -> Value {
        let labels = json!({ TOPOLOGY_LABEL: topology, "stargate.io/origin": origin });
        json!({ "metadata": { "name": name, "labels": labels }, "status": { "phase": phase } })
    }

    #[test]
    fn requests_of_the_topology_are_counted_by_phase() {
        let mut phases = RequestPhases::new(TopologyName::new("lab"));
        let request = |name: &str, phase: &str| operation(name, "lab", "request", phase);
        phases.note(&WatchedChange::ListBegins);
        for object in [
            request("a", "Running"),
            request("b", "Pending"),
            operation("c", "other", "request", "Running"),
            operation("d", "lab", "record", "Running"),
        ] {
            assert_eq!(phases.note(&WatchedChange::Listed(object)), BTreeMap::new());
        }
        let (running, pending) = (OperationPhase::Running, OperationPhase::Pending);
        let both = BTreeMap::from([(running, 1), (pending, 1)]);
        assert_eq!(phases.note(&WatchedChange::ListEnds), both);
        let begun = phases.note(&WatchedChange::Changed(request("b", "Running")));
        assert_eq!(begun, BTreeMap::from([(running, 2)]));
        let left = phases.note(&WatchedChange::Deleted(request("a", "Running")));
        assert_eq!(left, BTreeMap::from([(running, 1)]));
        phases.note(&WatchedChange::ListBegins);
        assert_eq!(phases.note(&WatchedChange::ListEnds), BTreeMap::new());
    }

    #[test]
    fn every_phase_has_a_count() {
        let counts = OperationCounts::default();
        counts.set(BTreeMap::from([(OperationPhase::Failed, 2)]));
        assert_eq!(counts.now().values().sum::<u64>(), 2);
        assert_eq!(counts.now().len(), OperationPhase::ALL.len());
    }
}
