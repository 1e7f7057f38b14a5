//! Emulated Azure, Tailscale and Kubernetes APIs and hosts, with their state in memory.
//!
//! [`state`] holds the state, [`controllers`] reconcile it, [`dispatch`] handles requests. On top
//! of them are the in-memory clients ([`transport`], [`host_client`]), the HTTP endpoints
//! ([`serve`]) and the storage on disk ([`folder`]).

pub mod arm;
pub mod controllers;
pub mod dispatch;
pub mod fault_injector;
pub mod faults;
pub mod folder;
pub mod host_client;
pub mod hosts;
mod identity;
pub mod kubernetes;
pub mod log;
mod network;
pub mod serve;
pub mod shared;
pub mod state;
pub mod stream;
pub mod tailnet;
mod tokens;
pub mod transport;

#[cfg(test)]
mod test_sandbox;

pub use shared::SharedSandbox;
pub use state::SandboxState;

use bytes::Bytes;

/// The response of an emulated API.
#[derive(Debug)]
pub enum ApiResponse {
    /// A complete response.
    Complete(http::Response<Bytes>),
    /// A stream of Kubernetes watch events.
    Watch(kubernetes::WatchRequest),
}
