//! The doors to the outside: Azure, the tailnet, the cluster, the hosts.

pub mod host;
pub mod http;
pub mod secret;
