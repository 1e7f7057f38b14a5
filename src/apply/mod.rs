//! Runs a plan's steps under guards, locks and budgets; tells events; decides
//! nothing that the plan left open.

mod effects;
pub mod events;
mod executor;
mod guard;
mod iterate;
mod locks;
mod reachability;
mod replaced;
#[cfg(test)]
mod request_tests;
mod routers;
mod steps;
mod unfinished;
mod waves;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use crate::provider::access::ClusterCredentials;
use crate::provider::clients::{Clients, ReadClients};
use crate::provider::read_write::ClusterWrite;
use crate::refresh::Scope;
use events::Reporter;

pub use iterate::{Applied, ApplyStatus, Planned, apply, apply_once, make_plan};

/// Asks a running apply to stop: running steps finish, no other begins.
#[derive(Debug, Clone, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Asks.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// The current time, from whoever knows it.
pub type Now = dyn Fn() -> Timestamp + Send + Sync;

/// What every command of an apply works with.
pub struct Run<'a> {
    /// What changes are made with.
    pub clients: &'a Clients,
    /// What live state is read with.
    pub readers: ReadClients,
    /// The topology and how it is looked at.
    pub scope: &'a Scope<'a>,
    /// Hears of everything.
    pub reporter: &'a dyn Reporter,
    /// The current time.
    pub now: &'a Now,
    /// Asks to stop.
    pub stop: StopSignal,
}

/// What the steps of one round work with.
struct Round<'a> {
    run: &'a Run<'a>,
    cluster: Option<ClusterWriter>,
    dns_service_ip: std::net::Ipv4Addr,
    routers: routers::RouterAddresses,
    unfinished: unfinished::Unfinished,
}

/// A client that writes to the cluster, and what a joining worker needs to know
/// of the cluster.
struct ClusterWriter {
    client: Arc<dyn ClusterWrite>,
    credentials: ClusterCredentials,
}
