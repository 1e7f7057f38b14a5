//! Computes the table of `routes` from one refresh.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ipnet::Ipv4Net;

use crate::desired::allocate;
use crate::inventory::Inventory;
use crate::net::prefix::TAILNET_RANGE;
use crate::pipeline::Planned;
use crate::render::table::{Cell, RouteRow, RoutesTable};
use crate::resource::{Kind, ObjectKey, Pending, Resource};
use crate::topology::model::{DatacenterKind, Topology};

/// A layer of routing that must have a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Azure,
    Advertised,
    Approved,
    Cilium,
    Kernel,
}

/// The tables that have each prefix, and their next hops.
#[derive(Debug, Default)]
struct PrefixTables(BTreeMap<(Layer, Ipv4Net), BTreeMap<String, String>>);

impl PrefixTables {
    fn add(&mut self, name: &str, resource: &Resource) {
        let plain = |prefix: &Ipv4Net| (*prefix, String::new());
        let (layer, prefixes): (_, Vec<(Ipv4Net, String)>) = match resource {
            Resource::RouteTable(table) => (Layer::Azure, hops(&table.routes)),
            Resource::Route(route) => {
                (Layer::Azure, vec![(route.address_prefix, format!("{:?}", route.next_hop))])
            }
            Resource::RouterHost(host) => (Layer::Kernel, hops(&host.kernel_routes)),
            Resource::AdvertisedRoutes(set) => (Layer::Advertised, members(&set.prefixes)),
            Resource::ApprovedRoutes(set) => (Layer::Approved, members(&set.prefixes)),
            Resource::CiliumNode(node) => {
                (Layer::Cilium, node.pod_cidrs.iter().map(plain).collect())
            }
            _ => return,
        };
        for (prefix, hop) in prefixes {
            self.0.entry((layer, prefix)).or_default().insert(name.to_owned(), hop);
        }
    }

    fn of(&self, layer: Layer, prefix: Ipv4Net) -> impl Iterator<Item = (&String, &String)> {
        self.0.get(&(layer, prefix)).into_iter().flatten()
    }
}

fn hops<V: Debug>(map: &Pending<BTreeMap<Ipv4Net, V>>) -> Vec<(Ipv4Net, String)> {
    let known = map.known().into_iter().flatten();
    known.map(|(prefix, hop)| (*prefix, format!("{hop:?}"))).collect()
}

fn members(set: &Pending<BTreeSet<Ipv4Net>>) -> Vec<(Ipv4Net, String)> {
    set.known().into_iter().flatten().map(|prefix| (*prefix, String::new())).collect()
}

/// The desired and the live tables.
struct Tables<'a> {
    desired: PrefixTables,
    live: PrefixTables,
    inventory: &'a Inventory,
}

impl<'a> Tables<'a> {
    fn of(planned: &'a Planned) -> Self {
        let inventory = &planned.observation.inventory;
        let (mut desired, mut live) = (PrefixTables::default(), PrefixTables::default());
        for resource in planned.plan.desired().iter() {
            desired.add(&resource.address.name, &resource.resource);
        }
        for (key, observed) in inventory.iter() {
            live.add(key.name(), &observed.resource);
        }
        Self { desired, live, inventory }
    }

    /// The state of a prefix in a layer. `expected` is whether the layer needs the prefix
    /// while its desired content is still pending.
    fn cell(&self, layer: Layer, prefix: Ipv4Net, expected: bool) -> Cell {
        let live: BTreeMap<_, _> = self.live.of(layer, prefix).collect();
        let (mut missing, mut wrong) = (Vec::new(), Vec::new());
        for (name, hop) in self.desired.of(layer, prefix) {
            match live.get(name) {
                None => missing.push(name.clone()),
                Some(other) if *other != hop => wrong.push(name.clone()),
                Some(_) => {}
            }
        }
        let unread = |name: &String| self.is_unread(layer, name);
        if !missing.is_empty() {
            return match missing.iter().all(unread) {
                true => Cell::Unknown,
                false => Cell::Missing(missing),
            };
        }
        match (wrong.is_empty(), live.is_empty()) {
            (false, _) => Cell::Wrong(wrong),
            (true, false) => Cell::Present(live.into_keys().cloned().collect()),
            (true, true) if expected => Cell::Missing(Vec::new()),
            (true, true) => Cell::NotApplicable,
        }
    }

