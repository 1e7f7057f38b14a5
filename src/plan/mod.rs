//! Desired × inventory → plan.
//!
//! Synchronous and deterministic; what it returns leaves nothing to decide.

pub mod cost;
mod dependencies;
pub mod diff;
mod exclusive_claims;
pub mod findings;
pub mod impact;
mod orphans;
mod planner;
pub mod preflight;
mod propagation;
mod protection;
mod rollout;
pub mod saved_plan;
pub mod stale_facts;
pub mod step_graph;
#[cfg(test)]
mod tests;
mod types;
mod worker_request;

pub use findings::{Finding, Severity};
pub use planner::{PlanInput, plan};
pub use rollout::{InWave, Rollout};
pub use stale_facts::surviving;
pub use step_graph::{Phase, StepGraph};
pub use types::{Action, Blocked, Change, Deferred, Plan, PlanStatus};
pub use worker_request::{Work, WorkerRequest};
