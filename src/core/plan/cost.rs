//! The cost of a plan: requests, time and disruption.

use std::collections::BTreeMap;

use foldhash::{HashSet, HashSetExt};

use serde::{Deserialize, Serialize};

use super::impact::restart_of;
use super::preparation::{MAX_STEPS_PER_API, seconds_after_canary};
use super::step_graph::StepGraph;
use super::{Action, Change, Deferred};
use crate::resource::Api;
use crate::resource::restarts::Restart;
use crate::resource::{Address, Kind};

/// Requests and time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests that the refresh took, by API.
    pub requests: BTreeMap<Api, u64>,
    /// The minimum number of requests that the apply will take, by API, deferred
    /// resources included.
    pub apply_requests: BTreeMap<Api, u64>,
    /// Writes among them.
    pub apply_writes: BTreeMap<Api, u64>,
    /// The chain of dependent changes that takes longest; behind those of this plan, the
    /// deferred ones.
    pub critical_path: Vec<Address>,
    /// How long the changes take, in seconds, by durations measured on real clouds: as
    /// long as that chain, or longer if more changes are free than run side by side.
    pub seconds: u64,
    /// The part of it in which deferred workers join after the first of them.
    #[serde(default)]
    pub deferred_join_seconds: u64,
}

impl Cost {
    /// Adds up a plan's changes, which come in its order.
    pub(super) fn of(changes: &[Change], graph: &StepGraph, requests: &BTreeMap<Api, u64>) -> Self {
        let mut cost = Self { requests: requests.clone(), ..Self::default() };
        for change in changes {
            let (api, reads, writes) = calls(change);
            *cost.apply_requests.entry(api).or_default() += reads + writes;
            *cost.apply_writes.entry(api).or_default() += writes;
        }
        let all: Vec<usize> = (0..changes.len()).collect();
        let (path, seconds) = graph.critical_path(changes, &all, self::seconds);
        cost.critical_path = path.into_iter().map(|it| changes[it].address.clone()).collect();
        let side_by_side =
            busiest_api(changes.iter().map(|it| (it.address.kind, self::seconds(it))));
        cost.seconds = (seconds + seconds_of_more_joins(changes)).max(side_by_side);
        cost
    }

    /// The cost of other changes, after the same refresh. Deferred workers join for so many
    /// seconds after the first one.
    pub(super) fn of_same_refresh(
        &self,
        changes: &[Change],
        graph: &StepGraph,
        deferred: &[Deferred],
        join_seconds: u64,
    ) -> Self {
        let mut cost = Self::of(changes, graph, &self.requests);
        cost.add_deferred(deferred, join_seconds);
        cost
    }

    /// Adds deferred resources, which later iterations change after all that is planned
    /// now. Their workers join for so many seconds after the first one.
    pub(super) fn add_deferred(&mut self, deferred: &[Deferred], join_seconds: u64) {
        self.deferred_join_seconds = join_seconds;
        let expected = || deferred.iter().filter(|one| !one.is_conditional);
        for one in expected() {
            let is_new = one.action == Action::Create;
            let (api, reads, writes) = calls_of(one.address.kind, one.action, is_new);
            *self.apply_requests.entry(api).or_default() += reads + writes;
            *self.apply_writes.entry(api).or_default() += writes;
        }
        let (path, seconds) = Chains::of(expected()).longest();
        let of_deferred =
            expected().map(|one| (one.address.kind, seconds_of(one.address.kind, one.action)));
        self.critical_path.extend(path);
        // The first join is a part of the longest chain, which ends with a worker. Others
        // join while machines are still created, of which the chain holds one.
        self.seconds += seconds + join_seconds.max(busiest_api(of_deferred));
    }
}

/// The seconds in which deferred workers will join for the first time, after the first.
pub(super) fn joins_of_deferred(canary: u32, deferred: &[Deferred]) -> u64 {
    let workers = deferred.iter().filter(|one| one.address.kind == Kind::Worker).count() as u64;
    seconds_after_first_join(workers, u64::from(canary))
}

/// The seconds in which workers join for the first time, of so many with so many canaries,
/// after the first of them.
fn seconds_after_first_join(workers: u64, canaries: u64) -> u64 {
    let canaries = canaries.min(workers);
    match seconds_after_canary(workers - canaries) {
        seconds if canaries == 0 => {
            seconds.saturating_sub(seconds_of(Kind::Worker, Action::Create))
        }
        seconds => seconds,
    }
}

/// The seconds of first joins after the canary, beyond the one that a chain holds.
fn seconds_of_more_joins(changes: &[Change]) -> u64 {
    let is_join = |change: &&Change| {
        change.address.kind == Kind::Worker
            && change.action == Action::Create
            && change.wave.is_some_and(|wave| !wave.is_canary)
    };
    seconds_after_first_join(changes.iter().filter(is_join).count() as u64, 0)
}

