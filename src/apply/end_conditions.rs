//! The conditions that end an apply before and after an iteration, and the next command for
//! the user.

use std::collections::{BTreeMap, BTreeSet};

use super::context::ApplyContext;
use super::events::Outcome;
use super::status::ApplyStatus;
use super::write_lease::{LeaseHolder, WriteLease};
use crate::diagnostics::{Code, Failure, counted};
use crate::plan::{Change, FindingSeverity, Plan};
use crate::resource::Address;

/// An apply that needs more iterations than this makes no progress. Iterations that leave
/// fewer deferred changes are not counted: workers may wait for each other in long chains.
const MAX_ITERATIONS: u32 = 10;
/// Changes that a message names one by one.
const MAX_NAMED: usize = 3;
const CONTINUE: &str = "run the same command again; it continues with the remaining changes";
const PERMIT_LOSS: &str = "inspect a pair with `stargate trace --planned`; to permit the loss, run \
                           the same command with `--allow-loss`";
const FIND_DEPENDENCY: &str = "run `stargate plan`: it shows what the resource waits for";
const CREATE_AGAIN: &str = "if the resources should exist, run the same command again: it shows \
                            the resources that it creates; the activity log of Azure and the audit \
                            log of the cluster show the caller of each deletion: a person, AKS, a \
                            policy, or another program";
/// The remedy for objects that others delete although an apply needs them.
const STOP_DELETION: &str = "no action is needed if this happens once; the activity log of Azure and \
                             the audit log of the cluster show the caller of each deletion: exempt \
                             the resources from a policy that deletes them";
const COMPARE: &str = "wait a minute, then run `stargate plan`: it shows the fields that still \
                       differ; check whether another tool or a policy manages them";
const REPORT_CYCLE: &str = "this is a defect of stargate: report it with the output of `stargate \
                            plan --format json`";

/// How the apply ends before an iteration, if it does.
pub(super) fn before_iteration(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
    plan: &Plan,
    (iterations, shrinking): (u32, u32),
) -> Option<ApplyStatus> {
    if context.stop.is_set() {
        return Some(lease.interrupted());
    }
    let wrong = plan.findings.iter().find(|finding| finding.severity == FindingSeverity::Error);
    // A deployment that is destroyed need not be consistent any more.
    let destroys = context.pipeline.scope.options.destroy;
    if let Some(finding) = wrong.filter(|_| !destroys) {
        return Some(if iterations == 0 {
            ApplyStatus::Blocked
        } else {
            ApplyStatus::Partial(finding.failure.clone())
        });
    }
    if plan.changes.is_empty() {
        return Some(without_changes(plan));
    }
    if iterations - shrinking >= MAX_ITERATIONS {
        let reason = format!("changes remain after {iterations} iterations");
        return Some(partial(Code::NoProgress, reason, CONTINUE));
    }
    loses_pairs(plan)
}

/// How the apply ends if the plan has no changes.
fn without_changes(plan: &Plan) -> ApplyStatus {
    let gap = plan.unexplained_gaps().next();
    match (gap, plan.blocked.is_empty(), plan.deferred.first()) {
        (Some(gap), ..) => {
            let message = format!("{} could not be read: {}", gap.subject(), gap.failure.message);
            ApplyStatus::Partial(gap.failure.clone().with_message(message))
        }
        (None, false, _) => ApplyStatus::Blocked,
        (None, true, Some(deferred)) => partial(
            Code::PartlyApplied,
            format!("{} still depends on a resource that does not exist", deferred.address),
            FIND_DEPENDENCY,
        ),
        (None, true, None) => ApplyStatus::Converged,
    }
}

/// A plan may lose pairs of pods only if the user allowed it.
pub(super) fn loses_pairs(plan: &Plan) -> Option<ApplyStatus> {
    let found = &plan.reachability;
    let reason = || match found.loss_summaries().first() {
        Some(loss) => format!("the plan {loss}"),
        None => format!("the plan loses {}", counted(found.lost, "pair")),
    };
    found.is_refused().then(|| partial(Code::ReachabilityLost, reason(), PERMIT_LOSS))
}

