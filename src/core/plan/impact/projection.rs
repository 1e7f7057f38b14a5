//! States of the network while a plan is applied and afterwards.

use std::collections::BTreeSet;

use crate::connectivity::{self, ObjectValue, PathModel, ProjectedState, Sources, Violation};
use crate::plan::{Action, Change, Plan};
use crate::resource::{Address, Kind, ObjectKey};

/// A plan and the state that it was made from.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a> {
    /// The observed state.
    pub observed: Sources<'a>,
    /// The plan to project.
    pub plan: &'a Plan,
    /// Whether the sources have the topology as far as it is applied, and not as in the
    /// plan's input.
    pub is_present: bool,
}

/// A state of the infrastructure before, while or after a plan is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntermediateState {
    /// As it was read.
    Observed,
    /// Once the plan is applied.
    Planned,
    /// Once these changes of the plan are made.
    PlannedOnly(BTreeSet<Address>),
}

impl IntermediateState {
    fn includes(&self, change: &Change) -> bool {
        match self {
            Self::Observed => false,
            Self::Planned => true,
            Self::PlannedOnly(made) => made.contains(&change.address),
        }
    }
}

impl<'a> Projection<'a> {
    /// The values of all resources in a state.
    pub fn state(self, state: &IntermediateState) -> ProjectedState<'a> {
        let changes = &self.plan.changes;
        let made: Vec<&Change> = changes.iter().filter(|change| state.includes(change)).collect();
        let keys: Vec<&ObjectKey> = made.iter().map(|change| &change.key).collect();
        let mut projected = ProjectedState::observed(self.observed, &keys);
        let numbers = numbers(&keys);
        for (change, number) in made.iter().zip(numbers) {
            projected.set(number, value_after(change));
        }
        // The object that serves in its place has no name in the topology.
        let blocked = self.plan.blocked.iter().filter(|_| !self.is_present);
        let refused = blocked.filter(|blocked| blocked.keeps_predecessor());
        projected.set_unknown(refused.map(|blocked| &blocked.address));
        projected.set_cluster_lost(made.iter().any(|change| loses_cluster(change)));
        if *state == IntermediateState::Planned {
            let unknown = self.plan.deferred.iter();
            let unknown = unknown.filter(|it| !it.is_follow_up() && !it.waits_for_workers());
            projected.set_unknown(unknown.map(|deferred| &deferred.address));
        }
        projected
    }
}

/// The number of each key: its last place, where several changes share an object.
pub(super) fn numbers(keys: &[&ObjectKey]) -> Vec<usize> {
    let known: foldhash::HashMap<&ObjectKey, usize> =
        keys.iter().enumerate().map(|(at, key)| (*key, at)).collect();
    keys.iter().map(|key| known.get(key).copied().unwrap_or_default()).collect()
}

/// The value that a change gives its object.
pub(super) fn value_after(change: &Change) -> ObjectValue<'_> {
    change.after.as_ref().map_or(ObjectValue::Absent, ObjectValue::Is)
}

/// Whether a change takes the cluster away, for good or until it is created again.
pub(super) fn loses_cluster(change: &Change) -> bool {
    change.address.kind == Kind::ManagedCluster
        && matches!(change.action, Action::Replace | Action::Delete)
}

/// The network of a state.
pub fn path_model(projection: Projection<'_>, state: &IntermediateState) -> PathModel {
    connectivity::path_model(projection.state(state))
}

/// The rules that a state violates. Orphans are the objects that the plan deletes, or would
/// delete if they were not blocked.
pub fn violations(
    projection: Projection<'_>,
    model: &PathModel,
    state: &IntermediateState,
) -> Vec<Violation> {
    let plan = projection.plan;
    let deleted = plan.changes.iter().filter(|change| change.action == Action::Delete);
    let blocked = plan.blocked.iter().filter(|blocked| blocked.action == Action::Delete);
    let orphans = deleted.map(|it| &it.address).chain(blocked.map(|it| &it.address));
    connectivity::violations(projection.state(state), model, orphans)
}
