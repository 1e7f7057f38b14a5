//! Commands on hosts, over SSH.
//!
//! [`Shell`] is the whole of it for whoever works on hosts: a target, a command,
//! its output. [`SshShell`] is the real one. It keeps one connection a host and
//! runs commands side by side on it, goes to a worker through its datacenter's
//! router, logs in with an agent's keys or key files, and talks to no host whose
//! key it does not know.
//!
//! Host keys are looked up under the host's *name* (what OpenSSH calls a
//! `HostKeyAlias`), since private addresses are the same in many networks; see
//! [`host_keys`].

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
    /// Runs a command and waits for its end, whatever its exit status.
    ///
    /// Dropping the future ends the command: it is sent SIGTERM, and its input
    /// and output are closed.
    ///
    /// # Errors
    ///
    /// When the host cannot be reached or trusted, does not let us in, breaks
    /// off, prints more than the command allows or takes longer. A command that
    /// ran and failed is no error here; see [`RemoteOutput::checked`].
    async fn run(
        &self,
        target: &HostTarget,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, SshError>;

    /// Forgets the connections to a host whose machine is another one now.
    fn forget(&self, _hostname: &str) {}

    /// Hangs up everywhere. What still runs on hosts is ended.
    async fn close(&self) {}
}
