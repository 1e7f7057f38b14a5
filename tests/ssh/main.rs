//! The lab: a router and two workers as hosts of their own in network
//! namespaces, each with a real sshd over an overlay of the machine's root.
//!
//! `ip`, `nft`, `sysctl`, sshd and files are real. Tailscale, the kubelet, the
//! package manager and systemd are stand-ins that note what they are told; the
//! cloud, the tailnet and the cluster are the sandbox's. What a host is told over
//! SSH the sandbox's picture of that host is told too, so that devices appear in
//! the tailnet and Nodes in the cluster.
//!
//! `cargo test --test ssh -- --ignored` runs it: as root on Linux, each test in
//! namespaces of its own that go when it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod harness;

mod bridge;
mod lab;
mod machine;
mod namespaces;
mod network;

mod apply;
mod by_hand;
mod connections;
mod hostile;
mod reboot;
mod scripts;
mod secrets;
