//! Reports the changes of a reconcile, and counts their removals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use ipnet::Ipv4Net;
use tokio::time::Instant;

use super::burst_guard::BurstGuard;
use super::deployment_memory::DeploymentMemory;
use super::events::{WatchEvent, WatchReporter};
use crate::apply::events::{Event, Outcome, Reporter};
use crate::plan::unattended::{ApprovedChanges, Removals};
use crate::plan::{Change, Plan};
use crate::resource::Address;

/// Turns the events of an apply into events of the watch. The removals of a change are
/// counted when it is done: a change that was not started, or was up to date, removes
/// nothing.
pub(super) struct StepReporter<'a> {
    reporter: &'a dyn WatchReporter,
    guard: &'a Mutex<BurstGuard>,
    memory: &'a Mutex<DeploymentMemory>,
    /// Changes that a person approved are not counted.
    approved: &'a ApprovedChanges,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    /// The removals of each change of the current plan.
    planned: BTreeMap<Address, Removals>,
    /// The digests by which each change of the current plan is approved.
    approvals: BTreeMap<Address, Vec<String>>,
    /// The digests of changes that were made.
    used: BTreeSet<String>,
    /// The prefixes that were counted in this reconcile.
    prefixes: BTreeSet<Ipv4Net>,
}

impl<'a> StepReporter<'a> {
    pub(super) fn new(
        reporter: &'a dyn WatchReporter,
        (guard, memory): (&'a Mutex<BurstGuard>, &'a Mutex<DeploymentMemory>),
        approved: &'a ApprovedChanges,
    ) -> Self {
        Self { reporter, guard, memory, approved, counts: Mutex::default() }
    }

    /// Sets the current plan.
    pub(super) fn expect(&self, plan: &Plan) {
        let removals = self.unapproved(plan);
        let removals = removals.map(|it| (it.address.clone(), Removals::of_change(it)));
        let approvals = plan.changes.iter();
        let approvals = approvals.map(|it| (it.address.clone(), self.approved.digests_of(it)));
        let mut counts = self.counts();
        counts.planned = removals.collect();
        counts.approvals = approvals.collect();
    }

    /// The digests of the approved changes that were made.
    pub(super) fn approvals_used(&self) -> BTreeSet<String> {
        self.counts().used.clone()
    }

    /// The number of removals of a plan that were neither approved nor counted in this
    /// reconcile.
    pub(super) fn removed_by(&self, plan: &Plan) -> usize {
        let removals = Removals::of_changes(self.unapproved(plan));
        removals.count_without(&self.counts().prefixes)
    }

    /// Whether a person approved all changes of a plan.
    pub(super) fn is_approved(&self, plan: &Plan) -> bool {
        !self.approved.is_empty() && self.unapproved(plan).next().is_none()
    }

    fn unapproved<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = &'p Change> {
        plan.changes.iter().filter(|change| !self.approved.covers(change))
    }

    fn count(&self, address: &Address) {
        let mut counts = self.counts();
        let used = counts.approvals.remove(address).unwrap_or_default();
        counts.used.extend(used);
        let Some(removals) = counts.planned.remove(address) else { return };
        let removed = removals.count_without(&counts.prefixes);
        counts.prefixes.extend(removals.prefixes);
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.record_removals(removed, Instant::now());
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, DeploymentMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reporter for StepReporter<'_> {
    fn event(&self, event: &Event) {
        let event = match event {
            Event::WaitingForLease { lease, holder, destroys, .. } => {
                if *destroys {
                    self.memory().note_destroy();
                }
                WatchEvent::WaitingForLease { lease: lease.clone(), holder: holder.clone() }
            }
            Event::StepStarted { address, action } => {
                WatchEvent::ChangeStarted { address: address.clone(), action: *action }
            }
            Event::StepFinished { address, action, outcome, milliseconds } => {
                if *outcome == Outcome::Done {
                    self.count(address);
                    self.memory().note_done(address, *action);
                }
                WatchEvent::ChangeFinished {
                    address: address.clone(),
                    action: *action,
                    outcome: outcome.clone(),
                    milliseconds: *milliseconds,
                }
            }
            Event::Warning(failure) => WatchEvent::Warning { failure: failure.clone() },
            _ => return,
        };
        self.reporter.event(&event);
    }
}
