//! Finds the changes of a plan that can cut a kept pair in any intermediate state.
//!
//! Nearly all changes of a large plan create or delete objects that no kept pair depends
//! on. Examining the states of each of them would dominate the planning time, so one walk
//! over the graph excludes them.

use super::examiner::Examiner;
use super::intermediate_states::Base;
use crate::plan::StepGraph;

/// Steps in whose states kept pairs can be cut.
pub(super) struct Relevance {
    /// Steps that are, or come after, a step that matters before the plan.
    done: Vec<bool>,
    /// Steps that are, or come before, a step that matters after the plan.
    open: Vec<bool>,
}

impl Relevance {
    /// A state in which steps are done differs from the state before the plan by
    /// these steps and their causes; one in which they are open differs from the
    /// state after the plan by these steps and their effects.
    pub(super) fn of(examiner: &Examiner<'_, '_>, graph: &StepGraph) -> Self {
        let relevant = |base: Base| -> Vec<usize> {
            let steps = graph.steps().iter().enumerate();
            let matters = steps.filter(|(_, step)| examiner.may_cut(base, step.change));
            matters.map(|(number, _)| number).collect()
        };
        let marked = |steps: Vec<usize>| {
            let mut marks = vec![false; graph.len()];
            steps.into_iter().for_each(|step| marks[step] = true);
            marks
        };
        Self {
            done: marked(graph.with_effects(&relevant(Base::Observed))),
            open: marked(graph.with_causes(&relevant(Base::Applied))),
        }
    }

    /// Whether a kept pair may be cut in one of the states that represent a change.
    pub(super) fn of_change(&self, graph: &StepGraph, change: usize) -> bool {
        let first = graph.destroy_step(change).or_else(|| graph.create_step(change));
        let is_open = first.is_some_and(|step| self.open.get(step) == Some(&true));
        is_open || self.is_cut_when_made(graph, change)
    }

    /// Whether a kept pair may be cut right after a change.
    pub(super) fn is_cut_when_made(&self, graph: &StepGraph, change: usize) -> bool {
        graph.create_step(change).is_some_and(|step| self.done.get(step) == Some(&true))
    }
}
