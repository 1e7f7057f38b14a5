//! Past work on workers: old Operations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::operation_status::seconds;
use super::operations::OperationOrigin;
use super::records::{OperationPhase, OperationRecord, REQUEST_ANNOTATION, SERVER_LABEL};
use super::request::{Collection, PatchKind};
use super::{ClusterClient, text_at};
use crate::resource::names::WorkerName;
use crate::resource::ownership::TOPOLOGY_LABEL;

/// How many finished Operations of a worker are kept.
pub const MAX_OPERATIONS: usize = 5;

/// An Operation as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastOperation {
    /// The name of its object.
    pub name: String,
    /// The worker.
    pub worker: String,
    /// The kind of the operation, as in `repave`.
    pub kind: String,
    /// Its phase, such as `Running`; empty if it has not started.
    pub phase: String,
    /// The step it is at, or how it ended.
    pub message: String,
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

    fn of(object: &Value) -> Self {
        let (spec, status) = (&object["spec"], &object["status"]);
        let time = |field: &str| status[field].as_str().and_then(|text| text.parse().ok());
        Self {
            name: text_at(&object["metadata"], "name"),
            worker: text_at(&spec["serverRef"], "name"),
            kind: text_at(spec, "operation"),
            phase: text_at(status, "phase"),
            message: text_at(status, "message"),
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
        let mut last: BTreeMap<String, PastOperation> = BTreeMap::new();
        for operation in self.past_operations().await? {
            let known = last.get(&operation.worker).and_then(|known| known.started);
            if known.is_none_or(|known| operation.started > Some(known)) {
                last.insert(operation.worker.clone(), operation);
            }
        }
        Ok(last)
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
        past.sort_by(|one, other| (other.started, &other.name).cmp(&(one.started, &one.name)));
        // With the one that begins there are as many as are kept.
        for operation in past.iter().skip(MAX_OPERATIONS - 1) {
            self.delete_operation(&operation.name).await?;
        }
        Ok(())
    }

    /// Deletes the records of a worker that has left for good.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not answer, or refused.
    pub async fn forget_operations(&self, worker: &WorkerName) -> Result<(), ClusterError> {
        for operation in self.operations_of(worker).await? {
            self.delete_operation(&operation.name).await?;
        }
        Ok(())
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
        let selector = format!("{},{SERVER_LABEL}={worker}", self.of_topology());
        let objects = self.all_operations().list(Some(&selector), None).await?;
        Ok(objects.iter().map(PastOperation::of).collect())
    }
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