/// How long the API with the most work takes, with as many steps side by side as an
/// executor runs. The joins of workers are counted by themselves.
fn busiest_api(changes: impl Iterator<Item = (Kind, u64)>) -> u64 {
    let mut seconds: BTreeMap<Api, u64> = BTreeMap::new();
    for (kind, of_change) in changes.filter(|(kind, _)| *kind != Kind::Worker) {
        *seconds.entry(kind.facts().requests.api).or_default() += of_change;
    }
    seconds.into_values().max().unwrap_or_default().div_ceil(MAX_STEPS_PER_API)
}

/// The API of a change, and its reads and writes.
fn calls(change: &Change) -> (Api, u64, u64) {
    if change.records_protection_only() {
        // The guard, the update and the read that verifies it.
        return (change.api(), 2, 1);
    }
    calls_of(change.address.kind, change.action, change.before.is_none())
}

fn calls_of(kind: Kind, action: Action, is_new: bool) -> (Api, u64, u64) {
    let phases = if action == Action::Replace { 2 } else { 1 };
    let requests = kind.facts().requests;
    // A device joins by itself: its creation needs no write.
    let joins = kind == Kind::TailnetDevice && is_new;
    let writes = if joins { 0 } else { requests.writes.of(phases) };
    // The service guards some creations itself.
    let unread = action == Action::Create && kind.facts().conditional_creation.is_some();
    (requests.api, requests.reads.of(phases) - u64::from(unread), writes)
}

/// Deferred resources, with the longest chain that ends with each of them.
struct Chains<'a> {
    deferred: BTreeMap<&'a Address, &'a Deferred>,
    known: BTreeMap<&'a Address, Chain<'a>>,
}

/// How long a chain takes, in seconds, and the resource before its last one.
#[derive(Clone, Copy)]
struct Chain<'a> {
    seconds: u64,
    before: Option<&'a Address>,
}

impl<'a> Chains<'a> {
    /// Of a resource that is changed several times, the last change counts.
    fn of(deferred: impl Iterator<Item = &'a Deferred>) -> Self {
        let deferred = deferred.map(|one| (&one.address, one)).collect();
        let mut chains = Self { deferred, known: BTreeMap::new() };
        let all: Vec<&Address> = chains.deferred.keys().copied().collect();
        let mut entered = HashSet::new();
        all.into_iter().for_each(|address| chains.measure(address, &mut entered));
        chains
    }

    /// Measures the chain that ends with a resource, after those that it waits for. A
    /// cycle is entered once.
    fn measure(&mut self, address: &'a Address, entered: &mut HashSet<&'a Address>) {
        let mut open = vec![(address, false)];
        while let Some((address, are_others_known)) = open.pop() {
            let Some(one) = self.deferred.get(address).copied() else { continue };
            if are_others_known {
                let chain = |it: &'a Address| Some((self.known.get(it)?.seconds, it));
                let before = one.waits_for.iter().filter_map(chain).max();
                let own = seconds_of(one.address.kind, one.action);
                let seconds = own + before.map_or(0, |(seconds, _)| seconds);
                self.known.insert(address, Chain { seconds, before: before.map(|(_, it)| it) });
            } else if entered.insert(address) {
                open.push((address, true));
                open.extend(one.waits_for.iter().map(|it| (it, false)));
            }
        }
    }

    /// The longest chain, from its beginning, and how long it takes.
    fn longest(&self) -> (Vec<Address>, u64) {
        let last = self.known.iter().max_by_key(|(address, chain)| (chain.seconds, *address));
        let Some((last, chain)) = last else { return (Vec::new(), 0) };
        let before = |address: &&'a Address| self.known.get(*address)?.before;
        let mut path: Vec<Address> = std::iter::successors(Some(*last), before).cloned().collect();
        path.reverse();
        (path, chain.seconds)
    }
}

/// Seconds that a change usually takes.
pub(super) fn seconds(change: &Change) -> u64 {
    // An update of tags, annotations or a stamp, of any object.
    if change.records_protection_only() {
        return 1;
    }
    // It is drained, and the steps of a join are done again.
    if restart_of(change) == Some(Restart::KubeletUpgrade)
        && matches!(change.action, Action::Update | Action::Adopt)
    {
        return change.address.kind.facts().seconds.create;
    }
    seconds_of(change.address.kind, change.action)
}

pub(super) fn seconds_of(kind: Kind, action: Action) -> u64 {
    let usual = kind.facts().seconds;
    match action {
        Action::Create | Action::Replace => usual.create,
        Action::Update | Action::Adopt => usual.update,
        Action::Delete => usual.delete,
        Action::Reboot => usual.reboot,
    }
}
