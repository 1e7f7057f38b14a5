//! The half of stargate that computes: a topology and what was observed in, a plan out.
//!
//! It has no async, no I/O and no clock: its dependencies have no runtime and no client, and a
//! test of the architecture looks for the rest. The crate `stargate` reads the services, calls
//! [`plan`] and carries the plan out; the table of all modules and their responsibilities is in
//! its documentation.

pub mod connectivity;
pub mod dataplane;
pub mod desired;
pub mod diagnostics;
pub mod inventory;
pub mod net;
pub mod plan;
pub mod resource;
pub mod topology;
