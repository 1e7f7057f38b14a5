//! Applies plans until live state matches the topology.
//!
//! [`apply()`] repeats the [pipeline](crate::pipeline) and the executor. The
//! executor runs a plan's steps under guards, locks and budgets, reports events,
//! and makes no decisions of its own: it does not know the topology.

mod approval;
mod cluster_deletion;
mod cluster_wait;
mod context;
mod deleted_by_others;
mod effects;
mod end_conditions;
pub mod events;
mod executor;
mod guard;
mod held_leases;
mod iterate;
mod iteration;
mod lease_loss;
mod locks;
mod repeats;
mod replaced;
#[cfg(test)]
mod request_tests;
mod routers;
mod stages;
mod status;
mod step_limit;
mod steps;
mod stop;
mod unfinished;
mod unread_destroy;
mod waves;
mod write_lease;

pub use context::ApplyContext;
pub use iterate::{apply, apply_once};
pub use status::{Applied, ApplyStatus};
pub use stop::StopSignal;
