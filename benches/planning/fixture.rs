//! Topologies of any size, live state that matches them, and their plans.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use stargate::desired::facts::{AksNode, AssignedAddresses, ClusterFacts, NodeSubnet};
use stargate::desired::{DesiredSet, Facts, build};
use stargate::inventory::Inventory;
use stargate::plan::preflight::TailnetFacts;
use stargate::plan::{Plan, PlanOptions, PlanningInput, plan};
use stargate::resource::azure::NextHop;
use stargate::resource::ownership::SiteName;
use stargate::resource::{ArmId, Kind, ObjectKey, Observable, Ownership, Pending, Resource, Site};
use stargate::topology::load::load_text;
use stargate::topology::model::{SourceAddresses, Topology};
use stargate::topology::names::{SubscriptionId, WorkerName};

/// How many datacenters of how many workers. Every second one is of VMs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) datacenters: u32,
    pub(crate) workers: u32,
    /// AKS's own nodes.
    pub(crate) nodes: u32,
}

impl Shape {
    /// The workers of a datacenter in the file: not more than the limits of Azure's tables
    /// and one AKS cluster. The others are added in memory.
    fn in_file(self) -> u32 {
        self.workers.min(122).min(4_880 / self.datacenters)
    }
}

/// How many objects of each kind the case with few changes lacks, has changed
/// or has left over.
const FEW: usize = 5;
const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";
const NODE_GROUP: &str = "MC_large_large_canadacentral";

/// The cluster's part of a file.
const HEAD: &str = r#"[stargate]
name = "large"
[azure]
location = "canadacentral"
[cluster]
name = "large"
resource_group = "large"
kubernetes_version = "1.33.5"
pod_cidr = "10.128.0.0/10"
service_cidr = "10.0.0.0/16"
[cluster.node_pools.system]
count = 5
vm_size = "Standard_D4s_v5"
[cluster.router]
name = "large-router"
subnet_cidr = "10.237.0.0/24"
vm_size = "Standard_D4s_v5"
[profiles.standard]
kubernetes_version = "1.33.5"
"#;

/// A topology and its live state.
pub(crate) struct Fixture {
    pub(crate) topology: Topology,
    pub(crate) facts: Facts,
    pub(crate) desired: DesiredSet,
    /// Everything as it is desired.
    pub(crate) inventory: Inventory,
    /// The same with a few differences.
    pub(crate) drifted: Inventory,
    /// Nothing.
    pub(crate) empty: Inventory,
}

impl Fixture {
    pub(crate) fn new(shape: Shape) -> Result<Self, Box<dyn Error>> {
        Self::with_sources(shape, SourceAddresses::Masquerade)
    }

    /// A network whose routers translate or preserve source addresses.
    pub(crate) fn with_sources(
        shape: Shape,
        sources: SourceAddresses,
    ) -> Result<Self, Box<dyn Error>> {
        let mut topology = topology(shape)?;
        topology.network.source_addresses = sources;
        let mut facts = facts(&topology, shape.nodes);
        let desired = build(&topology, &facts)?;
        facts.assigned = held(&desired);
        let inventory = everything(&desired);
        let drifted = drifted(&desired);
        Ok(Self { topology, facts, desired, inventory, drifted, empty: Inventory::default() })
    }

    /// A network that begins to preserve sources: its routers still hide them, and
    /// the table of AKS's nodes lacks the routes that answers need. Other objects
    /// that packets depend on are drifted too, until so many are to be changed.
    pub(crate) fn preserving(shape: Shape, changes: usize) -> Result<Self, Box<dyn Error>> {
        let fixture = Self::with_sources(shape, SourceAddresses::Preserve)?;
        let drifted = hiding(&fixture.desired, changes);
        Ok(Self { drifted, ..fixture })
    }
}

/// A file of that shape: `10.1.0.0/16` and on for the datacenters' networks,
/// `10.130.0.0` and on for their pods, a /26 each.
pub(crate) fn topology_text(shape: Shape) -> String {
    let mut text = HEAD.to_owned();
    let slots = (shape.workers + 1).next_power_of_two();
    let pool_size = slots * 64;
    for index in 0..shape.datacenters {
        let network = index + 1;
        let pool = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 130, 0, 0)) + index * pool_size);
        let length = pool_size.leading_zeros() + 1;
        let count = shape.in_file();
        let site = match index % 2 {
            0 => format!(
                "[datacenters.dc{index:03}.azure]\nresource_group = \"large-dc{index:03}\"\n\
                 vnet_cidr = \"10.{network}.0.0/16\"\nsubnet_cidr = \"10.{network}.16.0/20\"\n\
                 router_subnet_cidr = \"10.{network}.0.0/24\"\nvm_size = \"Standard_D4s_v5\"\n\
                 [datacenters.dc{index:03}.router]\nname = \"dc{index:03}-router\"\n"
            ),
            _ => format!(
                "[datacenters.dc{index:03}.existing]\nnetwork_cidr = \"10.{network}.0.0/16\"\n\
                 [datacenters.dc{index:03}.router]\nname = \"dc{index:03}-router\"\n\
                 ip = \"10.{network}.0.4\"\nssh_address = \"192.168.0.{network}\"\n"
            ),
        };
        // Writing to a text cannot fail.
        let _written = write!(
            text,
            "[datacenters.dc{index:03}]\npod_pool = \"{pool}/{length}\"\npod_prefix_length = 26\n\
             profile = \"standard\"\n{site}[datacenters.dc{index:03}.worker_range]\n\
             name = \"dc{index:03}-worker-{{:04}}\"\ncount = {count}\n\
             first_ip = \"10.{network}.16.5\"\n"
        );
    }
    text
}

