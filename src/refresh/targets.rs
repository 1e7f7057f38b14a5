//! From the way to a host to its address.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::plan::{HostLocation, HostRoute};
use crate::provider::host::{HostAddress, HostTarget};

/// The host and the way to it, given the tailnet addresses of routers by host
/// name. `None` if a host on the way has no address yet.
pub(crate) fn resolve(
    route: &HostRoute,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<HostTarget> {
    let jump = match &route.jump {
        Some(jump) => Some(Box::new(resolve(jump, addresses)?)),
        None => None,
    };
    let address = match &route.location {
        HostLocation::Local(address) => HostAddress::Ip(*address),
        HostLocation::Tailnet { before_joining } => match addresses.get(&route.hostname) {
            Some(address) => HostAddress::Ip(*address),
            None => HostAddress::of_text(before_joining.as_deref()?),
        },
    };
    Some(HostTarget {
        hostname: route.hostname.clone(),
        address,
        port: route.port,
        user: route.user.clone(),
        jump,
        host_key: route.host_key.clone(),
        host_keys: route.host_keys,
    })
}
