//! Desired × inventory → plan.
//!
//! Synchronous and deterministic; what it returns leaves nothing to decide.

mod asked;
mod cascade;
pub mod cost;
pub mod diff;
mod edges;
pub mod file;
pub mod findings;
mod foresight;
pub mod inventory;
mod keep;
pub mod live;
mod order;
pub mod paths;
mod places;
mod planner;
mod removal;
mod rollout;
#[cfg(test)]
mod tests;
mod types;

pub use asked::{Asked, Work};
pub use findings::{Finding, Severity};
pub use foresight::what_stays;
pub use inventory::{Gap, Inventory, Observed, Source};
pub use planner::{PlanInput, plan};
pub use rollout::{InWave, Rollout};
pub use types::{Action, Blocked, Change, Deferred, Plan, Standing};
