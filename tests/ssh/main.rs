//! The lab: a router and two workers as hosts in network namespaces, each with a real sshd and an
//! overlay of the machine's root file system.
//!
//! `ip`, `nft`, `sysctl`, sshd and files are real. Tailscale, the kubelet, the package manager and
//! systemd are stub programs that log their arguments. Cloud, tailnet and cluster are emulated by
//! the sandbox. Every change of a host over SSH is also made on the sandbox's emulated host, so
//! that devices appear in the tailnet and Nodes in the cluster.
//!
//! Run it with `cargo test --test ssh -- --ignored`, as root on Linux. Each test uses its own
//! namespaces, which are deleted when it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod harness;
#[path = "../e2e/refresh_options.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod refresh_options;

#[path = "../machines/isolation.rs"]
mod isolation;
#[path = "../machines/machine.rs"]
mod machine;

mod bridge;
mod lab;
mod namespaces;
mod network;

mod apply;
mod by_hand;
mod connections;
mod hostile;
mod reboot;
mod scripts;
mod secrets;
