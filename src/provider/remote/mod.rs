//! What the typed work on hosts is on a real one: scripts for a POSIX shell, and
//! what their answers mean.
//!
//! Nothing here opens a connection. A script comes out, is run as root by whoever
//! can reach the host, and what it printed goes in again:
//!
//! - [`router_probe`] and [`worker_probe`] read and change nothing; their one line
//!   of JSON goes to [`parse_router_probe`] and [`parse_worker_probe`].
//! - [`router_change`] and [`worker_step`] do what the contract in
//!   [`super::host`] says; running one twice is running it once.
//!
//! What stargate leaves on a host lies in `/etc/stargate` and in files elsewhere
//! whose first line says so and names the topology. A file without that line is
//! never overwritten, one of another topology neither. Kernel routes and rules
//! carry a protocol number of their own, the firewall is a table of its own.

mod answer;
mod files;
mod kernel;
mod quote;
mod router;
mod script;
#[cfg(test)]
mod shellcheck;
#[cfg(test)]
mod test_answer;
mod worker;

use std::time::Duration;

use super::host::{RouterChange, RouterProbe, WorkerProbe, WorkerStep};
use super::secret::Secret;
use crate::resource::host::KernelRoute;

pub use answer::ProbeError;
pub use quote::quote;
pub use worker::CniRelease;

/// The device of Tailscale's tunnel.
pub const TUNNEL_DEVICE: &str = "tailscale0";
/// The priority of our rules: before Tailscale's first one, 5210, and so before
/// its table 52 at 5270.
pub const RULE_PRIORITY: u32 = 5_200;
/// The metric of our unreachable routes: any other route to the same prefix wins.
pub const UNREACHABLE_METRIC: u32 = KernelRoute::UNREACHABLE_METRIC;
/// The name of our CNI configuration: it sorts before the `05-cilium.conflist`
/// that azure-cns may write, and containerd takes the first.
pub const CNI_FILE: &str = "00-stargate.conflist";
/// No script prints more bytes than this; who gets more has another host before
/// him than he thinks. A router of a cluster of 5,000 nodes stays below it.
pub const MAX_OUTPUT: usize = 8 << 20;

/// A script for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostScript {
    /// What it does, in a few words, for logs and errors.
    pub label: &'static str,
    /// Its text, for a POSIX shell of root. It holds no secret. Its commands are
    /// functions up to the last line, so that half of it does nothing.
    pub script: String,
    /// What it reads from its standard input. A script with none reads nothing.
    pub stdin: Option<Secret>,
    /// The longest that it may take.
    pub timeout: Duration,
}

impl HostScript {
    /// The same, which does nothing on a host that gives itself another name.
    #[must_use]
    pub fn only_on(mut self, hostname: &str) -> Self {
        let hostname = hostname.to_ascii_lowercase();
        self.script = format!("only_on={}\n{}", quote(&hostname), self.script);
        self
    }
}

/// A look at a router.
pub fn router_probe() -> HostScript {
    router::probe::script()
}

/// What a look at a router found.
///
/// # Errors
///
/// The answer is none, or comes from another host than was meant.
pub fn parse_router_probe(target_hostname: &str, stdout: &str) -> Result<RouterProbe, ProbeError> {
    router::probe::parse(target_hostname, stdout)
}

/// A change of a router of this topology.
pub fn router_change(topology: &str, change: &RouterChange) -> HostScript {
    router::change(topology, change)
}

/// A look at a worker.
pub fn worker_probe() -> HostScript {
    worker::probe::script()
}

/// What a look at a worker found.
///
/// # Errors
///
/// The answer is none, or comes from another host than was meant.
pub fn parse_worker_probe(target_hostname: &str, stdout: &str) -> Result<WorkerProbe, ProbeError> {
    worker::probe::parse(target_hostname, stdout)
}

/// A step of the bootstrap of a worker of this topology.
pub fn worker_step(topology: &str, step: &WorkerStep) -> HostScript {
    worker::step(topology, step)
}
