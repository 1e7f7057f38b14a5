//! One reconcile: the pipeline, and an apply of the changes that need no approval.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::context::{ReconcileContext, while_leading};
use super::leadership::{Leadership, ReplicaRole};
use super::operations;
use super::queue::Trigger;
use super::reconciled::{ReconcileResult, Reconciled};
use super::remaining::WorkerCounts;
use super::step_reporter::StepReporter;
use super::topology_recorder::TopologyReport;
use crate::apply::{ApplyContext, apply};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::lease::Validity;
use crate::pipeline::{Pipeline, Planned};
use crate::plan::unattended::ApprovedChanges;
use crate::plan::{ApprovalReason, Plan, PlanOptions};
use crate::provider::cluster::ClusterError;
use crate::provider::read_write::ClusterWrite;
use crate::refresh::Scope;

/// Reads live state, plans, and applies the changes that the options of the scope permit
/// without approval.
pub async fn reconcile(context: &ReconcileContext<'_>) -> Reconciled {
    if context.triggers.iter().any(|it| it.is_requested()) {
        context.guard().reset();
    }
    // On the heap, as below: nested in each other, the futures of an apply fill a stack.
    let reconciled = Box::pin(context.run()).await;
    // Retries become less frequent by themselves, and end with their cause.
    let is_retry = context.triggers.contains(&Trigger::Retry);
    if reconciled.result == ReconcileResult::Failed && !is_retry {
        context.guard().record_failure(Instant::now());
    }
    reconciled
}

impl<'a> ReconcileContext<'a> {
    /// Plans with the creations that await approval after a destroy.
    async fn run(&self) -> Reconciled {
        let scope = self.apply.pipeline.scope;
        let mut after_destroy = self.memory().is_destroyed();
        loop {
            let options = PlanOptions { after_destroy, ..scope.options.clone() };
            let scope = Scope { options, ..scope.clone() };
            let pipeline = Pipeline { scope: &scope, ..self.apply.pipeline };
            let planned = tokio::select! {
                biased;
                () = self.apply.stop.requested() => return Reconciled::interrupted(),
                planned = pipeline.run() => planned,
            };
            let name = &self.topology.topology.name;
            self.memory().observe(name, &planned.observation.inventory);
            let is_destroyed = self.memory().is_destroyed();
            if is_destroyed == after_destroy {
                let apply = ApplyContext { pipeline, ..self.apply.clone() };
                let context = ReconcileContext { apply, ..*self };
                // Beside the plan of this loop it would be too large for the stack.
                return Box::pin(context.run_planned(planned)).await;
            }
            after_destroy = is_destroyed;
        }
    }

    async fn run_planned(&self, planned: Planned) -> Reconciled {
        if let Some(access) = planned.observation.cluster_access() {
            self.watchers.follow(access, &self.topology.topology.name);
        }
        let Some(leadership) = self.leadership else {
            return Box::pin(self.run_under_lease(planned)).await;
        };
        let is_complete = planned.plan.unexplained_gaps().next().is_none();
        leadership.fitness().note_read(is_complete);
        let under_lease = leadership.begin_reconcile().await;
        let reconciled = Box::pin(self.run_under_lease(planned)).await;
        leadership.note_result(reconciled.result);
        under_lease.end(self.may_move(leadership, &reconciled));
        reconciled
    }

    async fn run_under_lease(&self, planned: Planned) -> Reconciled {
        let workers = Some(WorkerCounts::of(&planned));
        let client = match self.connect(&planned).await {
            Ok(client) => client,
            Err(error) => return Reconciled::failed(Failure::from(&error)),
        };
        let access = planned.observation.cluster_access().cloned();
        let leadership = match self.lead(&planned, client.clone()).await {
            Ok(leadership) => leadership,
            Err(reconciled) => return self.stand_by(*reconciled),
        };
        let report = self.report(client).await;
        let led = self.lead_through(planned, leadership.clone(), report.as_ref());
        let reconciled = Box::pin(led).await;
        self.memory().note_end(&reconciled);
        let reconciled = match access {
            Some(access) => {
                let before = reconciled.changes;
                let ran = operations::run(self, &access, leadership, reconciled);
                Box::pin(self.without_outdated(Box::pin(ran).await, before)).await
            }
            None => reconciled,
        };
        let reconciled = Reconciled { workers, ..reconciled };
        if let Some(recorder) = self.recorder {
            recorder.note(&reconciled);
        }
        if let Some(report) = &report {
            report.end(&reconciled).await;
        }
        reconciled
    }

