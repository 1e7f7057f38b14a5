//! The records of a join in the cluster.
//!
//! A record that cannot be written is a warning: the work itself is what counts.

use super::error::JoinError;
use super::step::StepEvent;
use super::{JoinContext, Progress};
use crate::provider::cluster::{
    ClusterError, OperationPhase, OperationRecord, ServerState, ServerStatus,
};
use crate::topology::names::WorkerName;

/// The records of one run.
pub(super) struct Records<'a> {
    context: &'a JoinContext<'a>,
    progress: &'a Progress<'a>,
    operation: OperationRecord,
}

impl<'a> Records<'a> {
    /// Notes that the work begins.
    pub(super) async fn begin(context: &'a JoinContext<'a>, progress: &'a Progress<'a>) -> Self {
        let message = "the worker is brought to its profile".to_owned();
        let operation = OperationRecord {
            worker: WorkerName::new(&context.desired.name),
            profile: context.profile.clone(),
            kind: context.operation,
            started: (context.now)(),
            phase: OperationPhase::Running,
            completed: None,
            message: message.clone(),
        };
        let records = Self { context, progress, operation };
        records.warn(context.cluster.create_operation(&records.operation).await);
        records.server(ServerState::Provisioning, message).await;
        records
    }

    /// Notes how the work ended.
    pub(super) async fn end(mut self, outcome: Result<(), &JoinError>) {
        let (phase, state, message) = match outcome {
            Ok(()) => {
                (OperationPhase::Succeeded, ServerState::Ready, "the Node is Ready".to_owned())
            }
            Err(error) => (
                OperationPhase::Failed,
                ServerState::Error,
                format!("{}: {}; {}", error.step, error.reason, error.remedy),
            ),
        };
        self.operation.phase = phase;
        self.operation.completed = Some((self.context.now)());
        self.operation.message = message.clone();
        self.warn(self.context.cluster.update_operation(&self.operation).await);
        self.server(state, message).await;
    }

    async fn server(&self, state: ServerState, message: String) {
        let ready = state == ServerState::Ready;
        let version = self.context.desired.kubelet_version;
        let status = ServerStatus {
            state,
            message,
            current_os: ready.then(|| format!("linux, kubelet {version}")),
            applied_profile: ready.then(|| self.context.profile.to_string()),
            updated: (self.context.now)(),
        };
        let worker = &self.operation.worker;
        self.warn(self.context.cluster.update_server_status(worker, &status).await);
    }

    fn warn(&self, outcome: Result<(), ClusterError>) {
        if let Err(error) = outcome {
            (self.progress)(StepEvent::Warning(format!("the record was not written: {error}")));
        }
    }
}
