//! One reconcile: the pipeline, and an apply of what needs no approval.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use super::burst_guard::BurstGuard;
use super::cluster::ClusterWatchers;
use crate::apply::events::Outcome;
use crate::apply::{Applied, ApplyContext, ApplyStatus, apply};
use crate::diagnostics::{Code, Failure};
use crate::plan::unattended::removed_objects;
use crate::plan::{ApprovalReason, AwaitingApproval, Plan, PlanStatus};

/// What a reconcile did, and what is left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciled {
    /// How it ended.
    pub result: ReconcileResult,
    /// How many changes were made.
    pub changes: usize,
    /// Changes that await approval.
    pub awaiting_approval: Vec<AwaitingApproval>,
    /// How many changes are blocked.
    pub blocked: usize,
    /// How many pairs of nodes cannot reach each other's pods.
    pub pairs_broken: u64,
    /// Why it did not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconcileResult {
    /// The infrastructure matches the topology.
    Matches,
    /// What is left awaits approval.
    AwaitsApproval,
    /// What is left is blocked, or an error of the topology forbids all changes.
    Blocked,
    /// It did not complete.
    Failed,
    /// It was interrupted.
    Interrupted,
}

impl ReconcileResult {
    /// Whether another attempt soon may succeed.
    pub(super) fn is_retried(self) -> bool {
        self == Self::Failed
    }
}

/// What a reconcile works with.
pub struct ReconcileContext<'a> {
    /// Plans and applies. The options of its scope say what needs no approval.
    pub apply: ApplyContext<'a>,
    /// Counts removals and failures over all reconciles.
    pub guard: &'a Mutex<BurstGuard>,
    /// The most objects and routes that are removed within ten minutes.
    pub max_removals: usize,
    /// Watches the cluster from the first reconcile that finds it.
    pub watchers: &'a ClusterWatchers,
}

/// Reads live state, plans, and applies what the options of the scope permit without
/// approval.
pub async fn reconcile(context: &ReconcileContext<'_>) -> Reconciled {
    let reconciled = context.run().await;
    if reconciled.result == ReconcileResult::Failed {
        context.guard().record_failure(Instant::now());
    }
    reconciled
}

impl ReconcileContext<'_> {
    async fn run(&self) -> Reconciled {
        let mut planned = tokio::select! {
            biased;
            () = self.apply.stop.requested() => return Reconciled::interrupted(),
            planned = self.apply.pipeline.run() => planned,
        };
        if let Some(access) = planned.observation.cluster_access() {
            self.watchers.follow(access);
        }
        if !planned.plan.changes.is_empty()
            && let Err(reason) = self.permit(&planned.plan)
        {
            planned.plan = planned.plan.awaiting_approval_of_all(&reason);
        }
        // Nothing to write: no lease is taken.
        if planned.plan.changes.is_empty() {
            return Reconciled::of_plan(&planned.plan, 0, None);
        }
        // Each of its plans leaves out what needs approval.
        let approve = |plan: &Plan| self.permit(plan).is_ok();
        let applied = apply(&self.apply, planned, &approve).await;
        Reconciled::of_apply(&applied)
    }

    /// Counts what a plan removes, unless it would be too much.
    fn permit(&self, plan: &Plan) -> Result<(), ApprovalReason> {
        let (removed, now) = (removed_objects(plan), Instant::now());
        let mut guard = self.guard();
        if let Some(reason) = guard.refusal(removed, self.max_removals, now) {
            return Err(reason);
        }
        guard.record_removals(removed, now);
        Ok(())
    }

    fn guard(&self) -> std::sync::MutexGuard<'_, BurstGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reconciled {
    /// A reconcile that was interrupted before anything was read.
    pub fn interrupted() -> Self {
        Self {
            result: ReconcileResult::Interrupted,
            changes: 0,
            awaiting_approval: Vec::new(),
            blocked: 0,
            pairs_broken: 0,
            failure: None,
        }
    }

    /// A reconcile that could not begin.
    pub fn failed(failure: Failure) -> Self {
        let result = ReconcileResult::Failed;
        Self { result, failure: Some(failure), ..Self::interrupted() }
    }

    fn of_apply(applied: &Applied) -> Self {
        let changes = applied.outcomes.values().filter(|it| **it == Outcome::Done).count();
        let Some(plan) = &applied.remaining else { return Self::interrupted() };
        let failure = match &applied.status {
            ApplyStatus::Partial(failure) => Some(failure.clone()),
            ApplyStatus::Refused(refusal) => refusal.failures().into_iter().next(),
            _ => None,
        };
        let reconciled = Self::of_plan(plan, changes, failure);
        match applied.status {
            ApplyStatus::Interrupted => Self { result: ReconcileResult::Interrupted, ..reconciled },
            ApplyStatus::Stale => Self { result: ReconcileResult::Failed, ..reconciled },
            _ => reconciled,
        }
    }

    /// What a plan leaves to do. A failure of the apply is given; the reads may have
    /// failed as well.
    fn of_plan(plan: &Plan, changes: usize, failure: Option<Failure>) -> Self {
        let gap = || plan.unexplained_gaps().next().map(|gap| gap.failure.clone());
        let failure = failure.or_else(gap).or_else(|| waits_in_vain(plan));
        let result = match plan.status() {
            _ if failure.is_some() => ReconcileResult::Failed,
            PlanStatus::Unknown => ReconcileResult::Failed,
            PlanStatus::Wrong | PlanStatus::Blocked => ReconcileResult::Blocked,
            _ if !plan.awaiting_approval.is_empty() => ReconcileResult::AwaitsApproval,
            PlanStatus::Differs => ReconcileResult::Failed,
            PlanStatus::Unreachable | PlanStatus::Matches => ReconcileResult::Matches,
        };
        Self {
            result,
            changes,
            awaiting_approval: plan.awaiting_approval.clone(),
            blocked: plan.blocked.len(),
            pairs_broken: plan.reachability.broken,
            failure,
        }
    }
}

/// A deferred resource for which no change is left that it could wait for.
fn waits_in_vain(plan: &Plan) -> Option<Failure> {
    let deferred = plan.deferred.first().filter(|_| plan.changes.is_empty())?;
    let message = format!("{} depends on a resource that does not exist yet", deferred.address);
    let remedy = "run `stargate plan`, which shows what it waits for";
    Some(Failure::new(Code::PartlyApplied, message, remedy))
}
