//! Applies plans until live state matches the topology.
//!
//! [`apply()`] repeats the [pipeline](crate::pipeline) and the executor. The
//! executor runs a plan's steps under guards, locks and budgets, reports events,
//! and makes no decisions of its own: it does not know the topology.

mod effects;
pub mod events;
mod executor;
mod guard;
mod iterate;
mod locks;
mod replaced;
#[cfg(test)]
mod request_tests;
mod routers;
mod steps;
mod stop;
mod unfinished;
mod waves;
mod write_lease;

use std::sync::Arc;

use crate::lease::LeaseIdentity;
use crate::pipeline::Pipeline;
use crate::plan::ApplySettings;
use crate::provider::access::ClusterCredentials;
use crate::provider::clients::{Clients, ReadClients};
use crate::provider::read_write::ClusterWrite;
use crate::refresh::Clock;
use events::Reporter;

pub use iterate::{Applied, ApplyStatus, apply, apply_once};
pub use stop::StopSignal;

/// What an apply works with.
pub struct ApplyContext<'a> {
    /// Makes the plans.
    pub pipeline: Pipeline<'a>,
    /// What changes are made with.
    pub clients: &'a Clients,
    /// Receives every event.
    pub reporter: &'a dyn Reporter,
    /// Asks to stop.
    pub stop: StopSignal,
    /// The Lease that is held while changes are made, or `None` to go without.
    pub lease: Option<LeaseIdentity>,
}

/// What the steps of one iteration work with.
struct Iteration<'a> {
    clients: &'a Clients,
    readers: &'a ReadClients,
    settings: &'a ApplySettings,
    reporter: &'a dyn Reporter,
    now: &'a Clock,
    stop: &'a StopSignal,
    lease: &'a write_lease::WriteLease<'a>,
    cluster: Option<ClusterWriter>,
    routers: routers::RouterAddresses,
    unfinished: unfinished::Unfinished,
}

/// A client that writes to the cluster, and what a joining worker needs to know
/// of the cluster.
struct ClusterWriter {
    client: Arc<dyn ClusterWrite>,
    credentials: ClusterCredentials,
}
