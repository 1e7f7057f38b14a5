//! The loop of an apply: pipeline → execute, until the plan is empty.

mod after_failure;

use std::collections::BTreeMap;

use super::approval::Approved;
use super::cluster_wait::TransientCluster;
use super::context::{ApplyContext, ClusterWriter};
use super::deleted_by_others::KnownObjects;
use super::end_conditions::{self, loses_pairs};
use super::events::{Event, Outcome};
use super::executor::execute;
use super::iteration::Iteration;
use super::repeats::AppliedChanges;
use super::routers::RouterAddresses;
use super::stages::CompletedStages;
use super::status::{Applied, ApplyStatus};
use super::unfinished::Unfinished;
use super::unread_destroy;
use super::write_lease::{Permission, WriteLease};
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::pipeline::Planned;
use crate::plan::{Action, Change, Plan};
use crate::refresh::{Observation, no_cluster};
use crate::resource::Address;

/// Asks the user whether a later plan may be applied.
type Approve<'a> = dyn Fn(&Plan) -> bool + Send + Sync + 'a;

/// Executes a plan, and makes and executes plans until live state matches the topology.
///
/// Deferred changes of the first plan were approved with it; `approve` asks about other
/// changes of later iterations.
pub async fn apply(context: &ApplyContext<'_>, first: Planned, approve: &Approve<'_>) -> Applied {
    let mut planned = first;
    let began_unread = unread_destroy::begins(context, &planned.observation);
    let mut iterations = Iterations::of(context, &planned.plan, approve);
    let status = loop {
        if let Err(status) = iterations.advance(&mut planned).await {
            break status;
        }
    };
    iterations.lease.release().await;
    let Iterations { outcomes, changes_made, count, .. } = iterations;
    let Planned { plan, omitted, observation, .. } = planned;
    let status = match status {
        ApplyStatus::Converged if began_unread => unread_destroy::end(&observation),
        status => status,
    };
    let remaining = Some(plan);
    Applied { outcomes, changes_made, iterations: count, status, remaining, omitted, began_unread }
}

/// How often a destroy waits for a cluster that Azure creates or deletes for others.
const MAX_CLUSTER_WAITS: u32 = 5;

/// The iterations of an apply so far.
struct Iterations<'a> {
    context: &'a ApplyContext<'a>,
    approve: &'a Approve<'a>,
    lease: WriteLease<'a>,
    approved: Approved,
    /// The first plan was approved before the apply.
    is_first_plan: bool,
    made: AppliedChanges,
    known: KnownObjects,
    /// The last outcome of each resource.
    outcomes: BTreeMap<Address, Outcome>,
    changes_made: usize,
    count: u32,
    /// How many iterations left fewer deferred changes than there were.
    shrinking: u32,
    /// How often it waited for the cluster.
    cluster_waits: u32,
}

impl<'a> Iterations<'a> {
    fn of(context: &'a ApplyContext<'a>, first: &Plan, approve: &'a Approve<'a>) -> Self {
        let mut approved = Approved::default();
        approved.add(first);
        Self {
            context,
            approve,
            lease: WriteLease::new(context),
            approved,
            is_first_plan: true,
            made: AppliedChanges::default(),
            known: KnownObjects::default(),
            outcomes: BTreeMap::new(),
            changes_made: 0,
            count: 0,
            shrinking: 0,
            cluster_waits: 0,
        }
    }

    /// Executes the plan and makes the next one. The error is how the apply ends.
    async fn advance(&mut self, planned: &mut Planned) -> Result<(), ApplyStatus> {
        let context = self.context;
        if self.waits_for_cluster(&planned.observation).await? {
            *planned = next_plan(context, &self.lease).await?;
            return Ok(());
        }
        let counts = (self.count, self.shrinking);
        let ended = end_conditions::before_iteration(context, &self.lease, &planned.plan, counts);
        ended.map_or(Ok(()), Err)?;
        self.ensure_not_deleted(&planned.plan).await?;
        self.known.observe(&planned.observation.inventory);
        self.approve(&planned.plan)?;
        let cluster = connect(context, &planned.observation).await;
        let permission = self.lease.ensure(cluster.as_ref().ok()).await;
        let permission = permission.map_err(|status| self.with_changes_made(status))?;
        if permission == Permission::ReplanFirst {
            *planned = plan_after_wait(context, &self.lease).await?;
            return Ok(());
        }
        let has_progressed = match self.execute(planned, cluster).await {
            Ok(has_progressed) => has_progressed,
            Err(status) => return self.plan_after_failure(status, planned).await,
        };
        let deferred = planned.plan.expected().count();
        *planned = self.continued_plan().await?;
        self.shrinking += u32::from(planned.plan.expected().count() < deferred);
        self.ensure_not_deleted(&planned.plan).await?;
        match self.made.repeated_in(&planned.plan) {
            Some(change) if change.action == Action::Create => {
                let ended = end_conditions::deleted_by_others(&[change], self.lease.destroyer());
                return Err(self.with_changes_made(ended));
            }
            Some(change) => return Err(end_conditions::undone(change)),
            None => {}
        }
        if !has_progressed && !planned.plan.changes.is_empty() {
            return Err(end_conditions::no_progress(&planned.plan));
        }
        Ok(())
    }

