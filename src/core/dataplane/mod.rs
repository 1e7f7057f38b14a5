//! A packet's way through tables; says which hop drops it.
//!
//! A [`Network`] is made of elements that decide by tables: [`Host`]s with
//! their kernels, [`Segment`]s between hosts (Azure's fabric, or a plain LAN),
//! and one [`Tunnel`] of peers. The elements know nothing of where their tables
//! come from: an inventory, a desired state, or the network namespaces of a
//! test. Each fact carries an [`Origin`], which its builder can look up again,
//! and a fact that could not be read makes its dependents unknown.
//!
//! [`round_trip`] walks a packet from one end to another, hop by hop, and the answer
//! back, with translated addresses and known connections followed.

pub(crate) mod difference;
pub mod equivalence;
pub mod fabric;
mod fabric_forwarding;
pub mod fact;
pub mod hop;
pub mod host;
mod host_forwarding;
mod network;
pub mod packet;
mod round_trip;
pub mod security;
pub mod table;
#[cfg(test)]
mod tests;
mod trace;
mod tracking;
pub mod tunnel;

pub use fabric::{Fabric, FabricSubnet, Interface, Lan, Segment, SegmentId};
pub use fact::{Fact, Origin, Unread};
pub use hop::{Cause, Decision, Drop, Hop, Place, Verdict};
pub use host::{Host, HostId, Kernel, Port};
pub use network::{End, Network};
pub use packet::{Packet, Protocol};
pub use round_trip::{Direction, RoundTrip, trace_round_trip, trace_round_trip_to_host};
pub use table::PrefixTable;
pub use trace::Trace;
pub use tunnel::{Member, Tunnel};
