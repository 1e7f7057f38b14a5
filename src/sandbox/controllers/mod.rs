//! Controllers: they emulate the asynchronous work of the real clouds, and run after every
//! change.
//!
//! Each controller reconciles its own part of the sandbox and is idempotent. It examines
//! the changes since the last run and the objects that depend on them. After a load
//! everything counts as changed.

mod agents;
mod aks;
pub(crate) mod certificates;
mod changes;
pub(crate) mod cluster;
mod kubelet;
mod machines;
pub(crate) mod nodes;
mod pool_settings;
mod reconciled;
pub(super) mod services;
mod signer;
mod tailnet;
mod workloads;

use jiff::Timestamp;

pub use reconciled::ReconciledVersions;

use super::state::SandboxState;
use changes::Since;

/// Runs all controllers.
pub fn reconcile(sandbox: &mut SandboxState, now: Timestamp) {
    machines::reconcile(sandbox, now);
    let touched = sandbox.hosts.take_touched();
    aks::reconcile(sandbox, now);
    let since = Since::last_reconcile(sandbox);
    kubelet::reconcile(sandbox, &touched, since, now);
    agents::reconcile(sandbox, since, now);
    services::reconcile(sandbox, since, now);
    workloads::reconcile(sandbox, since, now);
    tailnet::reconcile(sandbox, &touched, now);
    changes::mark_reconciled(sandbox);
}

#[cfg(test)]
mod tests;
