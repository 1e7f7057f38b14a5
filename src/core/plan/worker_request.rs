//! Work on workers that the user names, whether or not they differ from the topology. It
//! changes only those workers.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions, change};
use super::{Action, Blocked, Change, Finding, FindingSeverity};
use crate::desired::DesiredResource;
use crate::desired::facts::RequestProgress;
use crate::diagnostics::{Code, Failure};
use crate::resource::work_request::RequestedOperation;
use crate::resource::{Address, Kind, Resource};
use crate::topology::names::WorkerName;

/// Work that the user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerRequest {
    /// The work.
    pub operation: WorkerOperation,
    /// The workers that it is done on.
    pub workers: BTreeSet<WorkerName>,
    /// The Operations that request it, if people created them.
    pub operations: BTreeMap<WorkerName, RequestedOperation>,
    /// Workers that left the cluster in an interrupted run and have only to join again.
    left: BTreeSet<WorkerName>,
}

impl WorkerRequest {
    /// A request of a command line.
    pub fn new(operation: WorkerOperation, workers: BTreeSet<WorkerName>) -> Self {
        Self { operation, workers, operations: BTreeMap::new(), left: BTreeSet::new() }
    }

    /// The request of these Operations, which are all of this kind.
    pub fn of_operations(
        operation: WorkerOperation,
        operations: BTreeMap<WorkerName, RequestedOperation>,
    ) -> Self {
        let workers = operations.keys().cloned().collect();
        Self { operations, ..Self::new(operation, workers) }
    }

    /// The request without the workers on which an interrupted run has done the work.
    pub(super) fn remaining(&self, progress: Option<&RequestProgress>) -> Self {
        let is_done = |worker: &&WorkerName| {
            progress.is_some_and(|progress| progress.done.contains_key(*worker))
        };
        let workers = self.workers.iter().filter(|worker| !is_done(worker)).cloned().collect();
        let left = progress.map(|progress| progress.left.clone()).unwrap_or_default();
        Self { workers, left, ..self.clone() }
    }

    fn planned_because_of(&self, worker: &str) -> String {
        match self.operations.get(&WorkerName::new(worker)) {
            Some(operation) => format!("requested by the Operation {}", operation.name),
            None => format!("requested by `{}`", self.operation.command()),
        }
    }
}

/// Names the workers that are left out because an interrupted run has done the work.
pub(super) fn already_done(
    request: Option<&WorkerRequest>,
    progress: Option<&RequestProgress>,
) -> Vec<Finding> {
    let (Some(request), Some(progress)) = (request, progress) else { return Vec::new() };
    let command = request.operation.command();
    let finding = |(worker, time): (&WorkerName, &String)| {
        let message = format!(
            "{worker} is skipped: an interrupted run of the same command completed it at {time}"
        );
        let remedy = format!("to do it again, name it alone: `{command} {worker}`");
        Finding::new(FindingSeverity::Warning, Failure::new(Code::PartlyApplied, message, remedy))
    };
    progress.done.iter().map(finding).collect()
}

/// A kind of work on workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerOperation {
    /// Drain, reset and rejoin them.
    Repave,
    /// Drain and restart them.
    Reboot,
}

impl WorkerOperation {
    /// The command that requests it.
    pub fn command(self) -> &'static str {
        match self {
            Self::Repave => "stargate repave",
            Self::Reboot => "stargate reboot",
        }
    }
}

/// The named workers, if the request names workers.
fn named<'a>(
    input: Comparison<'a>,
    operation: Option<WorkerOperation>,
) -> Vec<&'a DesiredResource> {
    let Some(worker_request) = input.worker_request.filter(|worker_request| {
        operation.is_none_or(|operation| operation == worker_request.operation)
    }) else {
        return Vec::new();
    };
    let is_named = |it: &&DesiredResource| {
        it.address.kind == Kind::Worker
            && worker_request.workers.contains(&WorkerName::new(it.address.name.as_str()))
    };
    input.desired.iter().filter(is_named).collect()
}

/// Replaces the named workers, regardless of their state. A worker that left the cluster in
/// an interrupted run is not reset again.
pub(super) fn repave(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let Some(request) = input.worker_request else { return };
    for desired in named(input, Some(WorkerOperation::Repave)) {
        let name = desired.address.name.as_str();
        if request.left.contains(&WorkerName::new(name)) {
            if let Some(ResourceDecision::Change(change)) = decisions.get_mut(&desired.address) {
                change.planned_because_of = request.planned_because_of(name);
                change.requested = true;
            }
            continue;
        }
        let free = matches!(
            decisions.get(&desired.address),
            Some(ResourceDecision::Unchanged | ResourceDecision::Change(_))
        );
        if !free {
            continue;
        }
        let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
        let mut decision = change(desired, observed, Action::Replace);
        if let ResourceDecision::Change(change) = &mut decision {
            change.planned_because_of = request.planned_because_of(name);
            change.requested = true;
        }
        decisions.insert(desired.address.clone(), decision);
    }
}

