//! Clients of the services: Azure, Tailscale, the cluster, the hosts.
//!
//! Each API has one [`request_policy::RequestPolicy`], which holds its budget,
//! timeouts, retries and limits. The clients of Azure and Tailscale send HTTP
//! through [`http::Transport`], the client of the cluster through
//! [`kube::Client`]; tests and the sandbox replace what is below. Hosts are
//! reached over SSH, through [`ssh::Shell`].

pub mod access;
pub mod azure;
pub mod clients;
pub mod cluster;
pub mod credentials;
pub mod error;
pub mod files;
pub mod host;
pub mod host_error;
pub mod http;
pub mod http_client;
pub mod limits;
mod listing;
pub mod policy_violation;
pub mod poll;
pub mod printable;
pub mod proxy;
pub mod read_write;
mod refusal;
pub mod remote;
pub mod request_policy;
pub mod reqwest_transport;
mod response_body;
pub mod retry;
#[cfg(test)]
pub(crate) mod scripted;
pub mod secret;
pub mod service_account;
pub mod settings;
pub mod sign_in;
pub mod ssh;
pub mod ssh_hosts;
pub mod tailnet;