    /// Whether another replica may lead from now on: what this one remembers would be lost.
    fn may_move(&self, leadership: &Leadership, reconciled: &Reconciled) -> bool {
        let is_failing = || leadership.fitness().is_failing();
        let is_ended = match reconciled.result {
            ReconcileResult::Failed => is_failing(),
            result => result.is_settled(),
        };
        is_ended && !self.guard().limits(Instant::now()) && !self.memory().is_destroyed()
    }

    /// After an Operation that was continued, the changes of its worker that awaited approval
    /// before are made. `before` is how many changes were made before the Operations.
    async fn without_outdated(&self, reconciled: Reconciled, before: usize) -> Reconciled {
        let may_be_outdated = reconciled.result == ReconcileResult::AwaitsApproval;
        if !may_be_outdated || reconciled.changes == before || self.apply.stop.is_set() {
            return reconciled;
        }
        let planned = tokio::select! {
            biased;
            () = self.apply.stop.requested() => return reconciled,
            planned = self.apply.pipeline.run() => planned,
        };
        // The next reconcile, which has been requested, makes changes that need no approval.
        if !planned.plan.changes.is_empty() {
            return reconciled;
        }
        let Reconciled { changes, recheck, .. } = reconciled;
        Reconciled { recheck, ..Reconciled::of_plan(&planned.plan, changes, None) }
    }

    /// A client that writes to the cluster, if that could be read.
    async fn connect(
        &self,
        planned: &Planned,
    ) -> Result<Option<Arc<dyn ClusterWrite>>, ClusterError> {
        if self.leadership.is_none() && self.recorder.is_none() {
            return Ok(None);
        }
        match planned.observation.cluster_access() {
            Some(access) => access.credentials.connect(self.apply.clients).await.map(Some),
            None => Ok(None),
        }
    }

