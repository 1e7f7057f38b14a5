//! Operations that run together: one plan, in the waves of the rollout.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::queue::{Batch, Reason};
use super::writer::Writer;
use crate::apply::events::Outcome;
use crate::apply::{Applied, ApplyContext, ApplyStatus, apply_once};
use crate::diagnostics::{Code, Failure};
use crate::lease::Validity;
use crate::pipeline::{Pipeline, Planned};
use crate::plan::unattended::ApprovedChanges;
use crate::plan::{FindingSeverity, Plan, PlanOptions, WorkerRequest};
use crate::provider::cluster::{ClusterError, OperationObject, OperationPhase};
use crate::refresh::Scope;
use crate::resource::Kind;
use crate::topology::names::WorkerName;
use crate::watch::context::{ReconcileContext, while_leading};
use crate::watch::reconciled::pairs_lost;
use crate::watch::step_reporter::StepReporter;

/// The result of a batch.
#[derive(Debug, Default)]
pub(super) struct BatchResult {
    /// How many changes were made.
    pub(super) changes: usize,
    /// Whether an Operation ended, so that others may run.
    pub(super) has_progressed: bool,
    /// Why an Operation could not run, although it may later.
    pub(super) failure: Option<Failure>,
    /// When an Operation is to be looked at again.
    pub(super) recheck: Option<Duration>,
}

/// A batch with its plan.
#[derive(Default)]
pub(super) struct PlannedBatch {
    pub(super) result: BatchResult,
    /// The started Operations that the plan holds back, by uid.
    held: BTreeSet<String>,
    /// The Operations that ended, by uid. The objects that were read do not show it.
    pub(super) ended: BTreeSet<String>,
    /// The plan to apply, if it has a change for one of them.
    planned: Option<Planned>,
}

impl PlannedBatch {
    /// The Operations that the plan holds back, if it does nothing for the others: then they
    /// must not keep what comes after them waiting.
    pub(super) fn stuck(&self) -> Option<&BTreeSet<String>> {
        let does_nothing = self.planned.is_none() && self.result.failure.is_none();
        Some(&self.held).filter(|held| does_nothing && !held.is_empty())
    }
}

/// Plans the work of a batch as the commands do, and ends or holds the Operations for which
/// there is no change. `None` if it is to stop.
pub(super) async fn plan(
    context: &ReconcileContext<'_>,
    writer: &Writer<'_>,
    batch: &Batch<'_>,
) -> Result<Option<PlannedBatch>, ClusterError> {
    let scope = scope(context, batch);
    let pipeline = Pipeline { scope: &scope, ..context.apply.pipeline };
    let planned = tokio::select! {
        biased;
        () = context.apply.stop.requested() => return Ok(None),
        planned = pipeline.run() => planned,
    };
    let mut found = PlannedBatch::default();
    if end_without_change(writer, batch, &planned.plan, &mut found).await? {
        found.planned = Some(planned);
    }
    Ok(Some(found))
}

/// Applies the plan of a batch once.
pub(super) async fn run(
    context: &ReconcileContext<'_>,
    writer: &Writer<'_>,
    batch: &Batch<'_>,
    found: PlannedBatch,
    leadership: Option<Validity>,
) -> Result<BatchResult, ClusterError> {
    let PlannedBatch { mut result, planned, .. } = found;
    if let Some(planned) = planned {
        let scope = scope(context, batch);
        let pipeline = Pipeline { scope: &scope, ..context.apply.pipeline };
        let apply = ApplyContext { pipeline, ..context.apply.clone() };
        let applied = Box::pin(apply_while_leading(context, &apply, planned, leadership)).await;
        end_batch(writer, batch, &applied, &mut result).await?;
    }
    Ok(result)
}

/// The scope of plans that request the work of a batch.
fn scope<'a>(context: &ReconcileContext<'a>, batch: &Batch<'_>) -> Scope<'a> {
    let requested =
        batch.members.iter().map(|(worker, object)| (worker.clone(), object.requested()));
    let request = WorkerRequest::of_operations(batch.operation, requested.collect());
    let options = PlanOptions { worker_request: Some(request), ..PlanOptions::default() };
    Scope { options, ..context.apply.pipeline.scope.clone() }
}

