//! Elects the replica of `stargate watch` that reconciles a topology.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::queue::Trigger;
use super::triggers::Triggers;
use crate::diagnostics::Failure;
use crate::lease::{LeaseIdentity, LeaseSlot, Validity};
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::{ClusterError, LeaseRecord};
use crate::provider::read_write::ClusterWrite;
use crate::resource::names::TopologyName;

/// The time between two attempts while the API server refuses or does not answer.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// The delay of a process's candidacy for each topology that it leads already.
const DELAY_FOR_EACH: Duration = Duration::from_millis(500);
/// The longest random part of the delay: about the time between the starts of replicas that
/// are started together.
const MAX_RANDOM_DELAY: Duration = Duration::from_secs(2);
/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// The role of a replica.
#[derive(Debug, Clone)]
pub enum ReplicaRole {
    /// It does not know yet.
    Undecided,
    /// It reconciles while the Lease is valid.
    Leader(Validity),
    /// Another replica reconciles.
    Standby {
        /// Its name.
        holder: String,
    },
    /// The Lease cannot be taken.
    Refused(Failure),
}

/// Takes part in the election of the replica that reconciles, for as long as it exists.
#[derive(Debug)]
pub struct Leadership {
    slot: LeaseSlot,
    write: LeaseSlot,
    triggers: Triggers,
    share: Option<SharedLeadership>,
    campaign: Mutex<Option<Campaign>>,
}

/// How many topologies a process leads. One that leads many takes part later in the election
/// of the next, so that replicas that start together share the topologies of a folder.
#[derive(Debug, Clone, Default)]
pub struct SharedLeadership(Arc<AtomicU32>);

impl SharedLeadership {
    /// How many topologies the process leads.
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// How long the process waits before it takes part. `random` is from 0 to 1.
    fn delay(&self, random: f64) -> Duration {
        let led = DELAY_FOR_EACH.saturating_mul(self.count());
        (led + MAX_RANDOM_DELAY.mul_f64(random.clamp(0.0, 1.0))).min(MAX_DELAY)
    }

