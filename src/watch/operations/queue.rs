//! Divides requested Operations into refused, waiting and runnable ones. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::closest;
use crate::plan::WorkerOperation;
use crate::provider::cluster::{OperationObject, OperationOrigin};
use crate::resource::settings::AutoApply;
use crate::topology::model::Topology;
use crate::topology::names::{ProfileName, WorkerName};

/// Why an Operation has its phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// The reason in CamelCase, for its conditions.
    pub(super) name: &'static str,
    /// The reason as a sentence.
    pub(super) message: String,
}

impl Reason {
    pub(super) fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, message: message.into() }
    }
}

/// An Operation of a worker of the topology.
#[derive(Debug, Clone, Copy)]
struct Valid<'a> {
    object: &'a OperationObject,
    operation: WorkerOperation,
}

/// Operations of one kind that run together, in the waves of the rollout.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) operation: WorkerOperation,
    pub(super) members: BTreeMap<WorkerName, &'a OperationObject>,
}

/// The requested Operations that have not ended.
#[derive(Debug, Default)]
pub(super) struct Queue<'a> {
    pub(super) refused: Vec<(&'a OperationObject, Reason)>,
    pub(super) waiting: Vec<(&'a OperationObject, Reason)>,
    pub(super) batch: Option<Batch<'a>>,
}

impl<'a> Queue<'a> {
    /// Sorts the requests of people by the time of their creation. Started Operations run
    /// before the others.
    pub(super) fn of(topology: &Topology, objects: &'a [OperationObject]) -> Self {
        let mut open: Vec<&OperationObject> = objects.iter().filter(|it| is_open(it)).collect();
        open.sort_by_key(|it| (!it.is_started(), it.created, &it.name));
        let mut queue = Self::default();
        let mut valid = Vec::new();
        for object in open {
            match validate(topology, object) {
                Ok(operation) => valid.push(Valid { object, operation }),
                Err(reason) => queue.refused.push((object, reason)),
            }
        }
        queue.divide(valid);
        match topology.watch.apply {
            AutoApply::None => queue.hold(&Reason::new(
                "ReportOnly",
                "`[watch] apply` is \"none\": nothing is changed",
            )),
            AutoApply::Routes | AutoApply::All => {}
        }
        queue
    }

    /// The first Operation of each worker may run. Those of the first Operation's kind that
    /// no Operation of another kind precedes run together, without started ones.
    fn divide(&mut self, valid: Vec<Valid<'a>>) {
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let mut members = BTreeMap::new();
        let Some(head) = valid.first().copied() else { return };
        let mut is_open = true;
        for Valid { object, operation } in valid {
            if let Some(other) = first.get(object.server.as_str()) {
                let message = format!("waits for the Operation {other} on the same Server");
                self.waiting.push((object, Reason::new("WaitsForServer", message)));
                continue;
            }
            first.insert(&object.server, &object.name);
            let is_alike = object.is_started() == head.object.is_started();
            is_open &= operation == head.operation && is_alike;
            if is_open {
                members.insert(WorkerName::new(object.server.as_str()), object);
            } else {
                let message = "waits for Operations that were created or started before it";
                self.waiting.push((object, Reason::new("Queued", message)));
            }
        }
        self.batch = Some(Batch { operation: head.operation, members });
    }

    /// Holds the Operations that would run now.
    pub(super) fn hold(&mut self, reason: &Reason) {
        let Some(batch) = self.batch.take() else { return };
        self.waiting.extend(batch.members.into_values().map(|object| (object, reason.clone())));
    }
}

/// Whether a request has not ended. One that is being deleted was cancelled, unless it was
/// started.
fn is_open(object: &OperationObject) -> bool {
    let is_cancelled = object.is_deleting && !object.is_started();
    object.origin != OperationOrigin::Record
        && !object.is_of_other_topology()
        && !object.is_finished()
        && !is_cancelled
}

fn validate(topology: &Topology, object: &OperationObject) -> Result<WorkerOperation, Reason> {
    if object.origin == OperationOrigin::CopiedRecord {
        let message = "it is a copy of a record: remove the labels stargate.io/server and \
                       stargate.io/origin, and create it again";
        return Err(Reason::new("CopiedRecord", message));
    }
    let workers = topology.datacenters.iter().flat_map(|datacenter| &datacenter.workers);
    let worker = workers.clone().find(|worker| worker.name.as_str() == object.server);
    let Some(worker) = worker else {
        let names: BTreeSet<&str> = workers.map(|worker| worker.name.as_str()).collect();
        let message = format!("the topology {} has no worker {}", topology.name, object.server);
        return Err(Reason::new("UnknownServer", with_proposal(message, &object.server, &names)));
    };
    let operation = match object.operation.as_str() {
        "repave" => WorkerOperation::Repave,
        "reboot" => WorkerOperation::Reboot,
        other => {
            let message = format!(
                "{other} cannot be requested, only repave and reboot; `stargate apply` joins \
                 workers"
            );
            return Err(Reason::new("UnsupportedOperation", message));
        }
    };
    let names: BTreeSet<&str> = topology.profiles.keys().map(ProfileName::as_str).collect();
    if !names.contains(object.profile.as_str()) {
        let message = format!("the topology {} has no profile {}", topology.name, object.profile);
        return Err(Reason::new("UnknownProfile", with_proposal(message, &object.profile, &names)));
    }
    if worker.profile.as_str() != object.profile {
        let message = format!(
            "the worker {} has the profile {} in the topology, and the Operation names {}",
            worker.name, worker.profile, object.profile
        );
        return Err(Reason::new("ProfileMismatch", message));
    }
    Ok(operation)
}

fn with_proposal(message: String, name: &str, known: &BTreeSet<&str>) -> String {
    match closest(name, known.iter().copied()) {
        Some(proposal) => format!("{message}; did you mean {proposal}?"),
        None => message,
    }
}
