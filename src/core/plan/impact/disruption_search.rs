//! Searches the intermediate states of a plan for pairs that are temporarily
//! unreachable.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashSet, HashSetExt};

use super::disruption::{Between, Disruption, WaveRange};
use super::examiner::Examiner;
use super::intermediate_states::{States, affects_data_plane};
use super::known_state::LostPairs;
use super::relevance::Relevance;
use crate::plan::cost::seconds;
use crate::plan::{Action, Change, StepGraph};
use crate::resource::{Address, Kind, Site};

/// Examines the intermediate states. `deferred` is the first resource that the plan
/// cannot create or change yet.
pub(super) fn disruptions(
    examiner: &mut Examiner<'_, '_>,
    graph: &StepGraph,
    deferred: Option<&Address>,
) -> Vec<Disruption> {
    let changes = examiner.changes;
    let sites = examiner.nodes.values().cloned().collect();
    let names = examiner.nodes.keys().cloned().collect();
    let mut found = DisruptionCollector::new(changes, names, sites);
    let states = States { changes, graph };
    let mut seen = HashSet::new();
    let relevance = Relevance::of(examiner, graph);
    for (place, change) in changes.iter().enumerate() {
        if !affects_data_plane(change.address.kind) || !relevance.of_change(graph, place) {
            continue;
        }
        for state in states.of(place) {
            // Without the cluster every pair is cut. The cluster's own change reports
            // that, and no other change during that time can cut more.
            let is_cluster = change.address.kind == Kind::ManagedCluster;
            if !is_cluster && examiner.changes_cluster(&state) {
                found.note_time(place, &change.address);
            } else if !seen.contains(&state) {
                found.note(examiner.dropped_pairs(&state), Some(place), &change.address);
                seen.insert(state);
            }
        }
    }
    // Deferred resources are applied only after all of these changes.
    if let Some(deferred) = deferred {
        found.note(examiner.dropped_pairs(&States::applied()), None, deferred);
    }
    found.finish(graph)
}

/// Disruptions by the change that causes them.
struct DisruptionCollector<'a> {
    changes: &'a [Change],
    positions: HashMap<&'a Address, usize>,
    names: Vec<String>,
    sites: Vec<Site>,
    by_cause: BTreeMap<Address, Interrupted>,
}

/// Changes that are reported together: their kind, site and action, and whether they are in
/// a wave of the rollout.
type DisruptionKey = (Kind, Site, Option<Action>, bool);

/// The pairs and workers that one change interrupts.
#[derive(Default)]
struct Interrupted {
    example: Option<(String, String)>,
    between: BTreeMap<(Site, Site), u64>,
    /// The changes that are made during the disruption, by place.
    during: BTreeSet<usize>,
}

impl<'a> DisruptionCollector<'a> {
    fn new(changes: &'a [Change], names: Vec<String>, sites: Vec<Site>) -> Self {
        let positions = changes.iter().enumerate().map(|(at, it)| (&it.address, at)).collect();
        Self { changes, positions, names, sites, by_cause: BTreeMap::new() }
    }

    /// Blames the change of the resource that drops a pair's packets, or else the
    /// one that the state is about.
    fn note(&mut self, dropped_pairs: Vec<LostPairs>, place: Option<usize>, about: &Address) {
        let mut here: BTreeMap<Address, Interrupted> = BTreeMap::new();
        for dropped in dropped_pairs {
            let cause = dropped.obstacle.and_then(|it| self.root(&it)).or_else(|| self.root(about));
            let known = here.entry(cause.unwrap_or_else(|| about.clone())).or_default();
            let (from, to) = dropped.example;
            let sites = (self.sites[from].clone(), self.sites[to].clone());
            *known.between.entry(sites).or_default() += dropped.pairs;
            known.example.get_or_insert_with(|| (self.names[from].clone(), self.names[to].clone()));
        }
        for (cause, interrupted) in here {
            let known = self.by_cause.entry(cause).or_default();
            known.example = known.example.take().or(interrupted.example);
            known.during.extend(place);
            for (cell, pairs) in interrupted.between {
                let most = known.between.entry(cell).or_default();
                *most = pairs.max(*most);
            }
        }
    }

