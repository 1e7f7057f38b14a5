//! Renews a held Lease in the background.

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{DURATION, LeaseClient, RENEW_EVERY};
use crate::provider::cluster::{ClusterError, LeaseRecord};

/// A task that renews a Lease. It ends when it is stopped or dropped, or when
/// the Lease is lost.
#[derive(Debug)]
pub(super) struct Renewal {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Option<LeaseRecord>>,
}

impl Renewal {
    /// Starts to renew `record`; calls `lost` with the reason if that is no
    /// longer possible.
    pub(super) fn start(
        lease: LeaseClient,
        record: LeaseRecord,
        lost: impl FnOnce(String) + Send + 'static,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(renew(lease, record, stopped, lost));
        Self { stop, task }
    }

    /// Stops, and returns the Lease as it was last written, unless it is lost.
    pub(super) async fn stop(self) -> Option<LeaseRecord> {
        drop(self.stop);
        self.task.await.unwrap_or_default()
    }
}

async fn renew(
    lease: LeaseClient,
    mut record: LeaseRecord,
    mut stopped: oneshot::Receiver<()>,
    lost: impl FnOnce(String),
) -> Option<LeaseRecord> {
    let mut renewed = Instant::now();
    loop {
        tokio::select! {
            biased;
            // The sender is dropped: the Lease is released, or its holder is gone.
            _ = &mut stopped => return Some(record),
            () = sleep(RENEW_EVERY) => {}
        }
        let started = Instant::now();
        let reason = match timeout(RENEW_EVERY, renew_once(&lease, &record)).await {
            Ok(Ok(Ok(next))) => {
                (record, renewed) = (next, started);
                continue;
            }
            Ok(Ok(Err(holder))) => {
                lost(format!("{holder} has taken it over"));
                return None;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", RENEW_EVERY.as_secs()),
        };
        if renewed.elapsed() >= DURATION {
            lost(format!("it was not renewed for {} s: {reason}", renewed.elapsed().as_secs()));
            return None;
        }
        tracing::debug!(reason, "the lease could not be renewed yet");
    }
}

/// Renews once. The inner error names another holder.
async fn renew_once(
    lease: &LeaseClient,
    record: &LeaseRecord,
) -> Result<Result<LeaseRecord, String>, ClusterError> {
    if let Some(next) = lease.claim(Some(record)).await? {
        return Ok(Ok(next));
    }
    // It changed: by a renewal whose answer was lost, by hand, or by another applier.
    let found = lease.read().await?;
    match found {
        Some(found) if !found.holder.is_empty() && found.holder != lease.identity.holder => {
            Ok(Err(found.holder))
        }
        found => match lease.claim(found.as_ref()).await? {
            Some(next) => Ok(Ok(next)),
            None => Ok(Err("another applier".to_owned())),
        },
    }
}
