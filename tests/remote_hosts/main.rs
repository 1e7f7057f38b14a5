//! The scripts for hosts, run by a real shell on a host that is made for it: a
//! network, mount and host-name namespace of its own, with the machine's own `ip`,
//! `nft` and `sysctl`, and stand-ins for Tailscale, systemd and package sources
//! that note what they were told.
//!
//! Where such namespaces cannot be made (not root, or not Linux), the tests say
//! SKIPPED and pass.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod host;
mod over_ssh;
mod router;
mod worker;