/// Restarts the named workers.
pub(super) fn reboot(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let Some(request) = input.worker_request else { return };
    for desired in named(input, Some(WorkerOperation::Reboot)) {
        if matches!(decisions.get(&desired.address), Some(ResourceDecision::Unreadable(_))) {
            continue;
        }
        decisions.insert(desired.address.clone(), restart(input, request, desired));
    }
}

fn restart(
    input: Comparison<'_>,
    request: &WorkerRequest,
    desired: &DesiredResource,
) -> ResourceDecision {
    let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
    let Some(observed) = observed else {
        let reason = "it has not joined the cluster".to_owned();
        let remedy = "run `stargate apply`, which joins it to the cluster".to_owned();
        return blocked(desired, Action::Reboot, Code::WorkerOperationBlocked, reason, remedy);
    };
    if observed.ownership.is_foreign() {
        let reason = "its Node is not owned by the topology".to_owned();
        let remedy = "`stargate plan` says who owns it, and how to take it over".to_owned();
        return blocked(desired, Action::Reboot, Code::NotOwned, reason, remedy);
    }
    if input.protected.contains(&desired.address) {
        let reason = "the reboot is blocked by `protect = true`".to_owned();
        let remedy = "set `protect = false` and run `stargate apply`, then run the same command \
                      again"
            .to_owned();
        return blocked(desired, Action::Reboot, Code::Protected, reason, remedy);
    }
    let mut decision = change(desired, Some(observed), Action::Reboot);
    if let ResourceDecision::Change(change) = &mut decision {
        change.planned_because_of = request.planned_because_of(desired.address.name.as_str());
        change.requested = true;
        change.differences.clear();
        change.after = change.before.clone().map(restarted);
        change.interrupts = Some(format!(
            "the pods on {} are evicted, and no pods are scheduled on it until it is Ready",
            desired.address.name
        ));
    }
    decision
}

/// A worker as it is once it has restarted.
fn restarted(resource: Resource) -> Resource {
    match resource {
        Resource::Worker(mut worker) => {
            worker.ready = true;
            worker.cordoned_for_work = false;
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
    Blocked {
        address: desired.address.clone(),
        action,
        fields: Vec::new(),
        failure: Failure::new(code, reason, remedy),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    }
    .into()
}

/// Removes everything from the plan except the named workers and their children. Blocks a
/// worker whose dependencies do not exist.
pub(super) fn restrict(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let Some(worker_request) = input.worker_request else { return };
    let mut retained = BTreeSet::new();
    for desired in named(input, None) {
        let missing_dependency = missing_dependency(desired, decisions);
        match (decisions.get(&desired.address), missing_dependency) {
            (Some(ResourceDecision::Change(change)), Some(missing_dependency))
                if worker_request.operation == WorkerOperation::Repave =>
            {
                let reason = format!(
                    "it depends on {missing_dependency}, which is missing or differs from \
                                      the topology"
                );
                let decision = blocked_operation(desired, change.action, reason);
                decisions.insert(desired.address.clone(), decision);
            }
            (Some(ResourceDecision::Deferred(deferred)), _) => {
                let reason = "its dependencies do not exist yet".to_owned();
                let decision = blocked_operation(desired, deferred.action, reason);
                decisions.insert(desired.address.clone(), decision);
            }
            _ => {}
        }
        retained.insert(desired.address.clone());
    }
    let goes_on =
        |address: &Address| matches!(decisions.get(address), Some(ResourceDecision::Change(_)));
    if worker_request.operation == WorkerOperation::Repave {
        let dependents = input.desired.iter().filter(|it| {
            it.contained_in
                .iter()
                .any(|container| retained.contains(container) && goes_on(container))
        });
        let dependents: Vec<Address> = dependents.map(|it| it.address.clone()).collect();
        retained.extend(dependents);
    }
    decisions.retain(|address, _| retained.contains(address));
    for decision in decisions.values_mut() {
        if let ResourceDecision::Change(change) = decision {
            retain_edges(change, &retained);
        }
    }
}

fn blocked_operation(
    desired: &DesiredResource,
    action: Action,
    reason: String,
) -> ResourceDecision {
    let remedy = "run `stargate apply` first".to_owned();
    blocked(desired, action, Code::WorkerOperationBlocked, reason, remedy)
}

/// A dependency of a worker that does not exist. One that only differs in a field
/// does not stop the work.
fn missing_dependency(desired: &DesiredResource, decisions: &ResourceDecisions) -> Option<Address> {
    let mut all = desired.depends_on.iter().chain(&desired.contained_in);
    let is_lacking = |address: &&Address| {
        matches!(
            decisions.get(address),
            Some(ResourceDecision::Change(change)) if matches!(
                change.action,
                Action::Create | Action::Replace | Action::Adopt
            )
        )
    };
    all.find(is_lacking).cloned()
}

fn retain_edges(change: &mut Change, retained: &BTreeSet<Address>) {
    for edges in
        [&mut change.depends_on, &mut change.destroy_after, &mut change.create_after_destroy_of]
    {
        edges.retain(|address| retained.contains(address));
    }
}