/// Ends or holds the Operations for which the plan has no change. Returns whether the plan
/// may be applied.
async fn end_without_change(
    writer: &Writer<'_>,
    batch: &Batch<'_>,
    plan: &Plan,
    found: &mut PlannedBatch,
) -> Result<bool, ClusterError> {
    let PlannedBatch { result, held, ended, .. } = found;
    let obstacle = obstacle(plan);
    let loses_pairs = plan.reachability.is_refused();
    for (worker, object) in &batch.members {
        if let Some(reason) = blocked(plan, worker) {
            // The worker of a started one may be drained: it is completed once it can be.
            if object.is_started() {
                held.insert(object.uid.clone());
                writer.wait(object, Some(worker), &reason).await?;
            } else {
                writer.refuse(object, Some(worker), &reason).await?;
                result.has_progressed = true;
            }
        } else if loses_pairs {
            let reason = Reason::new("LosesPairs", pairs_lost(plan).message);
            if object.is_started() || !may_lose_pairs(plan, batch, worker) {
                if object.is_started() {
                    held.insert(object.uid.clone());
                }
                writer.wait(object, Some(worker), &reason).await?;
            } else {
                writer.refuse(object, Some(worker), &reason).await?;
                result.has_progressed = true;
            }
        } else if let Some(failure) = &obstacle {
            let reason = Reason::new("NotPlanned", failure.message.clone());
            writer.wait(object, Some(worker), &reason).await?;
        } else if has_change(plan, worker) {
            let reason = Reason::new("Queued", "waits for its turn in the rollout");
            if !object.is_started() {
                writer.wait(object, Some(worker), &reason).await?;
            }
        } else if object.is_started() {
            // An attempt that was interrupted has done all of it.
            let reason = Reason::new("Succeeded", "the Node is Ready");
            writer.finish(object, Some(worker), OperationPhase::Succeeded, &reason).await?;
            ended.insert(object.uid.clone());
            result.has_progressed = true;
        }
    }
    result.failure = obstacle;
    Ok(result.failure.is_none() && !loses_pairs && !plan.changes.is_empty())
}

/// Why nothing may be planned now, although it may later.
fn obstacle(plan: &Plan) -> Option<Failure> {
    let error = plan.findings.iter().find(|it| it.severity == FindingSeverity::Error);
    let error = error.map(|finding| finding.failure.clone());
    error.or_else(|| plan.unexplained_gaps().next().map(|gap| gap.failure.clone()))
}

/// Why the plan may not change a worker.
fn blocked(plan: &Plan, worker: &WorkerName) -> Option<Reason> {
    let is_worker = |kind: Kind, name: &str| kind == Kind::Worker && name == worker.as_str();
    let mut blocked = plan.blocked.iter();
    let blocked = blocked.find(|it| is_worker(it.address.kind, &it.address.name))?;
    let name = match blocked.failure.code {
        Code::Protected => "Protected",
        Code::NotOwned => "NotOwned",
        _ => "CannotRun",
    };
    Some(Reason::new(name, format!("{}; {}", blocked.failure.message, blocked.failure.remedy)))
}

/// Whether the change of a worker is known to lose pairs, or none of the batch is.
fn may_lose_pairs(plan: &Plan, batch: &Batch<'_>, worker: &WorkerName) -> bool {
    let losses = plan.reachability.losses.iter().filter_map(|loss| loss.resource.as_ref());
    let causes: BTreeSet<&str> = losses.map(|resource| resource.name.as_str()).collect();
    let is_cause = |worker: &WorkerName| causes.contains(worker.as_str());
    is_cause(worker) || !batch.members.iter().any(|(other, _)| is_cause(other))
}

fn has_change(plan: &Plan, worker: &WorkerName) -> bool {
    let mut changes = plan.changes.iter().map(|change| &change.address);
    changes.any(|it| it.kind == Kind::Worker && it.name.as_str() == worker.as_str())
}

