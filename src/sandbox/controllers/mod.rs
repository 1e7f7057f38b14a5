//! What follows from what: the consequences that the real clouds draw by
//! themselves, drawn after every change.
//!
//! Each part brings its own corner of the world in line, so that settling twice
//! is settling once. It looks at what is new since the last time and at what
//! depends on that; in a world that was just loaded, everything is new.

mod agents;
mod aks;
pub(crate) mod certificates;
pub(crate) mod cluster;
mod kubelet;
mod machines;
pub(crate) mod nodes;
mod reconciled;
pub(super) mod services;
mod signer;
mod tailnet;
mod workloads;

use jiff::Timestamp;

pub use reconciled::Reconciled;

use super::world::World;
use reconciled::Since;

/// Draws the consequences of whatever was changed.
pub fn reconcile(world: &mut World, now: Timestamp) {
    machines::reconcile(world, now);
    let touched = world.hosts.take_touched();
    aks::reconcile(world, now);
    let since = Since::of(world);
    kubelet::reconcile(world, &touched, since, now);
    agents::reconcile(world, since, now);
    services::reconcile(world, since, now);
    workloads::reconcile(world, since, now);
    tailnet::reconcile(world, &touched, now);
    reconciled::note(world);
}

#[cfg(test)]
mod tests;
