//! The doors to the outside: Azure, the tailnet, the cluster, the hosts.
//!
//! Everything but hosts speaks HTTP through one seam, [`http::Transport`]. The
//! real clients stand on top of it, so that a test or a simulation replaces the
//! wire and nothing else. Hosts are spoken to over SSH, through [`ssh::Shell`].

pub mod access;
pub mod azure;
pub mod clients;
pub mod cluster;
pub mod credentials;
pub mod error;
pub mod host;
pub mod host_error;
pub mod http;
pub mod http_client;
pub mod limits;
pub mod printable;
pub mod read_write;
mod refusal;
pub mod remote;
pub mod reqwest_transport;
pub mod retry;
#[cfg(test)]
pub(crate) mod scripted;
pub mod secret;
pub mod ssh;
pub mod ssh_hosts;
pub mod tailnet;