    fn is_unread(&self, layer: Layer, name: &str) -> bool {
        let (kind, key) = match layer {
            Layer::Azure => (Kind::RouteTable, None),
            Layer::Advertised => (Kind::AdvertisedRoutes, None),
            Layer::Approved => (Kind::ApprovedRoutes, None),
            Layer::Cilium => (Kind::CiliumNode, None),
            Layer::Kernel => (Kind::RouterHost, Some(ObjectKey::Host(name.to_owned()))),
        };
        self.inventory.gap_for(kind, key.as_ref()).is_some()
    }
}

/// One row for each routed prefix.
pub(crate) fn routes(topology: &Topology, planned: &Planned) -> RoutesTable {
    let tables = Tables::of(planned);
    let mut owners = owners(topology, planned);
    // Aggregate routes have no owner but are part of the tables.
    for (_, prefix) in tables.desired.0.keys() {
        owners.entry(*prefix).or_insert_with(|| PrefixOwner {
            name: aggregate_name(topology, planned, *prefix).to_owned(),
            is_worker: false,
            is_advertised: false,
            is_in_tables: false,
        });
    }
    let routes = owners
        .into_iter()
        .map(|(prefix, owner)| RouteRow {
            prefix: prefix.to_string(),
            azure: tables.cell(Layer::Azure, prefix, owner.is_in_tables),
            advertised: tables.cell(Layer::Advertised, prefix, owner.is_advertised),
            approved: tables.cell(Layer::Approved, prefix, owner.is_advertised),
            cilium_node: tables.cell(Layer::Cilium, prefix, owner.is_worker),
            kernel: tables.cell(Layer::Kernel, prefix, owner.is_advertised || owner.is_worker),
            owner: owner.name,
        })
        .collect();
    RoutesTable { routes }
}

/// The name of an aggregate prefix.
fn aggregate_name(topology: &Topology, planned: &Planned, prefix: Ipv4Net) -> &'static str {
    let cluster = planned.observation.facts.cluster.as_ref();
    match prefix {
        TAILNET_RANGE => "tailnet addresses",
        prefix if prefix == topology.cluster.pod_cidr => "cluster pod CIDR",
        prefix if cluster.is_some_and(|it| it.address_prefixes.contains(&prefix)) => "AKS VNet",
        _ => "",
    }
}

struct PrefixOwner {
    name: String,
    is_worker: bool,
    is_advertised: bool,
    /// Whether route tables need it; a VNet routes its own subnets without.
    is_in_tables: bool,
}

impl PrefixOwner {
    fn new(name: String) -> Self {
        Self { name, is_worker: false, is_advertised: true, is_in_tables: true }
    }
}

/// Every routed prefix and its owner.
fn owners(topology: &Topology, planned: &Planned) -> BTreeMap<Ipv4Net, PrefixOwner> {
    let mut owners = BTreeMap::new();
    let facts = &planned.observation.facts;
    for subnet in facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets) {
        let name = format!("AKS node subnet {}", subnet.id.name());
        let owner = PrefixOwner { is_in_tables: false, ..PrefixOwner::new(name) };
        owners.insert(subnet.prefix, owner);
    }
    for node in &facts.nodes {
        let name = node.name.clone();
        owners.insert(node.pod_cidr, PrefixOwner::new(name));
    }
    let allocation = allocate(topology, facts).unwrap_or_default();
    for datacenter in &topology.datacenters {
        let name = |what: &str| format!("{} {what}", datacenter.name);
        owners.insert(datacenter.network(), PrefixOwner::new(name("network")));
        if let Some(pool) = datacenter.pod_pool {
            owners.insert(pool, PrefixOwner::new(name("pod pool")));
        }
        for worker in &datacenter.workers {
            let Some(place) = allocation.place(&worker.name) else { continue };
            let outside = datacenter.pod_pool.is_none_or(|pool| !pool.contains(&place.pod_cidr));
            owners.insert(
                place.pod_cidr,
                PrefixOwner {
                    is_worker: true,
                    is_advertised: outside,
                    // A site without Azure route tables needs no such routes.
                    is_in_tables: outside || matches!(datacenter.kind, DatacenterKind::Azure(_)),
                    ..PrefixOwner::new(worker.name.to_string())
                },
            );
        }
    }
    owners
}
