//! A client of hosts that repeats work after a broken connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use crate::diagnostics::Failure;

/// The pauses before work is tried again.
const DELAYS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(9)];

/// Repeats work after a connection broke. All work may be repeated, because it
/// states the result and not the way. A host that cannot be reached at all is
/// not waited for.
#[derive(Debug, Clone)]
pub struct RetryingHosts {
    client: Arc<dyn HostWrite>,
}

impl RetryingHosts {
    /// Repeats the work of a client.
    pub fn new(client: Arc<dyn HostWrite>) -> Self {
        Self { client }
    }
}

async fn retry_lost<T, F>(mut work: impl FnMut() -> F) -> Result<T, HostError>
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
        retry_lost(|| self.client.probe_router(target)).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        retry_lost(|| self.client.probe_worker(target)).await
    }

    async fn close(&self) {
        self.client.close().await;
    }
}

#[async_trait]
impl HostWrite for RetryingHosts {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        retry_lost(|| self.client.change_router(target, change)).await
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        retry_lost(|| self.client.apply_worker_step(target, step)).await
    }

    async fn host_recreated(&self, hostname: &str) -> Result<(), Failure> {
        self.client.host_recreated(hostname).await
    }
}
