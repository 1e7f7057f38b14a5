//! The Leases that keep the processes of one topology apart, in `kube-system`.
//!
//! `stargate-write-<topology>` is held by the process that makes changes, and
//! `stargate-leader-<topology>` by the `stargate watch` that reconciles. A holder renews
//! its Lease, and deletes it at the end. A holder that was killed does not renew: the next
//! process takes the Lease over once it stayed unchanged for its duration, measured by
//! that process' own monotonic clock, so clocks are never compared.
//!
//! Processes that share several Leases pass them on ([`LeaseShare`]). The holder stops renewing
//! first, and then names the next holder in the Lease. If that process has just ended, the Lease
//! has no active holder until others have seen it unchanged for its duration and poll again: up
//! to 17 seconds for `stargate watch`. At no time do two processes rely on the same Lease.

mod client;
mod fitness;
mod identity;
mod renewal;
mod share;
mod slot;
mod validity;
mod waiting;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use crate::provider::cluster::{ClusterError, LeaseRecord};
use crate::provider::read_write::ClusterWrite;
use client::{Annotations, LeaseClient, Sharing, WallClock};
use renewal::Renewal;
use waiting::{Waiting, expired, wait_for};

pub use fitness::LeaseFitness;
pub use identity::LeaseIdentity;
pub use share::{CountedLease, LeaseShare};
pub use slot::LeaseSlot;
pub use validity::Validity;

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
        let lease = LeaseClient { client, identity, clock, annotations, sharing: None };
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
                other = Some(lease.request(wait_for(other, record, waiting)).await);
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

    /// Makes another process the holder of the Lease.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused. The Lease expires by itself.
    pub async fn give_to(self, other: &str) -> Result<(), ClusterError> {
        let Self { lease, renewal, .. } = self;
        match renewal.stop().await {
            Some(record) => lease.give(&record, other).await,
            None => Ok(()),
        }
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
