//! The lab: real programs in network namespaces, and real packets between them.
//!
//! Real are the kernel with its routes, rules and nftables, sshd, tailscaled with its own devices,
//! and a control server made of Tailscale's own test server. Stand-ins, and why:
//!
//! | stand-in | reason |
//! | --- | --- |
//! | `systemctl`, `systemd-run` | the first process of a host is sshd |
//! | `apt-get`, `curl`, `gpg`, `apt-mark` | the lab works without the internet: packages are links to programs that were built for it |
//! | `sysctl`, `modprobe`, `swapoff` | they would affect the whole machine; settings of the network namespace are real |
//! | `journalctl` | there is no journal |
//! | the check of auth keys | Tailscale's test server does not make it |
//!
//! `tests/lab/run` builds the programs once and runs the lab, as root on Linux. Each test uses its
//! own namespaces, which are deleted when it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../machines/isolation.rs"]
mod isolation;
#[path = "../machines/machine.rs"]
#[expect(dead_code, reason = "other tests use all of it")]
mod machine;

mod control_server;
mod host;
mod namespaces;
mod packets;
mod programs;
mod remote;
mod trust;

mod routers;
