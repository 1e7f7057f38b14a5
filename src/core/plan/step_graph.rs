//! The dependency graph of a plan: its steps and their predecessors.
//!
//! It is built once, when a plan is assembled, and carried by the plan. Order, critical
//! path, intermediate states, execution and rendering use it.
//!
//! Steps are numbered densely, with their edges as lists in both directions: a topological
//! order with a preference among the free steps, longest paths and closures each need one
//! walk over these lists.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use foldhash::{HashMap, HashMapExt};

use super::{Action, Change};
use crate::resource::{Address, PlaceIndex};

/// The part of a change that a step performs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Work ahead of a change that disturbs nothing. No step of a plan has it: an executor
    /// adds it.
    Prepare,
    /// A replacement's deletion.
    Destroy,
    /// Everything else.
    Create,
}

/// One step of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanStep {
    /// The change, by its place in the plan.
    pub change: usize,
    /// The part of the change.
    pub phase: Phase,
}

/// The steps of a plan in the order of its changes, and their edges. A replacement has two
/// steps, any other change has one.
///
/// A replacement is destroyed after the replacements that it contains, and created after
/// its dependencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepGraph {
    steps: Vec<PlanStep>,
    causes: Vec<Vec<usize>>,
    effects: Vec<Vec<usize>>,
    /// By change.
    positions: Vec<Steps>,
}

/// The steps of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Steps {
    destroy: Option<usize>,
    create: usize,
}

impl StepGraph {
    /// The graph of changes, by the edges that they name. Names of changes that
    /// the plan does not have count for nothing.
    pub fn of(changes: &[Change]) -> Self {
        let mut graph = Self::default();
        for (change, value) in changes.iter().enumerate() {
            let replaced = value.action == Action::Replace;
            let destroy = replaced.then(|| graph.add_step(change, Phase::Destroy));
            let create = graph.add_step(change, Phase::Create);
            graph.positions.push(Steps { destroy, create });
        }
        let by_address = PlaceIndex::of(changes.iter().map(|change| &change.address));
        let positions = graph.positions.clone();
        let steps_of = |address: &Address| positions.get(by_address.place(address.kind, address)?);
        let destroyed = |addresses: &[Address]| -> Vec<usize> {
            addresses.iter().filter_map(|address| steps_of(address)?.destroy).collect()
        };
        let deleted = |addresses: &[Address]| -> Vec<usize> {
            let steps = addresses.iter().filter_map(steps_of);
            let steps = steps.map(|steps| steps.destroy.unwrap_or(steps.create));
            steps.collect()
        };
        for (change, value) in changes.iter().enumerate() {
            let own = graph.positions[change];
            let mut causes = destroyed(&value.create_after_destroy_of);
            let created = value.depends_on.iter().filter_map(steps_of);
            causes.extend(created.map(|steps| steps.create));
            causes.extend(own.destroy);
            graph.set_causes(own.create, causes);
            if let Some(destroy) = own.destroy {
                graph.set_causes(destroy, deleted(&value.destroy_after));
            }
        }
        graph.find_effects();
        graph
    }

    fn add_step(&mut self, change: usize, phase: Phase) -> usize {
        self.steps.push(PlanStep { change, phase });
        self.causes.push(Vec::new());
        self.steps.len() - 1
    }

    fn set_causes(&mut self, step: usize, mut causes: Vec<usize>) {
        causes.sort_unstable();
        causes.dedup();
        self.causes[step] = causes;
    }

