//! The status of an Operation.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::ClusterClient;
use super::error::{ClusterCause, ClusterError};
use super::records::{OperationPhase, OperationRecord};
use super::request::{Collection, MAX_WRITES, PatchKind};
use crate::resource::work_request::RequestedOperation;

/// A status of an Operation, to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationUpdate {
    /// Its phase.
    pub phase: OperationPhase,
    /// Why it has this phase, in CamelCase.
    pub reason: String,
    /// The current step, or the reason as a sentence; never a secret.
    pub message: String,
    /// The start of the first attempt.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// The uid of the Node before the work.
    pub node_uid: Option<String>,
    /// The boot of the machine before its restart.
    pub boot_id: Option<String>,
    /// Fields of the status that only requests have.
    pub request: Option<RequestStatus>,
}

/// The part of the status of an Operation that a person created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestStatus {
    /// The uid of its object: the status is not written to a later one of the same name.
    pub uid: String,
    /// When it was created.
    pub requested: Timestamp,
    /// The generation of the spec.
    pub generation: i64,
    /// How many attempts were started.
    pub attempts: u32,
}

impl OperationUpdate {
    /// The status of work that is recorded.
    pub(super) fn of(record: &OperationRecord) -> Self {
        let request = |requested: &RequestedOperation| RequestStatus {
            uid: requested.uid.clone(),
            requested: requested.requested,
            generation: requested.generation,
            attempts: requested.next_attempt(),
        };
        Self {
            phase: record.phase,
            reason: record.phase.as_str().to_owned(),
            message: record.message.clone(),
            started: Some(record.started),
            completed: record.completed,
            node_uid: record.node_uid.clone(),
            boot_id: record.boot_id.clone(),
            request: record.requested().map(request),
        }
    }

    fn to_value(&self) -> Value {
        let mut status = json!({ "phase": self.phase.as_str(), "message": self.message });
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                status[field] = value;
            }
        };
        let time = |time: Timestamp| json!(seconds(time));
        set("startTime", self.started.map(time));
        set("completionTime", self.completed.map(time));
        set("nodeUID", self.node_uid.as_ref().map(|uid| json!(uid)));
        set("bootID", self.boot_id.as_ref().map(|boot| json!(boot)));
        let Some(request) = &self.request else {
            status["conditions"] = json!([self.complete(self.started.unwrap_or_default())]);
            return status;
        };
        let is_running = self.phase == OperationPhase::Running;
        // `null` removes a step that ended.
        status["currentStep"] = json!(is_running.then_some(&self.message));
        status["attempts"] = json!(request.attempts);
        status["observedGeneration"] = json!(request.generation);
        status["conditions"] = self.conditions(request);
        status
    }

    /// The condition that says how the work ended.
    fn complete(&self, begin: Timestamp) -> Value {
        let holds = self.phase.is_final().then_some(self.phase == OperationPhase::Succeeded);
        let at = self.completed.filter(|_| self.phase.is_final()).unwrap_or(begin);
        condition("Complete", holds, &self.reason, &self.message, &seconds(at))
    }

    /// The conditions by which kstatus, and with it `kubectl wait` and Flux, judges.
    fn conditions(&self, request: &RequestStatus) -> Value {
        let (is_final, has_succeeded) =
            (self.phase.is_final(), self.phase == OperationPhase::Succeeded);
        let begin = request.requested;
        let end = self.completed.filter(|_| is_final).unwrap_or(begin);
        let of = |kind: &str, holds: bool, at: Timestamp| {
            condition(kind, Some(holds), &self.reason, &self.message, &seconds(at))
        };
        let has_failed = is_final && !has_succeeded;
        let mut conditions = [
            self.complete(begin),
            of("Ready", has_succeeded, if has_succeeded { end } else { begin }),
            of("Reconciling", !is_final, end),
            of("Stalled", has_failed, if has_failed { end } else { begin }),
        ];
        for condition in &mut conditions {
            condition["observedGeneration"] = json!(request.generation);
        }
        json!(conditions)
    }
}

/// The version of a request's object. The API server ignores a uid in a write of the status,
/// so that only the version keeps it away from a later object of the same name.
async fn version_of(
    operations: &Collection,
    name: &str,
    request: &RequestStatus,
) -> Result<Value, ClusterError> {
    let Some(object) = operations.get(name).await? else { return Ok(Value::Null) };
    if object["metadata"]["uid"] != request.uid.as_str() {
        let reason = "another Operation has its name";
        let about = operations.about("write the status of", name);
        return Err(about.error(ClusterCause::Conflict, reason));
    }
    Ok(object["metadata"]["resourceVersion"].clone())
}

pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

pub(super) fn condition(
    kind: &str,
    holds: Option<bool>,
    reason: &str,
    message: &str,
    at: &str,
) -> Value {
    let status = match holds {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": at,
    })
}

impl ClusterClient {
    /// Writes the status of an Operation.
    ///
    /// # Errors
    ///
    /// There is no such Operation, another has its name, or the cluster did not answer.
    pub async fn write_operation_status(
        &self,
        name: &str,
        status: &OperationUpdate,
    ) -> Result<(), ClusterError> {
        let operations = self.all_operations();
        let mut patch = json!({ "status": status.to_value() });
        let mut conflict = None;
        for _ in 0..MAX_WRITES {
            if let Some(request) = &status.request {
                let version = version_of(&operations, name, request).await?;
                patch["metadata"]["resourceVersion"] = version;
            }
            match operations.patch(name, Some("status"), PatchKind::Merge, &patch).await {
                Err(error) if error.is_conflict() => conflict = Some(error),
                written => return written.map(|_| ()),
            }
        }
        conflict.map_or(Ok(()), Err)
    }
}
