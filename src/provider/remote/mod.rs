//! Implements the typed work on hosts with scripts for a POSIX shell, and parses their output.
//!
//! Nothing here opens a connection. The caller runs a script as root on a host, and passes its
//! output back:
//!
//! - [`router_probe`] and [`worker_probe`] read and change nothing; [`parse_router_probe`] and
//!   [`parse_worker_probe`] parse their output, one line of JSON.
//! - [`router_change`] and [`worker_step`] implement the contract in [`super::host`] and are
//!   idempotent.
//!
//! Stargate's files on a host are in `/etc/stargate`, or have a first line that names stargate and
//! the topology. A file without that line, or of another topology, is never overwritten. Kernel
//! routes and rules have their own protocol number, and the firewall is a separate table.

mod files;
mod kernel;
mod output;
mod quote;
mod router;
mod script;
#[cfg(test)]
mod shellcheck;
#[cfg(test)]
mod test_probe_output;
mod worker;

use std::time::Duration;

use super::host::{RouterChange, RouterProbe, WorkerProbe, WorkerStep};
use super::secret::Secret;
use crate::resource::host::KernelRoute;

pub use output::ProbeError;
pub use quote::quote;
pub use worker::CniRelease;

/// The device of Tailscale's tunnel.
pub const TUNNEL_DEVICE: &str = "tailscale0";
/// The priority of stargate's rules: before Tailscale's first one, 5210, and so before its table 52
/// at 5270.
pub const RULE_PRIORITY: u32 = 5_200;
/// The metric of stargate's unreachable routes: any other route to the same prefix is preferred.
pub const UNREACHABLE_METRIC: u32 = KernelRoute::UNREACHABLE_METRIC;
/// The name of stargate's CNI configuration: it sorts before the `05-cilium.conflist` that
/// azure-cns may write, and containerd uses the first.
pub const CNI_FILE: &str = "00-stargate.conflist";
/// The maximum output of a script in bytes. More output means that it comes from another host. A
/// router of a cluster of 5,000 nodes stays below it.
pub const MAX_OUTPUT: usize = 8 << 20;

/// A script for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostScript {
    /// A short description for logs and errors.
    pub label: &'static str,
    /// The text, for a POSIX shell of root. It contains no secret. Except for its last line it only
    /// defines functions, so a truncated script does nothing.
    pub script: String,
    /// The standard input. A script without one reads nothing.
    pub stdin: Option<Secret>,
    /// The maximum duration.
    pub timeout: Duration,
}

impl HostScript {
    /// The same script, which fails without effect on a host of another name.
    #[must_use]
    pub fn only_on(mut self, hostname: &str) -> Self {
        let hostname = hostname.to_ascii_lowercase();
        self.script = format!("only_on={}\n{}", quote(&hostname), self.script);
        self
    }
}

/// The script that probes a router.
pub fn router_probe() -> HostScript {
    router::probe::script()
}

/// Parses the output of a router's probe.
///
/// # Errors
///
/// The output is no probe's, or comes from another host.
pub fn parse_router_probe(target_hostname: &str, stdout: &str) -> Result<RouterProbe, ProbeError> {
    router::probe::parse(target_hostname, stdout)
}

/// The script for a change of a router of this topology.
pub fn router_change(topology: &str, change: &RouterChange) -> HostScript {
    router::change(topology, change)
}

/// The script that probes a worker.
pub fn worker_probe() -> HostScript {
    worker::probe::script()
}

/// Parses the output of a worker's probe.
///
/// # Errors
///
/// The output is no probe's, or comes from another host.
pub fn parse_worker_probe(target_hostname: &str, stdout: &str) -> Result<WorkerProbe, ProbeError> {
    worker::probe::parse(target_hostname, stdout)
}

/// The script for a bootstrap step of a worker of this topology.
pub fn worker_step(topology: &str, step: &WorkerStep) -> HostScript {
    worker::step(topology, step)
}
