//! Counts of the remaining work and of workers by condition.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::Planned;
use crate::plan::{Action, Plan};
use crate::resource::{Address, Kind, Resource};

/// Counts of the remaining work of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Remaining {
    /// How many resources differ from the topology, by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// The remaining changes by action.
    pub actions: BTreeMap<Action, u64>,
    /// The digest that approves the waiting changes; absent if none wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_digest: Option<String>,
    /// How many pairs of nodes become unreachable once that is approved.
    pub approval_lost_pairs: u64,
}

impl Remaining {
    /// Counts the remaining work of a plan. A resource counts once.
    pub(super) fn of(plan: &Plan) -> Self {
        let changes = plan.changes.iter().map(|it| (&it.address, it.action));
        let deferred = plan.deferred.iter().map(|it| (&it.address, it.action));
        let blocked = plan.blocked.iter().map(|it| (&it.address, it.action));
        let awaiting = plan.awaiting_approval.iter().map(|it| (&it.address, it.action));
        let differing: BTreeMap<&Address, Action> =
            changes.chain(deferred).chain(blocked).chain(awaiting).collect();
        let mut remaining = Self {
            approval_digest: plan.approval_digest(),
            approval_lost_pairs: plan.approval_lost_pairs(),
            ..Self::default()
        };
        for (address, action) in differing {
            *remaining.kinds.entry(address.kind).or_default() += 1;
            *remaining.actions.entry(action).or_default() += 1;
        }
        remaining
    }

    /// How many resources differ.
    pub fn total(&self) -> u64 {
        self.kinds.values().sum()
    }
}

/// Workers by health.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct WorkerCounts {
    /// How many have a Node that is Ready.
    pub ready: u64,
    /// How many have a Node that is not.
    pub not_ready: u64,
    /// How many have no Node.
    pub missing: u64,
    /// Of how many the Node could not be read.
    pub unknown: u64,
}

impl WorkerCounts {
    /// The workers of the topology, as they were before anything was changed.
    pub(super) fn of(planned: &Planned) -> Self {
        let mut counts = Self::default();
        let inventory = &planned.observation.inventory;
        let workers = planned.plan.desired().iter();
        for worker in workers.filter(|it| it.address.kind == Kind::Worker) {
            let found = worker.key.as_ref().and_then(|key| inventory.get(key));
            let count = match found.map(|it| &it.resource) {
                Some(Resource::Worker(node)) if node.ready => &mut counts.ready,
                Some(_) => &mut counts.not_ready,
                None if inventory.gap_for(Kind::Worker, worker.key.as_ref()).is_some() => {
                    &mut counts.unknown
                }
                None => &mut counts.missing,
            };
            *count += 1;
        }
        counts
    }
}
