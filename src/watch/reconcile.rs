//! One reconcile: the pipeline, and an apply of what needs no approval.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::context::ReconcileContext;
use super::leadership::ReplicaRole;
use super::operations;
use super::queue::Trigger;
use super::reconciled::{ReconcileResult, Reconciled, changes_made};
use super::step_reporter::StepReporter;
use crate::apply::{ApplyContext, apply};
use crate::diagnostics::{Code, Failure};
use crate::lease::Validity;
use crate::pipeline::Planned;
use crate::plan::{ApprovalReason, Plan};

/// Reads live state, plans, and applies what the options of the scope permit without
/// approval.
pub async fn reconcile(context: &ReconcileContext<'_>) -> Reconciled {
    if context.triggers.iter().any(|it| it.is_requested()) {
        context.guard().reset();
    }
    let reconciled = context.run().await;
    // Retries become rarer by themselves, and end with what makes them fail.
    let is_retry = context.triggers.contains(&Trigger::Retry);
    if reconciled.result == ReconcileResult::Failed && !is_retry {
        context.guard().record_failure(Instant::now());
    }
    reconciled
}

impl ReconcileContext<'_> {
    async fn run(&self) -> Reconciled {
        let planned = tokio::select! {
            biased;
            () = self.apply.stop.requested() => return Reconciled::interrupted(),
            planned = self.apply.pipeline.run() => planned,
        };
        if let Some(access) = planned.observation.cluster_access() {
            self.watchers.follow(access);
        }
        let leadership = match self.lead(&planned).await {
            Ok(leadership) => leadership,
            Err(reconciled) => return *reconciled,
        };
        let access = planned.observation.cluster_access().cloned();
        let reconciled = self.apply_permitted(planned, leadership.clone()).await;
        match access {
            Some(access) => operations::run(self, &access, leadership, reconciled).await,
            None => reconciled,
        }
    }

    /// Applies what needs no approval.
    async fn apply_permitted(
        &self,
        mut planned: Planned,
        leadership: Option<Validity>,
    ) -> Reconciled {
        let reporter = StepReporter::new(self.reporter, self.guard);
        if !planned.plan.changes.is_empty()
            && let Err(reason) = self.permit(&planned.plan, &reporter)
        {
            planned.plan = planned.plan.awaiting_approval_of_all(&reason);
        }
        // Nothing to write: no lease is taken.
        if planned.plan.changes.is_empty() {
            return Reconciled::of_plan(&planned.plan, 0, None);
        }
        match leadership {
            None => self.apply_with(&self.apply, planned, &reporter).await,
            Some(validity) => self.apply_as_leader(validity, planned, &reporter).await,
        }
    }

    /// Takes part in the election, where a cluster can decide it. Returns the Lease of the
    /// leader, or how the reconcile ends for another replica.
    async fn lead(&self, planned: &Planned) -> Result<Option<Validity>, Box<Reconciled>> {
        let access = planned.observation.cluster_access();
        let (Some(leadership), Some(access)) = (self.leadership, access) else { return Ok(None) };
        let connected = access.credentials.connect(self.apply.clients).await;
        let client =
            connected.map_err(|error| Box::new(Reconciled::failed(Failure::from(&error))))?;
        let decided = leadership.decided(access, client, (self.apply.pipeline.now)());
        let role = tokio::select! {
            biased;
            () = self.apply.stop.requested() => ReplicaRole::Undecided,
            role = decided => role,
        };
        Err(Box::new(match role {
            ReplicaRole::Leader(validity) => return Ok(Some(validity)),
            ReplicaRole::Undecided => Reconciled::interrupted(),
            ReplicaRole::Standby { holder } => Reconciled::standing_by(holder),
            ReplicaRole::Refused(failure) => {
                let name = leadership.lease_name();
                Reconciled::failed(failure.within(format!("cannot take the lease {name}")))
            }
        }))
    }

    /// Applies until the Lease of the leader is lost: then no other step begins.
    async fn apply_as_leader(
        &self,
        validity: Validity,
        planned: Planned,
        reporter: &StepReporter<'_>,
    ) -> Reconciled {
        let (stop, leadership) = (self.apply.stop.child(), Some(validity.clone()));
        let context = ApplyContext { stop: stop.clone(), leadership, ..self.apply.clone() };
        let mut lease = validity;
        let applied = self.apply_with(&context, planned, reporter);
        tokio::pin!(applied);
        tokio::select! {
            biased;
            reconciled = &mut applied => return reconciled,
            () = lease.ended() => stop.stop(),
        }
        Reconciled { failure: Some(lost_leadership()), ..applied.await }
    }

    async fn apply_with(
        &self,
        context: &ApplyContext<'_>,
        planned: Planned,
        reporter: &StepReporter<'_>,
    ) -> Reconciled {
        reporter.expect(&planned.plan);
        let refused = Mutex::new(None);
        // Each of its plans leaves out what needs approval.
        let approve = |plan: &Plan| match self.permit(plan, reporter) {
            Ok(()) => {
                reporter.expect(plan);
                true
            }
            Err(reason) => {
                *refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                false
            }
        };
        let apply_context = ApplyContext { reporter, ..context.clone() };
        let mut applied = apply(&apply_context, planned, &approve).await;
        let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (refused, applied.remaining.take()) {
            (Some(reason), Some(plan)) => {
                let plan = plan.awaiting_approval_of_all(&reason);
                Reconciled::of_plan(&plan, changes_made(&applied), None)
            }
            (_, remaining) => {
                applied.remaining = remaining;
                Reconciled::of_apply(&applied)
            }
        }
    }

    /// Whether a plan may be made with what was removed and what failed lately.
    fn permit(&self, plan: &Plan, reporter: &StepReporter<'_>) -> Result<(), ApprovalReason> {
        let removed = reporter.removed_by(plan);
        let refusal = self.guard().refusal(removed, self.max_removals, Instant::now());
        refusal.map_or(Ok(()), Err)
    }
}

fn lost_leadership() -> Failure {
    Failure::new(
        Code::LeaseLost,
        "the reconcile stopped because another replica may lead by now",
        "nothing: the replica that leads continues with the remaining changes",
    )
}
