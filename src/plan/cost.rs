//! What a plan costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::impact::restart_of;
use super::step_graph::StepGraph;
use super::{Action, Change};
use crate::resource::Api;
use crate::resource::restarts::Restart;
use crate::resource::{Address, Kind};

/// Requests and time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests that the refresh took, by API.
    pub requests: BTreeMap<Api, u64>,
    /// The minimum number of requests that the apply will take, by API.
    pub apply_requests: BTreeMap<Api, u64>,
    /// Writes among them.
    pub apply_writes: BTreeMap<Api, u64>,
    /// The chain of dependent changes that takes longest.
    pub critical_path: Vec<Address>,
    /// How long that chain takes, in seconds, by durations measured on real clouds.
    pub seconds: u64,
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
        cost.seconds = seconds;
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
pub(super) fn seconds(change: &Change) -> u64 {
    let usual = change.address.kind.facts().seconds;
    let is_upgrade = restart_of(change) == Some(Restart::KubeletUpgrade);
    match change.action {
        Action::Create | Action::Replace => usual.create,
        // It is drained, and the steps of a join are done again.
        Action::Update | Action::Adopt if is_upgrade => usual.create,
        Action::Update | Action::Adopt => usual.update,
        Action::Delete => usual.delete,
        Action::Reboot => usual.reboot,
    }
}
