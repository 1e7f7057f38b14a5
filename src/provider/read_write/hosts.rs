//! Reads of hosts, and changes on them.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::diagnostics::Failure;
use crate::provider::host::{
    HostError, HostTarget, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};

/// Reads hosts.
///
/// Every method fails with [`HostError`] if the host cannot be reached or does not
/// let stargate in.
#[async_trait]
pub trait HostRead: Debug + Send + Sync {
    /// Reads the configuration of a router.
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError>;

    /// Reads the configuration of a worker.
    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError>;

    /// Closes all connections at the end of a run.
    async fn close(&self) {}
}

/// Changes hosts; can read them too. Every change is idempotent.
#[async_trait]
pub trait HostWrite: HostRead {
    /// Changes a router.
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError>;

    /// Executes a step on a worker.
    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError>;

    /// Notifies the client that a machine of this name is about to be created: its
    /// host key will be another one, and it has to boot before it answers.
    ///
    /// # Errors
    ///
    /// The key of the former machine stays recorded, so that the next connection is refused.
    async fn host_recreated(&self, _hostname: &str) -> Result<(), Failure> {
        Ok(())
    }
}
