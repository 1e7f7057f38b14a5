//! The Lease of an apply: taken in the first iteration in which the API server
//! answers, and released at the end, or lost together with the cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::context::{ApplyContext, ClusterWriter};
use super::end_conditions;
use super::events::Event;
use super::held_leases::HeldLeases;
use super::lease_loss::Loss;
use super::status::ApplyStatus;
use crate::diagnostics::{Code, Failure};
use crate::lease::{Acquisition, LeaseLoss, LeaseSlot};
use crate::provider::cluster::{
    COMMAND_ANNOTATION, ClusterCause, ClusterError, DESTROY_COMMAND, LeaseRecord,
};

/// The Lease of an apply.
pub(super) struct WriteLease<'a> {
    context: &'a ApplyContext<'a>,
    /// The loss of the Lease that is held now, or was held last.
    loss: Mutex<Arc<Loss>>,
    /// The process that held the Lease when this one needed it.
    waited_for: OnceLock<LeaseHolder>,
    /// A process that held the Lease since then, and destroyed the topology.
    destroyer: Mutex<Option<LeaseHolder>>,
    /// Whether a plan was made again because the API server did not answer.
    has_replanned: AtomicBool,
}

/// A process that holds or held the Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeaseHolder {
    /// Its name, as it wrote it.
    pub(super) name: String,
    /// When it took the Lease, by its clock.
    pub(super) since: String,
}

/// Whether changes may be made at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Permission {
    /// They may.
    Granted,
    /// The plan may be out of date: another applier held the Lease after it was made, or the
    /// API server that was read for it does not answer.
    ReplanFirst,
}

impl<'a> WriteLease<'a> {
    pub(super) fn new(context: &'a ApplyContext<'a>) -> Self {
        Self {
            context,
            loss: Mutex::default(),
            waited_for: OnceLock::new(),
            destroyer: Mutex::default(),
            has_replanned: AtomicBool::new(false),
        }
    }

    /// Acquires the Lease if it is not held yet. Without an API server only the guards of
    /// each step keep two appliers apart. The error is the status with which the apply
    /// ends.
    pub(super) async fn ensure(
        &self,
        cluster: Option<&ClusterWriter>,
    ) -> Result<Permission, ApplyStatus> {
        let (Some(slot), Some(cluster)) = (&self.context.lease, cluster) else {
            return Ok(Permission::Granted);
        };
        let has_waited = AtomicBool::new(false);
        let acquired = tokio::select! {
            biased;
            () = self.context.stop.requested() => return Err(self.interrupted()),
            acquired = self.acquire(slot, cluster, &has_waited) => acquired,
        };
        if let Ok(Acquisition::AfterExpiry { holder, was_active: false }) = &acquired {
            self.forget_destroyer(holder);
        }
        // The objects of the plan are deleted, or were to be.
        if let Some(destroyer) = self.destroyer().filter(|_| !self.destroys()) {
            let is_killed = matches!(&acquired,
                Ok(Acquisition::AfterExpiry { holder, .. }) if *holder == destroyer.name);
            return Err(end_conditions::destroyed_by(&destroyer, is_killed));
        }
        let has_waited = has_waited.into_inner();
        match acquired {
            Ok(Acquisition::Free) => Ok(Permission::Granted),
            Ok(_) => Ok(Permission::ReplanFirst),
            // The API server may have gone with its cluster.
            Err(_) if has_waited => Ok(Permission::ReplanFirst),
            Err(error) if error.cause == ClusterCause::Unavailable => {
                if !self.has_replanned.swap(true, Ordering::Relaxed) {
                    return Ok(Permission::ReplanFirst);
                }
                self.context.reporter.event(&Event::Warning(not_taken(slot, &error)));
                Ok(Permission::Granted)
            }
            Err(error) => Err(ApplyStatus::Partial(refused(slot, &error))),
        }
    }

    async fn acquire(
        &self,
        slot: &LeaseSlot,
        cluster: &ClusterWriter,
        has_waited: &AtomicBool,
    ) -> Result<Acquisition, ClusterError> {
        let waiting = |record: &LeaseRecord| {
            has_waited.store(true, Ordering::Relaxed);
            self.wait_for(slot, record);
        };
        let command = if self.destroys() { DESTROY_COMMAND } else { "apply" };
        slot.annotate(COMMAND_ANNOTATION, command.to_owned());
        let (loss, stop) = (Arc::new(Loss::default()), self.context.stop.clone());
        let on_loss = {
            let loss = Arc::clone(&loss);
            move |reason: LeaseLoss| loss.happened(reason, &stop)
        };
        let now = (self.context.pipeline.now)();
        let is_held = slot.validity().await.is_some();
        let acquisition = slot.acquire(Arc::clone(&cluster.client), now, &waiting, on_loss).await?;
        if !is_held {
            *self.loss.lock().unwrap_or_else(PoisonError::into_inner) = loss;
        }
        Ok(acquisition)
    }

