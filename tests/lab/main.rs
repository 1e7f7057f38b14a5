//! The lab: real programs in network namespaces, and real packets between them.
//!
//! Real are the kernel with its routes, rules and nftables, sshd, tailscaled with its own devices,
//! and a control server made of Tailscale's own test server. Azure is the sandbox's: as its state
//! changes, virtual networks become namespaces that route, filter and translate as the fabric does,
//! and virtual machines boot as hosts that run their user data. Stand-ins, and why:
//!
//! | stand-in | reason |
//! | --- | --- |
//! | `systemctl`, `systemd-run` | the first process of a host is sshd |
//! | `apt-get`, `curl`, `gpg`, `apt-mark` | the lab works without the internet: packages are links to programs that were built for it |
//! | `sysctl`, `modprobe`, `swapoff` | they would affect the whole machine; settings of the network namespace are real |
//! | `journalctl` | there is no journal |
//! | cloud-init | it runs the user data; the rest of it serves images that are not here |
//! | the cluster, containerd, the kubelet, CNI plugins | emulated by the sandbox, at the same time as stargate's steps are made on the real host; a pod is a namespace behind its node |
//! | AKS's nodes | namespaces with the address and the pod CIDR that the sandbox assigns |
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

#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod harness;
#[path = "../e2e/refresh_options.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod refresh_options;

mod azure;
mod cloud;
mod control_server;
mod fabric;
mod host;
mod hosts;
mod namespaces;
mod operator;
mod packets;
mod programs;
mod remote;
mod security;
mod trust;
mod user_data;

mod deployment;
mod routers;
