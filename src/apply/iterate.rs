//! The loop of an apply: pipeline → execute, until the plan is empty.

use std::collections::BTreeMap;

use super::approval::Approved;
use super::context::{ApplyContext, ClusterWriter};
use super::end_conditions::{self, loses_pairs};
use super::events::{Event, Outcome};
use super::executor::execute;
use super::iteration::Iteration;
use super::repeats::AppliedChanges;
use super::routers::RouterAddresses;
use super::stages::CompletedStages;
use super::status::{Applied, ApplyStatus};
use super::unfinished::Unfinished;
use super::write_lease::{Permission, WriteLease};
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::pipeline::Planned;
use crate::plan::{Change, Plan};
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
    let mut iterations = Iterations::of(context, &planned.plan, approve);
    let status = loop {
        if let Err(status) = iterations.advance(&mut planned).await {
            break status;
        }
    };
    iterations.lease.release().await;
    let Iterations { outcomes, changes_made, count, .. } = iterations;
    Applied { outcomes, changes_made, iterations: count, status, remaining: Some(planned.plan) }
}

/// The iterations of an apply so far.
struct Iterations<'a> {
    context: &'a ApplyContext<'a>,
    approve: &'a Approve<'a>,
    lease: WriteLease<'a>,
    approved: Approved,
    /// The first plan was approved before the apply.
    is_first_plan: bool,
    made: AppliedChanges,
    /// The last outcome of each resource.
    outcomes: BTreeMap<Address, Outcome>,
    changes_made: usize,
    count: u32,
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
            outcomes: BTreeMap::new(),
            changes_made: 0,
            count: 0,
        }
    }

    /// Executes the plan and makes the next one. The error is how the apply ends.
    async fn advance(&mut self, planned: &mut Planned) -> Result<(), ApplyStatus> {
        let (context, lease) = (self.context, &self.lease);
        let ended = end_conditions::before_iteration(context, lease, &planned.plan, self.count);
        ended.map_or(Ok(()), Err)?;
        self.approve(&planned.plan)?;
        let cluster = connect(context, &planned.observation).await;
        if self.lease.ensure(cluster.as_ref().ok()).await? == Permission::GrantedLater {
            *planned = plan_after_wait(context, &self.lease).await?;
            return Ok(());
        }
        let has_progressed = self.execute(planned, cluster).await?;
        *planned = next_plan(context, &self.lease).await?;
        if let Some(change) = self.made.repeated_in(&planned.plan) {
            return Err(end_conditions::undone(change));
        }
        if !has_progressed && !planned.plan.changes.is_empty() {
            return Err(end_conditions::no_progress(&planned.plan));
        }
        Ok(())
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
            return Err(match self.lease.waited_for().filter(|_| self.count == 0) {
                Some(holder) => end_conditions::stale_after_wait(&unapproved, holder),
                None => end_conditions::not_approved(&unapproved, self.context.saved.is_some()),
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
        let outcomes = run_iteration(self.context, &self.lease, cluster, planned, self.count).await;
        let ended = end_conditions::after_iteration(self.context, &self.lease, &outcomes);
        let done = count_done(&outcomes);
        let has_progressed = done > 0;
        self.changes_made += done;
        self.made.add(&planned.plan, &outcomes);
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
    match executed {
        Ok((outcomes, status)) => {
            let changes_made = count_done(&outcomes);
            Applied { outcomes, changes_made, iterations: 1, status, remaining: None }
        }
        Err(status) => Applied {
            outcomes: BTreeMap::new(),
            changes_made: 0,
            iterations: 0,
            status,
            remaining: Some(planned.plan),
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
    if permission == Permission::GrantedLater && context.saved.is_some() {
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
