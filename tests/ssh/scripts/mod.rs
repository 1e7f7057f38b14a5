//! Runs the scripts for hosts with a real shell on a temporary host: its own network, mount and
//! host-name namespaces, with the machine's `ip`, `nft` and `sysctl`, and stub programs for
//! Tailscale, systemd and package sources that log their arguments.
//!
//! If such namespaces cannot be created (not root, or not Linux), the tests print SKIPPED and pass.

mod host;
mod over_ssh;
mod router;
mod worker;
