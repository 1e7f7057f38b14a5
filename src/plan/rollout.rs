//! In which waves a plan's changes reach the workers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Action, Change};
use crate::inventory::Inventory;
use crate::resource::{Address, Kind, Resource};
use crate::topology::model;

/// The waves of a plan's workers, and when they stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// How many workers the first wave has, which must all succeed; 0 where the
    /// waves are all alike.
    pub canary: u32,
    /// How many workers a later wave has at the most.
    pub width: u32,
    /// How many workers may fail before the rest is held back.
    pub max_failures: u32,
    /// How many waves there are.
    pub waves: u32,
}

/// A change's place in the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InWave {
    /// The wave, from 1 on; it begins when the one before has ended.
    pub number: u32,
    /// Whether a replacement's deletion half waits for the wave as well. It
    /// does not where several workers must be gone before any can come back,
    /// as when their network is made anew.
    pub teardown_waits: bool,
}

impl Rollout {
    /// The workers of each wave, in the order of the waves.
    pub fn waves<'a>(&self, changes: &'a [Change]) -> Vec<Vec<&'a Address>> {
        let mut waves = vec![Vec::new(); self.waves as usize];
        for change in changes {
            let number = change.wave.and_then(|wave| wave.number.checked_sub(1));
            let place = number.and_then(|number| waves.get_mut(number as usize));
            if let Some(wave) = place {
                wave.push(&change.address);
            }
        }
        waves
    }
}

/// Puts every worker that is made or changed into a wave; deletions come when
/// everything else has, and need none.
pub(super) fn assign(
    policy: &model::Rollout,
    inventory: &Inventory,
    changes: &mut [Change],
) -> Option<Rollout> {
    let mut workers: Vec<usize> = (0..changes.len())
        .filter(|index| {
            let change = &changes[*index];
            change.address.kind == Kind::Worker && change.action != Action::Delete
        })
        .collect();
    if workers.is_empty() {
        return None;
    }
    workers.sort_by_cached_key(|index| turn(&changes[*index], inventory));
    let shared = shared_teardowns(changes, &workers);
    let mut waves = 0;
    for (place, index) in workers.into_iter().enumerate() {
        let number = wave_of(policy, place);
        waves = waves.max(number);
        changes[index].wave = Some(InWave { number, teardown_waits: !shared.contains(&index) });
    }
    let model::Rollout { canary, width, max_failures, .. } = *policy;
    Some(Rollout { canary, width, max_failures, waves })
}

/// Whose turn it is when. A worker that is broken already, or on which the last
/// work failed, proves nothing about the others, so it is not the canary; new
/// workers come before those that pods run on.
fn turn(change: &Change, inventory: &Inventory) -> (bool, Action, Address) {
    let broken = matches!(&change.before, Some(Resource::Worker(worker)) if !worker.ready);
    let failed = inventory.failed_before.contains(&change.address.name);
    (broken || failed, change.action, change.address.clone())
}

fn wave_of(policy: &model::Rollout, place: usize) -> u32 {
    let (canary, width) = (policy.canary as usize, policy.width.max(1) as usize);
    let wave = match place.checked_sub(canary) {
        None => 1,
        Some(behind) => behind / width + 1 + usize::from(canary > 0),
    };
    u32::try_from(wave).unwrap_or(u32::MAX)
}

/// The workers whose deletion half other workers wait for.
fn shared_teardowns(changes: &[Change], workers: &[usize]) -> BTreeSet<usize> {
    let replaced: Vec<usize> =
        workers.iter().copied().filter(|it| changes[*it].action == Action::Replace).collect();
    if replaced.is_empty() {
        return BTreeSet::new();
    }
    let mut search = Search {
        dependants: dependants(changes),
        workers: workers.iter().copied().collect(),
        known: vec![None; 2 * changes.len()],
    };
    replaced.into_iter().filter(|it| search.waiting(teardown(*it)) == Waiting::Several).collect()
}

/// Which workers wait for a half, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Nobody,
    Only(usize),
    Several,
}

impl Waiting {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, it) | (it, Self::Nobody) => it,
            (Self::Only(one), Self::Only(two)) if one == two => self,
            _ => Self::Several,
        }
    }
}

struct Search {
    dependants: Vec<Vec<usize>>,
    workers: BTreeSet<usize>,
    known: Vec<Option<Waiting>>,
}

impl Search {
    /// The chains of a wiring diagram are short, so this goes down by itself.
    fn waiting(&mut self, phase: usize) -> Waiting {
        if let Some(known) = self.known[phase] {
            return known;
        }
        // Should the edges lead round in a circle, it ends here.
        self.known[phase] = Some(Waiting::Nobody);
        let own = self.workers.contains(&(phase / 2));
        let mut waiting = if own { Waiting::Only(phase / 2) } else { Waiting::Nobody };
        let dependants = std::mem::take(&mut self.dependants[phase]);
        for dependant in &dependants {
            waiting = waiting.and(self.waiting(*dependant));
        }
        self.known[phase] = Some(waiting);
        waiting
    }
}

/// The two halves of a change as nodes of a graph.
fn teardown(index: usize) -> usize {
    2 * index
}

fn making(index: usize) -> usize {
    2 * index + 1
}

/// The halves that wait for each half.
fn dependants(changes: &[Change]) -> Vec<Vec<usize>> {
    let index: BTreeMap<&Address, usize> =
        changes.iter().enumerate().map(|(index, change)| (&change.address, index)).collect();
    let mut dependants = vec![Vec::new(); 2 * changes.len()];
    let known = |addresses: &[Address]| -> Vec<usize> {
        addresses.iter().filter_map(|address| index.get(address).copied()).collect()
    };
    for (at, change) in changes.iter().enumerate() {
        for cause in known(&change.depends_on) {
            dependants[making(cause)].push(making(at));
        }
        for cause in known(&change.create_after_destroy_of) {
            dependants[teardown(cause)].push(making(at));
        }
        for cause in known(&change.destroy_after) {
            dependants[teardown(cause)].push(teardown(at));
        }
        if change.action == Action::Replace {
            dependants[teardown(at)].push(making(at));
        }
    }
    dependants
}
