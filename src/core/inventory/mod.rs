//! The observed live state.

mod foreign_node;
mod foreign_peer;
mod gaps;
mod measurement;
pub mod readiness;
mod service;
pub mod subscription;
mod table_route;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::diagnostics::Failure;
use crate::resource::foreign_rule::ForeignRule;
use crate::resource::{self, ArmId, ObjectKey, Ownership, Resource, Site};

pub use foreign_node::ForeignNode;
pub use foreign_peer::ForeignPeer;
pub use measurement::{GoldpingerPod, Measurement, PingFailure, PingResult};
pub use service::{Endpoint, KubernetesService, Readiness, ServicePort, TransportProtocol};
pub use table_route::TableRoute;

/// Live state, as far as it could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    objects: BTreeMap<ObjectKey, Observed>,
    gaps: gaps::Gaps,
    /// Machines that may still be booting: the objects that come with them are expected.
    pub recently_created: BTreeSet<ObjectKey>,
    /// Objects of the topology that Azure is deleting: they are absent for a plan, whose steps
    /// wait until they are gone.
    pub being_deleted: BTreeSet<ObjectKey>,
    /// Workers whose last work failed, by their names.
    pub failed_before: BTreeSet<String>,
    /// Resource groups of ours that hold objects without our mark.
    pub foreign_contents: BTreeMap<ObjectKey, Vec<String>>,
    /// Containers of ours whose contents the credentials may not list, with the refusal.
    pub unlisted_contents: BTreeMap<ObjectKey, Failure>,
    /// Kernel routes of others on hosts, by prefix and metric, as they are shown.
    pub foreign_routes: BTreeMap<ObjectKey, BTreeMap<(Ipv4Net, u32), String>>,
    /// The routes of route tables that the topology does not own.
    pub table_routes: BTreeMap<ObjectKey, Vec<TableRoute>>,
    /// The subnets of AKS nodes that such a table names itself, by table.
    pub tables_on_nodes: BTreeMap<ObjectKey, BTreeSet<ArmId>>,
    /// Nodes of the cluster that neither AKS nor the topology made.
    pub foreign_nodes: Vec<ForeignNode>,
    /// Devices of others in the tailnet that serve prefixes.
    pub foreign_peers: Vec<ForeignPeer>,
    /// Rules of others on hosts that select packets of the topology, by host name.
    pub foreign_rules: BTreeMap<String, Vec<ForeignRule>>,
    /// The addresses of the interfaces of routers that were probed, by host name.
    pub router_interfaces: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Routers that refuse connections from the tailnet.
    pub blocks_incoming: BTreeSet<String>,
    /// Routers whose keys other devices do not accept, because of tailnet lock.
    pub locked_out: BTreeSet<String>,
    /// Routers whose node key has expired, by name.
    pub expired_keys: BTreeSet<String>,
    /// The prefixes for which Tailscale selects a router, by the router's name; without
    /// routers whose hosts could not be read.
    pub primary_routes: BTreeMap<String, BTreeSet<Ipv4Net>>,
}

/// One object as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Its value.
    pub resource: Resource,
    /// The owner.
    pub ownership: Ownership,
}

impl Observed {
    /// The site that the mark of an object of ours names.
    pub fn site(&self) -> Option<Site> {
        self.ownership.site().map(Site::from)
    }
}

/// Where facts come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Azure Resource Manager.
    Azure,
    /// The Tailscale API.
    Tailscale,
    /// The cluster's API server.
    Kubernetes,
    /// A host, by its name.
    Host(String),
}

impl Source {
    /// Where the objects of a service are read; on a host, of that name.
    pub fn of(service: &resource::Service, host: &str) -> Self {
        match service {
            resource::Service::Azure(_) | resource::Service::AzureProperty(_) => Self::Azure,
            resource::Service::Tailnet => Self::Tailscale,
            resource::Service::Kubernetes(_) => Self::Kubernetes,
            resource::Service::Host => Self::Host(host.to_owned()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Azure => formatter.write_str("Azure"),
            Self::Tailscale => formatter.write_str("Tailscale"),
            Self::Kubernetes => formatter.write_str("Kubernetes"),
            Self::Host(name) => write!(formatter, "host {name}"),
        }
    }
}

/// A source, or a part of one, that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The source.
    pub source: Source,
    /// The unread part, and the reason.
    pub failure: Failure,
    /// True if something else in the plan explains it: a router that is offline
    /// cannot be probed.
    pub explained: bool,
    /// True if other parts of the source could be read.
    #[serde(default)]
    pub in_part: bool,
}

impl Gap {
    /// The unread part in words, as in `part of Azure`.
    pub fn subject(&self) -> String {
        let of = if self.in_part { "part of " } else { "" };
        format!("{of}{}", self.source)
    }
}

impl Inventory {
    /// Notes an object.
    pub fn note(&mut self, key: ObjectKey, resource: Resource, ownership: Ownership) {
        self.objects.insert(key, Observed { resource, ownership });
    }

    /// Removes the objects for whose keys `retain` returns false.
    pub fn retain(&mut self, retain: impl Fn(&ObjectKey) -> bool) {
        self.objects.retain(|key, _| retain(key));
    }

    /// The object at a key.
    pub fn get(&self, key: &ObjectKey) -> Option<&Observed> {
        self.objects.get(key)
    }

    /// The topology's routes in a route table of another owner.
    pub fn routes_of(&self, table: &ObjectKey) -> impl Iterator<Item = (&ObjectKey, &Observed)> {
        let id = match table {
            ObjectKey::Azure(id) => Some(id.clone()),
            _ => None,
        };
        let first = id.clone().map(|id| ObjectKey::Azure(ArmId::new(format!("{id}/"))));
        let below = first.into_iter().flat_map(|first| self.objects.range(first..));
        below.take_while(move |(key, _)| match (key, &id) {
            (ObjectKey::Azure(key), Some(id)) => key.is_inside(id),
            _ => false,
        })
    }

    /// All objects in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Observed)> {
        self.objects.iter()
    }
}
