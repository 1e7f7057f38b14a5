//! Past work on workers: old Operations.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::error::ClusterError;
use super::events::OperationEvent;
use super::operation_status::{OperationUpdate, seconds};
use super::operations::{OperationObject, OperationOrigin};
use super::records::{OperationPhase, OperationRecord, REQUEST_ANNOTATION, SERVER_LABEL};
use super::request::{Collection, PatchKind};
use super::{ClusterClient, text_at};
use crate::resource::names::WorkerName;
use crate::resource::ownership::TOPOLOGY_LABEL;

/// How many finished Operations of a worker are kept.
pub const MAX_OPERATIONS: usize = 5;
/// How long a finished request is kept in any case, so that a client that waits for its end
/// finds it.
pub const REQUEST_KEPT_FOR: SignedDuration = SignedDuration::from_hours(1);

/// An Operation as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastOperation {
    /// The name of its object.
    pub name: String,
    /// The uid of its object.
    pub uid: String,
    /// The worker.
    pub worker: String,
    /// The kind of the operation, as in `repave`.
    pub kind: String,
    /// Its phase, such as `Running`; empty if it has not started.
    pub phase: String,
    /// The step it is at, or how it ended.
    pub message: String,
    /// When its object was created.
    pub created: Option<Timestamp>,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// The request that it was a part of; empty if there was none.
    pub request: String,
    /// Whether a person created it, as a request.
    pub is_request: bool,
    /// The uid of the Node before the work.
    pub node_uid: Option<String>,
}

impl PastOperation {
    /// Whether it was done.
    pub fn has_succeeded(&self) -> bool {
        self.phase == OperationPhase::Succeeded.as_str()
    }

    /// Whether nothing follows.
    fn is_finished(&self) -> bool {
        OperationPhase::of(&self.phase).is_some_and(OperationPhase::is_final)
    }

    /// Whether a process that ended has left it. A request is not left: the watch continues
    /// it.
    fn is_left(&self) -> bool {
        !self.is_finished() && !self.is_request
    }

    /// Whether a client may still wait for the end of the request.
    fn is_awaited(&self, now: Timestamp) -> bool {
        let is_recent = |ended: Timestamp| now.duration_since(ended) < REQUEST_KEPT_FOR;
        self.is_request && self.completed.is_some_and(is_recent)
    }

    /// When it ended; one that did not end, when it began; one that did not begin, when it was
    /// created.
    fn last_event(&self) -> Option<Timestamp> {
        self.completed.or(self.started).or(self.created)
    }

    /// The order of the Operations of a worker: one that runs is later than all others. Times
    /// are in seconds: of two that ended in the same one, that which began later.
    fn order(&self) -> (bool, [Option<Timestamp>; 3], &str) {
        let times = [self.last_event(), self.started, self.created];
        (!self.is_finished() && self.started.is_some(), times, &self.name)
    }

    fn of(object: &Value) -> Self {
        let (spec, status) = (&object["spec"], &object["status"]);
        let time = |field: &str| status[field].as_str().and_then(|text| text.parse().ok());
        Self {
            name: text_at(&object["metadata"], "name"),
            uid: text_at(&object["metadata"], "uid"),
            worker: text_at(&spec["serverRef"], "name"),
            kind: text_at(spec, "operation"),
            phase: text_at(status, "phase"),
            message: text_at(status, "message"),
            created: object["metadata"]["creationTimestamp"]
                .as_str()
                .and_then(|text| text.parse().ok()),
            started: time("startTime"),
            completed: time("completionTime"),
            request: text_at(&object["metadata"]["annotations"], REQUEST_ANNOTATION),
            is_request: OperationOrigin::of(object) == OperationOrigin::Request,
            node_uid: status["nodeUID"].as_str().map(str::to_owned),
        }
    }
}

