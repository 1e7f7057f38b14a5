//! How the replicas of `stargate watch DIR` share the topologies of a folder.
//!
//! At no time do two replicas lead a topology. One that is passed on to a replica that has just
//! ended has no leader for up to the duration of a Lease and one poll. A leader that fails is
//! followed by a replica that could read live state; none that fail exchange a topology.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::lease::LeaseShare;

/// The delay of a process's candidacy for each topology that it leads already.
const DELAY_FOR_EACH: Duration = Duration::from_millis(500);
/// The longest random part of the delay: about the time between the starts of replicas that
/// are started together.
const MAX_RANDOM_DELAY: Duration = Duration::from_secs(2);
/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// How many topologies a process leads. One that leads many takes part later in the election
/// of the next, so that replicas that start together share the topologies of a folder. Later
/// the leases move to processes that hold fewer.
#[derive(Debug, Clone, Default)]
pub struct SharedLeadership(LeaseShare);

impl SharedLeadership {
    /// How many topologies the process leads.
    pub fn count(&self) -> u32 {
        self.0.count()
    }

    /// The Leases of the topologies that it leads.
    pub(super) fn leases(&self) -> &LeaseShare {
        &self.0
    }

    /// How long the process waits before it takes part. `random` is from 0 to 1.
    fn delay(&self, random: f64) -> Duration {
        let led = DELAY_FOR_EACH.saturating_mul(self.count());
        (led + MAX_RANDOM_DELAY.mul_f64(random.clamp(0.0, 1.0))).min(MAX_DELAY)
    }

    /// Waits until the process takes part: longer if it comes to lead others before.
    pub(super) async fn wait(&self, random: f64) {
        let begin = Instant::now();
        loop {
            let due = begin + self.delay(random);
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

/// A number from 0 to 1; the middle where the system has no randomness.
pub fn random_share() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{CountedLease, LeaseIdentity};
    use crate::resource::names::TopologyName;

    #[test]
    fn a_process_waits_longer_for_each_topology_that_it_leads() {
        let share = SharedLeadership::default();
        let lease = LeaseIdentity::of_leader(&TopologyName::new("lab"), "first");
        let leads = |count| -> Vec<CountedLease> {
            (0..count).map(|_| share.leases().hold(&lease)).collect()
        };
        assert_eq!(share.delay(0.5), Duration::from_secs(1));
        let led = leads(4);
        assert_eq!((share.count(), share.delay(0.5)), (4, Duration::from_secs(3)));
        drop(led);
        assert_eq!((share.count(), share.delay(1.0)), (0, MAX_RANDOM_DELAY));
        let _led = leads(100);
        assert_eq!(share.delay(1.0), MAX_DELAY);
    }
}
