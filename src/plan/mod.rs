//! Topology and live state in, plan out: see [`plan()`].
//!
//! Synchronous, without I/O and deterministic. A plan leaves nothing to decide and
//! does not change once it was returned.

mod adoption;
mod change;
mod cluster_replacement;
pub mod cost;
mod decision;
mod dependencies;
pub mod diff;
mod exclusive_claims;
mod execution;
pub mod findings;
mod held;
mod held_back;
mod host_route;
pub mod impact;
mod node_pools;
mod orphans;
mod planner;
mod planning;
mod pool_removal;
mod prefix_conflicts;
pub mod preflight;
mod propagation;
mod protection;
mod replacement;
mod restrict;
mod rollout;
pub mod saved_plan;
pub mod stale_facts;
pub mod step_graph;
#[cfg(test)]
mod tests;
mod types;
mod versions;
mod worker_request;

pub use change::{Action, Change, InWave};
pub use diff::{FieldChange, FieldPath};
pub use execution::{
    ApplySettings, Execution, ManagedNodeFields, NodePoolExecution, RouterExecution,
    WorkerExecution, WorkerProfile,
};
pub use findings::{Finding, FindingSeverity};
pub use held::{Blocked, Deferred};
pub use host_route::{HostLocation, HostRoute};
pub use planning::{PlanOptions, PlanningInput, plan};
pub use rollout::Rollout;
use stale_facts::surviving;
pub use step_graph::{Phase, StepGraph};
pub use types::{Plan, PlanContents, PlanStatus};
pub use worker_request::{WorkerOperation, WorkerRequest};
