//! A Lease in a cluster, as one process reads and writes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fitness::LeaseFitness;
use super::identity::LeaseIdentity;
use super::share::LeaseShare;
use super::waiting::Waiting;
use crate::provider::cluster::{
    ClusterError, FAILING_ANNOTATION, HELD_ANNOTATION, LeaseClaim, LeaseRecord, LeaseRequest,
};
use crate::provider::read_write::ClusterWrite;

/// A wall clock that advances with the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    pub(super) start: Timestamp,
    pub(super) started: Instant,
}

impl WallClock {
    pub(super) fn now(self) -> Timestamp {
        self.start.saturating_add(self.started.elapsed()).unwrap_or(self.start)
    }
}

/// Annotations that go with each renewal of a Lease. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Annotations(Arc<Mutex<BTreeMap<String, String>>>);

impl Annotations {
    pub(super) fn set(&self, name: &str, text: String) {
        let mut annotations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.insert(name.to_owned(), text);
    }

    pub(super) fn current(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A Lease in a cluster, as one process sees it.
#[derive(Debug, Clone)]
pub(super) struct LeaseClient {
    pub(super) client: Arc<dyn ClusterWrite>,
    pub(super) identity: LeaseIdentity,
    pub(super) clock: WallClock,
    pub(super) annotations: Annotations,
    pub(super) sharing: Option<Sharing>,
}

/// How a process shares a Lease with others. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Sharing {
    pub(super) share: LeaseShare,
    pub(super) fitness: LeaseFitness,
    /// The last request of another process for the Lease.
    pub(super) requests: watch::Sender<Option<LeaseRequest>>,
}

impl LeaseClient {
    pub(super) async fn read(&self) -> Result<Option<LeaseRecord>, ClusterError> {
        self.client.lease(&self.identity.name).await
    }

    /// Creates the Lease or writes it over `previous`; `None` if another process
    /// was faster.
    pub(super) async fn claim(
        &self,
        previous: Option<&LeaseRecord>,
    ) -> Result<Option<LeaseRecord>, ClusterError> {
        let LeaseIdentity { name, holder, terms } = &self.identity;
        let (duration, now) = (terms.duration, self.clock.now());
        let mut annotations = self.annotations.current();
        if let Some(Sharing { share, fitness, .. }) = &self.sharing {
            annotations.insert(HELD_ANNOTATION.to_owned(), share.count().to_string());
            if fitness.is_failing() {
                annotations.insert(FAILING_ANNOTATION.to_owned(), "true".to_owned());
            }
        }
        let annotations = &annotations;
        let claim = LeaseClaim { name, holder, duration, now, annotations, previous };
        match self.client.write_lease(claim).await {
            // After a lost response a creation returns the existing object.
            Ok(record) => Ok((record.holder == *holder).then_some(record)),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Requests the Lease of another process that holds more of them or fails. Only a Lease that
    /// it has just renewed is requested: one that is no longer renewed is taken over.
    pub(super) async fn request(&self, mut waiting: Waiting) -> Waiting {
        let Some(Sharing { share, fitness, .. }) = &self.sharing else { return waiting };
        let is_renewed =
            waiting.was_active && waiting.since.elapsed() < self.identity.terms.poll_every;
        let may_request = is_renewed && fitness.may_request();
        let request = may_request.then(|| share.request(&self.identity, &waiting.record)).flatten();
        let Some(request) = request else { return waiting };
        match self.client.request_lease(&self.identity.name, &waiting.record, &request).await {
            Ok(record) => waiting.record = record,
            Err(error) => {
                tracing::debug!(%error, "the lease could not be requested");
                share.withdraw(&self.identity);
            }
        }
        waiting
    }

    /// Passes on the request of another process.
    pub(super) fn note_request(&self, record: &LeaseRecord) {
        if let (Some(Sharing { requests, .. }), Some(request)) = (&self.sharing, record.request()) {
            requests.send_replace(Some(request));
        }
    }

    /// Makes another process the holder of the Lease that this one holds. What only the holder
    /// says of itself is removed.
    pub(super) async fn give(&self, held: &LeaseRecord, to: &str) -> Result<(), ClusterError> {
        let LeaseIdentity { name, terms, .. } = &self.identity;
        let (duration, now) = (terms.duration, self.clock.now());
        let (annotations, previous) = (&BTreeMap::new(), Some(held));
        let claim = LeaseClaim { name, holder: to, duration, now, annotations, previous };
        self.client.write_lease(claim).await.map(drop)
    }
}
