//! The same doors as the real ones, onto a world in memory.
//!
//! [`world`] holds what exists, [`controllers`] draws consequences, [`dispatch`]
//! answers requests. Above them stand the in-memory doors ([`transport`],
//! [`host_client`]), the HTTP faces ([`serve`]) and the state on disk ([`folder`]).

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
pub mod stream;
pub mod tailnet;
mod tokens;
pub mod transport;
pub mod world;

#[cfg(test)]
mod test_sandbox;

pub use shared::SharedWorld;
pub use world::World;

use bytes::Bytes;

/// What a face of the world answers.
#[derive(Debug)]
pub enum Answer {
    /// The whole answer.
    Complete(http::Response<Bytes>),
    /// A stream of Kubernetes events, without an end of its own.
    Watch(kubernetes::WatchRequest),
}
