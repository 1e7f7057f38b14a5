//! The Leases that keep the processes of one topology apart, in `kube-system`.
//!
//! `stargate-write-<topology>` is held by the process that makes changes, and
//! `stargate-leader-<topology>` by the `stargate watch` that reconciles. A holder renews
//! its Lease, and deletes it at the end. A holder that was killed does not renew: the next
//! process takes the Lease over once it stayed unchanged for its duration, measured by
//! that process' own monotonic clock, so clocks are never compared.

mod renewal;
mod slot;
mod validity;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::provider::cluster::{ClusterError, LeaseClaim, LeaseRecord};
use crate::provider::read_write::ClusterWrite;
use crate::resource::names::TopologyName;
use renewal::Renewal;

pub use slot::LeaseSlot;
pub use validity::Validity;

/// The times of a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LeaseTerms {
    /// How long the Lease is valid without a renewal: the time that others wait for a
    /// process that was killed.
    duration: Duration,
    /// The time between two renewals: two may fail before the Lease is lost.
    renew_every: Duration,
    /// The time between two reads of a Lease that another process holds.
    poll_every: Duration,
}

impl LeaseTerms {
    /// A person waits for an apply that was killed.
    const APPLY: Self = Self {
        duration: Duration::from_secs(60),
        renew_every: Duration::from_secs(20),
        poll_every: Duration::from_secs(5),
    };
    /// The times of leader election in Kubernetes' own controllers, with more polls:
    /// another replica takes over within 20 seconds.
    const WATCH: Self = Self {
        duration: Duration::from_secs(15),
        renew_every: Duration::from_secs(5),
        poll_every: Duration::from_secs(2),
    };

    /// For how long a Lease must be valid for work to begin. Together with the time
    /// between two renewals it leaves one renewal to fail.
    fn margin(self) -> Duration {
        self.renew_every
    }
}

/// A Lease, and who is to hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseIdentity {
    name: String,
    holder: String,
    terms: LeaseTerms,
}

impl LeaseIdentity {
    /// The Lease of a process that makes changes. `holder` is shown to other processes
    /// while they wait; it must be unique for each process.
    pub fn new(topology: &TopologyName, holder: impl Into<String>) -> Self {
        let name = format!("stargate-write-{topology}");
        Self { name, holder: holder.into(), terms: LeaseTerms::APPLY }
    }

    /// The same Lease, held by a `stargate watch`: another replica takes it over sooner.
    pub fn of_watch(topology: &TopologyName, holder: impl Into<String>) -> Self {
        Self { terms: LeaseTerms::WATCH, ..Self::new(topology, holder) }
    }

    /// The Lease of the `stargate watch` that reconciles.
    pub fn of_leader(topology: &TopologyName, holder: impl Into<String>) -> Self {
        let name = format!("stargate-leader-{topology}");
        Self { name, holder: holder.into(), terms: LeaseTerms::WATCH }
    }

    /// The time between two renewals.
    pub fn renewal_interval(&self) -> Duration {
        self.terms.renew_every
    }

    /// How long the Lease is valid without a renewal.
    pub fn duration(&self) -> Duration {
        self.terms.duration
    }

    /// The name of the Lease.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A wall clock that advances with the monotonic clock.
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

/// Annotations that go with each renewal of a Lease. Clones share them.
#[derive(Debug, Clone, Default)]
struct Annotations(Arc<Mutex<BTreeMap<String, String>>>);

impl Annotations {
    fn set(&self, name: &str, text: String) {
        let mut annotations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.insert(name.to_owned(), text);
    }

