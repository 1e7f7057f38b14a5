//! A Lease that outlives the work that is done under it.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

use super::validity::Validity;
use super::{
    Acquisition, Annotations, HeldLease, LeaseClient, LeaseFitness, LeaseIdentity, LeaseLoss,
    LeaseShare, Sharing, Waiting, WallClock, wait_for,
};
use crate::provider::cluster::{ClusterError, LeaseRecord, LeaseRequest};
use crate::provider::read_write::ClusterWrite;

/// A place for a Lease that a process holds at times. Its clones share the Lease, so that
/// it can be released after the work under it was cancelled.
#[derive(Debug, Clone)]
pub struct LeaseSlot {
    identity: LeaseIdentity,
    held: Arc<Mutex<Option<HeldLease>>>,
    /// The Lease of another process, as it was observed.
    observed: Arc<std::sync::Mutex<Option<Waiting>>>,
    annotations: Annotations,
    sharing: Option<Sharing>,
}

impl LeaseSlot {
    /// A slot for a Lease that is not held yet.
    pub fn new(identity: LeaseIdentity) -> Self {
        Self {
            identity,
            held: Arc::default(),
            observed: Arc::default(),
            annotations: Annotations::default(),
            sharing: None,
        }
    }

    /// The same slot for one of several Leases that processes share equally. `fitness` says
    /// whether this process can do the work under it.
    #[must_use]
    pub fn sharing(self, share: LeaseShare, fitness: LeaseFitness) -> Self {
        let sharing = Sharing { share, fitness, requests: watch::Sender::default() };
        Self { sharing: Some(sharing), ..self }
    }

    /// Follows the requests of other processes for the Lease that is held, if it is shared.
    pub fn requests(&self) -> watch::Receiver<Option<LeaseRequest>> {
        self.sharing.as_ref().map_or_else(|| watch::channel(None).1, |it| it.requests.subscribe())
    }

    /// The Lease, and who is to hold it.
    pub fn identity(&self) -> &LeaseIdentity {
        &self.identity
    }

    /// Takes the Lease unless it is held already, as [`HeldLease::acquire`].
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused.
    pub async fn acquire(
        &self,
        client: Arc<dyn ClusterWrite>,
        now: Timestamp,
        waiting: &(dyn Fn(&LeaseRecord) + Sync),
        lost: impl FnOnce(LeaseLoss) + Send + 'static,
    ) -> Result<Acquisition, ClusterError> {
        let mut held = self.held.lock().await;
        if held.is_some() {
            return Ok(Acquisition::Free);
        }
        let observed = self.observed().take();
        let lease = LeaseClient {
            client,
            identity: self.identity.clone(),
            clock: WallClock { start: now, started: Instant::now() },
            annotations: self.annotations.clone(),
            sharing: self.sharing.clone(),
        };
        let lease = HeldLease::acquire_observed(lease, observed, waiting, lost).await?;
        let acquisition = lease.acquisition().clone();
        *held = Some(lease);
        Ok(acquisition)
    }

    /// Observes the Lease of another process until it is cancelled: a process that takes
    /// over then need not wait from the beginning for the end of a Lease that is no longer renewed.
    pub async fn observe(&self, client: &dyn ClusterWrite) {
        loop {
            // Without an answer, the next one shows whether it changed.
            if let Ok(record) = client.lease(self.identity.name()).await {
                let mut observed = self.observed();
                let before = observed.take();
                *observed = record.map(|record| wait_for(before, record, &|_| ()));
            }
            sleep(self.identity.terms.poll_every).await;
        }
    }

    /// Sets an annotation that the next renewal writes.
    pub fn annotate(&self, name: &str, text: String) {
        self.annotations.set(name, text);
    }

    fn observed(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.observed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is held, and until when; `None` if it was not taken or is released.
    pub async fn validity(&self) -> Option<Validity> {
        self.held.lock().await.as_ref().map(HeldLease::validity)
    }

    /// Stops renewing the Lease, and leaves it to the end of its cluster.
    pub async fn abandon(&self) {
        drop(self.held.lock().await.take());
    }

    /// Makes another process the holder of the Lease if it is held.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused. The Lease expires by itself.
    pub async fn give_to(&self, other: &str) -> Result<(), ClusterError> {
        match self.held.lock().await.take() {
            Some(held) => held.give_to(other).await,
            None => Ok(()),
        }
    }

    /// Releases the Lease if it is held.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused. The Lease expires by itself.
    pub async fn release(&self) -> Result<(), ClusterError> {
        match self.held.lock().await.take() {
            Some(held) => held.release().await,
            None => Ok(()),
        }
    }
}
