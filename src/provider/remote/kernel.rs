//! Parses the kernel's routes, which are stargate's or others' by their protocol number.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::output::{ProbeError, ProbeOutput};
use super::routing::TUNNEL_DEVICE;
use crate::provider::printable::line as printable;
use crate::resource::host::KernelRoute;
use crate::resource::ownership::ROUTE_PROTOCOL;

/// The known configuration, and whether there is more than the types can express.
#[derive(Debug, Default)]
pub(super) struct KernelState<T> {
    pub(super) known: T,
    /// There is an unexpected route or rule with stargate's protocol number: in another table, a
    /// duplicate, or with another next hop. Setting the configuration again removes it.
    pub(super) unexpected: bool,
}

/// A route of `ip -j route show`, which omits the protocol if it was part of the query.
#[derive(Debug, Deserialize)]
pub(super) struct Route {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) dst: String,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) dev: Option<String>,
    table: Option<String>,
    protocol: Option<String>,
    #[serde(default)]
    metric: u32,
}

impl Route {
    fn prefix(&self) -> Option<Ipv4Net> {
        if self.dst == "default" {
            return Some(Ipv4Net::default());
        }
        let host = || self.dst.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
        self.dst.parse().ok().or_else(host)
    }

    /// The route in the syntax of `ip`, without control characters.
    fn rendered(&self) -> String {
        let mut words = vec![self.dst.clone()];
        let mut add = |name: &str, value: Option<String>| {
            words.extend(value.into_iter().flat_map(|value| [name.to_owned(), value]));
        };
        add("type", self.kind.clone().filter(|kind| kind != "unicast"));
        add("via", self.gateway.map(|gateway| gateway.to_string()));
        add("dev", self.dev.clone());
        add("proto", self.protocol.clone());
        add("metric", (self.metric != 0).then(|| self.metric.to_string()));
        printable(&words.join(" "))
    }

    fn hop(&self) -> Option<KernelRoute> {
        let kind = self.kind.as_deref().unwrap_or("unicast");
        match (kind, self.gateway, self.dev.as_deref()) {
            _ if self.table.as_deref().is_some_and(|table| table != "main") => None,
            ("unreachable", _, _) => Some(KernelRoute::Unreachable),
            ("unicast", Some(hop), _) => Some(KernelRoute::Via(hop)),
            ("unicast", None, Some(TUNNEL_DEVICE)) => Some(KernelRoute::Tunnel),
            _ => None,
        }
    }
}

/// Routes with other protocol numbers in table main, by prefix and metric.
pub(super) fn routes_of_others(
    output: &ProbeOutput,
) -> Result<BTreeMap<(Ipv4Net, u32), String>, ProbeError> {
    let ours = ROUTE_PROTOCOL.to_string();
    let routes: Vec<Route> = output.json("main_table")?.unwrap_or_default();
    let others = routes.into_iter().filter(|route| route.protocol.as_ref() != Some(&ours));
    Ok(others
        .filter_map(|route| Some(((route.prefix()?, route.metric), route.rendered())))
        .collect())
}

/// The prefixes of a host's own segments: of the routes that the kernel itself added for
/// the addresses of interfaces.
pub(super) fn on_link(output: &ProbeOutput) -> Result<BTreeSet<Ipv4Net>, ProbeError> {
    let routes: Vec<Route> = output.json("main_table")?.unwrap_or_default();
    let own = routes
        .iter()
        .filter(|route| route.gateway.is_none() && route.protocol.as_deref() == Some("kernel"));
    Ok(own.filter_map(Route::prefix).collect())
}

/// Routes with stargate's protocol number in table main.
pub(super) fn kernel_routes(
    output: &ProbeOutput,
) -> Result<KernelState<BTreeMap<Ipv4Net, KernelRoute>>, ProbeError> {
    if !output.has("routes") {
        return Err(ProbeError::Lacks("ip"));
    }
    // Without any route `ip` prints an empty list, or nothing.
    let routes: Vec<Route> = output.json("routes")?.unwrap_or_default();
    let mut lowest: BTreeMap<Ipv4Net, (u32, KernelRoute)> = BTreeMap::new();
    let mut unexpected = false;
    for route in routes {
        let (Some(prefix), Some(hop)) = (route.prefix(), route.hop()) else {
            unexpected = true;
            continue;
        };
        unexpected |= route.metric != hop.metric();
        match lowest.entry(prefix) {
            Entry::Vacant(entry) => {
                entry.insert((route.metric, hop));
            }
            // The kernel prefers the lower metric.
            Entry::Occupied(mut entry) => {
                unexpected = true;
                if route.metric < entry.get().0 {
                    entry.insert((route.metric, hop));
                }
            }
        }
    }
    let known = lowest.into_iter().map(|(prefix, (_, hop))| (prefix, hop)).collect();
    Ok(KernelState { known, unexpected })
}