    fn current(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A Lease in a cluster, as one process sees it.
#[derive(Debug, Clone)]
struct LeaseClient {
    client: Arc<dyn ClusterWrite>,
    identity: LeaseIdentity,
    clock: WallClock,
    annotations: Annotations,
}

impl LeaseClient {
    async fn read(&self) -> Result<Option<LeaseRecord>, ClusterError> {
        self.client.lease(&self.identity.name).await
    }

    /// Creates the Lease or writes it over `previous`; `None` if another process
    /// was faster.
    async fn claim(
        &self,
        previous: Option<&LeaseRecord>,
    ) -> Result<Option<LeaseRecord>, ClusterError> {
        let LeaseIdentity { name, holder, terms } = &self.identity;
        let (duration, now) = (terms.duration, self.clock.now());
        let annotations = &self.annotations.current();
        let claim = LeaseClaim { name, holder, duration, now, annotations, previous };
        match self.client.write_lease(claim).await {
            // After a lost response a creation returns the existing object.
            Ok(record) => Ok((record.holder == *holder).then_some(record)),
            Err(error) if error.is_conflict() || error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Another process' Lease, and since when it is unchanged.
#[derive(Debug)]
struct Waiting {
    record: LeaseRecord,
    since: Instant,
    /// Whether a process acquired or renewed it while this one observed it.
    was_active: bool,
}

/// Why a held Lease was lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLoss {
    /// Another process has it.
    #[error("{by} has taken it over")]
    TakenOver {
        /// The other process.
        by: String,
    },
    /// The API server did not renew it for its whole duration.
    #[error("it was not renewed for {seconds} s: {reason}")]
    NotRenewed {
        /// The time since the last renewal.
        seconds: u64,
        /// The result of the last attempt to renew it.
        reason: String,
    },
}

/// How a Lease was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acquisition {
    /// No other process held it.
    Free,
    /// Another process held it first, and has ended.
    AfterRelease,
    /// Another process held it first, and stopped renewing it: it was killed.
    AfterExpiry {
        /// The other process.
        holder: String,
        /// Whether it acquired or renewed the Lease while this process waited, and so may have
        /// made changes then.
        was_active: bool,
    },
}

/// A Lease that is held and renewed until it is released or dropped.
#[derive(Debug)]
pub struct HeldLease {
    lease: LeaseClient,
    renewal: Renewal,
    acquisition: Acquisition,
}

impl HeldLease {
    /// Takes the Lease, and waits while another process holds it. `waiting` is
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
        lost: impl FnOnce(LeaseLoss) + Send + 'static,
    ) -> Result<Self, ClusterError> {
        let clock = WallClock { start: now, started: Instant::now() };
        let (identity, annotations) = (identity.clone(), Annotations::default());
        let lease = LeaseClient { client, identity, clock, annotations };
        Self::acquire_observed(lease, None, waiting, lost).await
    }

    /// The same where the Lease of another process was observed before.
    async fn acquire_observed(
        lease: LeaseClient,
        observed: Option<Waiting>,
        waiting: &(dyn Fn(&LeaseRecord) + Sync),
        lost: impl FnOnce(LeaseLoss) + Send + 'static,
    ) -> Result<Self, ClusterError> {
        let identity = &lease.identity;
        let mut other = observed;
        let mut acquisition = Acquisition::Free;
        loop {
            let found = lease.read().await?;
            let is_free = found.as_ref().is_none_or(|record| {
                record.holder.is_empty()
                    || record.holder == identity.holder
                    || expired(&other, record, identity.terms)
            });
            let is_other =
                |it: &&LeaseRecord| !it.holder.is_empty() && it.holder != identity.holder;
            if let Some(record) = found.as_ref().filter(is_other) {
                acquisition = match is_free {
                    true => Acquisition::AfterExpiry {
                        holder: record.holder.clone(),
                        was_active: other.as_ref().is_some_and(|it| it.was_active),
                    },
                    false => Acquisition::AfterRelease,
                };
            }
            let claimed = Instant::now();
            if is_free && let Some(record) = lease.claim(found.as_ref()).await? {
                let renewal = Renewal::start(lease.clone(), record, claimed, lost);
                return Ok(Self { lease, renewal, acquisition });
            }
            if let Some(record) = found.filter(|_| !is_free) {
                other = Some(wait_for(other, record, waiting));
            }
            sleep(identity.terms.poll_every).await;
        }
    }

    /// How it was taken.
    pub fn acquisition(&self) -> &Acquisition {
        &self.acquisition
    }

    /// Whether it is held, and until when.
    pub fn validity(&self) -> Validity {
        Validity::new(self.renewal.hold(), self.lease.identity.terms.margin())
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
            // A renewal whose answer was lost, or another process, changed it.
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
fn expired(other: &Option<Waiting>, record: &LeaseRecord, terms: LeaseTerms) -> bool {
    // A Lease without a duration gets ours.
    let duration = if record.duration.is_zero() { terms.duration } else { record.duration };
    other.as_ref().is_some_and(|it| it.record == *record && it.since.elapsed() >= duration)
}

/// Continues to wait, from now on for a renewed or for another Lease.
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
        Some(_) => Waiting { record, since: Instant::now(), was_active: true },
        None => Waiting { record, since: Instant::now(), was_active: false },
    }
}
