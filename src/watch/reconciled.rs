//! The result of a reconcile and the differences that remain.

use std::time::Duration;

use serde::Serialize;

use super::remaining::{Remaining, WorkerCounts};
use crate::apply::{Applied, ApplyStatus};
use crate::diagnostics::{Code, Failure, counted};
use crate::plan::{Action, AwaitingApproval, FindingSeverity, Plan, PlanStatus};
use crate::resource::Address;

/// The result of a reconcile, and the remaining work.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reconciled {
    /// How it ended.
    pub result: ReconcileResult,
    /// How many changes were made.
    pub changes: usize,
    /// Changes that await approval.
    pub awaiting_approval: Vec<AwaitingApproval>,
    /// Blocked changes and their reasons.
    pub blocked: Vec<BlockedChange>,
    /// Pairs of nodes, by whether their pods reach each other.
    pub pairs: PairCounts,
    /// The remaining changes, counted; absent if nothing was planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<Remaining>,
    /// Workers by health, as they were before anything was changed; absent if nothing was
    /// planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkerCounts>,
    /// The replica that reconciles, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Why it did not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The time after which another reconcile is due, if that is before the next interval.
    #[serde(skip)]
    pub recheck: Option<Duration>,
}

/// Pairs of nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PairCounts {
    /// How many reach each other's pods.
    pub reached: u64,
    /// How many do not.
    pub broken: u64,
    /// Of how many it is unknown.
    pub unknown: u64,
}

impl PairCounts {
    fn of(plan: &Plan) -> Self {
        let found = &plan.reachability;
        Self { reached: found.kept + found.gained, broken: found.broken, unknown: found.unknown }
    }
}

/// A change that is blocked, or an error that forbids all changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedChange {
    /// The resource, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// The blocked action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// The reason and the remedy.
    pub failure: Failure,
}

/// How a reconcile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReconcileResult {
    /// The infrastructure matches the topology.
    Matches,
    /// The remaining changes await approval.
    AwaitsApproval,
    /// The remaining changes are blocked, or an error of the topology forbids all changes.
    Blocked,
    /// It did not complete.
    Failed,
    /// It was interrupted.
    Interrupted,
    /// Another replica reconciles.
    StandingBy,
}

impl ReconcileResult {
    /// Whether live state was read, and nothing is left that this replica could do now.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Matches | Self::AwaitsApproval | Self::Blocked)
    }

    /// Whether another attempt soon may succeed.
    pub(super) fn is_retried(self) -> bool {
        self == Self::Failed
    }
}

impl Reconciled {
    /// A reconcile that was interrupted before anything was read.
    pub fn interrupted() -> Self {
        Self {
            result: ReconcileResult::Interrupted,
            changes: 0,
            awaiting_approval: Vec::new(),
            blocked: Vec::new(),
            pairs: PairCounts::default(),
            remaining: None,
            workers: None,
            leader: None,
            failure: None,
            recheck: None,
        }
    }

    /// A reconcile that is left to another replica.
    pub fn standing_by(leader: String) -> Self {
        let result = ReconcileResult::StandingBy;
        Self { result, leader: Some(leader), ..Self::interrupted() }
    }

    /// A reconcile that could not begin.
    pub fn failed(failure: Failure) -> Self {
        let result = ReconcileResult::Failed;
        Self { result, failure: Some(failure), ..Self::interrupted() }
    }

    /// The remaining work after an apply.
    pub(super) fn of_apply(applied: &Applied) -> Self {
        let changes = applied.changes_made;
        let Some(plan) = &applied.remaining else { return Self::interrupted() };
        let failure = match &applied.status {
            ApplyStatus::Partial(failure) | ApplyStatus::Overtaken(failure) => {
                Some(failure.clone())
            }
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

    /// The remaining work of a plan. `failure` is that of the apply; reads may have failed
    /// as well.
    pub(super) fn of_plan(plan: &Plan, changes: usize, failure: Option<Failure>) -> Self {
        let gap = || plan.unexplained_gaps().next().map(|gap| gap.failure.clone());
        let failure = failure.or_else(gap).or_else(|| unresolvable_deferred(plan));
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
            blocked: blocked_in(plan),
            pairs: PairCounts::of(plan),
            remaining: Some(Remaining::of(plan)),
            workers: None,
            leader: None,
            failure,
            recheck: None,
        }
    }
}

/// A deferred resource for which no change is left that it could wait for.
fn unresolvable_deferred(plan: &Plan) -> Option<Failure> {
    let deferred = plan.deferred.first().filter(|_| plan.changes.is_empty())?;
    let message = format!("{} depends on a resource that does not exist yet", deferred.address);
    let remedy = "run `stargate plan`, which shows what it waits for";
    Some(Failure::new(Code::PartlyApplied, message, remedy))
}

/// The blocked changes of a plan, and the errors that forbid all changes.
fn blocked_in(plan: &Plan) -> Vec<BlockedChange> {
    let errors = plan.findings.iter().filter(|it| it.severity == FindingSeverity::Error);
    let errors = errors.map(|finding| BlockedChange {
        address: finding.address.clone(),
        action: None,
        failure: finding.failure.clone(),
    });
    let refused = plan.reachability.is_refused().then(|| BlockedChange {
        address: None,
        action: None,
        failure: pairs_lost(plan),
    });
    let changes = plan.blocked.iter().map(|blocked| BlockedChange {
        address: Some(blocked.address.clone()),
        action: Some(blocked.action),
        failure: blocked.failure.clone(),
    });
    errors.chain(refused).chain(changes).collect()
}

pub(super) fn pairs_lost(plan: &Plan) -> Failure {
    let message = match plan.reachability.loss_summaries().first() {
        Some(loss) => format!("the plan {loss}"),
        None => format!("the plan loses {}", counted(plan.reachability.lost, "pair")),
    };
    let remedy = "run `stargate plan`, which names the hop and the cause";
    Failure::new(Code::ReachabilityLost, message, remedy)
}
