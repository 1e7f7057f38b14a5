//! The Lease of an apply: taken in the first iteration in which the API server
//! answers, released at the end or before the cluster is deleted.

use std::sync::{Arc, OnceLock};

use super::context::{ApplyContext, ClusterWriter};
use super::events::Event;
use super::status::ApplyStatus;
use crate::diagnostics::{Code, Failure};
use crate::lease::{LeaseSlot, Validity};
use crate::provider::cluster::{ClusterCause, ClusterError, LeaseRecord};

/// The Lease of an apply.
pub(super) struct WriteLease<'a> {
    context: &'a ApplyContext<'a>,
    lost: Arc<OnceLock<String>>,
    /// The process that held the Lease when this one needed it.
    waited_for: OnceLock<LeaseHolder>,
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
    /// They may, but another applier may have made changes after the plan was made.
    GrantedLater,
}

impl<'a> WriteLease<'a> {
    pub(super) fn new(context: &'a ApplyContext<'a>) -> Self {
        Self { context, lost: Arc::default(), waited_for: OnceLock::new() }
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
        let acquired = tokio::select! {
            biased;
            () = self.context.stop.requested() => return Err(self.interrupted()),
            acquired = self.acquire(slot, cluster) => acquired,
        };
        match acquired {
            Ok(true) => Ok(Permission::GrantedLater),
            Ok(false) => Ok(Permission::Granted),
            Err(error) if error.cause == ClusterCause::Unavailable => {
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
    ) -> Result<bool, ClusterError> {
        let waiting = |record: &LeaseRecord| {
            let holder =
                LeaseHolder { name: record.holder.clone(), since: record.acquired.clone() };
            // The plan does not contain the changes of the first holder.
            let _ = self.waited_for.set(holder);
            self.context.reporter.event(&Event::WaitingForLease {
                lease: slot.identity().name().to_owned(),
                holder: record.holder.clone(),
                acquired: record.acquired.clone(),
                renewed: record.renewed.clone(),
                valid_seconds: slot.identity().duration().as_secs(),
            });
        };
        let (lost, stop) = (Arc::clone(&self.lost), self.context.stop.clone());
        let on_loss = move |reason| {
            // It is called once, so there is no earlier reason to keep.
            let _ = lost.set(reason);
            stop.stop();
        };
        let now = (self.context.pipeline.now)();
        slot.acquire(Arc::clone(&cluster.client), now, &waiting, on_loss).await
    }

    /// Waits until a step may begin: each Lease of the apply must be valid for a margin
    /// longer. Returns whether it may.
    pub(super) async fn confirmed(&self) -> bool {
        let held = match &self.context.lease {
            Some(slot) => slot.validity().await,
            None => None,
        };
        let mut leases: Vec<Validity> =
            held.into_iter().chain(self.context.leadership.clone()).collect();
        let confirmed = async {
            // While one is awaited, the time of another may end.
            while leases.iter().any(|lease| lease.now() != Some(true)) {
                for lease in &mut leases {
                    if !lease.confirmed().await {
                        return false;
                    }
                }
            }
            true
        };
        tokio::select! {
            biased;
            () = self.context.stop.requested() => false,
            confirmed = confirmed => confirmed,
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
        self.loss().unwrap_or(ApplyStatus::Interrupted)
    }

    /// How the apply ends if the Lease was lost.
    fn loss(&self) -> Option<ApplyStatus> {
        let reason = self.lost.get()?;
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
