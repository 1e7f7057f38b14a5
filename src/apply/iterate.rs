//! The loop of an apply: observe → plan → execute, until the plan is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::events::{Event, Outcome};
use super::executor::execute;
use super::routers::RouterAddresses;
use super::unfinished::Unfinished;
use super::{Round, Run};
use crate::desired::{self, DesiredSet, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::plan::impact::{make_before_break, reachability};
use crate::plan::preflight::live_lints;
use crate::plan::{Finding, Plan, PlanInput, Severity, plan, surviving};
use crate::refresh::{Observation, observe};
use crate::resource::{Address, Api};
use crate::topology::model::Topology;

/// An apply that needs more rounds than this is not getting anywhere.
const MAX_ROUNDS: u32 = 10;

/// A plan and what it was made from.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// What was read.
    pub observation: Observation,
    /// What should exist.
    pub desired: DesiredSet,
}

/// What an apply did.
#[derive(Debug, Clone)]
pub struct Applied {
    /// How each step of all rounds ended, the last word on each resource.
    pub outcomes: BTreeMap<Address, Outcome>,
    /// How many rounds it took.
    pub rounds: u32,
    /// How it ended.
    pub ending: ApplyStatus,
    /// What is left to do, as the last look at the world has it.
    pub remaining: Option<Plan>,
}

/// How an apply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyStatus {
    /// The world matches the topology.
    Converged,
    /// Steps failed, or a later round found what nobody approved.
    Partial {
        /// The code of the reason.
        code: Code,
        /// Why it stopped.
        reason: String,
    },
    /// The world had moved on under the plan.
    Stale,
    /// What is left is blocked.
    Blocked,
    /// Somebody asked it to stop.
    Interrupted,
}

/// Reads the world and plans.
pub async fn make_plan(run: &Run<'_>, adopt: &BTreeSet<Address>) -> Planned {
    let before = run.doors.requests.by_api();
    let mut observation = observe(run.doors, run.scope, run.now).await;
    let topology = run.scope.topology;
    observation.findings.extend(live_lints(topology, &observation.facts, &observation.tailnet));
    let whole = build(topology, &observation.facts, &mut observation.findings);
    observation.refresh_by_id(&whole).await;
    let requests = since(&before, &run.doors.requests.by_api());
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    if observation.findings.iter().any(is_error) && !run.scope.destroying {
        let plan = nothing(run, &observation, requests);
        return Planned { plan, observation, desired: whole };
    }
    let protected = whole.protected();
    let findings = observation.findings.clone();
    let compare = |desired: &DesiredSet, inventory: &Inventory| {
        plan(PlanInput {
            topology: topology.name.as_str(),
            desired,
            inventory,
            findings: &findings,
            adopt,
            protected: &protected,
            rollout: &topology.rollout,
            worker_request: run.scope.worker_request.as_ref(),
            requests: &requests,
        })
    };
    let mut desired = if run.scope.destroying { DesiredSet::default() } else { whole };
    let mut plan = compare(&desired, &observation.inventory);
    if let Some((facts, inventory)) = surviving(&observation.facts, &observation.inventory, &plan) {
        desired = build(topology, &facts, &mut observation.findings);
        plan = compare(&desired, &inventory);
    }
    let mut planned = Planned { plan, observation, desired };
    // Taking everything away loses every pair, as it is meant to.
    if !run.scope.destroying && !planned.plan.changes.is_empty() {
        let waits = make_before_break(planned.paths(topology));
        planned.plan.wait_for(waits);
        planned.plan.reachability = reachability(planned.paths(topology));
    }
    planned
}

/// What should exist; nothing, and an error, where there is no room for it.
fn build(topology: &Topology, facts: &Facts, findings: &mut Vec<Finding>) -> DesiredSet {
    desired::build(topology, facts).unwrap_or_else(|error| {
        findings.push(no_room(&error));
        DesiredSet::default()
    })
}

fn since(before: &BTreeMap<Api, u64>, now: &BTreeMap<Api, u64>) -> BTreeMap<Api, u64> {
    Api::ALL
        .into_iter()
        .map(|api| {
            let count = |counts: &BTreeMap<Api, u64>| counts.get(&api).copied().unwrap_or(0);
            (api, count(now) - count(before))
        })
        .collect()
}

