//! Reconciles a topology again and again: when its file or an object of its cluster
//! changes, at intervals, and on request.
//!
//! It decides *when* to reconcile and *how much* may be done without approval. A
//! reconcile itself is the [pipeline](crate::pipeline) and [`crate::apply`], as for every
//! other command.

mod burst_guard;
mod cluster;
mod controller;
mod events;
mod queue;
mod reconcile;
mod relevance;
mod topology_file;

pub use burst_guard::BurstGuard;
pub use cluster::ClusterWatchers;
pub use controller::{Controller, Reconciler, TopologySource};
pub use events::{WatchEvent, WatchReporter};
pub use queue::{Jitter, Trigger, WorkQueue};
pub use reconcile::{ReconcileContext, ReconcileResult, Reconciled, reconcile};
pub use topology_file::{FileWatcher, FileWatcherError};
