//! What follows from what: the consequences that the real clouds draw by
//! themselves, drawn after every change.
//!
//! Each part looks at the whole world and brings its own corner in line, so
//! that settling twice is settling once.

mod agents;
mod aks;
mod certificates;
pub(crate) mod cluster;
mod kubelet;
mod machines;
pub(crate) mod nodes;
mod signer;
mod tailnet;
mod workloads;

use jiff::Timestamp;

use super::world::World;

/// Draws the consequences of whatever was changed.
pub fn settle(world: &mut World, now: Timestamp) {
    machines::settle(world, now);
    aks::settle(world, now);
    kubelet::settle(world, now);
    agents::settle(world, now);
    workloads::settle(world, now);
    tailnet::settle(world, now);
}

#[cfg(test)]
mod tests;