fn no_room(error: &desired::AllocationError) -> Finding {
    let remedy = "enlarge the pool or the network, or remove workers";
    Finding::new(Severity::Error, Failure::of(Code::LivePodOverlap, error, remedy))
}

/// With an error nothing may be planned: what follows from a wrong fact would
/// be wrong as well.
fn nothing(run: &Run<'_>, observation: &Observation, requests: BTreeMap<Api, u64>) -> Plan {
    Plan {
        topology: run.scope.topology.name.to_string(),
        changes: Vec::new(),
        deferred: Vec::new(),
        blocked: Vec::new(),
        findings: observation.findings.clone(),
        gaps: observation.inventory.gaps().cloned().collect(),
        unchanged: 0,
        rollout: None,
        cost: crate::plan::cost::Cost { requests, ..Default::default() },
        reachability: Default::default(),
    }
}

/// Executes a plan and goes on until the world matches the topology.
///
/// What the first plan deferred was approved with it; what a later round finds
/// beyond that is asked about through `approve`.
pub async fn apply(
    run: &Run<'_>,
    adopt: &BTreeSet<Address>,
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
    let loss_allowed = first.plan.reachability.loss_allowed;
    let mut planned = first;
    loop {
        if let Some(ending) = ends_before_round(run, &planned.plan, applied.rounds) {
            applied.ending = ending;
            break;
        }
        planned.plan.reachability.loss_allowed = loss_allowed;
        if let Some(ending) = loses_pairs(&planned.plan) {
            applied.ending = ending;
            break;
        }
        if applied.rounds > 0 && !approved.covers(&planned.plan) {
            if !approve(&planned.plan) {
                applied.ending = ApplyStatus::Partial {
                    code: Code::PartlyApplied,
                    reason: "a later look at the world found changes that were not approved"
                        .to_owned(),
                };
                break;
            }
            approved.add(&planned.plan);
        }
        applied.rounds += 1;
        let outcomes = run_round(run, &planned, applied.rounds).await;
        let ending = ends_after_round(run, &outcomes);
        let progressed = outcomes.values().any(|outcome| *outcome == Outcome::Done);
        applied.outcomes.extend(outcomes);
        if let Some(ending) = ending {
            applied.ending = ending;
            break;
        }
        planned = make_plan(run, adopt).await;
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

/// No round cuts pods off from each other that nobody said may be.
fn loses_pairs(plan: &Plan) -> Option<ApplyStatus> {
    let found = &plan.reachability;
    let reason = || match found.told_losses().first() {
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
pub async fn apply_once(run: &Run<'_>, planned: Planned) -> Applied {
    if let Some(ending) = loses_pairs(&planned.plan) {
        let outcomes = BTreeMap::new();
        return Applied { outcomes, rounds: 0, ending, remaining: Some(planned.plan) };
    }
    let outcomes = run_round(run, &planned, 1).await;
    let ending = ends_after_round(run, &outcomes).unwrap_or(ApplyStatus::Converged);
    Applied { outcomes, rounds: 1, ending, remaining: None }
}

fn ends_before_round(run: &Run<'_>, plan: &Plan, rounds: u32) -> Option<ApplyStatus> {
    if run.stop.is_set() {
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
    (rounds >= MAX_ROUNDS).then(|| ApplyStatus::Partial {
        code: Code::NoProgress,
        reason: format!("there is still something to do after {MAX_ROUNDS} rounds"),
    })
}

fn ends_after_round(run: &Run<'_>, outcomes: &BTreeMap<Address, Outcome>) -> Option<ApplyStatus> {
    let stale = outcomes.values().any(|it| matches!(it, Outcome::GuardFailed { .. }));
    let failed = outcomes.iter().find(|(_, it)| matches!(it, Outcome::Failed(_)));
    if run.stop.is_set() {
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

async fn run_round(run: &Run<'_>, planned: &Planned, number: u32) -> BTreeMap<Address, Outcome> {
    let changes = planned.plan.changes.len();
    run.reporter.event(&Event::RoundStarted { round: number, changes });
    let dns_service_ip = planned
        .observation
        .facts
        .cluster
        .as_ref()
        .map_or(Ipv4Addr::UNSPECIFIED, |cluster| cluster.dns_service_ip);
    let access = planned.observation.cluster_access().cloned();
    let round = Round {
        run,
        access,
        dns_service_ip,
        routers: RouterAddresses::default(),
        unfinished: Unfinished::default(),
    };
    execute(&round, &planned.plan).await
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
