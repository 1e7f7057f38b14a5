//! The records of work on a worker in the cluster.
//!
//! A record that cannot be written is a warning: the work itself is what counts.

use jiff::Timestamp;

use super::step::StepEvent;
use super::{JoinContext, Now, Progress};
use crate::provider::cluster::{
    ClusterError, OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus,
};
use crate::provider::read_write::ClusterWrite;
use crate::topology::names::{ProfileName, WorkerName};
use crate::topology::version::KubernetesVersion;

/// What is recorded about, and where.
#[derive(Clone)]
pub(super) struct Subject<'a> {
    pub(super) cluster: &'a dyn ClusterWrite,
    pub(super) worker: WorkerName,
    pub(super) profile: ProfileName,
    pub(super) kubelet: KubernetesVersion,
    pub(super) kind: OperationKind,
    /// The request that the work is a part of.
    pub(super) request: Option<String>,
    pub(super) now: &'a Now<'a>,
}

/// The records of one piece of work.
pub(super) struct Records<'a> {
    subject: Subject<'a>,
    progress: &'a Progress<'a>,
    operation: OperationRecord,
}

impl<'a> JoinContext<'a> {
    /// What the records of a join are about.
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
    /// Notes that the work begins, or goes on where an earlier part of it ended.
    /// Work that a run before left unfinished is noted as interrupted.
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

    /// The record of work that is to be gone on with.
    pub(super) fn unfinished(self) -> OperationRecord {
        self.operation
    }

    /// Notes how the work ended.
    pub(super) async fn end(mut self, outcome: Result<&str, String>) {
        let (phase, state, message) = match outcome {
            Ok(message) => (OperationPhase::Succeeded, ServerState::Ready, message.to_owned()),
            Err(message) => (OperationPhase::Failed, ServerState::Error, message),
        };
        self.operation.phase = phase;
        self.operation.completed = Some((self.subject.now)());
        self.operation.message.clone_from(&message);
        self.warn(self.subject.cluster.update_operation(&self.operation).await);
        self.server(state, message).await;
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
    let started: Timestamp = (subject.now)();
    OperationRecord {
        worker: subject.worker.clone(),
        profile: subject.profile.clone(),
        kind: subject.kind,
        started,
        phase: OperationPhase::Running,
        completed: None,
        message: message.to_owned(),
        request: subject.request.clone(),
    }
}
