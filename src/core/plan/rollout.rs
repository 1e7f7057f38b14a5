//! In which waves a plan's changes reach the workers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::change::{Action, Change, InWave};
use super::decision::Comparison;
use super::impact::restart_of;
use super::step_graph::StepGraph;
use super::succession::takeovers;
use super::wave_schedule::schedule;
use crate::inventory::Inventory;
use crate::resource::azure::MachineRole;
use crate::resource::restarts::Restart;
use crate::resource::{Address, Kind, Resource, Site};
use crate::topology::model;

/// The waves of a plan's workers, and when they stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// How many workers a canary wave has, which must all succeed; 0 for no such wave.
    pub canary: u32,
    /// How many workers of one datacenter are disturbed at the same time, at most.
    /// Workers that join for the first time are not counted.
    pub width: u32,
    /// How many workers may fail before the rollout halts.
    pub max_failures: u32,
    /// How many waves there are.
    pub waves: u32,
}

impl Rollout {
    /// The addresses of the workers of each wave, in the order of the waves. A worker
    /// is listed once, whether itself or its machine changes, or both.
    pub fn waves(&self, changes: &[Change]) -> Vec<Vec<Address>> {
        let mut waves = vec![Vec::new(); self.waves as usize];
        let mut listed = BTreeSet::new();
        for change in changes {
            let number = change.wave.and_then(|wave| wave.number.checked_sub(1));
            let place = number.and_then(|number| waves.get_mut(number as usize));
            let Some(wave) = place else { continue };
            let address = Address { kind: Kind::Worker, ..change.address.clone() };
            if listed.insert(address.clone()) {
                wave.push(address);
            }
        }
        waves
    }
}

/// Whether a change restarts the machine of a worker, so that the worker is drained.
pub(super) fn restarts_worker(change: &Change) -> bool {
    matches!(
        &change.after,
        Some(Resource::VirtualMachine(machine)) if machine.role == MachineRole::Worker
    ) && restart_of(change) == Some(Restart::Machine)
}

/// Whether a change works on a worker or its machine, so that it belongs into a wave.
/// Deletions have a pace of their own and no wave.
pub(super) fn is_rolled_out(change: &Change) -> bool {
    match change.address.kind {
        Kind::Worker => change.action != Action::Delete && !change.records_protection_only(),
        _ => restarts_worker(change),
    }
}

/// Whether a change disturbs the pods of a worker, or could: a worker that joins has
/// none yet, and an update without a restart leaves them alone.
pub(super) fn disturbs(change: &Change) -> bool {
    match change.action {
        Action::Create | Action::Delete => false,
        Action::Replace | Action::Reboot => true,
        Action::Update | Action::Adopt => restart_of(change).is_some(),
    }
}

/// A worker, with the changes of itself and of its machine.
pub(super) struct Unit<'a> {
    name: &'a str,
    site: &'a Site,
    /// The datacenter that it leaves, if it moves: its pods are evicted there.
    left: Option<Site>,
    changes: Vec<usize>,
    pub(super) is_disturbed: bool,
    /// A worker that is already broken, or on which the last operation failed, proves
    /// nothing about the others, so it is not the canary.
    is_broken: bool,
}

impl Unit<'_> {
    /// The address of the worker.
    pub(super) fn address(&self) -> Address {
        Address::new(Kind::Worker, self.site.clone(), self.name)
    }

    /// The datacenters in which it is disturbed.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Site> {
        std::iter::once(self.site).chain(&self.left)
    }
}

/// The workers of a plan, in the order of the rollout: new workers before workers that
/// run pods, and of these, broken ones last.
fn units<'a>(inventory: &Inventory, changes: &'a [Change]) -> Vec<Unit<'a>> {
    let mut units: BTreeMap<(&Site, &str), Unit<'a>> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        if !is_rolled_out(change) {
            continue;
        }
        let Address { site, name, .. } = &change.address;
        let unit = units.entry((site, name.as_str())).or_insert_with(|| Unit {
            name: name.as_str(),
            site,
            left: None,
            changes: Vec::new(),
            is_disturbed: false,
            is_broken: inventory.failed_before.contains(name.as_str()),
        });
        unit.changes.push(index);
        unit.left = unit.left.take().or_else(|| change.moves_from());
        unit.is_disturbed |= disturbs(change);
        unit.is_broken |= matches!(&change.before, Some(Resource::Worker(worker)) if !worker.ready);
    }
    let mut units: Vec<Unit<'a>> = units.into_values().collect();
    units.sort_by_key(|unit| (unit.is_broken, unit.is_disturbed));
    units
}

