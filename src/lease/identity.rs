//! The name of a Lease, its holder, and its times.

use std::time::Duration;

use crate::resource::names::TopologyName;

/// The times of a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LeaseTerms {
    /// How long the Lease is valid without a renewal: the time that others wait for a
    /// process that was killed.
    pub(super) duration: Duration,
    /// The time between two renewals: two may fail before the Lease is lost.
    pub(super) renew_every: Duration,
    /// The time between two reads of a Lease that another process holds.
    pub(super) poll_every: Duration,
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
    pub(super) fn margin(self) -> Duration {
        self.renew_every
    }
}

/// A Lease, and who is to hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseIdentity {
    pub(super) name: String,
    pub(super) holder: String,
    pub(super) terms: LeaseTerms,
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