    /// Notes and reports a holder that is waited for.
    fn wait_for(&self, slot: &LeaseSlot, record: &LeaseRecord) {
        let holder = LeaseHolder { name: record.holder.clone(), since: record.acquired.clone() };
        if record.is_of_destroy() {
            *self.lock_destroyer() = Some(holder.clone());
        }
        // The plan does not contain the changes of the first holder.
        let _ = self.waited_for.set(holder);
        self.context.reporter.event(&Event::WaitingForLease {
            lease: slot.identity().name().to_owned(),
            holder: record.holder.clone(),
            destroys: record.is_of_destroy(),
            acquired: record.acquired.clone(),
            renewed: record.renewed.clone(),
            valid_seconds: slot.identity().duration().as_secs(),
        });
    }

    /// Whether this apply holds the Lease: no other apply that takes it makes changes now.
    pub(super) async fn is_held(&self) -> bool {
        match &self.context.lease {
            Some(slot) => slot.validity().await.is_some(),
            None => false,
        }
    }

    /// Whether this apply deletes the whole topology.
    pub(super) fn destroys(&self) -> bool {
        self.context.pipeline.scope.options.destroy
    }

    fn loss(&self) -> Arc<Loss> {
        Arc::clone(&self.loss.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The cluster is about to be deleted together with the Lease. The Lease is held until
    /// then, so that a waiting process does not plan from a cluster that is being deleted.
    pub(super) fn expect_end_of_cluster(&self) {
        self.loss().expect();
    }

    /// The cluster is gone, or is not going to be deleted.
    pub(super) async fn end_of_cluster(&self, is_gone: bool) {
        match (&self.context.lease, is_gone) {
            (Some(slot), true) => slot.abandon().await,
            _ => self.loss().expect_no_longer(&self.context.stop),
        }
    }

    /// Waits until a step may begin: each Lease of the apply must be valid for a margin
    /// longer. Returns whether it may.
    pub(super) async fn confirmed(&self) -> bool {
        let leases = self.leases().await;
        tokio::select! {
            biased;
            () = self.context.stop.requested() => false,
            confirmed = leases.confirmed() => confirmed,
        }
    }

    /// The Leases that the apply holds now.
    pub(super) async fn leases(&self) -> HeldLeases {
        let held = match &self.context.lease {
            // The Lease ends with the cluster, so its validity is not awaited.
            Some(slot) if !self.loss().is_expected() => slot.validity().await,
            _ => None,
        };
        HeldLeases::new(held.into_iter().chain(self.context.leadership.clone()))
    }

    /// A process that destroyed the topology while this one waited for it.
    pub(super) fn destroyer(&self) -> Option<LeaseHolder> {
        self.lock_destroyer().clone()
    }

    fn lock_destroyer(&self) -> MutexGuard<'_, Option<LeaseHolder>> {
        self.destroyer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A destroy that was killed before this process waited for it deleted nothing since.
    fn forget_destroyer(&self, holder: &str) {
        let mut destroyer = self.lock_destroyer();
        if destroyer.as_ref().is_some_and(|it| it.name == holder) {
            *destroyer = None;
        }
    }

    /// The process that this one waited for.
    pub(super) fn waited_for(&self) -> Option<&LeaseHolder> {
        self.waited_for.get()
    }

    /// Releases the Lease if it is held.
    pub(super) async fn release(&self) {
        let Some(slot) = &self.context.lease else { return };
        if let Err(error) = slot.release().await {
            self.context.reporter.event(&Event::Warning(not_deleted(slot, &error)));
        }
    }

    /// The status of an apply that is stopped: by the loss of the Lease, or by the user.
    pub(super) fn interrupted(&self) -> ApplyStatus {
        self.lost().unwrap_or(ApplyStatus::Interrupted)
    }

    /// How the apply ends if the Lease was lost.
    fn lost(&self) -> Option<ApplyStatus> {
        let reason = self.loss().reason()?;
        let name = self.context.lease.as_ref()?.identity().name();
        Some(ApplyStatus::Partial(Failure::new(
            Code::LeaseLost,
            format!("the apply stopped because it lost the lease {name}: {reason}"),
            "run the same command again; it waits until the lease is free and continues with the \
             remaining changes",
        )))
    }
}

/// An apply without a Lease continues, and other applies do not wait for it.
fn not_taken(slot: &LeaseSlot, error: &ClusterError) -> Failure {
    let message = format!(
        "the apply holds no lease {} in this iteration, so other applies of the topology do not \
         wait for it: {error}",
        slot.identity().name()
    );
    let remedy = "make sure that no other apply of the topology runs now";
    Failure::new(error.code, message, remedy)
}

/// A Lease that stays keeps the next apply waiting until it expires.
fn not_deleted(slot: &LeaseSlot, error: &ClusterError) -> Failure {
    let message = format!("the lease {} was not deleted: {error}", slot.identity().name());
    let remedy = format!(
        "the next apply waits until it expires, {} s after its last renewal",
        slot.identity().duration().as_secs()
    );
    Failure::new(error.code, message, remedy)
}

fn refused(slot: &LeaseSlot, error: &ClusterError) -> Failure {
    let failure = Failure::from(error);
    let remedy = format!(
        "{}; `--no-lease` applies without it, if no other apply of the topology runs",
        failure.remedy
    );
    let message = format!("cannot take the lease {} in kube-system", slot.identity().name());
    failure.within(message).with_remedy(remedy)
}
