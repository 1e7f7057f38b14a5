//! A packet's way through tables; says which hop drops it.
//!
//! A [`Network`] is made of elements that decide by tables: [`Host`]s with
//! their kernels, [`Segment`]s between hosts (Azure's fabric, or a plain LAN),
//! and one [`Tunnel`] of peers. The elements know nothing of where their tables
//! come from: an inventory, a desired state, or the network namespaces of a
//! test. Each fact carries an [`Origin`], which its builder can look up again,
//! and a fact that nobody could read makes what depends on it unknown.
//!
//! [`trip`] walks a packet from one end to another, hop by hop, and the answer
//! back, with translated addresses and known connections followed.

pub mod classes;
pub mod fabric;
pub mod fact;
pub mod hop;
pub mod host;
mod kernel_shape;
mod network;
pub mod packet;
pub mod security;
mod station;
pub mod table;
#[cfg(test)]
mod tests;
mod tracking;
mod transit;
mod trip;
pub mod tunnel;
mod walk;

pub use fabric::{Fabric, Interface, Lan, Segment, SegmentId, Subnet};
pub use fact::{Fact, Origin, Unread};
pub use hop::{Cause, Decision, Drop, Hop, Place, Verdict};
pub use host::{Host, HostId, Kernel, Port};
pub use network::{End, Network};
pub use packet::{Packet, Protocol};
pub use table::PrefixTable;
pub use trip::{Trip, Way, trip};
pub use tunnel::{Member, Tunnel};
pub use walk::Walk;