    fn find_effects(&mut self) {
        let mut counts = vec![0_usize; self.steps.len()];
        self.causes.iter().flatten().for_each(|cause| counts[*cause] += 1);
        self.effects = counts.into_iter().map(Vec::with_capacity).collect();
        for (step, causes) in self.causes.iter().enumerate() {
            causes.iter().for_each(|cause| self.effects[*cause].push(step));
        }
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether the graph has no steps.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// All steps by number.
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// The steps that a step waits for.
    pub fn causes(&self, step: usize) -> &[usize] {
        self.causes.get(step).map_or(&[], Vec::as_slice)
    }

    /// The steps that wait for a step.
    pub fn effects(&self, step: usize) -> &[usize] {
        self.effects.get(step).map_or(&[], Vec::as_slice)
    }

    /// The step of a change that creates, updates or deletes.
    pub fn create_step(&self, change: usize) -> Option<usize> {
        Some(self.positions.get(change)?.create)
    }

    /// The step of a replacement that deletes the old object.
    pub fn destroy_step(&self, change: usize) -> Option<usize> {
        self.positions.get(change)?.destroy
    }

    /// Lets a change wait for another one.
    pub(super) fn add_wait(&mut self, change: usize, other: usize) {
        let (Some(step), Some(cause)) = (self.create_step(change), self.create_step(other)) else {
            return;
        };
        if let Err(place) = self.causes[step].binary_search(&cause) {
            self.causes[step].insert(place, cause);
            let place = self.effects[cause].partition_point(|effect| *effect < step);
            self.effects[cause].insert(place, step);
        }
    }

    /// These steps and all that they wait for, directly or not.
    pub fn with_causes(&self, steps: &[usize]) -> Vec<usize> {
        self.closure(steps, &self.causes)
    }

    /// These steps and all that wait for them, directly or not.
    pub fn with_effects(&self, steps: &[usize]) -> Vec<usize> {
        self.closure(steps, &self.effects)
    }

    fn closure(&self, steps: &[usize], next: &[Vec<usize>]) -> Vec<usize> {
        let mut seen: foldhash::HashSet<usize> = steps.iter().copied().collect();
        let mut found: Vec<usize> = steps.to_vec();
        let mut at = 0;
        while let Some(step) = found.get(at).copied() {
            at += 1;
            found.extend(next.get(step).into_iter().flatten().filter(|it| seen.insert(**it)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The changes that a change waits for.
    pub fn changes_before(&self, change: usize) -> impl Iterator<Item = usize> {
        let causes = self.create_step(change).map_or(&[][..], |step| self.causes(step));
        let created = causes.iter().filter_map(|cause| self.steps.get(*cause));
        created.filter(|step| step.phase == Phase::Create).map(|step| step.change)
    }

    /// Sorts changes so that each one comes after all that it depends on and after
    /// the waves before its own; of those that are free, by address, deletions
    /// last. The graph is renumbered with them.
    pub(super) fn sort(self, changes: &mut [Change]) -> Self {
        let order = self.order(changes);
        if order.iter().copied().eq(0..changes.len()) {
            return self;
        }
        let graph = self.reordered(&order);
        arrange(changes, &order);
        graph
    }

    /// The order that [`StepGraph::sort`] brings changes into, by their places now.
    pub(super) fn order(&self, changes: &[Change]) -> Vec<usize> {
        let mut waits = Waits::of(self, changes);
        let mut by_address: Vec<usize> = (0..changes.len()).collect();
        by_address
            .sort_unstable_by(|one, other| changes[*one].address.cmp(&changes[*other].address));
        let mut rank = vec![0; waits.waiting.len()];
        by_address.iter().enumerate().for_each(|(at, change)| rank[*change] = at);
        // The ends of waves come after all changes of the same standing.
        (changes.len()..rank.len()).for_each(|node| rank[node] = node);
        let key = |node: usize| {
            let deletes = changes.get(node).is_some_and(|it| it.action == Action::Delete);
            Reverse((deletes, rank[node], node))
        };
        let mut free: BinaryHeap<_> = waits.free().map(key).collect();
        let mut order = Vec::with_capacity(changes.len());
        let mut is_ordered = vec![false; changes.len()];
        while let Some(Reverse((_, _, node))) = free.pop() {
            if let Some(is_ordered) = is_ordered.get_mut(node) {
                *is_ordered = true;
                order.push(node);
            }
            waits.done(self, node, |node| free.push(key(node)));
        }
        // The edges have no cycles; if one slipped in, the rest is still shown
        // and the executor refuses it.
        order.extend(by_address.into_iter().filter(|change| !is_ordered[*change]));
        order
    }

    fn reordered(&self, order: &[usize]) -> Self {
        let mut graph = Self::default();
        let mut renumbered = vec![0; self.steps.len()];
        for (place, change) in order.iter().enumerate() {
            let Steps { destroy, create } = self.positions[*change];
            let add = |graph: &mut Self, step: usize| {
                let number = graph.add_step(place, self.steps[step].phase);
                renumbered[step] = number;
                number
            };
            let mut add = add;
            let destroy = destroy.map(|step| add(&mut graph, step));
            let create = add(&mut graph, create);
            graph.positions.push(Steps { destroy, create });
        }
        for (step, causes) in self.causes.iter().enumerate() {
            let causes = causes.iter().map(|cause| renumbered[*cause]).collect();
            graph.set_causes(renumbered[step], causes);
        }
        graph.find_effects();
        graph
    }

    /// The chain of changes that takes longest, and how long, among some of the
    /// changes in the order of the plan. A wave of workers waits for the last of
    /// the wave before.
    pub(super) fn critical_path(
        &self,
        changes: &[Change],
        some: &[usize],
        duration: impl Fn(&Change) -> u64,
    ) -> (Vec<usize>, u64) {
        let mut last_of_wave: HashMap<u32, usize> = HashMap::new();
        // When each change ends, and the one that it waited for last.
        let mut ends: HashMap<usize, (u64, Option<usize>)> = HashMap::with_capacity(some.len());
        let mut longest: Option<usize> = None;
        for place in some {
            let change = &changes[*place];
            let end = |it: usize| Some((ends.get(&it)?.0, &changes[it].address, it));
            let wave_before =
                change.wave.and_then(|it| last_of_wave.get(&it.number.saturating_sub(1)).copied());
            let last = self.changes_before(*place).chain(wave_before).filter_map(end).max();
            let begin = last.map_or(0, |(end, _, _)| end);
            let own = begin + duration(change);
            let last = last.map(|(_, _, place)| place);
            ends.insert(*place, (own, last));
            let key = |it: usize| (ends.get(&it).map(|end| end.0), &changes[it].address);
            if longest.is_none_or(|known| key(known) < key(*place)) {
                longest = Some(*place);
            }
            if let Some(wave) = change.wave {
                let latest = last_of_wave.entry(wave.number).or_insert(*place);
                if ends.get(latest).is_some_and(|end| end.0 < own) {
                    *latest = *place;
                }
            }
        }
        let total = longest.and_then(|place| ends.get(&place)).map_or(0, |end| end.0);
        let chain = std::iter::successors(longest, |place| ends.get(place)?.1);
        let mut path: Vec<usize> = chain.collect();
        path.reverse();
        (path, total)
    }
}

/// Brings values into an order of their places, where they are: each value moves once.
fn arrange<T>(values: &mut [T], order: &[usize]) {
    let mut is_arranged = vec![false; values.len()];
    for first in 0..values.len() {
        let mut place = first;
        while !std::mem::replace(&mut is_arranged[place], true) {
            let source = order[place];
            if source != first {
                values.swap(place, source);
                place = source;
            }
        }
    }
}

/// How many changes each change still waits for, and behind them a node for the
/// end of each wave, so that two waves of many workers need no edge per pair.
struct Waits {
    waiting: Vec<usize>,
    /// The changes of each wave, by its number.
    waves: Vec<Vec<usize>>,
    wave_of: Vec<usize>,
}

impl Waits {
    fn of(graph: &StepGraph, changes: &[Change]) -> Self {
        let wave_of: Vec<usize> =
            changes.iter().map(|it| it.wave.map_or(0, |wave| wave.number as usize)).collect();
        let last = wave_of.iter().copied().max().unwrap_or(0);
        let mut waits = Self {
            waiting: vec![0; changes.len() + last],
            waves: vec![Vec::new(); last + 1],
            wave_of,
        };
        for change in 0..changes.len() {
            let number = waits.wave_of[change];
            waits.waiting[change] = graph.changes_before(change).count() + usize::from(number > 1);
            if number > 0 {
                waits.waves[number].push(change);
                waits.waiting[changes.len() + number - 1] += 1;
            }
        }
        waits
    }

    fn free(&self) -> impl Iterator<Item = usize> {
        (0..self.waiting.len()).filter(|node| self.waiting[*node] == 0)
    }

    /// Notes that a change, or a wave, is done; calls for each that is free then.
    fn done(&mut self, graph: &StepGraph, node: usize, mut free: impl FnMut(usize)) {
        let changes = self.wave_of.len();
        let effects: Vec<usize> = match node.checked_sub(changes) {
            Some(wave) => self.waves.get_mut(wave + 2).map(std::mem::take).unwrap_or_default(),
            None => {
                let step = graph.create_step(node).map_or(&[][..], |step| graph.effects(step));
                let steps = step.iter().filter_map(|step| graph.steps.get(*step));
                let created = steps.filter(|step| step.phase == Phase::Create);
                let number = self.wave_of[node];
                let end_of_wave = (number > 0).then(|| changes + number - 1);
                created.map(|step| step.change).chain(end_of_wave).collect()
            }
        };
        for effect in effects {
            self.waiting[effect] -= 1;
            if self.waiting[effect] == 0 {
                free(effect);
            }
        }
    }
}
