//! The table of `routes`, out of one look at the world.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ipnet::Ipv4Net;

use crate::desired::allocate;
use crate::inventory::Inventory;
use crate::net::prefix::TAILNET_RANGE;
use crate::pipeline::Planned;
use crate::render::table::{Cell, RouteRow, RoutesTable};
use crate::resource::{Kind, ObjectKey, Pending, Resource};
use crate::topology::model::{Site, Topology};

/// A station on a packet's way that must know a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Azure,
    Advertised,
    Approved,
    Cilium,
    Kernel,
}

/// Whose tables hold each prefix, and where those send it.
#[derive(Debug, Default)]
struct Holders(BTreeMap<(Layer, Ipv4Net), BTreeMap<String, String>>);

impl Holders {
    fn note(&mut self, name: &str, resource: &Resource) {
        let plain = |prefix: &Ipv4Net| (*prefix, String::new());
        let (layer, held): (_, Vec<(Ipv4Net, String)>) = match resource {
            Resource::RouteTable(table) => (Layer::Azure, hops(&table.routes)),
            Resource::RouterHost(host) => (Layer::Kernel, hops(&host.kernel_routes)),
            Resource::AdvertisedRoutes(set) => (Layer::Advertised, members(&set.prefixes)),
            Resource::ApprovedRoutes(set) => (Layer::Approved, members(&set.prefixes)),
            Resource::CiliumNode(node) => {
                (Layer::Cilium, node.pod_cidrs.iter().map(plain).collect())
            }
            _ => return,
        };
        for (prefix, hop) in held {
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

/// What should hold each prefix, and what was seen to.
struct Tables<'a> {
    wanted: Holders,
    seen: Holders,
    inventory: &'a Inventory,
}

impl<'a> Tables<'a> {
    fn of(planned: &'a Planned) -> Self {
        let inventory = &planned.observation.inventory;
        let (mut wanted, mut seen) = (Holders::default(), Holders::default());
        for resource in planned.plan.desired().iter() {
            wanted.note(&resource.address.name, &resource.resource);
        }
        for (key, observed) in inventory.iter() {
            seen.note(key.name(), &observed.resource);
        }
        Self { wanted, seen, inventory }
    }

    /// What a layer knows of a prefix; `expected` tells whether it should know
    /// it, where what it should hold is not known to the last prefix yet.
    fn cell(&self, layer: Layer, prefix: Ipv4Net, expected: bool) -> Cell {
        let seen: BTreeMap<_, _> = self.seen.of(layer, prefix).collect();
        let (mut lacking, mut wrong) = (Vec::new(), Vec::new());
        for (name, hop) in self.wanted.of(layer, prefix) {
            match seen.get(name) {
                None => lacking.push(name.clone()),
                Some(other) if *other != hop => wrong.push(name.clone()),
                Some(_) => {}
            }
        }
        let hidden = |name: &String| self.is_hidden(layer, name);
        if !lacking.is_empty() {
            return match lacking.iter().all(hidden) {
                true => Cell::Unknown,
                false => Cell::Missing(lacking.join(", ")),
            };
        }
        match (wrong.is_empty(), seen.is_empty()) {
            (false, _) => Cell::Wrong(wrong.join(", ")),
            (true, false) => {
                Cell::Present(seen.into_keys().cloned().collect::<Vec<_>>().join(", "))
            }
            (true, true) if expected => Cell::Missing(String::new()),
            (true, true) => Cell::NotApplicable,
        }
    }

    fn is_hidden(&self, layer: Layer, name: &str) -> bool {
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

/// One row a prefix: who has it, and which layer holds it.
pub(crate) fn routes(topology: &Topology, planned: &Planned) -> RoutesTable {
    let tables = Tables::of(planned);
    let mut owners = owners(topology, planned);
    // Broad routes belong to nobody, and are missed all the same.
    for (_, prefix) in tables.wanted.0.keys() {
        owners.entry(*prefix).or_insert_with(|| PrefixOwner {
            name: broad(topology, planned, *prefix).to_owned(),
            is_worker: false,
            is_advertised: false,
            is_in_tables: false,
        });
    }
    let rows = owners
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
    RoutesTable { rows }
}

/// What a broad prefix stands for.
fn broad(topology: &Topology, planned: &Planned, prefix: Ipv4Net) -> &'static str {
    let cluster = planned.observation.facts.cluster.as_ref();
    match prefix {
        TAILNET_RANGE => "the tailnet's addresses",
        prefix if prefix == topology.cluster.pod_cidr => "all pods",
        prefix if cluster.is_some_and(|it| it.address_prefixes.contains(&prefix)) => "the AKS VNet",
        _ => "",
    }
}

struct PrefixOwner {
    name: String,
    is_worker: bool,
    is_advertised: bool,
    /// Whether a route table names it; what is in the VNet itself needs none.
    is_in_tables: bool,
}

impl PrefixOwner {
    fn new(name: String) -> Self {
        Self { name, is_worker: false, is_advertised: true, is_in_tables: true }
    }
}

/// Every prefix that is routed, and whose it is.
fn owners(topology: &Topology, planned: &Planned) -> BTreeMap<Ipv4Net, PrefixOwner> {
    let mut owners = BTreeMap::new();
    let facts = &planned.observation.facts;
    for subnet in facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets) {
        let name = format!("{} of the AKS nodes", subnet.id.name());
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
            owners.insert(pool, PrefixOwner::new(name("pods")));
        }
        for worker in &datacenter.workers {
            let Some(place) = allocation.place(&worker.name) else { continue };
            let outside = datacenter.pod_pool.is_none_or(|pool| !pool.contains(&place.pod_cidr));
            owners.insert(
                place.pod_cidr,
                PrefixOwner {
                    is_worker: true,
                    is_advertised: outside,
                    // Without a fabric its own routers alone lead to a worker.
                    is_in_tables: outside || matches!(datacenter.site, Site::Azure(_)),
                    ..PrefixOwner::new(worker.name.to_string())
                },
            );
        }
    }
    owners
}
