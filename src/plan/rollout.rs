//! In which waves a plan's changes reach the workers.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::change::{Action, Change, InWave};
use super::step_graph::StepGraph;
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
    /// How many workers may fail before the rollout halts.
    pub max_failures: u32,
    /// How many waves there are.
    pub waves: u32,
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

/// Assigns every worker that is created or changed to a wave. Deletions run after
/// all other changes and need no wave.
pub(super) fn assign(
    policy: &model::RolloutSettings,
    inventory: &Inventory,
    graph: &StepGraph,
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
    let shared = shared_teardowns(changes, graph, &workers);
    let mut waves = 0;
    for (place, index) in workers.into_iter().enumerate() {
        let number = wave_of(policy, place);
        waves = waves.max(number);
        changes[index].wave = Some(InWave { number, destroy_waits: !shared.contains(&index) });
    }
    let model::RolloutSettings { canary, width, max_failures, .. } = *policy;
    Some(Rollout { canary, width, max_failures, waves })
}

/// The sort key of the rollout order. A worker that is already broken, or on which
/// the last operation failed, proves nothing about the others, so it is not the
/// canary. New workers come before workers that run pods.
fn turn(change: &Change, inventory: &Inventory) -> (bool, Action, Address) {
    let broken = matches!(&change.before, Some(Resource::Worker(worker)) if !worker.ready);
    let failed = inventory.failed_before.contains(&*change.address.name);
    (broken || failed, change.action, change.address.clone())
}

fn wave_of(policy: &model::RolloutSettings, place: usize) -> u32 {
    let (canary, width) = (policy.canary as usize, policy.width.max(1) as usize);
    let wave = match place.checked_sub(canary) {
        None => 1,
        Some(behind) => behind / width + 1 + usize::from(canary > 0),
    };
    u32::try_from(wave).unwrap_or(u32::MAX)
}

/// The workers whose deletion other workers wait for.
fn shared_teardowns(changes: &[Change], graph: &StepGraph, workers: &[usize]) -> BTreeSet<usize> {
    let replaced: Vec<usize> =
        workers.iter().copied().filter(|it| changes[*it].action == Action::Replace).collect();
    if replaced.is_empty() {
        return BTreeSet::new();
    }
    let workers = workers.iter().copied().collect();
    let mut search = Search { graph, workers, known: vec![None; graph.len()] };
    let is_shared = |worker: &usize| {
        graph.destroy_step(*worker).is_some_and(|it| search.waiting(it) == Waiting::Several)
    };
    replaced.into_iter().filter(is_shared).collect()
}

/// Which workers wait for a step, including the worker that the step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    NoWorker,
    Only(usize),
    Several,
}

impl Waiting {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NoWorker, it) | (it, Self::NoWorker) => it,
            (Self::Only(one), Self::Only(two)) if one == two => self,
            _ => Self::Several,
        }
    }
}

struct Search<'a> {
    graph: &'a StepGraph,
    workers: BTreeSet<usize>,
    /// By step.
    known: Vec<Option<Waiting>>,
}

impl Search<'_> {
    /// The chains of dependencies are short, so this descends by recursion.
    fn waiting(&mut self, step: usize) -> Waiting {
        if let Some(known) = self.known[step] {
            return known;
        }
        // This ends the recursion if the edges form a cycle.
        self.known[step] = Some(Waiting::NoWorker);
        let change = self.graph.steps()[step].change;
        let own = self.workers.contains(&change);
        let mut waiting = if own { Waiting::Only(change) } else { Waiting::NoWorker };
        for effect in self.graph.effects(step) {
            waiting = waiting.and(self.waiting(*effect));
        }
        self.known[step] = Some(waiting);
        waiting
    }
}