    /// Waits until the process takes part: longer if it comes to lead others before.
    async fn wait(&self, random: f64) {
        let begin = Instant::now();
        loop {
            let due = begin + self.delay(random);
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }

    fn leads(&self) -> Led {
        self.0.fetch_add(1, Ordering::Relaxed);
        Led(Arc::clone(&self.0))
    }
}

/// Counts a topology for as long as it is led.
struct Led(Arc<AtomicU32>);

impl Drop for Led {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A task that takes the Lease, and takes it again after it was lost.
#[derive(Debug)]
struct Campaign {
    /// The API server, and the CA that it is known by.
    server: (String, String),
    role: watch::Receiver<ReplicaRole>,
    task: JoinHandle<()>,
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leadership {
    /// Takes part once a cluster is known. A trigger is added when this replica becomes the
    /// leader after another one was.
    /// `holder` is the name of this replica.
    pub fn new(topology: &TopologyName, holder: &str, triggers: Triggers) -> Self {
        Self {
            slot: LeaseSlot::new(LeaseIdentity::of_leader(topology, holder)),
            write: LeaseSlot::new(LeaseIdentity::of_watch(topology, holder)),
            triggers,
            share: None,
            campaign: Mutex::default(),
        }
    }

    /// The same for one of several topologies of this process.
    #[must_use]
    pub fn sharing(self, share: SharedLeadership) -> Self {
        Self { share: Some(share), ..self }
    }

    /// The Lease that this replica holds while it makes changes.
    pub fn write_lease(&self) -> &LeaseSlot {
        &self.write
    }

    /// Sets an annotation of the leader's Lease, which its next renewal writes: a heartbeat
    /// without a write of its own.
    pub fn annotate(&self, name: &str, text: String) {
        self.slot.annotate(name, text);
    }

    /// The name of the Lease.
    pub fn lease_name(&self) -> &str {
        self.slot.identity().name()
    }

    /// The current role of this replica.
    pub fn role(&self) -> ReplicaRole {
        match &*self.campaign() {
            Some(campaign) => campaign.role.borrow().clone(),
            None => ReplicaRole::Undecided,
        }
    }

    /// The replica that reconciles, if it is another one.
    pub fn leader_elsewhere(&self) -> Option<String> {
        match self.role() {
            ReplicaRole::Standby { holder } => Some(holder),
            _ => None,
        }
    }

    /// Takes part in the election in this cluster, and waits until it is decided. `client`
    /// writes to the cluster; `now` is the time of day.
    pub async fn decided(
        &self,
        access: &ClusterAccess,
        client: Arc<dyn ClusterWrite>,
        now: Timestamp,
    ) -> ReplicaRole {
        let credentials = &access.credentials;
        let server = (credentials.api_server.clone(), credentials.certificate_authority.clone());
        let mut role = self.join(server, client, now);
        let decided = role.wait_for(|role| !matches!(role, ReplicaRole::Undecided)).await;
        decided.map_or(ReplicaRole::Undecided, |role| role.clone())
    }

    /// Leaves the election, and releases the Leases that are held.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused. The Lease expires by itself.
    pub async fn resign(&self) -> Result<(), ClusterError> {
        let left = self.campaign().take();
        if let Some(mut campaign) = left {
            campaign.task.abort();
            // It lets go of the slot.
            let _ = (&mut campaign.task).await;
        }
        self.write.release().await?;
        self.slot.release().await
    }

    fn join(
        &self,
        server: (String, String),
        client: Arc<dyn ClusterWrite>,
        now: Timestamp,
    ) -> watch::Receiver<ReplicaRole> {
        let mut current = self.campaign();
        let goes_on = current.as_ref().filter(|it| {
            // Credentials that are refused may have been replaced.
            it.server == server && !matches!(*it.role.borrow(), ReplicaRole::Refused(_))
        });
        if let Some(campaign) = goes_on {
            return campaign.role.clone();
        }
        let (sender, role) = watch::channel(ReplicaRole::Undecided);
        let candidate = Candidate {
            slot: self.slot.clone(),
            write: self.write.clone(),
            client,
            started: (now, Instant::now()),
            triggers: self.triggers.clone(),
            share: self.share.clone(),
            role: sender,
        };
        let task = tokio::spawn(candidate.run());
        *current = Some(Campaign { server, role: role.clone(), task });
        role
    }

    fn campaign(&self) -> std::sync::MutexGuard<'_, Option<Campaign>> {
        self.campaign.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parameters of a campaign.
struct Candidate {
    slot: LeaseSlot,
    /// Observed during the election: a leader that was killed may hold both Leases.
    write: LeaseSlot,
    client: Arc<dyn ClusterWrite>,
    /// The time of day at a time of the monotonic clock.
    started: (Timestamp, Instant),
    triggers: Triggers,
    share: Option<SharedLeadership>,
    role: watch::Sender<ReplicaRole>,
}

impl Candidate {
    async fn run(self) {
        // The reconcile that joined continues by itself, unless it was refused.
        let mut is_awaited = true;
        // The API server has another address, or is another one: the Lease is taken there, at
        // once if it still has the name of this replica.
        let has_led = self.slot.validity().await.is_some();
        self.slot.abandon().await;
        self.write.abandon().await;
        if let Some(share) = self.share.as_ref().filter(|_| !has_led) {
            share.wait(random_share()).await;
        }
        loop {
            match self.acquire().await {
                Ok(Some(validity)) => {
                    is_awaited &= matches!(*self.role.borrow(), ReplicaRole::Undecided);
                    self.role.send_replace(ReplicaRole::Leader(validity.clone()));
                    if !is_awaited {
                        self.triggers.add(Trigger::Leadership);
                    }
                    is_awaited = false;
                    let _led = self.share.as_ref().map(SharedLeadership::leads);
                    self.hold_until_lost(validity).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the election is repeated");
                    self.role.send_replace(ReplicaRole::Refused(Failure::from(&error)));
                    sleep(RETRY_EVERY).await;
                }
            }
        }
    }

    async fn acquire(&self) -> Result<Option<Validity>, ClusterError> {
        let (start, since) = self.started;
        let now = start.saturating_add(since.elapsed()).unwrap_or(start);
        let waiting = |record: &LeaseRecord| {
            let holder = record.holder.clone();
            let former = self.role.send_replace(ReplicaRole::Standby { holder: holder.clone() });
            // The controller reports who reconciles now, which it does not ask by itself.
            if !matches!(&former, ReplicaRole::Standby { holder: known } if *known == holder) {
                self.triggers.add(Trigger::Leadership);
            }
        };
        let lost = |loss| tracing::warn!(reason = %loss, "the watch no longer leads");
        tokio::select! {
            acquired = self.slot.acquire(Arc::clone(&self.client), now, &waiting, lost) => {
                acquired?;
            }
            () = self.write.observe(self.client.as_ref()) => {}
        }
        Ok(self.slot.validity().await)
    }

    /// Waits until the Lease is lost, and lets it go.
    async fn hold_until_lost(&self, mut validity: Validity) {
        validity.ended().await;
        // One that is lost is not deleted.
        if let Err(error) = self.slot.release().await {
            tracing::debug!(%error, "a lease that was lost could not be released");
        }
        self.role.send_replace(ReplicaRole::Undecided);
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

    #[test]
    fn a_process_waits_longer_for_each_topology_that_it_leads() {
        let share = SharedLeadership::default();
        assert_eq!(share.delay(0.5), Duration::from_secs(1));
        let led: Vec<Led> = (0..4).map(|_| share.leads()).collect();
        assert_eq!((share.count(), share.delay(0.5)), (4, Duration::from_secs(3)));
        drop(led);
        assert_eq!((share.count(), share.delay(1.0)), (0, MAX_RANDOM_DELAY));
        let _led: Vec<Led> = (0..100).map(|_| share.leads()).collect();
        assert_eq!(share.delay(1.0), MAX_DELAY);
    }
}
