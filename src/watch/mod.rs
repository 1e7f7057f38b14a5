//! Reconciles a topology again and again: when its file or an object of its cluster
//! changes, at intervals, and on request.
//!
//! It decides *when* to reconcile and *how much* may be done without approval. A
//! reconcile itself is the [pipeline](crate::pipeline) and [`crate::apply`], as for every
//! other command.

mod burst_guard;
mod cluster;
mod context;
mod controller;
mod deployment_memory;
mod events;
mod exposition;
mod folder;
mod leadership;
mod monitor;
mod operations;
mod queue;
mod reconcile;
mod reconciled;
mod relevance;
mod remaining;
mod request_phases;
mod shared_leadership;
mod step_reporter;
mod topology_file;
mod topology_recorder;
mod topology_status;
mod triggers;

pub use burst_guard::BurstGuard;
pub use cluster::ClusterWatchers;
pub use context::ReconcileContext;
pub use controller::{Controller, Reconciler, TopologySource};
pub use deployment_memory::DeploymentMemory;
pub use events::{WatchEvent, WatchReporter};
pub use exposition::merge as merge_metrics;
pub use folder::{FolderChange, FolderFile, TopologyFolder};
pub use leadership::{Leadership, ReconcileUnderLease, ReplicaRole};
pub use monitor::Monitor;
pub use queue::{Jitter, Trigger, WorkQueue};
pub use reconcile::reconcile;
pub use reconciled::{BlockedChange, PairCounts, ReconcileResult, Reconciled};
pub use remaining::{Remaining, WorkerCounts};
pub use request_phases::OperationCounts;
pub use shared_leadership::{SharedLeadership, random_share};
pub use topology_file::{FileWatcher, FileWatcherError};
pub use topology_recorder::TopologyRecorder;
pub use topology_status::{ApprovalState, approve_command};
pub use triggers::Triggers;
