//! Desired × inventory → plan.
//!
//! Synchronous and deterministic; what it returns leaves nothing to decide.

pub mod cost;
pub mod diff;
pub mod file;
pub mod findings;
pub mod inventory;
mod types;

pub use findings::{Finding, Severity};
pub use inventory::{Gap, Inventory, Observed, Source};
pub use types::{Action, Blocked, Change, Deferred, Plan};
