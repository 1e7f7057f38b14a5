//! Divides requested Operations into refused, waiting and runnable ones. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::diagnostics::closest;
use crate::plan::WorkerOperation;
use crate::provider::cluster::{OperationObject, OperationOrigin};
use crate::resource::settings::AutoApply;
use crate::topology::model::Topology;
use crate::topology::names::{ProfileName, WorkerName};

/// For how long after its creation an Operation waits for its Server: both may come from one
/// commit, in any order.
const SERVER_WAIT: SignedDuration = SignedDuration::from_mins(5);

/// The reason of an Operation whose Server the topology does not have.
const UNKNOWN_SERVER: &str = "UnknownServer";

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
    /// When one that waits for its Server is to be refused.
    pub(super) recheck: Option<Duration>,
}

impl<'a> Queue<'a> {
    /// Sorts the requests of people by the time of their creation. Started Operations run
    /// before the others. `held` has the uids of those that the plan holds back; they do not
    /// run.
    pub(super) fn of(
        topology: &Topology,
        objects: &'a [OperationObject],
        held: &BTreeSet<String>,
        now: Timestamp,
    ) -> Self {
        let mut open: Vec<&OperationObject> = objects.iter().filter(|it| is_open(it)).collect();
        open.sort_by_key(|it| (!it.is_started(), it.created, &it.name));
        let mut queue = Self::default();
        let mut valid = Vec::new();
        for object in open {
            match validate(topology, object) {
                Ok(operation) => valid.push(Valid { object, operation }),
                Err(reason) => queue.refuse(object, reason, now),
            }
        }
        queue.divide(valid, held);
        match topology.watch.apply {
            AutoApply::None => queue.hold(&Reason::new(
                "ReportOnly",
                "`[watch] apply` is \"none\": nothing is changed",
            )),
            AutoApply::Routes | AutoApply::All => {}
        }
        queue
    }

    /// Refuses an Operation, unless its Server may still appear.
    fn refuse(&mut self, object: &'a OperationObject, reason: Reason, now: Timestamp) {
        let left = SERVER_WAIT - now.duration_since(object.created);
        let may_appear = reason.name == UNKNOWN_SERVER && !object.is_started();
        match Duration::try_from(left) {
            Ok(left) if may_appear && !left.is_zero() => {
                let message = format!(
                    "{}; it is refused {} minutes after its creation unless the topology has the \
                     worker by then",
                    reason.message,
                    SERVER_WAIT.as_mins()
                );
                self.waiting.push((object, Reason { message, ..reason }));
                self.recheck = Some(self.recheck.map_or(left, |other| other.min(left)));
            }
            _ => self.refused.push((object, reason)),
        }
    }

    /// The first Operation of each worker may run. Those of the first Operation's kind that
    /// no Operation of another kind precedes run together, without started ones. One that is
    /// held back keeps only the Operations of its own Server waiting.
    fn divide(&mut self, valid: Vec<Valid<'a>>, held: &BTreeSet<String>) {
        let mut first: BTreeMap<&str, &str> = BTreeMap::new();
        let mut members = BTreeMap::new();
        let is_held = |it: &Valid<'_>| held.contains(&it.object.uid);
        let kept = valid.iter().filter(|it| is_held(it));
        first.extend(kept.map(|it| (it.object.server.as_str(), it.object.name.as_str())));
        let valid: Vec<Valid<'a>> = valid.into_iter().filter(|it| !is_held(it)).collect();
        let runs = |it: &&Valid<'_>| !first.contains_key(it.object.server.as_str());
        let Some(head) = valid.iter().find(runs).copied() else {
            return self.wait_for_servers(&valid, &first);
        };
        let mut is_open = true;
        for it in valid {
            let Valid { object, operation } = it;
            if first.contains_key(object.server.as_str()) {
                self.wait_for_servers(&[it], &first);
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

    fn wait_for_servers(&mut self, behind: &[Valid<'a>], first: &BTreeMap<&str, &str>) {
        self.waiting.extend(behind.iter().filter_map(|Valid { object, .. }| {
            let other = first.get(object.server.as_str())?;
            let message = format!("waits for the Operation {other} on the same Server");
            Some((*object, Reason::new("WaitsForServer", message)))
        }));
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
        return Err(Reason::new(UNKNOWN_SERVER, with_proposal(message, &object.server, &names)));
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
