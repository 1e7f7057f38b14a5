//! The states that represent all orders in which a plan can be applied.
//!
//! Steps run concurrently, so many orders are possible. For each change, four
//! states represent all of them: right after it, with only the changes done that it
//! waits for; right before it, with every change done that does not wait for it; and
//! the same two while its object is absent, if the object is replaced or restarts. A
//! property test applies plans in random orders and finds no disruption that was not
//! predicted.
//!
//! A state is stored as its difference from the state before the plan or the state
//! after it, choosing the nearer one: examining it costs as much as the difference.

use crate::plan::{Action, Change, StepGraph};
use crate::resource::restarts::Restart;
use crate::resource::{DataPlaneRole, Kind};

/// Whether packets depend on resources of that kind.
pub(super) fn affects_data_plane(kind: Kind) -> bool {
    kind.facts().role != DataPlaneRole::None
}

/// The restart by which a change is applied, if it needs one.
pub(crate) fn restart_of(change: &Change) -> Option<Restart> {
    match change.action {
        Action::Reboot => Some(Restart::Machine),
        Action::Update | Action::Adopt => {
            let fields = change.differences.iter().filter_map(|field| field.path.0.first());
            fields.filter_map(|field| change.address.kind.facts().restart_on(field)).min()
        }
        Action::Create | Action::Replace | Action::Delete => None,
    }
}

/// The state that other states are described relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Base {
    /// Before the plan.
    Observed,
    /// After all of its steps.
    Applied,
}

/// The progress of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ChangeProgress {
    /// Not started.
    NotStarted,
    /// Its object is deleted or restarting, and will exist again later.
    Absent,
    /// Made.
    Made,
}

/// A state, by its differences from another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct IntermediateStep {
    pub(super) base: Base,
    /// Changes that are not as in that state, by place, in order.
    pub(super) differing: Vec<(usize, ChangeProgress)>,
}

/// The states of a plan's steps.
pub(super) struct States<'a> {
    pub(super) changes: &'a [Change],
    pub(super) graph: &'a StepGraph,
}

impl States<'_> {
    /// The states that represent a change.
    pub(super) fn of(&self, change: usize) -> Vec<IntermediateStep> {
        let Some(made) = self.graph.create_step(change) else { return Vec::new() };
        let destroyed = self.graph.destroy_step(change);
        let first = destroyed.unwrap_or(made);
        let mut states = vec![self.with_done(&[made]), self.without(&[first])];
        if let Some(destroyed) = destroyed {
            states.extend([self.with_done(&[destroyed]), self.without(&[made])]);
        }
        if self.changes.get(change).and_then(restart_of).is_some_and(Restart::interrupts_pods) {
            let earliest = self.with_done(self.graph.causes(made));
            let latest = self.without(&[made]);
            states.extend([earliest, latest].map(|mut state| {
                state.differing.retain(|(it, _)| *it != change);
                state.differing.push((change, ChangeProgress::Absent));
                state.differing.sort_unstable_by_key(|(it, _)| *it);
                state
            }));
        }
        states
    }

    /// The state right after these changes, with only the changes done that they wait for.
    pub(super) fn immediately_after(
        &self,
        changes: impl IntoIterator<Item = usize>,
    ) -> IntermediateStep {
        let steps = changes.into_iter().filter_map(|change| self.graph.create_step(change));
        self.with_done(&steps.collect::<Vec<_>>())
    }

    /// The state once all steps are done.
    pub(super) fn applied() -> IntermediateStep {
        IntermediateStep { base: Base::Applied, differing: Vec::new() }
    }

    /// The state in which only these steps and their predecessors are done.
    fn with_done(&self, steps: &[usize]) -> IntermediateStep {
        let done = self.graph.with_causes(steps);
        let is_done = |step: Option<usize>| step.is_some_and(|it| done.binary_search(&it).is_ok());
        let differing = self.touched(&done).filter_map(|change| {
            let progress = match is_done(self.graph.create_step(change)) {
                true => ChangeProgress::Made,
                false if is_done(self.graph.destroy_step(change)) => ChangeProgress::Absent,
                false => return None,
            };
            Some((change, progress))
        });
        IntermediateStep { base: Base::Observed, differing: differing.collect() }
    }

    /// The state in which all steps except these and their successors are done.
    fn without(&self, steps: &[usize]) -> IntermediateStep {
        let open = self.graph.with_effects(steps);
        let is_open = |step: Option<usize>| step.is_some_and(|it| open.binary_search(&it).is_ok());
        let differing = self.touched(&open).filter_map(|change| {
            if !is_open(self.graph.create_step(change)) {
                return None;
            }
            let destroyed = self.graph.destroy_step(change);
            let is_absent = destroyed.is_some() && !is_open(destroyed);
            Some((
                change,
                if is_absent { ChangeProgress::Absent } else { ChangeProgress::NotStarted },
            ))
        });
        IntermediateStep { base: Base::Applied, differing: differing.collect() }
    }

    /// The changes of these steps that packets depend on, each once, in order.
    fn touched(&self, steps: &[usize]) -> impl Iterator<Item = usize> + use<'_> {
        let of = |step: &usize| self.graph.steps().get(*step);
        let mut changes: Vec<usize> = steps.iter().filter_map(of).map(|step| step.change).collect();
        changes.sort_unstable();
        changes.dedup();
        changes.into_iter().filter(|change| {
            self.changes.get(*change).is_some_and(|it| affects_data_plane(it.address.kind))
        })
    }
}
