//! The scripts for hosts, run by a real shell on a host that is made for it: a
//! network, mount and host-name namespace of its own, with the machine's own `ip`,
//! `nft` and `sysctl`, and stand-ins for Tailscale, systemd and package sources
//! that note what they were told.
//!
//! Where such namespaces cannot be made (not root, or not Linux), the tests say
//! SKIPPED and pass.

mod host;
mod over_ssh;
mod router;
mod worker;
