//! Values of the tailnet.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Address, Observable, Pending};

/// A router's device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The host name that it reports.
    pub hostname: String,
    /// Its ID in the tailnet, which never changes; any for a desired device.
    #[serde(default = "Observable::unobserved")]
    pub node_id: Observable<String>,
    /// Whether it is authorised.
    pub authorized: bool,
    /// Whether it is connected. No API call can change that.
    pub online: bool,
    /// Whether its node key never expires.
    pub key_expiry_disabled: bool,
    /// The tag that marks it as the topology's. A plan saved by an older program has none.
    #[serde(default)]
    pub tag: String,
}

impl Device {
    /// A device as a router needs it.
    pub fn in_service(hostname: &str, tag: &str) -> Self {
        Self {
            hostname: hostname.to_owned(),
            node_id: Observable::unobserved(),
            authorized: true,
            online: true,
            key_expiry_disabled: true,
            tag: tag.to_owned(),
        }
    }
}

/// Routes that a device offers, or that the tailnet accepts from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSet {
    /// The device's host name.
    pub hostname: String,
    /// Exactly these prefixes.
    pub prefixes: Pending<BTreeSet<Ipv4Net>>,
}

impl RouteSet {
    pub(super) fn awaits(&self) -> Vec<Address> {
        self.prefixes.awaited().into_iter().collect()
    }
}
