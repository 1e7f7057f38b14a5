//! The records of work on a worker in the cluster.
//!
//! A record that cannot be written is a warning, because the work does not depend on it.

use jiff::Timestamp;

use super::step::StepEvent;
use super::{JoinContext, Now, Progress};
use crate::provider::cluster::{
    ClusterError, OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus,
};
use crate::provider::read_write::ClusterWrite;
use crate::resource::work_request::WorkRequest;
use crate::topology::names::{ProfileName, WorkerName};
use crate::topology::version::KubernetesVersion;

/// The object of a record.
#[derive(Clone)]
pub(super) struct Subject<'a> {
    pub(super) cluster: &'a dyn ClusterWrite,
    pub(super) worker: WorkerName,
    pub(super) profile: ProfileName,
    pub(super) kubelet: KubernetesVersion,
    pub(super) kind: OperationKind,
    /// The request that the work is a part of.
    pub(super) request: Option<WorkRequest>,
    pub(super) now: &'a Now<'a>,
}

/// The records of one piece of work.
pub(super) struct Records<'a> {
    subject: Subject<'a>,
    progress: &'a Progress<'a>,
    operation: OperationRecord,
}

impl<'a> JoinContext<'a> {
    /// Whether an Operation requested the join.
    pub(super) fn is_operation(&self) -> bool {
        matches!(self.request, Some(WorkRequest::Operation(_)))
    }

    /// The object of the join's records.
    pub(super) fn subject(&self) -> Subject<'a> {
        Subject {
            cluster: self.cluster,
            worker: WorkerName::new(&self.desired.name),
            profile: self.profile.clone(),
            kubelet: self.desired.kubelet_version,
            kind: self.operation,
            request: self.request.clone(),
            now: self.now,
        }
    }
}

impl<'a> Records<'a> {
    /// Records that the work begins or resumes. Unfinished work of an earlier run is
    /// recorded as interrupted.
    pub(super) async fn begin(
        subject: Subject<'a>,
        progress: &'a Progress<'a>,
        continues: Option<OperationRecord>,
        message: &str,
    ) -> Self {
        let is_new = continues.is_none();
        let operation = continues.unwrap_or_else(|| started(&subject, message));
        let mut records = Self { subject, progress, operation };
        if is_new {
            let now = (records.subject.now)();
            let tidied = records.subject.cluster.tidy_operations(&records.operation, now).await;
            records.warn(tidied);
            records.warn(records.subject.cluster.create_operation(&records.operation).await);
        } else {
            records.reaches(message).await;
        }
        let state = match records.subject.kind {
            OperationKind::Join => ServerState::Provisioning,
            OperationKind::Repave if !is_new => ServerState::Provisioning,
            OperationKind::Repave | OperationKind::Reboot => ServerState::Leaving,
        };
        records.server(state, message.to_owned()).await;
        records
    }

    /// Notes how far the work is.
    pub(super) async fn reaches(&mut self, step: &str) {
        if self.operation.message != step {
            step.clone_into(&mut self.operation.message);
            self.warn(self.subject.cluster.update_operation(&self.operation).await);
        }
    }

    /// Notes the uid of the Node before the work. A Node of another uid, or none, proves
    /// later that the worker has left.
    pub(super) async fn node_before(&mut self, uid: &str) {
        if self.operation.node_uid.is_none() {
            self.operation.node_uid = Some(uid.to_owned());
            self.warn(self.subject.cluster.update_operation(&self.operation).await);
        }
    }

    /// The boot of the machine before its restart, which an earlier attempt may have
    /// noted. Another boot proves that the machine has restarted.
    pub(super) async fn boot_before(&mut self, boot: &str) -> String {
        if self.operation.boot_id.is_none() {
            self.operation.boot_id = Some(boot.to_owned());
            self.warn(self.subject.cluster.update_operation(&self.operation).await);
        }
        self.operation.boot_id.clone().unwrap_or_default()
    }

    /// Whether an attempt before this one noted the Node.
    pub(super) fn continues_node(&self, uid: &str) -> bool {
        self.operation.node_uid.as_deref() == Some(uid)
    }

    /// The record of unfinished work.
    pub(super) fn unfinished(self) -> OperationRecord {
        self.operation
    }

    /// Notes how the work ended.
    pub(super) async fn end(mut self, outcome: Result<&str, String>) {
        let (phase, state, message) = match outcome {
            Ok(message) => (OperationPhase::Succeeded, ServerState::Ready, message.to_owned()),
            Err(message) => {
                let message = message + self.node_after_failure().await;
                (OperationPhase::Failed, ServerState::Error, message)
            }
        };
        self.operation.phase = phase;
        self.operation.completed = Some((self.subject.now)());
        self.operation.message.clone_from(&message);
        self.warn(self.subject.cluster.update_operation(&self.operation).await);
        self.server(state, message).await;
    }

    /// In which state a failure leaves the Node, as a clause, where pods cannot run on it.
    async fn node_after_failure(&self) -> &'static str {
        match self.subject.cluster.node(self.subject.worker.as_str()).await {
            Ok(Some(node)) if node.is_cordoned_for_work() => "; the Node stays cordoned",
            Ok(None) if self.subject.kind == OperationKind::Repave => {
                "; the Node was deleted, and the worker has not joined again"
            }
            _ => "",
        }
    }

    async fn server(&self, state: ServerState, message: String) {
        // A reboot applies no profile.
        let applied = state == ServerState::Ready && self.subject.kind != OperationKind::Reboot;
        let status = ServerStatus {
            state,
            message,
            current_os: applied.then(|| format!("linux, kubelet {}", self.subject.kubelet)),
            applied_profile: applied.then(|| self.subject.profile.to_string()),
            updated: (self.subject.now)(),
        };
        let worker = &self.operation.worker;
        self.warn(self.subject.cluster.update_server_status(worker, &status).await);
    }

    fn warn(&self, outcome: Result<(), ClusterError>) {
        if let Err(error) = outcome {
            (self.progress)(StepEvent::Warning(format!("the record was not written: {error}")));
        }
    }
}

fn started(subject: &Subject<'_>, message: &str) -> OperationRecord {
    let now: Timestamp = (subject.now)();
    let earlier = match &subject.request {
        Some(WorkRequest::Operation(requested)) => requested.earlier.as_ref(),
        Some(WorkRequest::Command(_)) | None => None,
    };
    OperationRecord {
        worker: subject.worker.clone(),
        profile: subject.profile.clone(),
        kind: subject.kind,
        started: earlier.map_or(now, |earlier| earlier.started),
        phase: OperationPhase::Running,
        completed: None,
        message: message.to_owned(),
        request: subject.request.clone(),
        node_uid: earlier.and_then(|earlier| earlier.node_uid.clone()),
        boot_id: earlier.and_then(|earlier| earlier.boot_id.clone()),
    }
}