    /// The next plan; of a saved plan, the part that was approved with it.
    async fn continued_plan(&self) -> Result<Planned, ApplyStatus> {
        let Some(saved) = self.context.saved else {
            return next_plan(self.context, &self.lease).await;
        };
        let is_approved = |change: &Change| self.approved.permits(change);
        let planned = tokio::select! {
            biased;
            () = self.context.stop.requested() => return Err(self.lease.interrupted()),
            planned = self.context.pipeline.run_approved(saved, &is_approved) => planned,
        };
        let left_out = self.approved.left_out(&planned.omitted);
        match planned.plan.changes.is_empty() && !left_out.is_empty() {
            true => Err(end_conditions::depends_on_others(&left_out)),
            false => Ok(planned),
        }
    }

    /// Waits for the cluster if it is to be destroyed and Azure creates or deletes it for
    /// another process. Returns whether it did.
    async fn waits_for_cluster(&mut self, observation: &Observation) -> Result<bool, ApplyStatus> {
        let cluster = TransientCluster::of(observation).filter(|_| self.lease.destroys());
        let Some(cluster) = cluster.filter(|_| self.cluster_waits < MAX_CLUSTER_WAITS) else {
            return Ok(false);
        };
        self.cluster_waits += 1;
        tokio::select! {
            biased;
            () = self.context.stop.requested() => Err(self.lease.interrupted()),
            waited = cluster.wait(self.context) => waited.map(|()| true).map_err(ApplyStatus::Partial),
        }
    }

    /// Ensures that a plan does not create what others have deleted, unless this apply created
    /// it, was approved to, and no destroy can be running.
    async fn ensure_not_deleted(&mut self, plan: &Plan) -> Result<(), ApplyStatus> {
        let deleted = self.known.deleted_in(plan);
        if deleted.is_empty() {
            return Ok(());
        }
        let is_alone = self.lease.is_held().await && self.lease.destroyer().is_none();
        if is_alone && self.approved.covers(plan) && self.known.permit_recreation(&deleted) {
            self.made.forget(&deleted);
            let warning = end_conditions::recreated(&deleted);
            self.context.reporter.event(&Event::Warning(warning));
            return Ok(());
        }
        let ended = end_conditions::deleted_by_others(&deleted, self.lease.destroyer());
        Err(self.with_changes_made(ended))
    }

    /// Replaces `Overtaken` by `Partial` if this apply made changes itself.
    fn with_changes_made(&self, status: ApplyStatus) -> ApplyStatus {
        match status {
            ApplyStatus::Overtaken(failure) if self.count > 0 => ApplyStatus::Partial(failure),
            status => status,
        }
    }

    /// Ensures that the user approved the changes of a plan.
    fn approve(&mut self, plan: &Plan) -> Result<(), ApplyStatus> {
        // Unattended removals are counted for each plan: the same address may remove more
        // in the next one.
        let is_unattended = self.context.pipeline.scope.options.unattended.is_some();
        let is_first = std::mem::replace(&mut self.is_first_plan, false);
        if is_first || !is_unattended && self.approved.covers(plan) {
            return Ok(());
        }
        if !(self.approve)(plan) {
            let unapproved: Vec<&Change> = self.approved.unapproved(plan).collect();
            // Nothing was changed: the plan that was approved is out of date.
            return Err(match (self.count, self.lease.waited_for()) {
                (0, Some(holder)) => end_conditions::stale_after_wait(&unapproved, holder),
                (0, None) => end_conditions::stale_before_changes(&unapproved),
                _ => end_conditions::not_approved(&unapproved, self.context.saved.is_some()),
            });
        }
        self.approved.add(plan);
        Ok(())
    }

