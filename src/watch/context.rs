//! The inputs of a reconcile, and how long it may make changes.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::burst_guard::BurstGuard;
use super::cluster::ClusterWatchers;
use super::controller::TopologySource;
use super::deployment_memory::DeploymentMemory;
use super::events::WatchReporter;
use super::leadership::Leadership;
use super::queue::Trigger;
use super::topology_recorder::TopologyRecorder;
use crate::apply::{ApplyContext, StopSignal};
use crate::lease::Validity;
use crate::topology::load::Loaded;

/// The inputs of a reconcile.
pub struct ReconcileContext<'a> {
    /// Plans and applies. The options of its scope permit changes without approval. Its
    /// events go to `reporter`.
    pub apply: ApplyContext<'a>,
    /// Receives the events of each change.
    pub reporter: &'a dyn WatchReporter,
    /// The triggers of the reconcile.
    pub triggers: &'a BTreeSet<Trigger>,
    /// Counts removals and failures over all reconciles.
    pub guard: &'a Mutex<BurstGuard>,
    /// Remembers the deployment over all reconciles.
    pub memory: &'a Mutex<DeploymentMemory>,
    /// The most objects and routes that are removed within ten minutes.
    pub max_removals: usize,
    /// Watches the cluster from the first reconcile that finds it.
    pub watchers: &'a ClusterWatchers,
    /// Decides whether this replica reconciles; `None` if there is no other.
    pub leadership: Option<&'a Leadership>,
    /// The version of the topology file that is reconciled.
    pub topology: &'a Loaded,
    /// Where the topology was read.
    pub source: &'a dyn TopologySource,
    /// Reports on the Topology object, and takes approvals from it.
    pub recorder: Option<&'a TopologyRecorder>,
}

/// Awaits an apply until it ends. If the Lease of the leader is lost before, no other step
/// begins. Returns whether it was lost.
pub(super) async fn while_leading<T>(
    leadership: Option<Validity>,
    stop: &StopSignal,
    applied: impl Future<Output = T>,
) -> (T, bool) {
    let Some(mut lease) = leadership else { return (applied.await, false) };
    tokio::pin!(applied);
    tokio::select! {
        biased;
        applied = &mut applied => return (applied, false),
        () = lease.ended() => stop.stop(),
    }
    (applied.await, true)
}

impl ReconcileContext<'_> {
    /// The guard against a watch that runs away.
    pub(super) fn guard(&self) -> std::sync::MutexGuard<'_, BurstGuard> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory of the deployment.
    pub(super) fn memory(&self) -> std::sync::MutexGuard<'_, DeploymentMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
