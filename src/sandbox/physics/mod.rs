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
mod settled;
mod signer;
mod tailnet;
mod workloads;

use jiff::Timestamp;

pub use settled::Settled;

use super::world::World;
use settled::Since;

/// Draws the consequences of whatever was changed.
pub fn settle(world: &mut World, now: Timestamp) {
    machines::settle(world, now);
    let touched = world.hosts.take_touched();
    aks::settle(world, now);
    let since = Since::of(world);
    kubelet::settle(world, &touched, since, now);
    agents::settle(world, since, now);
    workloads::settle(world, since, now);
    tailnet::settle(world, &touched, now);
    settled::note(world);
}

#[cfg(test)]
mod tests;
