//! Who really reaches whom in the world, and how Goldpinger tells of it.
//!
//! Packets are carried by what the world itself holds (Azure's objects, the
//! devices of the tailnet, the kernels of machines) and by nothing that
//! stargate reads, plans or believes: what is measured here can contradict it.

mod fabric;
mod forward;
mod goldpinger;

pub(super) use goldpinger::answer;