impl ClusterClient {
    /// Every Operation of the topology's workers that is kept, by one list.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn past_operations(&self) -> Result<Vec<PastOperation>, ClusterError> {
        let selector = self.of_topology();
        let objects = self.all_operations().list(Some(&selector), None).await?;
        Ok(objects.iter().map(PastOperation::of).collect())
    }

    /// The last Operation of each worker, by one list.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn last_operations(&self) -> Result<BTreeMap<String, PastOperation>, ClusterError> {
        Ok(last_of_each(self.past_operations().await?))
    }

    /// Ends the records of a worker that a run which was cut off has left
    /// running, and deletes the oldest, before the record of new work is made.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn tidy_operations(
        &self,
        begins: &OperationRecord,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let operations = self.all_operations();
        let mut past = self.operations_of(&begins.worker).await?;
        past.retain(|it| it.name != begins.name() && (it.is_finished() || it.is_left()));
        for operation in past.iter().filter(|operation| operation.is_left()) {
            interrupt(&operations, operation, now).await?;
        }
        // One that was refused never started: its end counts.
        past.sort_by_key(|it| std::cmp::Reverse((it.last_event(), it.name.clone())));
        // With the one that begins there are as many as are kept.
        let surplus = past.iter().skip(MAX_OPERATIONS - 1);
        for operation in surplus.filter(|operation| !operation.is_awaited(now)) {
            self.delete_operation(&operation.name, &operation.uid).await?;
        }
        Ok(())
    }

    /// Deletes the records of a worker that has left for good. Requests that have not ended
    /// end with it, and stay with the reason.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn forget_operations(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        for object in self.objects_of(worker).await? {
            let past = PastOperation::of(&object);
            if past.is_request && !past.is_finished() {
                self.end_with_worker(&self.operation(&object), worker, now).await?;
            } else if !past.is_awaited(now) {
                self.delete_operation(&past.name, &past.uid).await?;
            }
        }
        Ok(())
    }

    async fn end_with_worker(
        &self,
        request: &OperationObject,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        let phase = match request.is_started() {
            true => OperationPhase::Failed,
            false => OperationPhase::Refused,
        };
        let message = format!("the worker {worker} was removed before the Operation ended");
        let status = OperationUpdate {
            phase,
            reason: "ServerRemoved".to_owned(),
            message: message.clone(),
            started: request.started,
            completed: Some(now),
            node_uid: request.node_uid.clone(),
            boot_id: request.boot_id.clone(),
            request: Some(request.request_status()),
        };
        match self.write_operation_status(&request.name, &status).await {
            // It was deleted after it was listed: the others end nevertheless.
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            written => written?,
        }
        let event = OperationEvent {
            operation: request.name.clone(),
            uid: request.uid.clone(),
            worker: None,
            reason: phase.as_str(),
            note: message,
            is_warning: true,
            at: now,
        };
        if let Err(error) = self.record_operation_event(&event).await {
            tracing::warn!(%error, "the event of an Operation was not recorded");
        }
        self.release_operation(&request.name, &request.uid).await
    }

    /// Marks the records of a worker, made under the topology's former name, as its own.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn take_over_operations(&self, worker: &WorkerName) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": { "labels": { TOPOLOGY_LABEL: self.owner.topology } } });
        for operation in self.operations_of(worker).await? {
            self.all_operations().patch(&operation.name, None, PatchKind::Merge, &patch).await?;
        }
        Ok(())
    }

    async fn operations_of(&self, worker: &WorkerName) -> Result<Vec<PastOperation>, ClusterError> {
        Ok(self.objects_of(worker).await?.iter().map(PastOperation::of).collect())
    }

    async fn objects_of(&self, worker: &WorkerName) -> Result<Vec<Value>, ClusterError> {
        let selector = format!("{},{SERVER_LABEL}={worker}", self.of_topology());
        self.all_operations().list(Some(&selector), None).await
    }
}

/// The last Operation of each worker; one that was refused never began, and counts as well.
fn last_of_each(mut operations: Vec<PastOperation>) -> BTreeMap<String, PastOperation> {
    operations.sort_by(|one, other| one.order().cmp(&other.order()));
    operations.into_iter().map(|it| (it.worker.clone(), it)).collect()
}

async fn interrupt(
    operations: &Collection,
    operation: &PastOperation,
    now: Timestamp,
) -> Result<(), ClusterError> {
    let at = match operation.message.as_str() {
        "" => String::new(),
        step => format!(", at: {step}"),
    };
    let message = format!("interrupted{at}; the process that ran it ended");
    let patch = json!({ "status": {
        "phase": "Failed",
        "completionTime": seconds(now),
        "message": message,
        "conditions": [{
            "type": "Complete", "status": "False", "reason": "Interrupted", "message": message,
            "lastTransitionTime": seconds(now),
        }],
    }});
    operations.patch(&operation.name, Some("status"), PatchKind::Merge, &patch).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(name: &str, phase: &str, times: [&str; 3]) -> PastOperation {
        let [created, started, completed] = times;
        PastOperation::of(&json!({
            "metadata": { "name": name, "creationTimestamp": created },
            "spec": { "serverRef": { "name": "w1" }, "operation": "repave" },
            "status": { "phase": phase, "startTime": started, "completionTime": completed },
        }))
    }

    #[test]
    fn the_last_operation_of_a_worker_may_never_have_begun() {
        let minute = |minute: u32| format!("2026-01-01T10:{minute:02}:00Z");
        let [first, second, third, fourth] = [0, 1, 2, 3].map(minute);
        let none = "";
        let done = past("done", "Succeeded", [&first, &first, &second]);
        let later = past("later", "Succeeded", [&second, &second, &second]);
        let running = past("running", "Running", [&second, &second, none]);
        let refused = past("refused", "Refused", [&third, none, &third]);
        let waiting = past("waiting", "Pending", [&fourth, none, none]);
        let new = past("new", "", [&fourth, none, none]);
        for (expected, of) in [
            ("refused", vec![&done, &refused]),
            ("refused", vec![&refused, &done]),
            ("waiting", vec![&done, &waiting, &refused]),
            ("new", vec![&new, &done]),
            ("running", vec![&refused, &running, &waiting, &done]),
            ("done", vec![&done]),
            ("later", vec![&later, &done]),
        ] {
            let last = last_of_each(of.into_iter().cloned().collect());
            assert_eq!(last["w1"].name, expected);
        }
    }
}
