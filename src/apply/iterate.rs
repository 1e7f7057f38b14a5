//! The loop of an apply: pipeline → execute, until the plan is empty.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{ApplyContext, ClusterWriter};
use super::events::{Event, Outcome};
use super::executor::execute;
use super::iteration::Iteration;
use super::repeats::AppliedChanges;
use super::routers::RouterAddresses;
use super::status::{Applied, ApplyStatus};
use super::unfinished::Unfinished;
use super::write_lease::{Permission, WriteLease};
use crate::diagnostics::{Code, Failure, counted};
use crate::pipeline::Planned;
use crate::plan::{Action, Change, FindingSeverity, Plan};
use crate::provider::access::ClusterAccess;
use crate::refresh::no_cluster;
use crate::resource::{Address, Kind};

/// An apply that needs more iterations than this makes no progress.
const MAX_ITERATIONS: u32 = 10;
const CONTINUE: &str = "run the same command again; it continues with the remaining changes";

/// Executes a plan, and makes and executes plans until live state matches the
/// topology.
///
/// What the first plan deferred was approved with it; what a later iteration finds
/// beyond that is asked about through `approve`.
pub async fn apply(
    context: &ApplyContext<'_>,
    first: Planned,
    approve: &(dyn Fn(&Plan) -> bool + Send + Sync),
) -> Applied {
    let mut approved = Approved::default();
    let mut applied = Applied {
        outcomes: BTreeMap::new(),
        iterations: 0,
        status: ApplyStatus::Converged,
        remaining: None,
    };
    approved.add(&first.plan);
    let mut planned = first;
    let lease = WriteLease::new(context);
    // A plan is asked about again if anything was changed after it was made.
    let mut asks = false;
    let mut made = AppliedChanges::default();
    loop {
        if let Some(status) = ends_before_iteration(context, &planned.plan, applied.iterations) {
            applied.status = status;
            break;
        }
        if let Some(status) = loses_pairs(&planned.plan) {
            applied.status = status;
            break;
        }
        // What is done unattended is counted plan by plan: the same address may remove more.
        let is_unattended = context.pipeline.scope.options.unattended.is_some();
        if asks && (is_unattended || !approved.covers(&planned.plan)) {
            if !approve(&planned.plan) {
                let reason = "a later plan contains changes that were not approved";
                applied.status = partial(Code::PartlyApplied, reason);
                break;
            }
            approved.add(&planned.plan);
        }
        asks = true;
        let cluster = connect(context, planned.observation.cluster_access()).await;
        match lease.ensure(cluster.as_ref().ok()).await {
            Permission::Granted => {}
            Permission::GrantedLater => match plan_after_wait(context).await {
                Ok(next) => {
                    planned = next;
                    continue;
                }
                Err(status) => {
                    applied.status = status;
                    break;
                }
            },
            Permission::Refused(status) => {
                applied.status = status;
                break;
            }
        }
        applied.iterations += 1;
        let outcomes = run_iteration(context, &lease, cluster, &planned, applied.iterations).await;
        let status = lease.loss().or_else(|| ends_after_iteration(context, &outcomes));
        let progressed = outcomes.values().any(|outcome| *outcome == Outcome::Done);
        made.add(&planned.plan, &outcomes);
        applied.outcomes.extend(outcomes);
        if let Some(status) = status {
            applied.status = status;
            break;
        }
        let Some(next) = next_plan(context).await else {
            applied.status = ApplyStatus::Interrupted;
            break;
        };
        planned = next;
        if let Some(change) = made.repeated_in(&planned.plan) {
            applied.status = partial(Code::NoProgress, undone(change));
            break;
        }
        if !progressed && !planned.plan.changes.is_empty() {
            applied.status = partial(Code::NoProgress, no_progress(&planned.plan));
            break;
        }
    }
    lease.release().await;
    applied.remaining = Some(planned.plan);
    applied
}

fn partial(code: Code, message: impl AsRef<str>) -> ApplyStatus {
    ApplyStatus::Partial(Failure::new(code, message, CONTINUE))
}

/// The next plan, or `None` as soon as it is asked to stop.
async fn next_plan(context: &ApplyContext<'_>) -> Option<Planned> {
    tokio::select! {
        biased;
        () = context.stop.requested() => None,
        planned = context.pipeline.run() => Some(planned),
    }
}

/// The plan after another apply held the Lease. Of a saved plan it keeps only what is
/// still the same.
async fn plan_after_wait(context: &ApplyContext<'_>) -> Result<Planned, ApplyStatus> {
    let Some(saved) = context.saved else {
        return next_plan(context).await.ok_or(ApplyStatus::Interrupted);
    };
    tokio::select! {
        biased;
        () = context.stop.requested() => Err(ApplyStatus::Interrupted),
        confirmed = context.pipeline.confirm(saved) => confirmed.map_err(ApplyStatus::Refused),
    }
}

