//! Simulates the reachability of pods, and the measurements of Goldpinger.
//!
//! Packets are forwarded by the state of the sandbox alone (Azure's objects, the tailnet's
//! devices, the hosts' kernels), independently of stargate's own model. A measurement can
//! therefore contradict the model.

mod fabric;
mod forward;
mod goldpinger;
mod group_rule;
mod pairs;

pub(super) use goldpinger::handle;
