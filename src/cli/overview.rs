//! The tables of `routes` and `status`, out of one look at the world.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use crate::desired::allocate;
use crate::execute::Planned;
use crate::plan::Inventory;
use crate::render::table::{Cell, Health, RouteRow, RoutesTable, StatusRow, StatusTable};
use crate::resource::{Address, Kind, ObjectKey, Pending, Resource};
use crate::topology::model::Topology;

/// Which tables hold each prefix, by prefix.
#[derive(Debug, Default)]
struct Holders {
    azure: BTreeMap<Ipv4Net, BTreeSet<String>>,
    advertised: BTreeMap<Ipv4Net, BTreeSet<String>>,
    approved: BTreeMap<Ipv4Net, BTreeSet<String>>,
    cilium: BTreeMap<Ipv4Net, BTreeSet<String>>,
    kernel: BTreeMap<Ipv4Net, BTreeSet<String>>,
}

impl Holders {
    fn of(inventory: &Inventory) -> Self {
        let mut holders = Self::default();
        for (key, observed) in inventory.iter() {
            let name = match key {
                ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => id.name().to_owned(),
                ObjectKey::Kubernetes(name) => name.name.clone(),
                ObjectKey::Device(name)
                | ObjectKey::DeviceAdvertised(name)
                | ObjectKey::DeviceApproved(name)
                | ObjectKey::Host(name) => name.clone(),
            };
            holders.note(&name, &observed.resource);
        }
        holders
    }

    fn note(&mut self, name: &str, resource: &Resource) {
        let (table, prefixes): (_, Vec<Ipv4Net>) = match resource {
            Resource::RouteTable(table) => (&mut self.azure, keys(&table.routes)),
            Resource::RouterHost(host) => (&mut self.kernel, keys(&host.kernel_routes)),
            Resource::AdvertisedRoutes(set) => (&mut self.advertised, members(&set.prefixes)),
            Resource::ApprovedRoutes(set) => (&mut self.approved, members(&set.prefixes)),
            Resource::CiliumNode(node) => (&mut self.cilium, node.pod_cidrs.clone()),
            _ => return,
        };
        for prefix in prefixes {
            table.entry(prefix).or_default().insert(name.to_owned());
        }
    }
}

fn keys<V>(map: &Pending<BTreeMap<Ipv4Net, V>>) -> Vec<Ipv4Net> {
    map.known().map(|map| map.keys().copied().collect()).unwrap_or_default()
}

fn members(set: &Pending<BTreeSet<Ipv4Net>>) -> Vec<Ipv4Net> {
    set.known().map(|set| set.iter().copied().collect()).unwrap_or_default()
}

/// One row a prefix: who has it, and which layer holds it.
pub(crate) fn routes(topology: &Topology, planned: &Planned) -> RoutesTable {
    let holders = Holders::of(&planned.observation.inventory);
    let rows = owners(topology, planned)
        .into_iter()
        .map(|(prefix, owner)| RouteRow {
            prefix: prefix.to_string(),
            azure: cell(&holders.azure, prefix, true),
            advertised: cell(&holders.advertised, prefix, owner.is_advertised),
            approved: cell(&holders.approved, prefix, owner.is_advertised),
            cilium_node: cell(&holders.cilium, prefix, owner.is_worker),
            kernel: cell(&holders.kernel, prefix, true),
            owner: owner.name,
        })
        .collect();
    RoutesTable { rows }
}

fn cell(holders: &BTreeMap<Ipv4Net, BTreeSet<String>>, prefix: Ipv4Net, applicable: bool) -> Cell {
    match holders.get(&prefix) {
        Some(names) => Cell::Present(names.iter().cloned().collect::<Vec<_>>().join(", ")),
        None if applicable => Cell::Missing,
        None => Cell::NotApplicable,
    }
}

struct PrefixOwner {
    name: String,
    is_worker: bool,
    is_advertised: bool,
}

/// Every prefix that is routed, and whose it is.
fn owners(topology: &Topology, planned: &Planned) -> BTreeMap<Ipv4Net, PrefixOwner> {
    let mut owners = BTreeMap::new();
    let facts = &planned.observation.facts;
    for node in &facts.nodes {
        let name = format!("AKS node {}", node.name);
        owners.insert(node.pod_cidr, PrefixOwner { name, is_worker: false, is_advertised: true });
    }
    let allocation = allocate(topology, facts).unwrap_or_default();
    for datacenter in &topology.datacenters {
        let name = |what: &str| format!("{} {what}", datacenter.name);
        let plain = |name| PrefixOwner { name, is_worker: false, is_advertised: true };
        owners.insert(datacenter.network(), plain(name("network")));
        if let Some(pool) = datacenter.pod_pool {
            owners.insert(pool, plain(name("pods")));
        }
        for worker in &datacenter.workers {
            let Some(place) = allocation.place(&worker.name) else { continue };
            let outside = datacenter.pod_pool.is_none_or(|pool| !pool.contains(&place.pod_cidr));
            owners.insert(
                place.pod_cidr,
                PrefixOwner {
                    name: worker.name.to_string(),
                    is_worker: true,
                    is_advertised: outside,
                },
            );
        }
    }
    owners
}

/// One row for the cluster, each router and each worker.
pub(crate) fn status(planned: &Planned) -> StatusTable {
    let shown = [Kind::ManagedCluster, Kind::TailnetDevice, Kind::Worker];
    let rows = planned
        .desired
        .iter()
        .filter(|resource| shown.contains(&resource.address.kind))
        .map(|resource| {
            let observed = resource
                .key
                .as_ref()
                .and_then(|key| planned.observation.inventory.get(key))
                .map(|observed| &observed.resource);
            let (health, detail) = health(planned, &resource.address, observed);
            StatusRow {
                kind: resource.address.kind.to_string(),
                name: resource.address.name.clone(),
                health,
                detail,
            }
        })
        .collect();
    StatusTable { rows }
}

fn health(planned: &Planned, address: &Address, observed: Option<&Resource>) -> (Health, String) {
    let plan = &planned.plan;
    let gap = planned.observation.inventory.gap_for(address.kind, None);
    match (observed, gap) {
        (None, Some(gap)) => (Health::Unknown, format!("{} could not be read", gap.source)),
        (None, None) => (Health::Missing, "not there yet".to_owned()),
        (Some(Resource::TailnetDevice(device)), _) if !device.online => {
            (Health::Degraded, "not connected to the tailnet".to_owned())
        }
        (Some(Resource::Worker(worker)), _) if !worker.ready => {
            (Health::Degraded, "its Node is not Ready".to_owned())
        }
        (Some(resource), _) => {
            let change = plan.changes.iter().find(|change| change.address == *address);
            match change {
                Some(change) => {
                    (Health::Degraded, format!("is to be {}", change.action.participle()))
                }
                None => (Health::Healthy, summary(resource)),
            }
        }
    }
}

fn summary(resource: &Resource) -> String {
    match resource {
        Resource::ManagedCluster(cluster) => format!("Kubernetes {}", cluster.kubernetes_version),
        Resource::TailnetDevice(_) => "connected".to_owned(),
        Resource::Worker(worker) => {
            format!("{}, pods {}, kubelet {}", worker.ip, worker.pod_cidr, worker.kubelet_version)
        }
        _ => String::new(),
    }
}
