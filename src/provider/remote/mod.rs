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
mod foreign_rules;
mod kernel;
mod output;
mod quote;
mod router;
mod routing;
mod script;
#[cfg(test)]
mod shellcheck;
#[cfg(test)]
mod test_probe_output;
mod worker;

use super::host::{RouterChange, RouterProbe, WorkerProbe, WorkerStep};

pub use output::ProbeError;
pub use quote::quote;
pub use routing::{RULE_PRIORITY, TUNNEL_DEVICE, UNREACHABLE_METRIC};
pub use script::{HostScript, MAX_OUTPUT};
pub use worker::{CNI_FILE, CniRelease};

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
