//! What a kernel has of ours: routes by their protocol number.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;

use super::TUNNEL_DEVICE;
use super::answer::{Answer, ProbeError};
use crate::provider::printable::line as printable;
use crate::resource::host::KernelRoute;
use crate::resource::ownership::ROUTE_PROTOCOL;

/// What was found, and whether there was more of ours than the contract can say.
#[derive(Debug, Default)]
pub(super) struct Kernel<T> {
    pub(super) known: T,
    /// Something of ours is there that we do not make: in another table, twice, or
    /// to somewhere else. Setting it again clears it away.
    pub(super) odd: bool,
}

/// Of `ip -j route show`; the protocol is left out where it was asked for.
#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "type")]
    kind: Option<String>,
    dst: String,
    gateway: Option<Ipv4Addr>,
    dev: Option<String>,
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

    /// As a person would type it; nothing that a terminal would take as a command.
    fn shown(&self) -> String {
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

    fn way(&self) -> Option<KernelRoute> {
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

/// Routes of others in table main, by prefix and metric.
pub(super) fn routes_of_others(
    answer: &Answer,
) -> Result<BTreeMap<(Ipv4Net, u32), String>, ProbeError> {
    let ours = ROUTE_PROTOCOL.to_string();
    let routes: Vec<Route> = answer.json("main_table")?.unwrap_or_default();
    let others = routes.into_iter().filter(|route| route.protocol.as_ref() != Some(&ours));
    Ok(others.filter_map(|route| Some(((route.prefix()?, route.metric), route.shown()))).collect())
}

/// Routes of our protocol number in table main.
pub(super) fn kernel_routes(
    answer: &Answer,
) -> Result<Kernel<BTreeMap<Ipv4Net, KernelRoute>>, ProbeError> {
    if !answer.has("routes") {
        return Err(ProbeError::Lacks("ip"));
    }
    // Without any route it prints an empty list, or nothing.
    let routes: Vec<Route> = answer.json("routes")?.unwrap_or_default();
    let mut lowest: BTreeMap<Ipv4Net, (u32, KernelRoute)> = BTreeMap::new();
    let mut odd = false;
    for route in routes {
        let (Some(prefix), Some(way)) = (route.prefix(), route.way()) else {
            odd = true;
            continue;
        };
        odd |= route.metric != way.metric();
        match lowest.entry(prefix) {
            Entry::Vacant(entry) => {
                entry.insert((route.metric, way));
            }
            // The kernel takes the lower metric.
            Entry::Occupied(mut entry) => {
                odd = true;
                if route.metric < entry.get().0 {
                    entry.insert((route.metric, way));
                }
            }
        }
    }
    let known = lowest.into_iter().map(|(prefix, (_, way))| (prefix, way)).collect();
    Ok(Kernel { known, odd })
}
