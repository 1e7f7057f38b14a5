//! Writes the progress of requested Operations: status, Events, and events of the watch.

use jiff::Timestamp;

use super::queue::Reason;
use crate::diagnostics::Failure;
use crate::lease::Validity;
use crate::provider::cluster::{
    ClusterError, OperationEvent, OperationObject, OperationPhase, OperationUpdate,
};
use crate::provider::read_write::ClusterWrite;
use crate::refresh::Clock;
use crate::topology::names::WorkerName;
use crate::watch::events::{WatchEvent, WatchReporter};

/// Writes the status of Operations.
pub(super) struct Writer<'a> {
    pub(super) cluster: &'a dyn ClusterWrite,
    pub(super) reporter: &'a dyn WatchReporter,
    pub(super) now: &'a Clock,
    /// The Lease of the leader. After a pause another replica may have ended an Operation of
    /// which this one knows an earlier status.
    pub(super) leadership: Option<Validity>,
}

impl Writer<'_> {
    /// Notes why an Operation does not run now, unless its status says so already. One whose
    /// worker the topology does not have is not marked as its own: another topology may.
    pub(super) async fn wait(
        &self,
        object: &OperationObject,
        worker: Option<&WorkerName>,
        reason: &Reason,
    ) -> Result<(), ClusterError> {
        let phase = match object.is_started() {
            true => OperationPhase::Running,
            false => OperationPhase::Pending,
        };
        let is_noted = object.phase == Some(phase)
            && (object.reason.as_str(), object.message.as_str()) == (reason.name, &reason.message)
            && object.observed_generation == Some(object.generation);
        if is_noted && (object.is_claimed || worker.is_none()) || !self.leads().await {
            return Ok(());
        }
        if worker.is_some() {
            self.claim(object, worker).await?;
        }
        self.write(object, phase, reason, None).await
    }

    /// Ends an Operation that cannot run; its worker may be unknown.
    pub(super) async fn refuse(
        &self,
        object: &OperationObject,
        worker: Option<&WorkerName>,
        reason: &Reason,
    ) -> Result<(), ClusterError> {
        if !self.leads().await {
            return Ok(());
        }
        self.claim(object, worker).await?;
        // The worker of one that was started may have left the topology since.
        let phase = match object.is_started() {
            true => OperationPhase::Failed,
            false => OperationPhase::Refused,
        };
        self.finish(object, worker, phase, reason).await
    }

    /// Ends an Operation.
    pub(super) async fn finish(
        &self,
        object: &OperationObject,
        worker: Option<&WorkerName>,
        phase: OperationPhase,
        reason: &Reason,
    ) -> Result<(), ClusterError> {
        if !self.leads().await {
            return Ok(());
        }
        self.write(object, phase, reason, Some((self.now)())).await?;
        self.announce(object, worker, phase, &reason.message).await?;
        self.cluster.release_operation(&object.name, &object.uid).await
    }

    /// Releases an Operation whose status is final.
    pub(super) async fn conclude(&self, object: &OperationObject) -> Result<(), ClusterError> {
        let phase = object.phase.unwrap_or(OperationPhase::Failed);
        let worker = WorkerName::new(object.server.as_str());
        let reason = Reason::new(phase.as_str(), object.message.clone());
        self.report(object, phase, &reason);
        self.announce(object, Some(&worker), phase, &object.message).await?;
        self.cluster.release_operation(&object.name, &object.uid).await
    }

    /// Warns of a status that the API server refuses, as with the definitions of an earlier
    /// version: it must not keep the other Operations and the reconciles waiting.
    pub(super) fn tolerate(&self, written: Result<(), ClusterError>) -> Result<(), ClusterError> {
        match written {
            Err(error) if error.is_unavailable() => Err(error),
            Err(error) => {
                let context = "the status of an Operation was not written";
                let failure = Failure::from(&error).within(context);
                self.reporter.event(&WatchEvent::Warning { failure });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whether this replica still leads. Otherwise the next one writes.
    async fn leads(&self) -> bool {
        match self.leadership.clone() {
            Some(mut leadership) => leadership.confirmed().await,
            None => true,
        }
    }

    async fn claim(
        &self,
        object: &OperationObject,
        worker: Option<&WorkerName>,
    ) -> Result<(), ClusterError> {
        match object.is_claimed {
            true => Ok(()),
            false => self.cluster.claim_operation(object, worker).await,
        }
    }

    async fn write(
        &self,
        object: &OperationObject,
        phase: OperationPhase,
        reason: &Reason,
        completed: Option<Timestamp>,
    ) -> Result<(), ClusterError> {
        let status = OperationUpdate {
            phase,
            reason: reason.name.to_owned(),
            message: reason.message.clone(),
            started: object.started,
            completed,
            node_uid: object.node_uid.clone(),
            boot_id: object.boot_id.clone(),
            request: Some(object.request_status()),
        };
        match self.cluster.write_operation_status(&object.name, &status).await {
            // It was deleted, and nothing was started.
            Err(error) if error.is_not_found() || error.is_conflict() => return Ok(()),
            written => written?,
        }
        self.report(object, phase, reason);
        Ok(())
    }

    fn report(&self, object: &OperationObject, phase: OperationPhase, reason: &Reason) {
        self.reporter.event(&WatchEvent::Operation {
            name: object.name.clone(),
            server: object.server.clone(),
            operation: object.operation.clone(),
            phase,
            reason: reason.name.to_owned(),
            message: reason.message.clone(),
        });
    }

    /// An Event that cannot be recorded does not stop the work.
    async fn announce(
        &self,
        object: &OperationObject,
        worker: Option<&WorkerName>,
        phase: OperationPhase,
        note: &str,
    ) -> Result<(), ClusterError> {
        let event = OperationEvent {
            operation: object.name.clone(),
            uid: object.uid.clone(),
            worker: worker.cloned(),
            reason: phase.as_str(),
            note: note.to_owned(),
            is_warning: phase != OperationPhase::Succeeded,
            at: (self.now)(),
        };
        match self.cluster.record_operation_event(&event).await {
            Err(error) if error.is_unavailable() => Err(error),
            Err(error) => {
                let failure = Failure::from(&error).within("an event was not recorded");
                self.reporter.event(&WatchEvent::Warning { failure });
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