    /// Notes a change that is made while another one interrupts.
    fn note_time(&mut self, place: usize, about: &Address) {
        if let Some(cause) = self.root(about) {
            self.by_cause.entry(cause).or_default().during.insert(place);
        }
    }

    fn change(&self, address: &Address) -> Option<&'a Change> {
        self.changes.get(*self.positions.get(address)?)
    }

    /// The change that a change only follows from, if there is one.
    fn root(&self, address: &Address) -> Option<Address> {
        let mut at = self.change(address)?;
        // No chain is longer than the plan.
        for _ in 0..self.changes.len() {
            match at.caused_by.as_ref().and_then(|cause| self.change(cause)) {
                Some(cause) => at = cause,
                None => break,
            }
        }
        Some(at.address.clone())
    }

    /// Merges the disruptions of changes of one kind and site into one.
    fn finish(mut self, graph: &StepGraph) -> Vec<Disruption> {
        let mut alike: BTreeMap<DisruptionKey, Alike> = BTreeMap::new();
        for (cause, interrupted) in std::mem::take(&mut self.by_cause) {
            let change = self.change(&cause);
            let action = change.map(|change| change.action);
            let wave = change.and_then(|change| change.wave).map(|wave| wave.number);
            let sort = (cause.kind, cause.site.clone(), action, wave.is_some());
            let known = alike.entry(sort).or_default();
            known.causes.push(cause);
            known.by_wave.entry(wave).or_default().add(interrupted);
        }
        let mut rank = vec![0; self.changes.len()];
        let order = graph.order(self.changes);
        order.iter().enumerate().for_each(|(at, change)| rank[*change] = at);
        let mut found: Vec<Disruption> =
            alike.into_values().filter_map(|alike| self.disruption(alike, graph, &rank)).collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.pairs));
        found
    }

    /// Concurrent changes may interrupt the same pairs: the number of interrupted pairs
    /// between two sites is at most the number of pairs.
    fn without_duplicates(&self, mut interrupted: Interrupted) -> Interrupted {
        let nodes = |site: &Site| self.sites.iter().filter(|it| *it == site).count() as u64;
        for ((from, to), pairs) in &mut interrupted.between {
            let itself = u64::from(from == to);
            *pairs = (*pairs).min(nodes(from) * (nodes(to).saturating_sub(itself)));
        }
        interrupted
    }

    /// Waves come one after the other, so the one with the most pairs counts.
    fn disruption(&self, alike: Alike, graph: &StepGraph, rank: &[usize]) -> Option<Disruption> {
        let Alike { causes, by_wave } = alike;
        let duration = |interrupted: &Interrupted| {
            let mut concurrent: Vec<usize> = interrupted.during.iter().copied().collect();
            concurrent.sort_unstable_by_key(|change| rank[*change]);
            graph.critical_path(self.changes, &concurrent, seconds).1
        };
        let numbers = by_wave.iter().filter(|(_, it)| it.example.is_some());
        let numbers: Vec<u32> = numbers.filter_map(|(number, _)| *number).collect();
        let (first, last) = (numbers.first().copied(), numbers.last().copied());
        let seconds = by_wave.values().map(duration).max()?;
        let by_wave = by_wave.into_values().map(|it| self.without_duplicates(it));
        let largest = by_wave.max_by_key(Interrupted::pairs)?;
        let cell = |((from, to), pairs)| Between { from, to, pairs };
        Some(Disruption {
            pairs: largest.pairs(),
            example: largest.example?,
            between: largest.between.into_iter().map(cell).collect(),
            during: causes,
            seconds,
            waves: first.zip(last).map(|(first, last)| WaveRange { first, last }),
            is_rolling: false,
        })
    }
}

/// The disruptions of changes with the same key.
#[derive(Default)]
struct Alike {
    causes: Vec<Address>,
    /// By wave of the rollout; `None` outside of the waves.
    by_wave: BTreeMap<Option<u32>, Interrupted>,
}

impl Interrupted {
    fn pairs(&self) -> u64 {
        self.between.values().sum()
    }

    /// Adds the disruption of a change that is made at the same time.
    fn add(&mut self, other: Self) {
        self.during.extend(&other.during);
        self.example = self.example.take().or(other.example);
        for (cell, pairs) in other.between {
            *self.between.entry(cell).or_default() += pairs;
        }
    }
}
