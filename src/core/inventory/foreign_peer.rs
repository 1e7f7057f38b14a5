//! Devices of the tailnet that the topology does not own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// A device that the topology does not own, and that serves prefixes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPeer {
    /// Its host name, which need not be unique.
    pub hostname: String,
    /// Its tags, by which its owner is known.
    pub tags: BTreeSet<String>,
    /// Its address in the tailnet.
    pub address: Option<Ipv4Addr>,
    /// Whether it is connected.
    pub online: bool,
    /// Prefixes that it advertises and that are approved, without default routes: only
    /// clients that chose it as their exit node use those.
    pub prefixes: BTreeSet<Ipv4Net>,
}
