//! Which changes wait for others, so that nobody is cut off in between.
//!
//! What a change breaks as soon as it is made, another change of the same plan
//! may make up for. Then it waits for that one: the new way is there before the
//! old one goes, and where it cannot be made, the old one stays.

use std::collections::BTreeSet;

use super::disruption::{is_kept, keeps_any};
use super::intermediate_states::{Order, is_on_paths};
use crate::connectivity::snapshot::{Nodes, PairStatus, Snapshot};
use crate::connectivity::{IntermediateState, Progress, Sources, path_model};
use crate::plan::{Action, Change};
use crate::resource::{Address, Kind};

/// How many nodes may be looked at, over all moments; beyond that, changes are
/// left in the order that they need anyway.
const MAX_WORK: usize = 100_000;

/// A change, and those that it should wait for.
pub type Wait = (Address, Vec<Address>);

/// Finds what should wait for what, one change after another.
pub fn make_before_break(sources: Sources<'_>) -> Vec<Wait> {
    let before = path_model(sources, &IntermediateState::Observed);
    let after = path_model(sources, &IntermediateState::Planned);
    let nodes = Snapshot::nodes_of_both(&before, &after);
    let (before, after) = (Snapshot::of(before, &nodes), Snapshot::of(after, &nodes));
    if !keeps_any(&before, &after) {
        return Vec::new();
    }
    let mut changes = sources.plan.changes.clone();
    let movable: Vec<usize> =
        (0..changes.len()).filter(|place| changes.get(*place).is_some_and(can_wait)).collect();
    let search = Search { sources, nodes, before, after };
    if movable.len() * movable.len() * search.nodes.len().max(1) > MAX_WORK {
        return Vec::new();
    }
    let mut waits = Vec::new();
    for place in &movable {
        let needed = search.needed(&Order::of(&changes), *place, &movable);
        let needed: Vec<Address> = needed
            .into_iter()
            .filter_map(|other| Some(changes.get(other)?.address.clone()))
            .collect();
        let Some(change) = changes.get_mut(*place).filter(|_| !needed.is_empty()) else { continue };
        change.depends_on.extend(needed.iter().cloned());
        waits.push((change.address.clone(), needed));
    }
    waits
}

/// Workers have waves, and what goes or is made anew has an order of its own.
fn can_wait(change: &Change) -> bool {
    is_on_paths(change.address.kind)
        && change.address.kind != Kind::Worker
        && matches!(change.action, Action::Create | Action::Update | Action::Adopt)
}

struct Search<'a> {
    sources: Sources<'a>,
    nodes: Nodes,
    before: Snapshot,
    after: Snapshot,
}

impl Search<'_> {
    /// The fewest other changes that make up for what a change breaks.
    fn needed(&self, order: &Order<'_>, change: usize, movable: &[usize]) -> BTreeSet<usize> {
        let with = |others: &BTreeSet<usize>| {
            let mut changes = others.clone();
            changes.insert(change);
            self.cut(order.right_after(&changes))
        };
        let alone = with(&BTreeSet::new());
        if alone == 0 {
            return BTreeSet::new();
        }
        let free = |other: &&usize| **other != change && !order.is_behind(**other, change);
        let mut needed: BTreeSet<usize> = movable.iter().filter(free).copied().collect();
        let least = with(&needed);
        if least >= alone {
            return BTreeSet::new();
        }
        for other in needed.clone() {
            let mut fewer = needed.clone();
            fewer.remove(&other);
            if with(&fewer) <= least {
                needed = fewer;
            }
        }
        needed
    }

    /// How many pairs that the plan keeps are not reached at a moment.
    fn cut(&self, progress: Progress) -> u64 {
        let model = path_model(self.sources, &IntermediateState::Between(progress));
        let now = Snapshot::of(model, &self.nodes);
        let mut cut = 0;
        let intermediate_states = [&self.before, &now, &self.after];
        Snapshot::pairs_alike(intermediate_states, |[from, to], pairs| {
            let (was, will) = (self.before.fares(from[0], to[0]), self.after.fares(from[2], to[2]));
            if is_kept(was, will) && now.fares(from[1], to[1]) != PairStatus::Reached {
                cut += pairs;
            }
        });
        cut
    }
}
