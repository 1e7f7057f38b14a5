//! One order in which the changes of a plan can be made one after another.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change};
use crate::resource::Address;

/// The changes so that each one stands behind all that it depends on and behind
/// the waves before its own; among those that are free, by address, deletions
/// last.
pub(super) fn in_order(mut changes: Vec<Change>) -> Vec<Change> {
    changes.sort_by(|one, other| one.address.cmp(&other.address));
    let mut waits = Waits::of(&changes);
    let rank = |node: usize| (is_deletion(&changes, node), node);
    let mut free: BTreeSet<(bool, usize)> = waits.free().map(rank).collect();
    let mut order = Vec::with_capacity(changes.len());
    while let Some((_, next)) = free.pop_first() {
        order.push(next);
        free.extend(waits.done(next).into_iter().map(rank));
    }
    let mut unordered: Vec<Option<Change>> = changes.into_iter().map(Some).collect();
    let mut ordered: Vec<Change> =
        order.into_iter().filter_map(|node| unordered.get_mut(node)?.take()).collect();
    // Edges come from a wiring diagram without cycles; if one slipped in, the
    // rest still is shown and the executor will refuse it.
    ordered.extend(unordered.into_iter().flatten());
    ordered
}

fn is_deletion(changes: &[Change], node: usize) -> bool {
    changes.get(node).is_some_and(|change| change.action == Action::Delete)
}

/// What waits for what: the changes, and behind them a node for the end of each
/// wave, so that two waves of many workers need no edge for every pair.
struct Waits {
    waiting: Vec<usize>,
    dependants: Vec<Vec<usize>>,
}

impl Waits {
    fn of(changes: &[Change]) -> Self {
        let index: BTreeMap<&Address, usize> =
            changes.iter().enumerate().map(|(index, change)| (&change.address, index)).collect();
        let wave = |change: &Change| change.wave.map_or(0, |wave| wave.number as usize);
        let nodes = changes.len() + changes.iter().map(wave).max().unwrap_or(0);
        let mut waits = Self { waiting: vec![0; nodes], dependants: vec![Vec::new(); nodes] };
        for (dependant, change) in changes.iter().enumerate() {
            for dependency in change.depends_on.iter().filter_map(|address| index.get(address)) {
                waits.add(*dependency, dependant);
            }
            let number = wave(change);
            if number > 0 {
                waits.add(dependant, changes.len() + number - 1);
            }
            if number > 1 {
                waits.add(changes.len() + number - 2, dependant);
            }
        }
        waits
    }

    fn add(&mut self, cause: usize, dependant: usize) {
        self.dependants[cause].push(dependant);
        self.waiting[dependant] += 1;
    }

    fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.waiting.len()).filter(|node| self.waiting[*node] == 0)
    }

    /// Those that wait for nothing any more.
    fn done(&mut self, node: usize) -> Vec<usize> {
        let mut free = Vec::new();
        for dependant in std::mem::take(&mut self.dependants[node]) {
            self.waiting[dependant] -= 1;
            if self.waiting[dependant] == 0 {
                free.push(dependant);
            }
        }
        free
    }
}