/// The file's topology, widened where one file could not ask for as much.
fn topology(shape: Shape) -> Result<Topology, Box<dyn Error>> {
    let loaded = load_text("large.toml", &topology_text(shape));
    let mut topology = loaded.map_err(|found| format!("{:?}", found.list))?.topology;
    for datacenter in &mut topology.datacenters {
        let Some(last) = datacenter.workers.last().cloned() else { continue };
        for (number, step) in (shape.in_file() + 1..=shape.workers).zip(1..) {
            let mut worker = last.clone();
            worker.name = WorkerName::new(format!("{}-worker-{number:04}", datacenter.name));
            worker.ip = last.ip.map(|ip| Ipv4Addr::from(u32::from(ip) + step));
            datacenter.workers.push(worker);
        }
    }
    Ok(topology)
}

/// The facts once the cluster exists and every router has joined.
fn facts(topology: &Topology, nodes: u32) -> Facts {
    let routers = topology.datacenters.iter().map(|datacenter| &datacenter.router.name);
    let routers = routers.chain([&topology.cluster.router.name]);
    Facts {
        nodes_without_pod_cidr: Vec::new(),
        subscription: SubscriptionId::new(SUBSCRIPTION),
        ssh_public_key: "ssh-ed25519 AAAA".to_owned(),
        cluster: Some(cluster_facts(topology)),
        nodes: (0..nodes)
            .map(|index| AksNode {
                name: format!("aks-system-12345678-vmss{index:06}"),
                address: Ipv4Addr::from_bits(0x0ae0_0004 + index),
                pod_cidr: range(0x0a80_0000 + index * 256, 24),
                pool: Some("system".to_owned()),
            })
            .collect(),
        departed: BTreeMap::new(),
        present_routers: BTreeMap::new(),
        request: None,
        unauthorized_routers: BTreeMap::new(),
        router_addresses: routers
            .zip(0x6440_0001_u32..)
            .map(|(name, address)| (name.to_string(), Ipv4Addr::from_bits(address)))
            .collect(),
        egress_addresses: BTreeMap::new(),
        assigned: BTreeMap::new(),
        joined: BTreeMap::new(),
        offered_versions: None,
        upgrade_patches: false,
        today: Default::default(),
    }
}

fn range(address: u32, length: u8) -> ipnet::Ipv4Net {
    ipnet::Ipv4Net::new_assert(Ipv4Addr::from_bits(address), length)
}

fn cluster_facts(topology: &Topology) -> ClusterFacts {
    let group = ArmId::resource_group(SUBSCRIPTION, NODE_GROUP);
    let network = group.in_group("Microsoft.Network/virtualNetworks", "aks-vnet-1");
    let nodes_prefix = range(0x0ae0_0000, 16);
    ClusterFacts {
        node_resource_group: NODE_GROUP.to_owned(),
        node_group_locked: false,
        node_subnets: vec![NodeSubnet {
            id: network.child("subnets", "aks-subnet"),
            prefix: nodes_prefix,
            security_group: None,
            foreign_route_table: None,
        }],
        virtual_network: network,
        network_location: topology.azure.location.to_string(),
        address_prefixes: vec![range(0x0ae0_0000, 12)],
        subnets: BTreeMap::from([("aks-subnet".to_owned(), nodes_prefix)]),
        pod_cidr: topology.cluster.pod_cidr,
        service_cidr: topology.cluster.service_cidr,
        dns_service_ip: Ipv4Addr::new(10, 0, 0, 10),
        version: topology.cluster.kubernetes_version,
        support_plan: None,
        fqdn: "large.hcp.canadacentral.azmk8s.io".to_owned(),
        private: false,
        has_public_name: true,
        authorized_ranges: Vec::new(),
        stopped: false,
        node_pools: BTreeMap::new(),
    }
}

/// The addresses that a refresh would find.
fn held(desired: &DesiredSet) -> BTreeMap<WorkerName, AssignedAddresses> {
    let workers = desired.iter().filter_map(|desired| match &desired.resource {
        Resource::Worker(worker) => Some(worker),
        _ => None,
    });
    workers
        .map(|worker| {
            let held = AssignedAddresses {
                ip: Some(worker.ip),
                pod_cidr: Some(worker.pod_cidr),
                kubelet_version: Some(worker.kubelet_version),
            };
            (WorkerName::new(&worker.name), held)
        })
        .collect()
}

fn ours(site: &Site) -> Ownership {
    Ownership::Ours { site: SiteName::from(site) }
}

