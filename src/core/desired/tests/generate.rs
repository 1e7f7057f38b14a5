//! Topologies made at random: valid ones, written as a user would and read by
//! the real loader.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::desired::Facts;
use crate::desired::facts::{AksNode, ClusterFacts, NodeSubnet};
use crate::desired::names;
use crate::resource::ArmId;
use crate::resource::settings::SupportPlan;
use crate::topology::load::load_text;
use crate::topology::model::Topology;
use crate::topology::names::SubscriptionId;

/// The subscription of all that is made up here.
pub(crate) const SUBSCRIPTION: &str = "11111111-2222-3333-4444-555555555555";

/// A topology in a few choices.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sketch {
    pub(crate) existing_cluster: bool,
    pub(crate) protect_cluster: bool,
    pub(crate) preserve: bool,
    pub(crate) goldpinger: bool,
    pub(crate) route_manager: bool,
    pub(crate) other_router_subnet: bool,
    pub(crate) datacenters: Vec<SketchedDatacenter>,
}

/// A datacenter: one with an even number consists of VMs, one with an odd number of
/// existing machines.
#[derive(Debug, Clone, Default)]
pub(crate) struct SketchedDatacenter {
    pub(crate) number: u8,
    /// 0 as usual, 1 with its subnets swapped, 2 in another network.
    pub(crate) layout: u8,
    pub(crate) moved: bool,
    pub(crate) protect: bool,
    pub(crate) protect_router: bool,
    pub(crate) workers: Vec<SketchedWorker>,
}

/// A worker, by its number in the datacenter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SketchedWorker {
    pub(crate) number: u8,
    pub(crate) writes_ip: bool,
    pub(crate) writes_pod_cidr: bool,
    pub(crate) protect: bool,
}

fn worker(number: u8, protected: bool) -> impl Strategy<Value = SketchedWorker> {
    let protect = (0_u8..4).prop_map(move |it| protected && it == 0);
    (any::<bool>(), any::<bool>(), protect).prop_map(
        move |(writes_ip, writes_pod_cidr, protect)| SketchedWorker {
            number,
            writes_ip,
            writes_pod_cidr,
            protect,
        },
    )
}

fn workers(protected: bool) -> impl Strategy<Value = Vec<SketchedWorker>> {
    subsequence((0_u8..6).collect::<Vec<_>>(), 0..=6).prop_shuffle().prop_flat_map(move |numbers| {
        numbers.into_iter().map(|number| worker(number, protected)).collect::<Vec<_>>()
    })
}

fn datacenter(number: u8, protected: bool) -> impl Strategy<Value = SketchedDatacenter> {
    let rarely = move || (0_u8..4).prop_map(move |it| protected && it == 0);
    (0_u8..3, (0_u8..6).prop_map(|it| it == 0), rarely(), rarely(), workers(protected)).prop_map(
        move |(layout, moved, protect, protect_router, workers)| SketchedDatacenter {
            number,
            layout,
            moved,
            protect,
            protect_router,
            workers,
        },
    )
}

/// Sketches, with something protected in them or nothing.
pub(crate) fn sketches(protected: bool) -> impl Strategy<Value = Sketch> {
    let datacenters = subsequence(vec![0_u8, 1, 2, 3], 1..=3).prop_flat_map(move |numbers| {
        numbers.into_iter().map(|number| datacenter(number, protected)).collect::<Vec<_>>()
    });
    (any::<[bool; 6]>(), datacenters).prop_map(move |(choices, datacenters)| {
        let [existing, protect, preserve, goldpinger, route_manager, other_router_subnet] = choices;
        Sketch {
            existing_cluster: existing && route_manager,
            protect_cluster: protect && protected && !(existing && route_manager),
            preserve,
            goldpinger,
            route_manager,
            other_router_subnet,
            datacenters,
        }
    })
}

impl Sketch {
    /// The topology that it describes.
    pub(crate) fn topology(&self) -> Topology {
        let text = self.text();
        match load_text("stargate.toml", &text) {
            Ok(loaded) => loaded.topology,
            Err(errors) => panic!("{errors:#?}\n{text}"),
        }
    }

    fn text(&self) -> String {
        let source_addresses = if self.preserve { "preserve" } else { "masquerade" };
        let router_subnet =
            if self.other_router_subnet { "10.236.0.0/24" } else { "10.237.0.0/24" };
        let datacenters: String = self.datacenters.iter().map(SketchedDatacenter::text).collect();
        format!(
            r#"
[stargate]
name = "lab"
[azure]
location = "westeurope"
[cluster]
existing = {}
protect = {}
name = "lab"
resource_group = "lab"
kubernetes_version = "1.33.5"
pod_cidr = "10.244.0.0/16"
service_cidr = "10.0.0.0/16"
[cluster.node_pools.system]
count = 2
vm_size = "Standard_D4s_v5"
[cluster.router]
name = "lab-router"
subnet_cidr = "{router_subnet}"
vm_size = "Standard_D2s_v5"
[network]
source_addresses = "{source_addresses}"
goldpinger = {}
route_manager = {}
[profiles.standard]
kubernetes_version = "1.33.5"
{datacenters}"#,
            self.existing_cluster, self.protect_cluster, self.goldpinger, self.route_manager,
        )
    }
}