/// A plan may lose pairs of pods only if the user allowed it.
fn loses_pairs(plan: &Plan) -> Option<ApplyStatus> {
    let found = &plan.reachability;
    let reason = || match found.loss_summaries().first() {
        Some(loss) => format!("the plan {loss}"),
        None => format!("the plan loses {}", counted(found.lost, "pair")),
    };
    found.is_refused().then(|| partial(Code::ReachabilityLost, reason()))
}

/// Names what an iteration should have changed and did not.
fn no_progress(plan: &Plan) -> String {
    let names: Vec<String> =
        plan.changes.iter().take(3).map(|change| change.address.to_string()).collect();
    let more = if plan.changes.len() > names.len() { " and others" } else { "" };
    format!("the last iteration changed nothing; still to be changed: {}{more}", names.join(", "))
}

/// Names a change that would have to be made again.
fn undone(change: &Change) -> String {
    let (address, participle) = (&change.address, change.action.participle());
    format!(
        "{address} was {participle} and is to be {participle} again: something outside of stargate \
         undoes it"
    )
}

/// Executes exactly the changes of a plan, once.
pub async fn apply_once(context: &ApplyContext<'_>, mut planned: Planned) -> Applied {
    let ended = |status, planned: Planned| Applied {
        outcomes: BTreeMap::new(),
        iterations: 0,
        status,
        remaining: Some(planned.plan),
    };
    if let Some(status) = loses_pairs(&planned.plan) {
        return ended(status, planned);
    }
    let lease = WriteLease::new(context);
    let cluster = connect(context, planned.observation.cluster_access()).await;
    match lease.ensure(cluster.as_ref().ok()).await {
        Permission::Refused(status) => return ended(status, planned),
        Permission::GrantedLater if context.saved.is_some() => {
            let next = plan_after_wait(context).await;
            let lost = next.as_ref().ok().and_then(|next| loses_pairs(&next.plan));
            match (next, lost) {
                (Ok(next), None) => planned = next,
                (Err(status), _) | (Ok(_), Some(status)) => {
                    lease.release().await;
                    return ended(status, planned);
                }
            }
        }
        // Without a saved plan the guards of the steps find out what no longer fits.
        Permission::Granted | Permission::GrantedLater => {}
    }
    let outcomes = run_iteration(context, &lease, cluster, &planned, 1).await;
    let status = lease.loss().or_else(|| ends_after_iteration(context, &outcomes));
    lease.release().await;
    let status = status.unwrap_or(ApplyStatus::Converged);
    Applied { outcomes, iterations: 1, status, remaining: None }
}

fn ends_before_iteration(
    context: &ApplyContext<'_>,
    plan: &Plan,
    iterations: u32,
) -> Option<ApplyStatus> {
    if context.stop.is_set() {
        return Some(ApplyStatus::Interrupted);
    }
    let wrong = plan.findings.iter().find(|finding| finding.severity == FindingSeverity::Error);
    // What is deleted need not fit together any more.
    let destroys = context.pipeline.scope.options.destroy;
    if let Some(finding) = wrong.filter(|_| !destroys) {
        return Some(if iterations == 0 {
            ApplyStatus::Blocked
        } else {
            ApplyStatus::Partial(finding.failure.clone())
        });
    }
    if plan.changes.is_empty() {
        let gap = plan.unexplained_gaps().next();
        return Some(match (gap, plan.blocked.is_empty(), plan.deferred.first()) {
            (Some(gap), ..) => {
                let message =
                    format!("{} could not be read: {}", gap.subject(), gap.failure.message);
                ApplyStatus::Partial(Failure { message, ..gap.failure.clone() })
            }
            (None, false, _) => ApplyStatus::Blocked,
            (None, true, Some(deferred)) => partial(
                Code::PartlyApplied,
                format!("{} still depends on a resource that does not exist", deferred.address),
            ),
            (None, true, None) => ApplyStatus::Converged,
        });
    }
    (iterations >= MAX_ITERATIONS).then(|| {
        partial(Code::NoProgress, format!("changes remain after {MAX_ITERATIONS} iterations"))
    })
}