    /// Executes a plan. Returns whether it changed anything.
    async fn execute(
        &mut self,
        planned: &Planned,
        cluster: Result<ClusterWriter, Failure>,
    ) -> Result<bool, ApplyStatus> {
        self.count += 1;
        let under_lease = self.lease.is_held().await;
        let outcomes = run_iteration(self.context, &self.lease, cluster, planned, self.count).await;
        let ended = end_conditions::after_iteration(self.context, &self.lease, &outcomes);
        let done = count_done(&outcomes);
        let has_progressed = done > 0;
        self.changes_made += done;
        self.made.add(&planned.plan, &outcomes);
        self.known.note(&planned.plan, &outcomes, under_lease);
        self.outcomes.extend(outcomes);
        ended.map_or(Ok(has_progressed), Err)
    }
}

fn count_done(outcomes: &BTreeMap<Address, Outcome>) -> usize {
    outcomes.values().filter(|outcome| **outcome == Outcome::Done).count()
}

/// The next plan, or the status of the apply if it is stopped before.
async fn next_plan(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
) -> Result<Planned, ApplyStatus> {
    tokio::select! {
        biased;
        () = context.stop.requested() => Err(lease.interrupted()),
        planned = context.pipeline.run() => Ok(planned),
    }
}

/// The plan after another apply held the Lease. A saved plan keeps only the changes that
/// are still the same.
async fn plan_after_wait(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
) -> Result<Planned, ApplyStatus> {
    let Some(saved) = context.saved else { return next_plan(context, lease).await };
    tokio::select! {
        biased;
        () = context.stop.requested() => Err(lease.interrupted()),
        confirmed = context.pipeline.confirm(saved) => confirmed.map_err(ApplyStatus::Refused),
    }
}

/// Executes exactly the changes of a plan, once.
pub async fn apply_once(context: &ApplyContext<'_>, mut planned: Planned) -> Applied {
    let lease = WriteLease::new(context);
    let executed = execute_once(context, &lease, &mut planned).await;
    lease.release().await;
    let Planned { plan, omitted, .. } = planned;
    match executed {
        Ok((outcomes, status)) => {
            let changes_made = count_done(&outcomes);
            Applied {
                outcomes,
                changes_made,
                iterations: 1,
                status,
                remaining: None,
                omitted,
                began_unread: false,
            }
        }
        Err(status) => Applied {
            outcomes: BTreeMap::new(),
            changes_made: 0,
            iterations: 0,
            status,
            remaining: Some(plan),
            omitted,
            began_unread: false,
        },
    }
}

/// Executes a plan, or the part that is still valid after the wait for the Lease. The error
/// is the status with which the apply ends before that.
async fn execute_once(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
    planned: &mut Planned,
) -> Result<(BTreeMap<Address, Outcome>, ApplyStatus), ApplyStatus> {
    loses_pairs(&planned.plan).map_or(Ok(()), Err)?;
    let cluster = connect(context, &planned.observation).await;
    let permission = lease.ensure(cluster.as_ref().ok()).await?;
    // Without a saved plan the guards of the steps find obsolete changes.
    if permission == Permission::ReplanFirst && context.saved.is_some() {
        *planned = plan_after_wait(context, lease).await?;
        loses_pairs(&planned.plan).map_or(Ok(()), Err)?;
    }
    let outcomes = run_iteration(context, lease, cluster, planned, 1).await;
    let ended = end_conditions::after_iteration(context, lease, &outcomes);
    Ok((outcomes, ended.unwrap_or(ApplyStatus::Converged)))
}

async fn run_iteration(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
    cluster: Result<ClusterWriter, Failure>,
    planned: &Planned,
    number: u32,
) -> BTreeMap<Address, Outcome> {
    let changes = planned.plan.changes.len();
    context.reporter.event(&Event::IterationStarted { iteration: number, changes });
    let iteration = Iteration {
        clients: context.clients,
        readers: context.pipeline.clients,
        settings: &planned.plan.settings,
        inventory: &planned.observation.inventory,
        reporter: context.reporter,
        now: context.pipeline.now,
        stop: &context.stop,
        lease,
        cluster,
        routers: RouterAddresses::planned(&planned.observation.facts.router_addresses),
        unfinished: Unfinished::default(),
        stages: CompletedStages::default(),
    };
    execute(&iteration, &planned.plan).await
}

/// A client that writes to the cluster, where the plan could read it; otherwise the reason
/// that the plan shows.
async fn connect(
    context: &ApplyContext<'_>,
    observation: &Observation,
) -> Result<ClusterWriter, Failure> {
    let Some(access) = observation.cluster_access() else {
        let gap = observation.inventory.gap_at(&Source::Kubernetes);
        return Err(gap.map_or_else(no_cluster, |gap| gap.failure.clone()));
    };
    let credentials = access.credentials.clone();
    let client = credentials.connect(context.clients).await?;
    Ok(ClusterWriter { client, credentials })
}