/// Assigns every worker that is created or changed to a wave.
///
/// New workers come first: a canary, then all others, because a first join disturbs
/// nothing. Then workers that run pods: a canary, then at most `width` of each
/// datacenter at the same time. `sizes` is the number of workers of each datacenter.
pub(super) fn assign(
    policy: &model::RolloutSettings,
    sizes: &BTreeMap<Site, usize>,
    inventory: &Inventory,
    graph: &StepGraph,
    changes: &mut [Change],
) -> Option<Rollout> {
    let units = units(inventory, changes);
    let width = |site: &Site| policy.width.of(sizes.get(site).copied().unwrap_or_default());
    let largest = units.iter().flat_map(Unit::sites).map(width).max()?;
    let takeovers = takeovers(changes);
    let waves = schedule(&units, &takeovers, policy.canary as usize, width);
    let shared = shared_teardowns(changes, graph, &units, &waves);
    let members: Vec<Vec<usize>> = units.into_iter().map(|unit| unit.changes).collect();
    let mut last = 0;
    for (changed, slot) in members.iter().zip(waves) {
        last = last.max(slot.number);
        for index in changed {
            let destroy_waits = !shared.contains(index);
            changes[*index].wave = Some(InWave { destroy_waits, ..slot });
        }
    }
    let model::RolloutSettings { canary, max_failures, .. } = *policy;
    Some(Rollout { canary, width: largest, max_failures, waves: last })
}

/// How many workers each site keeps throughout a plan: the smaller number of those that it
/// has and those that the topology lists, or the one that there is.
pub(super) fn lasting_workers(input: Comparison<'_>) -> BTreeMap<Site, usize> {
    let mut workers: BTreeMap<Site, usize> = BTreeMap::new();
    for desired in input.desired.iter().filter(|desired| desired.address.kind == Kind::Worker) {
        *workers.entry(desired.address.site.clone()).or_default() += 1;
    }
    for (site, count) in live_workers(input) {
        workers.entry(site).and_modify(|it| *it = count.min(*it)).or_insert(count);
    }
    workers
}

/// How many workers each site has now.
pub(super) fn live_workers(input: Comparison<'_>) -> BTreeMap<Site, usize> {
    let mut live: BTreeMap<Site, usize> = BTreeMap::new();
    let is_worker = |resource: &Resource| matches!(resource, Resource::Worker(_));
    for (_, observed) in input.inventory.iter().filter(|(_, it)| is_worker(&it.resource)) {
        if let Some(site) = observed.ownership.site() {
            *live.entry(Site::from(site)).or_default() += 1;
        }
    }
    live
}

/// The changes of workers whose deletion workers of earlier waves wait for.
fn shared_teardowns(
    changes: &[Change],
    graph: &StepGraph,
    units: &[Unit<'_>],
    waves: &[InWave],
) -> BTreeSet<usize> {
    let numbered = units.iter().zip(waves);
    let wave_of: BTreeMap<usize, u32> = numbered
        .flat_map(|(unit, wave)| unit.changes.iter().map(move |at| (*at, wave.number)))
        .collect();
    let replaced: Vec<(usize, u32)> = wave_of
        .iter()
        .filter(|(change, _)| changes[**change].action == Action::Replace)
        .map(|(change, wave)| (*change, *wave))
        .collect();
    if replaced.is_empty() {
        return BTreeSet::new();
    }
    let mut search = Search { graph, wave_of, known: vec![None; graph.len()] };
    let is_shared = |(change, wave): &(usize, u32)| {
        graph.destroy_step(*change).is_some_and(|step| search.earliest(step) < *wave)
    };
    replaced.into_iter().filter(is_shared).map(|(change, _)| change).collect()
}

/// In which wave the first worker is that waits for a step, including the worker that the
/// step is about.
struct Search<'a> {
    graph: &'a StepGraph,
    /// The wave of each change of a worker.
    wave_of: BTreeMap<usize, u32>,
    /// By step.
    known: Vec<Option<u32>>,
}

impl Search<'_> {
    /// The chains of dependencies are short, so this descends by recursion. Without a
    /// worker that waits it is the largest number.
    fn earliest(&mut self, step: usize) -> u32 {
        if let Some(known) = self.known[step] {
            return known;
        }
        // This ends the recursion if the edges form a cycle.
        self.known[step] = Some(u32::MAX);
        let change = self.graph.steps()[step].change;
        let mut earliest = self.wave_of.get(&change).copied().unwrap_or(u32::MAX);
        for effect in self.graph.effects(step) {
            earliest = earliest.min(self.earliest(*effect));
        }
        self.known[step] = Some(earliest);
        earliest
    }
}