fn ends_after_iteration(
    context: &ApplyContext<'_>,
    outcomes: &BTreeMap<Address, Outcome>,
) -> Option<ApplyStatus> {
    let stale = outcomes.values().any(|it| matches!(it, Outcome::GuardFailed { .. }));
    let failed = outcomes.iter().find(|(_, it)| matches!(it, Outcome::Failed(_)));
    if context.stop.is_set() {
        return Some(ApplyStatus::Interrupted);
    }
    if let Some(reason) = held_back(outcomes) {
        return Some(partial(Code::RolloutStopped, reason));
    }
    if let Some((address, Outcome::Failed(failure))) = failed {
        let failure = Failure::new(Code::PartlyApplied, format!("{address} failed"), CONTINUE)
            .caused_by(&failure.message);
        return Some(ApplyStatus::Partial(failure));
    }
    if stale {
        return Some(ApplyStatus::Stale);
    }
    // Only steps that wait for each other are left when nothing was stopped.
    let not_started = outcomes.iter().find(|(_, it)| matches!(it, Outcome::NotStarted));
    not_started.map(|(address, _)| {
        let reason = format!("{address} was not started: its dependencies form a cycle");
        partial(Code::NoProgress, reason)
    })
}

/// How many workers were not started, and why.
fn held_back(outcomes: &BTreeMap<Address, Outcome>) -> Option<String> {
    let halted = outcomes.iter().filter_map(|(address, outcome)| match outcome {
        Outcome::RolloutHalted { reason } => Some((address, reason)),
        _ => None,
    });
    let reason = halted.clone().next()?.1;
    // A worker whose machine changes too is one worker.
    let workers: BTreeSet<_> = halted.map(|(address, _)| (&address.site, &address.name)).collect();
    Some(match workers.len() {
        1 => format!("{reason}; 1 more worker was not started"),
        count => format!("{reason}; {count} more workers were not started"),
    })
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
    };
    execute(&iteration, &planned.plan).await
}

/// A client that writes to the cluster, where the plan could read it.
async fn connect(
    context: &ApplyContext<'_>,
    access: Option<&ClusterAccess>,
) -> Result<ClusterWriter, Failure> {
    let credentials = access.ok_or_else(no_cluster)?.credentials.clone();
    let client = credentials.connect(context.clients).await?;
    Ok(ClusterWriter { client, credentials })
}

/// Whether a change only waits until a worker is Ready again, as one that is not while its
/// router is replaced.
fn awaits_readiness(change: &Change) -> bool {
    let mut fields = change.differences.iter().map(|field| &field.path.0[..]);
    change.address.kind == Kind::Worker
        && change.action == Action::Update
        && !change.differences.is_empty()
        && fields.all(|path| path == ["ready"])
}

/// What the user approved.
#[derive(Debug, Default)]
struct Approved {
    actions: BTreeSet<(Address, Action)>,
    /// A deferred association stands for all subnets that turn up.
    kinds_waiting: BTreeSet<Kind>,
}

impl Approved {
    fn add(&mut self, plan: &Plan) {
        let changes = plan.changes.iter().map(|change| (change.address.clone(), change.action));
        self.actions.extend(changes);
        // A deferred resource may exist already, as the device of a router whose
        // VM is replaced.
        let deferred = plan.deferred.iter().flat_map(|deferred| {
            let actions = [Action::Create, Action::Update, Action::Replace];
            // What is shown as deleted or adopted later may be.
            let named = [Action::Delete, Action::Adopt].into_iter();
            let named = named.filter(|action| *action == deferred.action);
            let actions = actions.into_iter().chain(named);
            actions.map(|action| (deferred.address.clone(), action))
        });
        self.actions.extend(deferred);
        self.kinds_waiting.extend(plan.deferred.iter().map(|deferred| deferred.address.kind));
    }

    /// Whether the change was approved, or is what is left of an approved one: a
    /// resource that was created may lack a field, one that was deleted to be
    /// replaced is created.
    fn includes(&self, change: &Change) -> bool {
        let implied_by: &[Action] = match change.action {
            Action::Create => &[Action::Create, Action::Replace],
            Action::Update => &[Action::Update, Action::Create, Action::Replace, Action::Adopt],
            Action::Delete => &[Action::Delete],
            Action::Replace => &[Action::Replace],
            Action::Adopt => &[Action::Adopt],
            Action::Reboot => &[Action::Reboot],
        };
        let was_approved =
            |action: &Action| self.actions.contains(&(change.address.clone(), *action));
        implied_by.iter().any(was_approved) || awaits_readiness(change)
    }

    fn covers(&self, plan: &Plan) -> bool {
        plan.changes.iter().all(|change| {
            self.includes(change)
                || change.address.kind == Kind::RouteTableAssociation
                    && self.kinds_waiting.contains(&change.address.kind)
        })
    }
}
