//! The Lease that keeps two appliers of one topology apart.
//!
//! An apply holds the Lease `stargate-write-<topology>` in `kube-system`,
//! renews it, and deletes it at the end. A holder that was killed does not renew:
//! the next applier takes the Lease over once it stayed unchanged for its
//! duration, measured by its own monotonic clock, so clocks are never compared.

mod renewal;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::provider::cluster::{ClusterError, LeaseClaim, LeaseRecord};
use crate::provider::read_write::ClusterWrite;
use crate::resource::names::TopologyName;
use renewal::Renewal;

/// How long the Lease is valid without a renewal: the time that others wait for
/// a killed applier.
pub(crate) const DURATION: Duration = Duration::from_secs(60);
/// The time between two renewals: two may fail before the Lease is lost.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// The time between two reads of a Lease that another applier holds.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// A Lease, and who is to hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseIdentity {
    name: String,
    holder: String,
}

impl LeaseIdentity {
    /// The Lease of a topology. `holder` is what others read while they wait; it
    /// must be different for every process.
    pub fn new(topology: &TopologyName, holder: impl Into<String>) -> Self {
        Self { name: format!("stargate-write-{topology}"), holder: holder.into() }
    }

    /// The name of the Lease.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A time of day that goes on with the monotonic clock.
#[derive(Debug, Clone, Copy)]
struct WallClock {
    start: Timestamp,
    started: Instant,
}

impl WallClock {
    fn now(self) -> Timestamp {
        self.start.saturating_add(self.started.elapsed()).unwrap_or(self.start)
    }
}

/// A Lease in a cluster, as one applier sees it.
#[derive(Debug, Clone)]
struct LeaseClient {
    client: Arc<dyn ClusterWrite>,
    identity: LeaseIdentity,
    clock: WallClock,
}

impl LeaseClient {
    async fn read(&self) -> Result<Option<LeaseRecord>, ClusterError> {
        self.client.lease(&self.identity.name).await
    }

    /// Creates the Lease or writes it over `previous`; `None` if another applier
    /// was faster.
    async fn claim(
        &self,
        previous: Option<&LeaseRecord>,
    ) -> Result<Option<LeaseRecord>, ClusterError> {
        let LeaseIdentity { name, holder } = &self.identity;
        let claim =
            LeaseClaim { name, holder, duration: DURATION, now: self.clock.now(), previous };
        match self.client.write_lease(claim).await {
            // After a lost answer a creation returns whatever exists.
            Ok(record) => Ok((record.holder == *holder).then_some(record)),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Another applier's Lease, and since when it is unchanged.
struct Waiting {
    record: LeaseRecord,
    since: Instant,
}

/// A Lease that is held and renewed until it is released or dropped.
#[derive(Debug)]
pub struct HeldLease {
    lease: LeaseClient,
    renewal: Renewal,
    waited: bool,
}

impl HeldLease {
    /// Takes the Lease, and waits while another applier holds it. `waiting` is
    /// called for each holder that is waited for, `lost` at most once, if the
    /// Lease can no longer be renewed.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused.
    pub async fn acquire(
        client: Arc<dyn ClusterWrite>,
        identity: &LeaseIdentity,
        now: Timestamp,
        waiting: &(dyn Fn(&LeaseRecord) + Sync),
        lost: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self, ClusterError> {
        let clock = WallClock { start: now, started: Instant::now() };
        let lease = LeaseClient { client, identity: identity.clone(), clock };
        let mut other: Option<Waiting> = None;
        loop {
            let found = lease.read().await?;
            let is_free = found.as_ref().is_none_or(|record| {
                record.holder.is_empty()
                    || record.holder == identity.holder
                    || expired(&other, record)
            });
            if is_free && let Some(record) = lease.claim(found.as_ref()).await? {
                let renewal = Renewal::start(lease.clone(), record, lost);
                return Ok(Self { lease, renewal, waited: other.is_some() });
            }
            if let Some(record) = found.filter(|_| !is_free) {
                other = Some(wait_for(other, record, waiting));
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// True if another applier held the Lease first: what was planned before may
    /// be out of date.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Deletes the Lease.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused. The Lease expires by itself.
    pub async fn release(self) -> Result<(), ClusterError> {
        let Self { lease, renewal, .. } = self;
        let Some(record) = renewal.stop().await else { return Ok(()) };
        match lease.client.delete_lease(&lease.identity.name, &record).await {
            // A renewal whose answer was lost, or another applier, changed it.
            Err(error) if error.is_conflict() => match lease.read().await? {
                Some(record) if record.holder == lease.identity.holder => {
                    lease.client.delete_lease(&lease.identity.name, &record).await
                }
                _ => Ok(()),
            },
            outcome => outcome,
        }
    }
}

/// Whether the Lease stayed as it is for its whole duration.
fn expired(other: &Option<Waiting>, record: &LeaseRecord) -> bool {
    // A Lease without a duration gets ours.
    let duration = if record.duration.is_zero() { DURATION } else { record.duration };
    other.as_ref().is_some_and(|it| it.record == *record && it.since.elapsed() >= duration)
}

/// Goes on waiting, for a renewed or for another Lease from now on.
fn wait_for(
    other: Option<Waiting>,
    record: LeaseRecord,
    waiting: &(dyn Fn(&LeaseRecord) + Sync),
) -> Waiting {
    let known = other.as_ref().map(|it| it.record.holder.as_str());
    if known != Some(record.holder.as_str()) {
        waiting(&record);
    }
    match other {
        Some(it) if it.record == record => it,
        _ => Waiting { record, since: Instant::now() },
    }
}
