//! Work on workers that somebody asks for by name, whether or not the topology
//! asks for it too. It touches those workers and nothing else.

use std::collections::BTreeSet;

use super::planner::{Comparison, ResourceDecision, ResourceDecisions, change};
use super::{Action, Blocked, Change};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, Ownership, Resource};
use crate::topology::names::WorkerName;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRequest {
    /// What is to be done.
    pub work: Work,
    /// To whom.
    pub workers: BTreeSet<WorkerName>,
}

/// What is to be done to workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// They are made anew.
    Repave,
    /// They are restarted.
    Reboot,
}

impl Work {
    /// The command that asks for it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Repave => "stargate repave",
            Self::Reboot => "stargate reboot",
        }
    }
}

/// The named workers, if that is what is asked for.
fn named<'a>(input: Comparison<'a>, work: Option<Work>) -> Vec<&'a DesiredResource> {
    let Some(worker_request) = input
        .worker_request
        .filter(|worker_request| work.is_none_or(|work| work == worker_request.work))
    else {
        return Vec::new();
    };
    let is_named = |it: &&DesiredResource| {
        it.address.kind == Kind::Worker
            && worker_request.workers.contains(&WorkerName::new(it.address.name.as_str()))
    };
    input.desired.iter().filter(is_named).collect()
}

fn planned_because_of(work: Work) -> String {
    format!("`{}` asks for it", work.command())
}

/// Has the named workers made anew, whatever state they are in.
pub(super) fn repave(input: Comparison<'_>, verdicts: &mut ResourceDecisions) {
    for desired in named(input, Some(Work::Repave)) {
        let free = matches!(
            verdicts.get(&desired.address),
            Some(ResourceDecision::Unchanged | ResourceDecision::Change(_))
        );
        if !free {
            continue;
        }
        let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
        let mut verdict = change(desired, observed, Action::Replace);
        if let ResourceDecision::Change(change) = &mut verdict {
            change.planned_because_of = planned_because_of(Work::Repave);
            change.requested = true;
        }
        verdicts.insert(desired.address.clone(), verdict);
    }
}

/// Has the named workers restarted.
pub(super) fn reboot(input: Comparison<'_>, verdicts: &mut ResourceDecisions) {
    for desired in named(input, Some(Work::Reboot)) {
        if matches!(verdicts.get(&desired.address), Some(ResourceDecision::Hidden(_))) {
            continue;
        }
        verdicts.insert(desired.address.clone(), restart(input, desired));
    }
}

fn restart(input: Comparison<'_>, desired: &DesiredResource) -> ResourceDecision {
    let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
    let Some(observed) = observed else {
        let reason = "it is no member of the cluster".to_owned();
        let remedy = "`stargate apply` brings it in; then there is something to reboot".to_owned();
        return blocked(desired, Action::Reboot, Code::WorkerNotWorkedOn, reason, remedy);
    };
    if observed.ownership == Ownership::Foreign {
        let reason = "its Node does not carry this topology's mark".to_owned();
        let remedy = format!("run `stargate apply --adopt {}` first", desired.address);
        return blocked(desired, Action::Reboot, Code::WithoutMark, reason, remedy);
    }
    if input.protected.contains_key(&desired.address) {
        let reason = "it would be rebooted, and `protect = true` forbids that".to_owned();
        let remedy = "take `protect` away for as long as it takes".to_owned();
        return blocked(desired, Action::Reboot, Code::Protected, reason, remedy);
    }
    let mut verdict = change(desired, Some(observed), Action::Reboot);
    if let ResourceDecision::Change(change) = &mut verdict {
        change.planned_because_of = planned_because_of(Work::Reboot);
        change.requested = true;
        change.differences.clear();
        change.after = change.before.clone().map(restarted);
        change.interrupts = Some(format!(
            "the pods on {} are evicted, and it takes none until it is back",
            desired.address.name
        ));
    }
    verdict
}

/// A worker as it is once it is back.
fn restarted(resource: Resource) -> Resource {
    match resource {
        Resource::Worker(mut worker) => {
            worker.ready = true;
            Resource::Worker(worker)
        }
        other => other,
    }
}

fn blocked(
    desired: &DesiredResource,
    action: Action,
    code: Code,
    reason: String,
    remedy: String,
) -> ResourceDecision {
    ResourceDecision::Blocked(Blocked {
        address: desired.address.clone(),
        action,
        fields: Vec::new(),
        failure: Failure::new(code, reason, remedy),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    })
}

/// Takes everything out of the plan that is neither a named worker nor lives in
/// one. What such a worker rests on must be there.
pub(super) fn leave_the_rest(input: Comparison<'_>, verdicts: &mut ResourceDecisions) {
    let Some(worker_request) = input.worker_request else { return };
    let mut kept = BTreeSet::new();
    for desired in named(input, None) {
        let lacking = lacking(desired, verdicts);
        match (verdicts.get(&desired.address), lacking) {
            (Some(ResourceDecision::Change(change)), Some(lacking))
                if worker_request.work == Work::Repave =>
            {
                let reason = format!("it rests on {lacking}, which is not there as it should be");
                let verdict = held_up(desired, change.action, reason);
                verdicts.insert(desired.address.clone(), verdict);
            }
            (Some(ResourceDecision::Deferred(deferred)), _) => {
                let reason = "what it rests on is not there yet".to_owned();
                let verdict = held_up(desired, deferred.action, reason);
                verdicts.insert(desired.address.clone(), verdict);
            }
            _ => {}
        }
        kept.insert(desired.address.clone());
    }
    let goes_on =
        |address: &Address| matches!(verdicts.get(address), Some(ResourceDecision::Change(_)));
    if worker_request.work == Work::Repave {
        let residents = input
            .desired
            .iter()
            .filter(|it| it.contained_in.iter().any(|home| kept.contains(home) && goes_on(home)));
        let residents: Vec<Address> = residents.map(|it| it.address.clone()).collect();
        kept.extend(residents);
    }
    verdicts.retain(|address, _| kept.contains(address));
    for verdict in verdicts.values_mut() {
        if let ResourceDecision::Change(change) = verdict {
            forget_others(change, &kept);
        }
    }
}

fn held_up(desired: &DesiredResource, action: Action, reason: String) -> ResourceDecision {
    let remedy = "run `stargate apply` first".to_owned();
    blocked(desired, action, Code::WorkerNotWorkedOn, reason, remedy)
}

/// Something that a worker depends on and that is not there. What only differs
/// in a field does not stop it.
fn lacking(desired: &DesiredResource, verdicts: &ResourceDecisions) -> Option<Address> {
    let mut all = desired.depends_on.iter().chain(&desired.contained_in);
    let is_lacking = |address: &&Address| {
        matches!(
            verdicts.get(address),
            Some(ResourceDecision::Change(change)) if matches!(
                change.action,
                Action::Create | Action::Replace | Action::Adopt
            )
        )
    };
    all.find(is_lacking).cloned()
}

fn forget_others(change: &mut Change, kept: &BTreeSet<Address>) {
    for edges in
        [&mut change.depends_on, &mut change.destroy_after, &mut change.create_after_destroy_of]
    {
        edges.retain(|address| kept.contains(address));
    }
}
