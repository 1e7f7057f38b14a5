//! Finds the pairs that a plan keeps and that an intermediate state cuts.
//!
//! A state is examined by its differences from the state before the plan, or after it. The
//! examiner rebuilds only the parts of the network that a differing change touches, and
//! traces again only the round trips that pass a differing element; all others are as in
//! the state before, or after.

#[cfg(test)]
use std::collections::BTreeMap;

use super::intermediate_states::{Base, ChangeProgress, IntermediateStep};
use super::known_state::{Known, LostPairs, dropped_pairs_of};
use super::projection::{loses_cluster, value_after};
use super::retained_pairs::RetainedPairs;
use crate::connectivity::snapshot::Nodes;
use crate::connectivity::{ObjectValue, path_model};
use crate::plan::Change;
#[cfg(test)]
use crate::resource::Site;

/// Examines the states of one plan.
pub(super) struct Examiner<'e, 'a> {
    pub(super) changes: &'a [Change],
    /// The number of each change's object, where packets depend on it.
    pub(super) objects: &'e [Option<usize>],
    pub(super) nodes: &'e Nodes,
    pub(super) kept: RetainedPairs<'e>,
    pub(super) observed: Known<'a>,
    pub(super) applied: Known<'a>,
}

impl<'a> Examiner<'_, 'a> {
    /// The pairs that the plan keeps and that are cut in a state.
    pub(super) fn dropped_pairs(&mut self, state: &IntermediateStep) -> Vec<LostPairs> {
        let values = self.values(state);
        let is_cluster_lost = self.loses_cluster(state);
        let known = match state.base {
            Base::Observed => &mut self.observed,
            Base::Applied => &mut self.applied,
        };
        if is_cluster_lost != known.is_cluster_lost {
            return self.cuts_in_full(state);
        }
        if !known.may_differ(values.iter().map(|(object, _)| *object)) {
            return Vec::new();
        }
        let difference = known.change(&values);
        let dropped_pairs = known
            .dropped_pairs(&difference)
            .unwrap_or_else(|| dropped_pairs_of(known.model.model(), self.nodes, &self.kept));
        known.model.roll_back();
        dropped_pairs
    }

    /// Whether a state near the base that differs from it by a change may cut a kept pair.
    pub(super) fn may_cut(&self, base: Base, change: usize) -> bool {
        let known = match base {
            Base::Observed => &self.observed,
            Base::Applied => &self.applied,
        };
        let object = self.objects.get(change).copied().flatten();
        self.changes.get(change).is_some_and(loses_cluster)
            || object.map_or(known.has_broken(), |object| known.may_differ([object]))
    }

    /// The same, with the whole network built and every pair of classes traced.
    pub(super) fn cuts_in_full(&self, state: &IntermediateStep) -> Vec<LostPairs> {
        let known = match state.base {
            Base::Observed => &self.observed,
            Base::Applied => &self.applied,
        };
        let mut projected = known.model.state().clone();
        for (object, value) in self.values(state) {
            projected.set(object, value);
        }
        projected.set_cluster_lost(self.loses_cluster(state));
        dropped_pairs_of(&path_model(projected), self.nodes, &self.kept)
    }

    /// Whether a state has lost the cluster that its base has, or the reverse.
    pub(super) fn changes_cluster(&self, state: &IntermediateStep) -> bool {
        let known = match state.base {
            Base::Observed => &self.observed,
            Base::Applied => &self.applied,
        };
        self.loses_cluster(state) != known.is_cluster_lost
    }

    fn loses_cluster(&self, state: &IntermediateStep) -> bool {
        let is_base_lost = match state.base {
            Base::Observed => self.observed.is_cluster_lost,
            Base::Applied => self.applied.is_cluster_lost,
        };
        let losing = state
            .differing
            .iter()
            .find(|(change, _)| self.changes.get(*change).is_some_and(loses_cluster));
        losing.map_or(is_base_lost, |(_, progress)| *progress != ChangeProgress::NotStarted)
    }

    fn values(&self, state: &IntermediateStep) -> Vec<(usize, ObjectValue<'a>)> {
        let value = |(change, progress): &(usize, ChangeProgress)| {
            let object = (*self.objects.get(*change)?)?;
            let value = match progress {
                ChangeProgress::NotStarted => ObjectValue::Observed,
                ChangeProgress::Absent => ObjectValue::Absent,
                ChangeProgress::Made => value_after(self.changes.get(*change)?),
            };
            Some((object, value))
        };
        state.differing.iter().filter_map(value).collect()
    }
}

#[cfg(test)]
impl Examiner<'_, '_> {
    /// Asserts that a state is the same by its differences and as a whole.
    pub(super) fn check(&mut self, state: &IntermediateStep) {
        let sites: Vec<Site> = self.nodes.values().cloned().collect();
        let totals = |dropped_pairs: Vec<LostPairs>| {
            let mut totals: BTreeMap<(Site, Site), u64> = BTreeMap::new();
            for LostPairs { example: (from, to), pairs, .. } in dropped_pairs {
                *totals.entry((sites[from].clone(), sites[to].clone())).or_default() += pairs;
            }
            totals
        };
        let whole = totals(self.cuts_in_full(state));
        let found = totals(self.dropped_pairs(state));
        let differing = || {
            let one = |(change, progress): &(usize, ChangeProgress)| {
                format!("{progress:?} {}", self.changes[*change].address)
            };
            state.differing.iter().map(one).collect::<Vec<_>>()
        };
        assert_eq!(found, whole, "{:?} but {:?}", state.base, differing());
    }
}
