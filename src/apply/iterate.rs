//! The loop of an apply: pipeline → execute, until the plan is empty.

use std::collections::{BTreeMap, BTreeSet};

use super::events::{Event, Outcome};
use super::executor::execute;
use super::routers::RouterAddresses;
use super::unfinished::Unfinished;
use super::{ApplyContext, ClusterWriter, Iteration};
use crate::diagnostics::Code;
use crate::pipeline::Planned;
use crate::plan::{Plan, Severity};
use crate::provider::access::ClusterAccess;
use crate::resource::Address;

/// An apply that needs more rounds than this is not getting anywhere.
const MAX_ITERATIONS: u32 = 10;

/// What an apply did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// How each step of all rounds ended, the last word on each resource.
    pub outcomes: BTreeMap<Address, Outcome>,
    /// How many rounds it took.
    pub rounds: u32,
    /// How it ended.
    pub ending: ApplyStatus,
    /// What is left to do, by the last plan.
    pub remaining: Option<Plan>,
}

/// How an apply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyStatus {
    /// Live state matches the topology.
    Converged,
    /// Steps failed, or a later plan holds changes that were not approved.
    Partial {
        /// The code of the reason.
        code: Code,
        /// Why it stopped.
        reason: String,
    },
    /// Objects changed after the plan was made.
    Stale,
    /// What is left is blocked.
    Blocked,
    /// It was asked to stop.
    Interrupted,
}

/// Executes a plan, and makes and executes plans until live state matches the
/// topology.
///
/// What the first plan deferred was approved with it; what a later round finds
/// beyond that is asked about through `approve`.
pub async fn apply(
    context: &ApplyContext<'_>,
    first: Planned,
    approve: &(dyn Fn(&Plan) -> bool + Send + Sync),
) -> Applied {
    let mut approved = Approved::default();
    let mut applied = Applied {
        outcomes: BTreeMap::new(),
        rounds: 0,
        ending: ApplyStatus::Converged,
        remaining: None,
    };
    approved.add(&first.plan);
    let mut planned = first;
    loop {
        if let Some(ending) = ends_before_iteration(context, &planned.plan, applied.rounds) {
            applied.ending = ending;
            break;
        }
        if let Some(ending) = loses_pairs(&planned.plan) {
            applied.ending = ending;
            break;
        }
        if applied.rounds > 0 && !approved.covers(&planned.plan) {
            if !approve(&planned.plan) {
                applied.ending = ApplyStatus::Partial {
                    code: Code::PartlyApplied,
                    reason: "a later plan holds changes that were not approved".to_owned(),
                };
                break;
            }
            approved.add(&planned.plan);
        }
        applied.rounds += 1;
        let outcomes = run_iteration(context, &planned, applied.rounds).await;
        let ending = ends_after_iteration(context, &outcomes);
        let progressed = outcomes.values().any(|outcome| *outcome == Outcome::Done);
        applied.outcomes.extend(outcomes);
        if let Some(ending) = ending {
            applied.ending = ending;
            break;
        }
        let Some(next) = next_plan(context).await else {
            applied.ending = ApplyStatus::Interrupted;
            break;
        };
        planned = next;
        if !progressed && !planned.plan.changes.is_empty() {
            let code = Code::NoProgress;
            let reason = no_progress(&planned.plan);
            applied.ending = ApplyStatus::Partial { code, reason };
            break;
        }
    }
    applied.remaining = Some(planned.plan);
    applied
}

/// The next plan, or `None` as soon as it is asked to stop.
async fn next_plan(context: &ApplyContext<'_>) -> Option<Planned> {
    tokio::select! {
        biased;
        () = context.stop.requested() => None,
        planned = context.pipeline.run() => Some(planned),
    }
}

/// A plan may lose pairs of pods only if the user allowed it.
fn loses_pairs(plan: &Plan) -> Option<ApplyStatus> {
    let found = &plan.reachability;
    let reason = || match found.loss_summaries().first() {
        Some(loss) => format!("the plan {loss}"),
        None => format!("the plan loses {} pairs", found.lost),
    };
    found
        .is_refused()
        .then(|| ApplyStatus::Partial { code: Code::ReachabilityLost, reason: reason() })
}

/// Names what a round should have changed and did not.
fn no_progress(plan: &Plan) -> String {
    let names: Vec<String> =
        plan.changes.iter().take(3).map(|change| change.address.to_string()).collect();
    let more = if plan.changes.len() > names.len() { " and others" } else { "" };
    format!("the last round changed nothing, and {}{more} should still change", names.join(", "))
}

