//! Elects the replica of `stargate watch` that reconciles a topology.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{MutexGuard, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::queue::Trigger;
use super::reconciled::ReconcileResult;
use super::shared_leadership::{SharedLeadership, random_share};
use super::triggers::Triggers;
use crate::diagnostics::Failure;
use crate::lease::{CountedLease, LeaseFitness, LeaseIdentity, LeaseSlot, Validity};
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::{ClusterError, LeaseRecord, LeaseRequest};
use crate::provider::read_write::ClusterWrite;
use crate::resource::names::TopologyName;

/// The time between two attempts while the API server refuses or does not answer.
const RETRY_EVERY: Duration = Duration::from_secs(2);
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
    fitness: LeaseFitness,
    /// Whether the topology may move to another replica. It is locked during a reconcile.
    may_move: Arc<tokio::sync::Mutex<bool>>,
    campaign: Mutex<Option<Campaign>>,
}

/// A reconcile, during which the topology does not move to another replica.
#[derive(Debug)]
pub struct ReconcileUnderLease<'a>(MutexGuard<'a, bool>);

impl ReconcileUnderLease<'_> {
    /// Ends the reconcile. `may_move` says whether another replica may lead from now on without
    /// a loss: one that is dropped instead leaves the topology where it is.
    pub fn end(mut self, may_move: bool) {
        *self.0 = may_move;
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
            fitness: LeaseFitness::default(),
            may_move: Arc::default(),
            campaign: Mutex::default(),
        }
    }

    /// The same for one of several topologies of this process, which replicas share.
    #[must_use]
    pub fn sharing(self, share: SharedLeadership) -> Self {
        let slot = self.slot.sharing(share.leases().clone(), self.fitness.clone());
        Self { slot, share: Some(share), ..self }
    }

    /// Whether this replica can reconcile, as far as its attempts show.
    pub fn fitness(&self) -> &LeaseFitness {
        &self.fitness
    }

    /// Begins a reconcile: until it ends, the topology does not move to another replica.
    pub async fn begin_reconcile(&self) -> ReconcileUnderLease<'_> {
        let mut may_move = self.may_move.lock().await;
        *may_move = false;
        ReconcileUnderLease(may_move)
    }

    /// Notes the result of a reconcile: a leader that fails several times in a row gives the
    /// topology to another replica.
    pub fn note_result(&self, result: ReconcileResult) {
        if result.is_settled() || result == ReconcileResult::Failed {
            self.fitness.note_work(result.is_settled());
        }
    }

    /// Whether a replica that stands by has to read live state before it may request the
    /// topology: it could not when it tried last.
    pub fn is_read_due(&self) -> bool {
        self.share.is_some() && self.fitness.is_read_due()
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
            fitness: self.fitness.clone(),
            may_move: Arc::clone(&self.may_move),
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
    fitness: LeaseFitness,
    may_move: Arc<tokio::sync::Mutex<bool>>,
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
                    self.fitness.begin();
                    is_awaited &= matches!(*self.role.borrow(), ReplicaRole::Undecided);
                    self.role.send_replace(ReplicaRole::Leader(validity.clone()));
                    if !is_awaited {
                        self.triggers.add(Trigger::Leadership);
                    }
                    is_awaited = false;
                    let identity = self.slot.identity();
                    let counted = self.share.as_ref().map(|it| it.leases().hold(identity));
                    self.hold(validity, counted).await;
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

    /// Leads until the Lease is lost, or until another replica gets it.
    async fn hold(&self, mut validity: Validity, mut counted: Option<CountedLease>) {
        let mut requests = self.slot.requests();
        loop {
            tokio::select! {
                biased;
                () = validity.ended() => return self.let_go().await,
                Ok(()) = requests.changed() => {
                    let request = requests.borrow_and_update().clone();
                    if let (Some(request), Some(counted)) = (request, &mut counted)
                        && self.give_to(&request, counted).await
                    {
                        return;
                    }
                }
            }
        }
    }

    /// Makes another replica the leader if that interrupts nothing, and this one fails or the
    /// topologies are shared more equally. Returns whether it does.
    async fn give_to(&self, request: &LeaseRequest, counted: &mut CountedLease) -> bool {
        // Until the role is another one, no reconcile begins.
        let Ok(mut may_move) = self.may_move.try_lock() else { return false };
        if !*may_move {
            return false;
        }
        let holder = request.by.clone();
        if self.fitness.is_failing() {
            counted.give_away();
            self.fitness.note_given_away();
            tracing::warn!(to = holder, "reconciles failed in a row: another replica leads");
        } else if !counted.give_to(request) {
            return false;
        }
        *may_move = false;
        if let Err(error) = self.slot.give_to(&holder).await {
            tracing::debug!(%error, "the lease could not be passed on");
        }
        self.role.send_replace(ReplicaRole::Standby { holder });
        self.triggers.add(Trigger::Leadership);
        true
    }

    /// Lets a Lease go that was lost.
    async fn let_go(&self) {
        // One that is lost is not deleted.
        if let Err(error) = self.slot.release().await {
            tracing::debug!(%error, "a lease that was lost could not be released");
        }
        self.role.send_replace(ReplicaRole::Undecided);
    }
}