    /// Without access to the cluster the last client may still reach it.
    async fn report(&self, client: Option<Arc<dyn ClusterWrite>>) -> Option<TopologyReport<'a>> {
        let recorder = self.recorder?;
        let client = client.or_else(|| recorder.client())?;
        recorder.begin(client, self.topology, self.reporter).await
    }

    fn stand_by(&self, reconciled: Reconciled) -> Reconciled {
        if let Some(recorder) = self.recorder {
            recorder.stand_by();
        }
        reconciled
    }

    /// Makes the changes that need no approval, and those that a person approved.
    async fn lead_through(
        &self,
        planned: Planned,
        leadership: Option<Validity>,
        report: Option<&TopologyReport<'_>>,
    ) -> Reconciled {
        let approved = self.approved(&planned.plan, report).await;
        if approved.is_empty() {
            return Box::pin(self.make_changes(
                &self.apply,
                planned,
                &approved,
                leadership,
                report,
            ))
            .await;
        }
        let scope = self.apply.pipeline.scope;
        let options = PlanOptions { approved: approved.clone(), ..scope.options.clone() };
        let scope = Scope { options, ..scope.clone() };
        let pipeline = Pipeline { scope: &scope, ..self.apply.pipeline };
        let apply = ApplyContext { pipeline, ..self.apply.clone() };
        let planned = tokio::select! {
            biased;
            () = self.apply.stop.requested() => return Reconciled::interrupted(),
            planned = pipeline.run() => planned,
        };
        Box::pin(self.make_changes(&apply, planned, &approved, leadership, report)).await
    }

    /// The changes that a person approved. If the burst guard refuses the others, those
    /// await approval too.
    async fn approved(&self, plan: &Plan, report: Option<&TopologyReport<'_>>) -> ApprovedChanges {
        let Some(report) = report else { return ApprovedChanges::default() };
        // The waiting changes are those of an earlier version of the file, which the next
        // reconcile reads again.
        if self.source.load().map(|it| it.digest).as_ref() != Ok(&self.topology.digest) {
            return ApprovedChanges::default();
        }
        let none = ApprovedChanges::default();
        match self.permit(plan, &StepReporter::new(self.reporter, (self.guard, self.memory), &none))
        {
            Err(reason) if !plan.changes.is_empty() => {
                report.approved(&plan.clone().awaiting_approval_of_all(&reason)).await
            }
            _ => report.approved(plan).await,
        }
    }

    async fn make_changes(
        &self,
        apply: &ApplyContext<'_>,
        mut planned: Planned,
        approved: &ApprovedChanges,
        leadership: Option<Validity>,
        report: Option<&TopologyReport<'_>>,
    ) -> Reconciled {
        let reporter = StepReporter::new(self.reporter, (self.guard, self.memory), approved);
        if !planned.plan.changes.is_empty()
            && let Err(reason) = self.permit(&planned.plan, &reporter)
        {
            planned.plan = planned.plan.awaiting_approval_of_all(&reason);
        }
        // Nothing to write: no lease is taken.
        if planned.plan.changes.is_empty() {
            return Reconciled::of_plan(&planned.plan, 0, None);
        }
        let plan = planned.plan.clone();
        let changing = async {
            if let Some(report) = report {
                report.changing(&plan).await;
            }
        };
        let applied = async {
            match leadership {
                None => Box::pin(self.apply_with(apply, planned, &reporter)).await,
                Some(validity) => {
                    Box::pin(self.apply_as_leader(apply, validity, planned, &reporter)).await
                }
            }
        };
        let reconciled = tokio::join!(applied, changing).0;
        if let Some(report) = report {
            report.use_up(&reporter.approvals_used());
        }
        reconciled
    }

    /// Takes part in the election, where a cluster can decide it. Returns the Lease of the
    /// leader, or how the reconcile ends for another replica.
    async fn lead(
        &self,
        planned: &Planned,
        client: Option<Arc<dyn ClusterWrite>>,
    ) -> Result<Option<Validity>, Box<Reconciled>> {
        let access = planned.observation.cluster_access();
        let unread = planned.observation.inventory.gap_at(&Source::Kubernetes);
        // Without the Lease each replica would make changes. A cluster that does not exist
        // yet is no gap: the first apply creates it.
        if self.leadership.is_some()
            && access.is_none()
            && let Some(gap) = unread
        {
            let failure = gap.failure.clone().within("it is unknown which replica reconciles");
            return Err(Box::new(Reconciled::failed(failure)));
        }
        let (Some(leadership), Some(access), Some(client)) = (self.leadership, access, client)
        else {
            return Ok(None);
        };
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
        apply: &ApplyContext<'_>,
        validity: Validity,
        planned: Planned,
        reporter: &StepReporter<'_>,
    ) -> Reconciled {
        let (stop, leadership) = (apply.stop.child(), Some(validity.clone()));
        let context = ApplyContext { stop: stop.clone(), leadership, ..apply.clone() };
        let applied = Box::pin(self.apply_with(&context, planned, reporter));
        match while_leading(Some(validity), &stop, applied).await {
            (reconciled, false) => reconciled,
            (reconciled, true) => Reconciled { failure: Some(lost_leadership()), ..reconciled },
        }
    }

    async fn apply_with(
        &self,
        context: &ApplyContext<'_>,
        planned: Planned,
        reporter: &StepReporter<'_>,
    ) -> Reconciled {
        reporter.expect(&planned.plan);
        let refused = Mutex::new(None);
        // Each of its plans omits changes that need approval.
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
                Reconciled::of_plan(&plan, applied.changes_made, None)
            }
            (_, remaining) => {
                applied.remaining = remaining;
                Reconciled::of_apply(&applied)
            }
        }
    }

    /// Whether recent removals and failures permit a plan.
    fn permit(&self, plan: &Plan, reporter: &StepReporter<'_>) -> Result<(), ApprovalReason> {
        // The Lease may have shown the destroy after the plan was made.
        let options = &self.apply.pipeline.scope.options;
        if !options.after_destroy
            && let Some(reason) = self.memory().refusal(options.unattended, plan)
        {
            return Err(reason);
        }
        if reporter.is_approved(plan) {
            return Ok(());
        }
        let removed = reporter.removed_by(plan);
        let refusal = self.guard().refusal(removed, self.max_removals, Instant::now());
        refusal.map_or(Ok(()), Err)
    }
}

fn lost_leadership() -> Failure {
    Failure::new(
        Code::LeaseLost,
        "the reconcile stopped because the leader's lease was not renewed in time",
        "no action is needed: the next leader, which may be this replica, continues; if it happens \
         often, the API server is slow or this process has too little CPU",
    )
}
