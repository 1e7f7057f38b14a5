//! The record of work on workers: Operations, and the status of Servers.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::ClusterClient;
use super::error::ClusterError;
use super::operation_status::{OperationUpdate, condition, seconds};
use super::request::{PatchKind, apis};
use crate::resource::custom_resources::{GROUP, NAMESPACE, VERSION};
use crate::resource::names::{ProfileName, WorkerName};
use crate::resource::ownership::TOPOLOGY_LABEL;
use crate::resource::work_request::{RequestedOperation, WorkRequest};

/// The label that names the recorded worker.
pub(super) const SERVER_LABEL: &str = "stargate.io/server";

/// The label that says whether an Operation is a record or a request.
pub(super) const ORIGIN_LABEL: &str = "stargate.io/origin";
/// The value of [`ORIGIN_LABEL`] on objects that stargate creates.
pub(super) const ORIGIN_RECORD: &str = "record";
/// The value of [`ORIGIN_LABEL`] on objects that a person created.
pub(super) const ORIGIN_REQUEST: &str = "request";

/// The annotation that names the request that an Operation is a part of.
pub(super) const REQUEST_ANNOTATION: &str = "stargate.io/request";

/// The kind of an operation on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationKind {
    /// It becomes a member of the cluster.
    Join,
    /// It is recreated.
    Repave,
    /// It is restarted.
    Reboot,
}

impl OperationKind {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Repave => "repave",
            Self::Reboot => "reboot",
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OperationPhase {
    /// Requested and not started.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// Requested, and not to be started.
    Refused,
}

impl OperationPhase {
    /// Every phase.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Refused];

    /// The phase of a word in a record.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.as_str() == word)
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Refused)
    }

    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Refused => "Refused",
        }
    }
}

/// The record of one piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRecord {
    /// The worker.
    pub worker: WorkerName,
    /// Its profile.
    pub profile: ProfileName,
    /// The kind of the operation.
    pub kind: OperationKind,
    /// When it began; together with worker and kind it names the record.
    pub started: Timestamp,
    /// How far it is.
    pub phase: OperationPhase,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// The step it is at, or why it failed; never a secret.
    pub message: String,
    /// The request that it is a part of, if the worker was named.
    pub request: Option<WorkRequest>,
    /// The uid of the Node before the work.
    pub node_uid: Option<String>,
    /// The boot of the machine before its restart.
    pub boot_id: Option<String>,
}

impl OperationRecord {
    /// The Operation that requested the work: its object is the record.
    pub fn requested(&self) -> Option<&RequestedOperation> {
        match &self.request {
            Some(WorkRequest::Operation(requested)) => Some(requested),
            Some(WorkRequest::Command(_)) | None => None,
        }
    }

    /// The name of the record's object.
    pub fn name(&self) -> String {
        if let Some(requested) = self.requested() {
            return requested.name.clone();
        }
        let time = self.started.strftime("%Y%m%d-%H%M%S");
        format!("{}-{}-{time}", self.worker, self.kind.as_str())
    }
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// It is being made.
    Provisioning,
    /// It is a Ready member of the cluster.
    Ready,
    /// The operation failed.
    Error,
    /// It is being taken out.
    Leaving,
}

impl ServerState {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Ready => "ready",
            Self::Error => "error",
            Self::Leaving => "leaving",
        }
    }
}

/// The status of a Server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// How far it is.
    pub state: ServerState,
    /// The message; never a secret.
    pub message: String,
    /// The operating system and the kubelet on it; kept as it was where absent.
    pub current_os: Option<String>,
    /// The profile that was applied; kept as it was where absent.
    pub applied_profile: Option<String>,
    /// When this was so.
    pub updated: Timestamp,
}

fn server_status(status: &ServerStatus) -> Value {
    let ready = match status.state {
        ServerState::Ready => Some(true),
        ServerState::Provisioning => None,
        ServerState::Error | ServerState::Leaving => Some(false),
    };
    let (state, updated) = (status.state.as_str(), seconds(status.updated));
    let mut body = json!({
        "state": state,
        "message": status.message,
        "lastUpdated": updated,
        "conditions": [condition("Ready", ready, state, &status.message, &updated)],
    });
    if let Some(current) = &status.current_os {
        body["currentOS"] = json!(current);
    }
    if let Some(profile) = &status.applied_profile {
        body["appliedProfile"] = json!(profile);
    }
    body
}

impl ClusterClient {
    /// Creates the object of a record; its spec is immutable. The object of a requested
    /// Operation exists already.
    ///
    /// # Errors
    ///
    /// The cluster does not know Operations, did not respond, or refused.
    pub async fn create_operation(&self, record: &OperationRecord) -> Result<(), ClusterError> {
        if record.requested().is_some() {
            return self.update_operation(record).await;
        }
        let name = record.name();
        let mut object = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": apis::OPERATION.kind,
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": {
                    TOPOLOGY_LABEL: self.owner.topology,
                    SERVER_LABEL: record.worker,
                    ORIGIN_LABEL: ORIGIN_RECORD,
                },
            },
            "spec": {
                "serverRef": { "name": record.worker },
                "provisioningProfileRef": { "name": record.profile },
                "operation": record.kind.as_str(),
            },
        });
        if let Some(WorkRequest::Command(request)) = &record.request {
            object["metadata"]["annotations"] = json!({ REQUEST_ANNOTATION: request });
        }
        match self.collection(apis::OPERATION, Some(NAMESPACE)).create(&name, &object).await {
            Err(error) if !error.is_conflict() => return Err(error),
            _ => {}
        }
        self.update_operation(record).await
    }

    /// Writes how far the work is.
    ///
    /// # Errors
    ///
    /// There is no such record, or the cluster did not answer.
    pub async fn update_operation(&self, record: &OperationRecord) -> Result<(), ClusterError> {
        self.write_operation_status(&record.name(), &OperationUpdate::of(record)).await
    }

    /// Writes the status of a worker's Server.
    ///
    /// # Errors
    ///
    /// There is no such Server, or the cluster did not answer.
    pub async fn update_server_status(
        &self,
        worker: &WorkerName,
        status: &ServerStatus,
    ) -> Result<(), ClusterError> {
        let patch = json!({ "status": server_status(status) });
        self.collection(apis::SERVER, Some(NAMESPACE))
            .patch(worker.as_str(), Some("status"), PatchKind::Merge, &patch)
            .await
            .map(|_| ())
    }
}
