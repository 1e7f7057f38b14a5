//! Runs commands on hosts over SSH.
//!
//! [`Shell`] is the interface: a target, a command, its output. [`SshShell`] implements it. It
//! keeps one connection per host and runs commands concurrently on it, reaches a worker through its
//! datacenter's router, logs in with an agent's keys or key files, and refuses hosts whose key is
//! not trusted.
//!
//! Host keys are looked up by the host's *name* (OpenSSH's `HostKeyAlias`), because private
//! addresses are the same in many networks; see [`host_keys`].

use std::fmt;

use async_trait::async_trait;

use super::host::HostTarget;

mod authenticate;
pub mod command;
mod connection;
mod dial;
pub mod error;
mod execute;
mod handler;
pub mod host_keys;
mod identity;
pub mod known_hosts;
mod pool;
pub mod settings;
pub mod socks;

#[cfg(test)]
mod tests;

pub use command::{CommandError, Exit, RemoteCommand, RemoteOutput};
pub use error::SshError;
pub use pool::SshShell;
pub use settings::SshSettings;

/// Runs commands on hosts.
#[async_trait]
pub trait Shell: Send + Sync + fmt::Debug {
    /// Runs a command and waits for its end, successful or not.
    ///
    /// Dropping the future ends the command: it is sent SIGTERM, and its input and output are
    /// closed.
    ///
    /// # Errors
    ///
    /// The host cannot be reached, is not trusted, refuses the login or disconnects, or the command
    /// exceeds its output limit or timeout. A non-zero exit status is no error here; see
    /// [`RemoteOutput::checked`].
    async fn run(
        &self,
        target: &HostTarget,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, SshError>;

    /// Closes the connections to a host whose machine was replaced.
    fn forget(&self, _hostname: &str) {}

    /// Closes all connections. Commands that still run are ended.
    async fn close(&self) {}
}
