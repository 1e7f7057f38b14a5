//! Emulated Azure, Tailscale and Kubernetes APIs and hosts, with their state in memory.
//!
//! [`state`] holds the state, [`controllers`] reconcile it, [`SandboxState::handle`] handles
//! requests. On top of them are the in-memory clients ([`transport`], [`host_client`]), the HTTP
//! endpoints ([`serve`]) and the storage on disk ([`folder`]).

pub mod arm;
pub mod controllers;
mod digest;
mod dispatch;
mod entropy;
pub mod fault_injector;
pub mod faults;
pub mod folder;
pub mod host_client;
pub mod hosts;
mod identity;
pub mod kubernetes;
pub mod log;
mod network;
mod response;
pub mod serve;
pub mod shared;
pub mod state;
pub mod stream;
pub mod tailnet;
mod tokens;
pub mod transport;

#[cfg(test)]
mod test_sandbox;

pub use entropy::Entropy;
pub use response::ApiResponse;
pub use shared::SharedSandbox;
pub use state::SandboxState;