/// How the apply ends after an iteration with these outcomes, if it does.
pub(super) fn after_iteration(
    context: &ApplyContext<'_>,
    lease: &WriteLease<'_>,
    outcomes: &BTreeMap<Address, Outcome>,
) -> Option<ApplyStatus> {
    if context.stop.is_set() {
        return Some(lease.interrupted());
    }
    if let Some(reason) = held_back(outcomes) {
        let remedy = "correct what the failed workers report; then run the same command again: a \
                      worker that failed is changed last";
        return Some(partial(Code::RolloutStopped, reason, remedy));
    }
    let failed = outcomes.iter().find_map(|(address, outcome)| match outcome {
        Outcome::Failed(failure) => Some((address, failure)),
        _ => None,
    });
    if let Some((address, cause)) = failed {
        let failure = Failure::new(Code::PartlyApplied, format!("{address} failed"), CONTINUE);
        return Some(ApplyStatus::Partial(failure.caused_by(&cause.message)));
    }
    if outcomes.values().any(|it| matches!(it, Outcome::GuardFailed { .. })) {
        return Some(ApplyStatus::Stale);
    }
    in_a_cycle(outcomes)
}

/// Only steps that wait for each other are left when nothing was stopped.
fn in_a_cycle(outcomes: &BTreeMap<Address, Outcome>) -> Option<ApplyStatus> {
    let mut not_started = outcomes.iter().filter(|(_, it)| matches!(it, Outcome::NotStarted));
    let (address, _) = not_started.next()?;
    let reason = format!("{address} was not started: its dependencies form a cycle");
    Some(partial(Code::NoProgress, reason, REPORT_CYCLE))
}

/// How many workers were not started, and why.
fn held_back(outcomes: &BTreeMap<Address, Outcome>) -> Option<String> {
    let halted = outcomes.iter().filter_map(|(address, outcome)| match outcome {
        Outcome::RolloutHalted { reason } => Some((address, reason)),
        _ => None,
    });
    let reason = halted.clone().next()?.1;
    // A worker and its machine count as one worker.
    let workers: BTreeSet<_> = halted.map(|(address, _)| (&address.site, &address.name)).collect();
    Some(match workers.len() {
        1 => format!("{reason}; 1 more worker was not started"),
        count => format!("{reason}; {count} more workers were not started"),
    })
}

/// The end of an apply that waited for another one and then found changes that the user
/// did not approve. It changed nothing.
pub(super) fn stale_after_wait(unapproved: &[&Change], holder: &LeaseHolder) -> ApplyStatus {
    let LeaseHolder { name, since } = holder;
    let message = format!(
        "{name} held the lease since {since} and changed the infrastructure while this apply \
         waited; the new plan contains {} that the approved one does not: {}",
        counted(unapproved.len(), "change"),
        named(unapproved)
    );
    let remedy = "run the same command again: it shows the new plan";
    ApplyStatus::Overtaken(Failure::new(Code::StalePlan, message, remedy))
}

/// The end of an apply that planned again before its first change, and found changes that the
/// user did not approve. It changed nothing.
pub(super) fn stale_before_changes(unapproved: &[&Change]) -> ApplyStatus {
    let message = format!(
        "another process changed the infrastructure after the plan was made; the new plan \
         contains {} that the approved one does not: {}",
        counted(unapproved.len(), "change"),
        named(unapproved)
    );
    let remedy = "run the same command again: it shows the new plan";
    ApplyStatus::Overtaken(Failure::new(Code::StalePlan, message, remedy))
}

/// The end of an apply that waited for a process that destroyed the topology.
pub(super) fn destroyed_by(holder: &LeaseHolder, is_killed: bool) -> ApplyStatus {
    let LeaseHolder { name, since } = holder;
    let end = if is_killed { ", and was killed before it had finished" } else { "" };
    let message = format!(
        "{name} destroys the topology: it held the lease since {since} while this apply \
         waited{end}"
    );
    ApplyStatus::Overtaken(Failure::new(Code::StalePlan, message, CREATE_AGAIN))
}

/// The end of an apply whose next plan would create what another process deleted.
pub(super) fn deleted_by_others(
    changes: &[&Change],
    destroyer: Option<LeaseHolder>,
) -> ApplyStatus {
    let by = destroyer.map_or_else(|| "another process".to_owned(), |holder| holder.name);
    let count = counted(changes.len(), "resource");
    let message = format!(
        "{by} deleted {count} while this apply ran, which does not create them again: {}",
        named(changes)
    );
    ApplyStatus::Overtaken(Failure::new(Code::DeletedByOthers, message, CREATE_AGAIN))
}