/// Executes exactly the changes of a saved plan, once.
pub async fn apply_once(context: &ApplyContext<'_>, planned: Planned) -> Applied {
    if let Some(ending) = loses_pairs(&planned.plan) {
        let outcomes = BTreeMap::new();
        return Applied { outcomes, rounds: 0, ending, remaining: Some(planned.plan) };
    }
    let outcomes = run_iteration(context, &planned, 1).await;
    let ending = ends_after_iteration(context, &outcomes).unwrap_or(ApplyStatus::Converged);
    Applied { outcomes, rounds: 1, ending, remaining: None }
}

fn ends_before_iteration(
    context: &ApplyContext<'_>,
    plan: &Plan,
    rounds: u32,
) -> Option<ApplyStatus> {
    if context.stop.is_set() {
        return Some(ApplyStatus::Interrupted);
    }
    let wrong = plan.findings.iter().find(|finding| finding.severity == Severity::Error);
    if let Some(finding) = wrong {
        return Some(if rounds == 0 {
            ApplyStatus::Blocked
        } else {
            ApplyStatus::Partial {
                code: finding.failure.code,
                reason: finding.failure.message.clone(),
            }
        });
    }
    if plan.changes.is_empty() {
        let gap = plan.unexplained_gaps().next();
        return Some(match (gap, plan.blocked.is_empty(), plan.deferred.first()) {
            (Some(gap), ..) => ApplyStatus::Partial {
                code: gap.failure.code,
                reason: format!("{} could not be read: {}", gap.source, gap.failure.message),
            },
            (None, false, _) => ApplyStatus::Blocked,
            (None, true, Some(deferred)) => ApplyStatus::Partial {
                code: Code::PartlyApplied,
                reason: format!("{} still waits for what should be there", deferred.address),
            },
            (None, true, None) => ApplyStatus::Converged,
        });
    }
    (rounds >= MAX_ITERATIONS).then(|| ApplyStatus::Partial {
        code: Code::NoProgress,
        reason: format!("there is still something to do after {MAX_ITERATIONS} rounds"),
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
        return Some(ApplyStatus::Partial { code: Code::RolloutStopped, reason });
    }
    if let Some((address, _)) = failed {
        return Some(ApplyStatus::Partial {
            code: Code::PartlyApplied,
            reason: format!("{address} failed"),
        });
    }
    stale.then_some(ApplyStatus::Stale)
}

/// How many workers were not begun, and why.
fn held_back(outcomes: &BTreeMap<Address, Outcome>) -> Option<String> {
    let mut reasons = outcomes.values().filter_map(|outcome| match outcome {
        Outcome::RolloutHalted { reason } => Some(reason),
        _ => None,
    });
    let reason = reasons.next()?;
    Some(match reasons.count() + 1 {
        1 => format!("{reason}; 1 more worker was not begun"),
        count => format!("{reason}; {count} more workers were not begun"),
    })
}

async fn run_iteration(
    context: &ApplyContext<'_>,
    planned: &Planned,
    number: u32,
) -> BTreeMap<Address, Outcome> {
    let changes = planned.plan.changes.len();
    context.reporter.event(&Event::RoundStarted { round: number, changes });
    let iteration = Iteration {
        clients: context.clients,
        readers: context.pipeline.clients,
        settings: &planned.plan.settings,
        reporter: context.reporter,
        now: context.pipeline.now,
        stop: &context.stop,
        cluster: connect(context, planned.observation.cluster_access()).await,
        routers: RouterAddresses::default(),
        unfinished: Unfinished::default(),
    };
    execute(&iteration, &planned.plan).await
}

/// A client that writes to the cluster, where the plan could read it.
async fn connect(
    context: &ApplyContext<'_>,
    access: Option<&ClusterAccess>,
) -> Option<ClusterWriter> {
    let credentials = access?.credentials.clone();
    match credentials.connect(context.clients).await {
        Ok(client) => Some(ClusterWriter { client, credentials }),
        Err(error) => {
            tracing::warn!(%error, "no client of the cluster for this iteration");
            None
        }
    }
}

/// What the user said yes to.
#[derive(Debug, Default)]
struct Approved {
    addresses: BTreeSet<Address>,
    /// A deferred association stands for all subnets that turn up.
    kinds_waiting: BTreeSet<crate::resource::Kind>,
}

impl Approved {
    fn add(&mut self, plan: &Plan) {
        self.addresses.extend(plan.changes.iter().map(|change| change.address.clone()));
        self.addresses.extend(plan.deferred.iter().map(|deferred| deferred.address.clone()));
        self.kinds_waiting.extend(plan.deferred.iter().map(|deferred| deferred.address.kind));
    }

    fn covers(&self, plan: &Plan) -> bool {
        plan.changes.iter().all(|change| {
            self.addresses.contains(&change.address)
                || change.address.kind == crate::resource::Kind::RouteTableAssociation
                    && self.kinds_waiting.contains(&change.address.kind)
        })
    }
}
