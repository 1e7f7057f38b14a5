//! A door to hosts that does not give up at the first broken connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};

/// The pauses before work is tried again.
const DELAYS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// Tries again where a connection broke. Every piece of work may be repeated:
/// it says what is to be so, not what is to be done. A host that cannot be
/// reached at all is not waited for.
#[derive(Debug, Clone)]
pub struct RetryingHosts {
    door: Arc<dyn HostWrite>,
}

impl RetryingHosts {
    /// The patient form of a door.
    pub fn new(door: Arc<dyn HostWrite>) -> Self {
        Self { door }
    }
}

async fn patiently<T, F>(mut work: impl FnMut() -> F) -> Result<T, HostError>
where
    F: Future<Output = Result<T, HostError>>,
{
    for delay in DELAYS {
        match work().await {
            Err(HostError::Lost { .. }) => tokio::time::sleep(delay).await,
            outcome => return outcome,
        }
    }
    work().await
}

#[async_trait]
impl HostRead for RetryingHosts {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        patiently(|| self.door.probe_router(target)).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        patiently(|| self.door.probe_worker(target)).await
    }

    async fn close(&self) {
        self.door.close().await;
    }
}

#[async_trait]
impl HostWrite for RetryingHosts {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        patiently(|| self.door.change_router(target, change)).await
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        patiently(|| self.door.apply_worker_step(target, step)).await
    }

    async fn host_recreated(&self, hostname: &str) {
        self.door.host_recreated(hostname).await;
    }
}