/// Applies until the Lease of the leader is lost: then no other step begins.
async fn apply_while_leading(
    context: &ReconcileContext<'_>,
    apply: &ApplyContext<'_>,
    planned: Planned,
    leadership: Option<Validity>,
) -> Applied {
    let approved = ApprovedChanges::default();
    let reporter = StepReporter::new(context.reporter, (context.guard, context.memory), &approved);
    let stop = apply.stop.child();
    let context = ApplyContext {
        reporter: &reporter,
        stop: stop.clone(),
        leadership: leadership.clone(),
        ..apply.clone()
    };
    while_leading(leadership, &stop, apply_once(&context, planned)).await.0
}

/// Ends the Operations whose work is complete. Their status may say so already.
async fn end_batch(
    writer: &Writer<'_>,
    batch: &Batch<'_>,
    applied: &Applied,
    result: &mut BatchResult,
) -> Result<(), ClusterError> {
    let outcomes: BTreeMap<&str, &Outcome> = applied
        .outcomes
        .iter()
        .filter(|(address, _)| address.kind == Kind::Worker)
        .map(|(address, outcome)| (address.name.as_str(), outcome))
        .collect();
    result.changes += applied.changes_made;
    let objects = writer.cluster.operations().await?;
    for (worker, before) in &batch.members {
        let Some(object) = objects.iter().find(|it| it.uid == before.uid) else {
            // It was cancelled.
            result.has_progressed = true;
            continue;
        };
        if object.is_finished() {
            // One that ended before the work began is concluded.
            if object.is_held {
                writer.conclude(object).await?;
            }
            result.has_progressed = true;
        } else if let Some(outcome) = outcomes.get(worker.as_str()) {
            end_one(writer, object, worker, outcome, result).await?;
        }
    }
    if let (None, ApplyStatus::Partial(failure), true) =
        (&result.failure, &applied.status, applied.outcomes.is_empty())
    {
        result.failure = Some(failure.clone());
    }
    Ok(())
}

async fn end_one(
    writer: &Writer<'_>,
    object: &OperationObject,
    worker: &WorkerName,
    outcome: &Outcome,
    result: &mut BatchResult,
) -> Result<(), ClusterError> {
    let (phase, reason) = match outcome {
        Outcome::Done | Outcome::UpToDate => {
            (OperationPhase::Succeeded, Reason::new("Succeeded", "the Node is Ready"))
        }
        // Another replica continues it, or has ended it.
        Outcome::Failed(failure) if failure.code == Code::LeaseLost => {
            result.failure = Some(failure.clone());
            return Ok(());
        }
        Outcome::Failed(failure) => {
            let message = format!("{}; {}", failure.message, failure.remedy);
            (OperationPhase::Failed, Reason::new("StepFailed", message))
        }
        // The worker of a started one may be drained: it stays started.
        Outcome::RolloutHalted { .. } | Outcome::Skipped { .. } if object.is_started() => {
            let reason = "a started Operation waits because the rollout halted";
            let remedy = "no action is needed: the next reconcile continues the Operation";
            result.failure = Some(Failure::new(Code::PartlyApplied, reason, remedy));
            return Ok(());
        }
        Outcome::RolloutHalted { reason } => {
            let message = format!("not started, because the rollout halted: {reason}");
            (OperationPhase::Failed, Reason::new("RolloutHalted", message))
        }
        Outcome::Skipped { because_of } => {
            let message = format!("not completed, because {because_of} was not changed");
            (OperationPhase::Failed, Reason::new("Skipped", message))
        }
        // The next reconcile plans it again.
        Outcome::GuardFailed { reason } => {
            let remedy = "no action is needed: the next reconcile plans the Operation again";
            result.failure = Some(Failure::new(Code::StalePlan, reason.clone(), remedy));
            return Ok(());
        }
        // It stays started, and the next reconcile completes it.
        Outcome::HalfReplaced { reason, .. } => {
            let remedy = "no action is needed: the next reconcile continues the Operation";
            result.failure = Some(Failure::new(Code::PartlyApplied, reason.clone(), remedy));
            return Ok(());
        }
        Outcome::NotStarted => return Ok(()),
    };
    writer.finish(object, Some(worker), phase, &reason).await?;
    result.has_progressed = true;
    Ok(())
}
