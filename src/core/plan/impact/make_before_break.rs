//! Adds waits between changes so that no intermediate state cuts a pair.
//!
//! If a change breaks a path that another change of the same plan replaces, it waits for
//! that one: the new path exists before the old one is removed, and if the new path cannot
//! be made, the old one stays.
//!
//! The search starts where packets are dropped: the plan may change the resource that drops
//! them. If that does not lead to a result, all other changes are tried together and
//! reduced to the needed ones. The cost of a state depends on its differences only, so the
//! search has no size limit.

use std::collections::BTreeSet;

use foldhash::HashMap;

use super::examiner::Examiner;
use super::intermediate_states::{States, affects_data_plane};
use super::known_state::LostPairs;
use super::reachability::Wait;
use super::relevance::Relevance;
use super::shrink::shrink;
use crate::plan::{Action, Change, StepGraph};
use crate::resource::{Address, Kind};

/// Finds the changes that each change must wait for, and adds these waits to the graph.
pub(super) fn make_before_break(
    examiner: &mut Examiner<'_, '_>,
    graph: &mut StepGraph,
) -> Vec<Wait> {
    let changes = examiner.changes;
    let movable: BTreeSet<usize> =
        (0..changes.len()).filter(|change| can_wait(&changes[*change])).collect();
    let by_address = movable.iter().map(|change| (&changes[*change].address, *change)).collect();
    let mut waits = Vec::new();
    // A wait only adds causes to changes that matter already, and so to their effects.
    let relevance = Relevance::of(examiner, graph);
    for change in &movable {
        if !relevance.is_cut_when_made(graph, *change) {
            continue;
        }
        let states = States { changes, graph };
        let mut search = Search { examiner, states, by_address: &by_address, movable: &movable };
        let needed = search.needed(*change);
        if needed.is_empty() {
            continue;
        }
        needed.iter().for_each(|other| graph.add_wait(*change, *other));
        let others = needed.iter().map(|other| changes[*other].address.clone());
        waits.push((changes[*change].address.clone(), others.collect()));
    }
    waits
}

/// Workers have waves, and deletions and replacements have an order of their own.
fn can_wait(change: &Change) -> bool {
    affects_data_plane(change.address.kind)
        && change.address.kind != Kind::Worker
        && change.wave.is_none()
        && matches!(change.action, Action::Create | Action::Update | Action::Adopt)
}

struct Search<'s, 'e, 'a> {
    examiner: &'s mut Examiner<'e, 'a>,
    states: States<'s>,
    by_address: &'s HashMap<&'a Address, usize>,
    movable: &'s BTreeSet<usize>,
}

impl Search<'_, '_, '_> {
    /// The smallest set of other changes that restores the pairs that a change cuts.
    fn needed(&mut self, change: usize) -> BTreeSet<usize> {
        let alone = self.dropped_with(change, &BTreeSet::new());
        if alone == 0 {
            return BTreeSet::new();
        }
        let free = self.free(change);
        let (named, with_named) = self.named(change, &free);
        let (start, least) = match with_named {
            0 => (named, 0),
            _ => {
                let least = self.dropped_with(change, &free);
                (if with_named <= least { named } else { free }, least)
            }
        };
        if least >= alone {
            return BTreeSet::new();
        }
        shrink(start, |others| self.dropped_with(change, others) <= least)
    }

    /// The changes that a change may wait for: those that do not wait for it.
    fn free(&self, change: usize) -> BTreeSet<usize> {
        let graph = self.states.graph;
        let own = graph.destroy_step(change).into_iter().chain(graph.create_step(change));
        let behind = graph.with_effects(&own.collect::<Vec<_>>());
        let behind: BTreeSet<usize> =
            behind.iter().filter_map(|step| Some(graph.steps().get(*step)?.change)).collect();
        self.movable.difference(&behind).copied().collect()
    }

    /// The changes of the resources that drop packets once a change is made, and
    /// then once those are made as well, and so on; and how many pairs are cut
    /// with all of them.
    fn named(&mut self, change: usize, free: &BTreeSet<usize>) -> (BTreeSet<usize>, u64) {
        let mut named = BTreeSet::new();
        loop {
            let dropped_pairs = self.cuts_with(change, &named);
            let obstacles = dropped_pairs.iter().filter_map(|dropped| dropped.obstacle.as_ref());
            let found = obstacles.filter_map(|address| self.by_address.get(address).copied());
            let before = named.len();
            named.extend(found.filter(|it| free.contains(it)));
            if dropped_pairs.is_empty() || named.len() == before {
                return (named, dropped_pairs.iter().map(|dropped| dropped.pairs).sum());
            }
        }
    }

    fn cuts_with(&mut self, change: usize, others: &BTreeSet<usize>) -> Vec<LostPairs> {
        let all = others.iter().copied().chain([change]);
        self.examiner.dropped_pairs(&self.states.immediately_after(all))
    }

    fn dropped_with(&mut self, change: usize, others: &BTreeSet<usize>) -> u64 {
        self.cuts_with(change, others).iter().map(|dropped| dropped.pairs).sum()
    }
}