/// A deployment in its desired state. Facts of the workers' hosts are unknown, as in a plan
/// without `--deep`.
fn everything(desired: &DesiredSet) -> Inventory {
    let mut inventory = Inventory::default();
    for desired in desired.iter() {
        let Some(key) = desired.key.clone() else { continue };
        let mut resource = decoded(&desired.resource);
        if let Resource::Worker(worker) = &mut resource {
            worker.host = Observable::unobserved();
        }
        inventory.note(key, resource, ours(&desired.address.site));
    }
    inventory
}

/// A value of its own, as a service's answer is decoded: it shares nothing with the desired one.
fn decoded(resource: &Resource) -> Resource {
    let text = serde_json::to_value(resource);
    text.and_then(serde_json::from_value).unwrap_or_else(|_| resource.clone())
}

/// Some workers are missing, some machines have another size, a table lost a
/// route, and some Servers are left over.
fn drifted(desired: &DesiredSet) -> Inventory {
    let missing: BTreeSet<&str> = desired
        .iter()
        .filter(|desired| desired.address.kind == Kind::Worker)
        .map(|desired| desired.address.name.as_str())
        .take(FEW)
        .collect();
    let mut inventory = Inventory::default();
    for (key, observed) in everything(desired).iter() {
        let is_missing = match &observed.resource {
            Resource::Worker(worker) => missing.contains(worker.name.as_str()),
            Resource::CiliumNode(node) => missing.contains(node.name.as_str()),
            _ => false,
        };
        if !is_missing {
            inventory.note(key.clone(), observed.resource.clone(), observed.ownership.clone());
        }
    }
    let of_kind = |kind| desired.iter().filter(move |desired| desired.address.kind == kind);
    let machines = of_kind(Kind::VirtualMachine).take(FEW).chain(of_kind(Kind::RouteTable).take(1));
    for desired in machines.chain(of_kind(Kind::Server).take(FEW)) {
        let (Some(key), mut resource) = (desired.key.clone(), desired.resource.clone()) else {
            continue;
        };
        let key = drift(key, &mut resource);
        inventory.note(key, resource, ours(&desired.address.site));
    }
    inventory
}

/// Routers apply SNAT, and so many objects altogether differ from the topology.
fn hiding(desired: &DesiredSet, changes: usize) -> Inventory {
    let mut inventory = everything(desired);
    let order = |kind: Kind| match kind {
        Kind::RouterHost => 0,
        Kind::RouteTable => 1,
        Kind::ApprovedRoutes => 2,
        Kind::NetworkInterface => 3,
        _ => 4,
    };
    let mut all: Vec<_> = desired.iter().filter(|it| order(it.address.kind) < 4).collect();
    all.sort_by_key(|desired| order(desired.address.kind));
    let mut left = changes;
    for desired in all {
        let (Some(key), mut resource) = (desired.key.clone(), desired.resource.clone()) else {
            continue;
        };
        if left > 0 && hide(&desired.address.name, &mut resource) {
            left -= 1;
            inventory.note(key, resource, ours(&desired.address.site));
        }
    }
    inventory
}

/// Changes an object that packets depend on.
fn hide(name: &str, resource: &mut Resource) -> bool {
    let stale = range(0x0abf_ff00, 24);
    match resource {
        Resource::RouterHost(router) => {
            (router.masquerade, router.snat_subnet_routes) = (true, true);
        }
        Resource::RouteTable(table) if name == "stargate-workers-rt" => {
            table.routes = Pending::Known(BTreeMap::new());
        }
        Resource::RouteTable(table) => {
            if let Pending::Known(routes) = &mut table.routes {
                routes.insert(stale, NextHop::None);
            }
        }
        Resource::ApprovedRoutes(routes) => {
            if let Pending::Known(prefixes) = &mut routes.prefixes {
                prefixes.insert(stale);
            }
        }
        Resource::NetworkInterface(interface) => interface.ip_forwarding = false,
        _ => return false,
    }
    true
}

/// Changes an object, or adds a copy of it that the topology does not request.
fn drift(key: ObjectKey, resource: &mut Resource) -> ObjectKey {
    match (resource, key) {
        (Resource::VirtualMachine(machine), key) => {
            machine.vm_size = "Standard_B1s".to_owned();
            key
        }
        (Resource::RouteTable(table), key) => {
            if let Pending::Known(routes) = &mut table.routes {
                routes.pop_first();
            }
            key
        }
        (Resource::Manifest(manifest), ObjectKey::Kubernetes(mut name)) => {
            name.name.push_str("-left-over");
            manifest.name.clone_from(&name.name);
            ObjectKey::Kubernetes(name)
        }
        (_, key) => key,
    }
}

/// The plan that the commands make, by the same function.
pub(crate) fn planned(fixture: &Fixture, inventory: &Inventory, destroy: bool) -> Plan {
    plan(PlanningInput {
        topology: &fixture.topology,
        options: &PlanOptions { destroy, ..PlanOptions::default() },
        facts: &fixture.facts,
        inventory,
        tailnet: &TailnetFacts::default(),
        findings: &[],
        requests: &BTreeMap::new(),
        today: jiff::civil::date(2026, 1, 2),
    })
}
