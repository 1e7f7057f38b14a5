//! What a plan costs.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{Action, Change};
use crate::resource::Api;
use crate::resource::{Address, Kind};

/// Requests and time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests that reading the world took, by API.
    pub requests: BTreeMap<Api, u64>,
    /// Requests that applying will take at the least, by API.
    pub apply_requests: BTreeMap<Api, u64>,
    /// Writes among them.
    pub apply_writes: BTreeMap<Api, u64>,
    /// The chain of changes that takes longest.
    pub critical_path: Vec<Address>,
    /// How long that chain takes, in seconds, by figures seen on real clouds.
    pub seconds: u64,
}

impl Cost {
    /// Adds up a plan's changes.
    pub(super) fn of(changes: &[Change], requests: &BTreeMap<Api, u64>) -> Self {
        let mut cost = Self { requests: requests.clone(), ..Self::default() };
        for change in changes {
            let (api, reads, writes) = calls(change);
            *cost.apply_requests.entry(api).or_default() += reads + writes;
            *cost.apply_writes.entry(api).or_default() += writes;
        }
        (cost.critical_path, cost.seconds) = critical_path(&changes.iter().collect::<Vec<_>>());
        cost
    }
}

/// The API that a change goes to, and its reads and writes.
fn calls(change: &Change) -> (Api, u64, u64) {
    let phases = if change.action == Action::Replace { 2 } else { 1 };
    let requests = change.address.kind.facts().requests;
    // A device joins by itself: nothing is written for its creation.
    let joins = change.address.kind == Kind::TailnetDevice && change.before.is_none();
    let writes = if joins { 0 } else { requests.writes.of(phases) };
    (requests.api, requests.reads.of(phases), writes)
}

/// Seconds that a change usually takes.
fn seconds(change: &Change) -> u64 {
    let usual = change.address.kind.facts().seconds;
    match change.action {
        Action::Create | Action::Replace => usual.create,
        Action::Update | Action::Adopt => usual.update,
        Action::Delete => usual.delete,
        Action::Reboot => usual.reboot,
    }
}

/// How long some changes of a plan take by themselves, in seconds; they come in
/// its order.
pub(super) fn time_of<'a>(changes: impl Iterator<Item = &'a Change>) -> u64 {
    critical_path(&changes.collect::<Vec<_>>()).1
}

/// The longest chain; the changes come in order. A wave of workers waits for
/// the last of the wave before.
fn critical_path(changes: &[&Change]) -> (Vec<Address>, u64) {
    let mut places: HashMap<&Address, usize> = HashMap::with_capacity(changes.len());
    let mut last_of_wave: HashMap<u32, usize> = HashMap::new();
    // When each change ends, and the one that it waited for last.
    let mut ends: Vec<(u64, Option<usize>)> = Vec::with_capacity(changes.len());
    for (place, change) in changes.iter().enumerate() {
        let awaited = change.depends_on.iter().filter_map(|address| places.get(address).copied());
        let wave_before =
            change.wave.and_then(|it| last_of_wave.get(&it.number.saturating_sub(1)).copied());
        let last = awaited.chain(wave_before).max_by_key(|it| (ends[*it].0, &changes[*it].address));
        let begin = last.map_or(0, |place| ends[place].0);
        ends.push((begin + seconds(change), last));
        places.insert(&change.address, place);
        if let Some(wave) = change.wave {
            let latest = last_of_wave.entry(wave.number).or_insert(place);
            if ends[*latest].0 < ends[place].0 {
                *latest = place;
            }
        }
    }
    let key = |place: &usize| (ends[*place].0, &changes[*place].address);
    let mut at = (0..changes.len()).max_by_key(key);
    let total = at.map_or(0, |place| ends[place].0);
    let mut path = Vec::new();
    while let Some(place) = at {
        path.push(changes[place].address.clone());
        at = ends[place].1;
    }
    path.reverse();
    (path, total)
}