impl SketchedDatacenter {
    pub(crate) fn is_azure(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    /// The second byte of its network.
    fn network(&self) -> u8 {
        50 + 2 * self.number + u8::from(self.layout == 2)
    }

    /// The third byte of its workers' subnet.
    fn worker_subnet(&self) -> u8 {
        u8::from(self.layout != 1)
    }

    fn text(&self) -> String {
        let (number, net) = (self.number, self.network());
        let name = format!("dc{number}");
        let (workers, router) = (self.worker_subnet(), 1 - self.worker_subnet());
        let site = if self.is_azure() {
            let location = if self.moved { "northeurope" } else { "westeurope" };
            format!(
                "[datacenters.{name}.azure]\nresource_group = \"lab-{name}\"\n\
                 location = \"{location}\"\nvnet_cidr = \"10.{net}.0.0/16\"\n\
                 subnet_cidr = \"10.{net}.{workers}.0/24\"\n\
                 router_subnet_cidr = \"10.{net}.{router}.0/24\"\nvm_size = \"Standard_D2s_v5\"\n"
            )
        } else {
            format!("[datacenters.{name}.existing]\nnetwork_cidr = \"10.{net}.0.0/16\"\n")
        };
        let router_ip =
            if self.is_azure() { String::new() } else { format!("ip = \"10.{net}.9.4\"\n") };
        let machines: String = self.workers.iter().map(|worker| self.machine(worker)).collect();
        format!(
            "[datacenters.{name}]\npod_pool = \"10.244.{}.0/20\"\nprofile = \"standard\"\n\
             protect = {}\n{site}[datacenters.{name}.router]\nname = \"{name}-router\"\n\
             protect = {}\n{router_ip}{machines}",
            64 + 16 * number,
            self.protect && self.is_azure(),
            self.protect_router && self.is_azure(),
        )
    }

    fn machine(&self, worker: &SketchedWorker) -> String {
        let (dc, number) = (self.number, worker.number);
        let mut text = format!("[[datacenters.dc{dc}.workers]]\nname = \"dc{dc}-w{number}\"\n");
        if worker.writes_ip || !self.is_azure() {
            let (net, subnet) = (self.network(), self.worker_subnet());
            text += &format!("ip = \"10.{net}.{subnet}.{}\"\n", 10 + number);
        }
        if !self.is_azure() {
            text += &format!("mac = \"52:54:00:00:{dc:02}:{number:02}\"\n");
        }
        if worker.writes_pod_cidr {
            text += &format!("pod_cidr = \"10.244.{}.0/24\"\n", 64 + 16 * dc + 15 - number);
        }
        if worker.protect {
            text += "protect = true\n";
        }
        text
    }
}

/// The facts of an empty deployment.
pub(crate) fn no_facts() -> Facts {
    Facts {
        subscription: SubscriptionId::new(SUBSCRIPTION),
        ssh_public_key: "ssh-ed25519 AAAA test".to_owned(),
        cluster: None,
        nodes: Vec::new(),
        router_addresses: BTreeMap::new(),
        unauthorized_routers: BTreeMap::new(),
        departed: BTreeMap::new(),
        present_routers: BTreeMap::new(),
        request: None,
        egress_addresses: BTreeMap::new(),
        assigned: BTreeMap::new(),
        joined: BTreeMap::new(),
        nodes_without_pod_cidr: Vec::new(),
        offered_versions: None,
        upgrade_patches: false,
        today: Default::default(),
    }
}

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// A cluster as AKS makes it for a topology.
pub(crate) fn cluster_facts(topology: &Topology) -> ClusterFacts {
    let location = topology.azure.location.as_str();
    let node_resource_group = names::node_resource_group(&topology.cluster, location);
    let group = ArmId::resource_group(SUBSCRIPTION, &node_resource_group);
    let virtual_network = group.in_group("Microsoft.Network/virtualNetworks", "aks-vnet");
    ClusterFacts {
        node_subnets: vec![NodeSubnet {
            id: virtual_network.child("subnets", "aks-subnet"),
            prefix: net("10.224.0.0/16"),
            security_group: None,
            foreign_route_table: None,
        }],
        node_resource_group,
        virtual_network,
        network_location: location.to_owned(),
        address_prefixes: vec![net("10.224.0.0/12")],
        subnets: BTreeMap::from([("aks-subnet".to_owned(), net("10.224.0.0/16"))]),
        pod_cidr: topology.cluster.pod_cidr,
        service_cidr: topology.cluster.service_cidr,
        dns_service_ip: Ipv4Addr::new(10, 0, 0, 10),
        version: topology.cluster.kubernetes_version,
        support_plan: Some(SupportPlan::Official),
        fqdn: "lab.example".to_owned(),
        private: false,
        has_public_name: true,
        authorized_ranges: Vec::new(),
        stopped: false,
        node_group_locked: false,
        node_pools: BTreeMap::new(),
    }
}

/// The nodes of that cluster.
pub(crate) fn aks_nodes() -> Vec<AksNode> {
    let node = |number: u8| AksNode {
        name: format!("aks-system-{number}"),
        address: Ipv4Addr::new(10, 224, 0, 4 + number),
        pod_cidr: net(&format!("10.244.{}.0/24", 1 - number)),
        pool: Some("system".to_owned()),
    };
    vec![node(0), node(1)]
}

/// All objects exist and are known.
pub(crate) fn all_facts(topology: &Topology) -> Facts {
    let routers = topology.datacenters.iter().map(|datacenter| &datacenter.router.name);
    let routers = routers.chain([&topology.cluster.router.name]);
    Facts {
        cluster: Some(cluster_facts(topology)),
        nodes: aks_nodes(),
        unauthorized_routers: BTreeMap::new(),
        router_addresses: routers
            .zip(1..)
            .map(|(name, last)| (name.to_string(), Ipv4Addr::new(100, 64, 0, last)))
            .collect(),
        ..no_facts()
    }
}