/// The warning about objects that this apply creates once more.
pub(super) fn recreated(changes: &[&Change]) -> Failure {
    let count = counted(changes.len(), "resource");
    let message = format!(
        "{count} that this apply had created {} deleted by AKS, a policy, a person or another \
         program, and {} created once more: {}",
        if changes.len() == 1 { "was" } else { "were" },
        if changes.len() == 1 { "is" } else { "are" },
        named(changes)
    );
    Failure::new(Code::DeletedByOthers, message, STOP_DELETION)
}

/// The end of an apply while another process deletes the cluster.
pub(super) fn cluster_deleted_by_others(cluster: &str) -> ApplyStatus {
    let message = format!(
        "another process deletes the cluster {cluster} while this apply runs, which does not create \
         it again"
    );
    ApplyStatus::Partial(Failure::new(Code::DeletedByOthers, message, CREATE_AGAIN))
}

/// The end of an apply whose later plan contains changes that the user did not approve.
pub(super) fn not_approved(unapproved: &[&Change], is_saved: bool) -> ApplyStatus {
    let remedy = match is_saved {
        true => "create a plan of the remaining changes with `stargate plan --out`",
        false => "run the same command again: it shows the remaining changes before it makes them",
    };
    let reason = format!(
        "a later plan contains {} that the approved one does not: {}",
        counted(unapproved.len(), "change"),
        named(unapproved)
    );
    partial(Code::PartlyApplied, reason, remedy)
}

/// The end of an apply of a saved plan whose remaining changes depend on others.
pub(super) fn depends_on_others(left_out: &[&Address]) -> ApplyStatus {
    let reason = format!(
        "{} of the saved plan now {} on changes that it does not contain: {}",
        counted(left_out.len(), "deferred change"),
        if left_out.len() == 1 { "depends" } else { "depend" },
        listed(left_out.iter().copied())
    );
    let remedy = "create a plan of the remaining changes with `stargate plan --out`";
    partial(Code::PartlyApplied, reason, remedy)
}

/// The end of an apply that would have to make a change again.
pub(super) fn undone(change: &Change) -> ApplyStatus {
    let (address, participle) = (&change.address, change.action.participle());
    let reason = format!(
        "{address} was {participle} and must be {participle} again: another program reverts the \
         change"
    );
    let remedy = format!(
        "find the tool, the policy or the controller that changes {address} and stop it, or list \
         the fields that it sets under `[[ignore]]`; then run the same command again"
    );
    partial(Code::NoProgress, reason, remedy)
}

/// The end of an apply whose last iteration made no progress.
pub(super) fn no_progress(plan: &Plan) -> ApplyStatus {
    let names = named(&plan.changes.iter().collect::<Vec<_>>());
    let reason = format!("the last iteration changed nothing; remaining changes: {names}");
    partial(Code::NoProgress, reason, COMPARE)
}

/// The first changes by their addresses, and how many there are beyond them.
fn named(changes: &[&Change]) -> String {
    listed(changes.iter().map(|change| &change.address))
}

/// The first addresses, and how many there are beyond them.
fn listed<'a>(addresses: impl ExactSizeIterator<Item = &'a Address>) -> String {
    let count = addresses.len();
    let names: Vec<String> = addresses.take(MAX_NAMED).map(ToString::to_string).collect();
    let names = names.join(", ");
    match count.saturating_sub(MAX_NAMED) {
        0 => names,
        more => format!("{names} and {more} more"),
    }
}

fn partial(code: Code, message: impl AsRef<str>, remedy: impl Into<String>) -> ApplyStatus {
    ApplyStatus::Partial(Failure::new(code, message, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Running the same command again does not resolve a cycle.
    #[test]
    fn a_cycle_of_steps_is_reported_as_a_defect() {
        let address: Address = "route-table/cluster/lab-workers-rt".parse().unwrap();
        let outcomes = BTreeMap::from([(address, Outcome::NotStarted)]);
        let Some(ApplyStatus::Partial(failure)) = in_a_cycle(&outcomes) else { panic!() };
        assert_eq!(failure.code, Code::NoProgress);
        assert!(failure.remedy.contains("report it"), "{}", failure.remedy);
        assert_eq!(in_a_cycle(&BTreeMap::new()), None);
    }
}
