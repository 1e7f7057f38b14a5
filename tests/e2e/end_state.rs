//! The world after an apply: the target tables, and what must always hold.
//!
//! Everything is read off the world itself and computed from the topology by
//! other ways than the planner's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use stargate::net::prefix::overlaps;
use stargate::resource::host::KernelRoute;
use stargate::sandbox::SandboxState;
use stargate::sandbox::hosts::Host;
use stargate::topology::model::{Datacenter, Site, SourceAddresses};

use crate::canonical_state::canonical_state;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

const TAILNET: &str = "100.64.0.0/10";

/// What the tests ask the world.
struct Seen<'a> {
    deployment: &'a Deployment,
    world: SandboxState,
}

/// A worker or an AKS node, as the cluster tells of it.
#[derive(Debug, Clone, PartialEq)]
struct NodeSeen {
    ip: Ipv4Addr,
    pod_cidr: Ipv4Net,
}

impl<'a> Seen<'a> {
    fn of(deployment: &'a Deployment) -> Self {
        Self { deployment, world: deployment.copy_of_world() }
    }

    fn azure(&self, resource_type: &str, name: &str) -> Option<&Value> {
        self.world.arm.list(resource_type).find(|(id, _)| id.name() == name).map(|(_, body)| body)
    }

    /// The next hops of a table.
    fn routes(&self, table: &str) -> BTreeMap<Ipv4Net, Ipv4Addr> {
        let table = self.azure("Microsoft.Network/routeTables", table).unwrap();
        let routes = table["properties"]["routes"].as_array().unwrap();
        let found: BTreeMap<Ipv4Net, Ipv4Addr> = routes
            .iter()
            .map(|route| {
                let properties = &route["properties"];
                assert_eq!(properties["nextHopType"], "VirtualAppliance");
                (parse(&properties["addressPrefix"]), parse(&properties["nextHopIpAddress"]))
            })
            .collect();
        assert_eq!(found.len(), routes.len(), "two routes to one prefix");
        found
    }

    /// The route tables on subnets, by the subnet's name.
    fn tables_on_subnets(&self) -> BTreeMap<String, Option<String>> {
        let networks = self.world.arm.list("Microsoft.Network/virtualNetworks");
        networks
            .flat_map(|(_, network)| network["properties"]["subnets"].as_array().unwrap())
            .map(|subnet| {
                let table = subnet["properties"]["routeTable"]["id"].as_str();
                let table = table.and_then(|id| id.rsplit('/').next()).map(str::to_owned);
                (subnet["name"].as_str().unwrap().to_owned(), table)
            })
            .collect()
    }

    fn aks_network(&self) -> &Value {
        let mut networks = self.world.arm.list("Microsoft.Network/virtualNetworks");
        networks.find(|(id, _)| id.name().starts_with("aks-vnet")).unwrap().1
    }

    fn objects(&self, api_version: &str, kind: &str) -> BTreeMap<String, &Value> {
        let store = self.world.kubernetes.as_ref().unwrap();
        let named = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        store.list(api_version, kind, None).into_iter().map(|it| (named(it), it)).collect()
    }

    fn node_ip(&self, name: &str) -> Ipv4Addr {
        let nodes = self.objects("v1", "Node");
        let addresses = nodes[name]["status"]["addresses"].as_array().unwrap();
        parse(&addresses.iter().find(|it| it["type"] == "InternalIP").unwrap()["address"])
    }

    /// AKS's own nodes; Azure gave out their pod CIDRs.
    fn aks_nodes(&self) -> BTreeMap<String, NodeSeen> {
        self.objects("acn.azure.com/v1alpha", "NodeNetworkConfig")
            .into_iter()
            .map(|(name, config)| {
                let pod_cidr = parse(&config["status"]["networkContainers"][0]["primaryIP"]);
                (name.clone(), NodeSeen { ip: self.node_ip(&name), pod_cidr })
            })
            .collect()
    }

    fn workers(&self, datacenter: &Datacenter) -> BTreeMap<String, NodeSeen> {
        let nodes = self.objects("v1", "Node");
        datacenter
            .workers
            .iter()
            .map(|worker| {
                let name = worker.name.to_string();
                let pod_cidr = parse(&nodes[&name]["spec"]["podCIDR"]);
                let ip = self.node_ip(&name);
                (name, NodeSeen { ip, pod_cidr })
            })
            .collect()
    }

    fn all_workers(&self) -> BTreeMap<String, NodeSeen> {
        self.datacenters().iter().flat_map(|it| self.workers(it)).collect()
    }

    fn datacenters(&self) -> &'a [Datacenter] {
        &self.deployment.topology.datacenters
    }

    /// A datacenter's pool, and each worker's range outside of it.
    fn pod_ranges(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let pool = datacenter.pod_pool;
        let outside = self
            .workers(datacenter)
            .into_values()
            .map(|worker| worker.pod_cidr)
            .filter(|range| pool.is_none_or(|pool| !pool.contains(range)));
        pool.into_iter().chain(outside).collect()
    }

    /// Everything that lies behind a datacenter's router.
    fn behind(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let mut all = self.pod_ranges(datacenter);
        all.insert(datacenter.network());
        all
    }

    fn behind_others(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let others = self.datacenters().iter().filter(|other| other.name != datacenter.name);
        others.flat_map(|other| self.behind(other)).collect()
    }

    fn device(&self, router: &str) -> (Ipv4Addr, BTreeSet<IpNet>, BTreeSet<IpNet>) {
        let mut devices = self.world.tailnet.devices().filter(|it| it.hostname == router);
        let device = devices.next().unwrap();
        assert!(devices.next().is_none(), "{router} has two devices");
        assert!(device.online && device.authorized && device.key_expiry_disabled);
        (device.address, device.advertised_routes.clone(), device.enabled_routes.clone())
    }

    fn host(&self, name: &str) -> &Host {
        &self.world.hosts[name]
    }

    fn kernel_routes(&self, host: &str) -> BTreeMap<Ipv4Net, KernelRoute> {
        let routes = &self.host(host).kernel.routes;
        assert!(routes.iter().all(|route| route.protocol == 117 && route.table == 254));
        routes.iter().map(|route| (route.destination, route.via)).collect()
    }

    fn aks_node_subnet(&self) -> Ipv4Net {
        let subnets = self.aks_network()["properties"]["subnets"].as_array().unwrap();
        let subnet = subnets.iter().find(|subnet| subnet["name"] == "aks-subnet").unwrap();
        parse(&subnet["properties"]["addressPrefix"])
    }

    fn aks_space(&self) -> Ipv4Net {
        parse(&self.aks_network()["properties"]["addressSpace"]["addressPrefixes"][0])
    }
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).parse().unwrap()
}

fn to(hop: Ipv4Addr, prefixes: impl IntoIterator<Item = Ipv4Net>) -> BTreeMap<Ipv4Net, Ipv4Addr> {
    prefixes.into_iter().map(|prefix| (prefix, hop)).collect()
}

fn nets(prefixes: impl IntoIterator<Item = Ipv4Net>) -> BTreeSet<IpNet> {
    prefixes.into_iter().map(IpNet::V4).collect()
}

async fn both() -> [Deployment; 2] {
    let two = Deployment::of(TWO_DATACENTERS, SandboxState::new(5));
    two.iterate().await;
    [Deployment::example_applied().await, two]
}

#[tokio::test(start_paused = true)]
async fn the_tables_on_the_cluster_side_hold_what_they_must() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let router: Ipv4Addr = "10.237.0.4".parse().unwrap();
        let behind: BTreeSet<Ipv4Net> =
            seen.datacenters().iter().flat_map(|it| seen.behind(it)).collect();
        assert_eq!(seen.routes("stargate-workers-rt"), to(router, behind.clone()));
        let nodes = seen.aks_nodes().into_values().map(|node| (node.pod_cidr, node.ip)).collect();
        assert_eq!(seen.routes("stargate-router-rt"), nodes);
        let tables = seen.tables_on_subnets();
        assert_eq!(tables["aks-subnet"].as_deref(), Some("stargate-workers-rt"));
        assert_eq!(tables["stargate-aks-router-subnet"].as_deref(), Some("stargate-router-rt"));

        let name = deployment.topology.cluster.router.name.as_str();
        let (_, advertised, approved) = seen.device(name);
        let node_ranges = seen.aks_nodes().into_values().map(|node| node.pod_cidr);
        let wanted = nets(node_ranges.chain([seen.aks_node_subnet()]));
        assert_eq!((&advertised, &approved), (&wanted, &wanted));
        let tunnel = behind.into_iter().map(|prefix| (prefix, KernelRoute::Tunnel)).collect();
        assert_eq!(seen.kernel_routes(name), tunnel);
    }
}

#[tokio::test(start_paused = true)]
async fn the_tables_of_each_datacenter_hold_what_they_must() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        for datacenter in seen.datacenters() {
            routers_of(&seen, datacenter);
            match &datacenter.site {
                Site::Azure(site) => fabric(&seen, datacenter, site.resource_group.as_str()),
                Site::Existing(_) => routes_of_machines(&seen, datacenter),
            }
        }
    }
}

fn routers_of(seen: &Seen<'_>, datacenter: &Datacenter) {
    let name = datacenter.router.name.as_str();
    let (_, advertised, approved) = seen.device(name);
    let wanted = nets(seen.behind(datacenter));
    assert_eq!((&advertised, &approved), (&wanted, &wanted));

    let mut wanted: BTreeMap<Ipv4Net, KernelRoute> = BTreeMap::new();
    for worker in seen.workers(datacenter).into_values() {
        wanted.insert(worker.pod_cidr, KernelRoute::Via(worker.ip));
    }
    let node_ranges = seen.aks_nodes().into_values().map(|node| node.pod_cidr);
    let remote = node_ranges.chain([seen.aks_node_subnet()]).chain(seen.behind_others(datacenter));
    wanted.extend(remote.map(|prefix| (prefix, KernelRoute::Tunnel)));
    let pods = seen.deployment.topology.cluster.pod_cidr;
    for end in [pods, seen.aks_space(), TAILNET.parse().unwrap()] {
        wanted.entry(end).or_insert(KernelRoute::Unreachable);
    }
    assert_eq!(seen.kernel_routes(name), wanted, "{name}");
}

fn fabric(seen: &Seen<'_>, datacenter: &Datacenter, group: &str) {
    let router = seen.host(datacenter.router.name.as_str()).ip;
    let to_workers: BTreeMap<Ipv4Net, Ipv4Addr> =
        seen.workers(datacenter).into_values().map(|worker| (worker.pod_cidr, worker.ip)).collect();
    assert_eq!(seen.routes(&format!("{group}-router-route-table")), to_workers);
    let pods = seen.deployment.topology.cluster.pod_cidr;
    let others = seen.datacenters().iter().filter(|other| other.name != datacenter.name);
    let networks = others.map(Datacenter::network);
    let outward = networks.chain([pods, seen.aks_space(), TAILNET.parse().unwrap()]);
    let mut wanted = to(router, outward);
    wanted.extend(to_workers);
    let table = format!("{group}-route-table");
    assert_eq!(seen.routes(&table), wanted);
    let tables = seen.tables_on_subnets();
    assert!(tables.values().any(|on| on.as_deref() == Some(&table)));
}

/// No fabric routes for machines that stand somewhere: they do it themselves.
fn routes_of_machines(seen: &Seen<'_>, datacenter: &Datacenter) {
    let router = seen.host(datacenter.router.name.as_str()).ip;
    let pods = seen.deployment.topology.cluster.pod_cidr;
    let mut wanted: BTreeMap<Ipv4Net, KernelRoute> = BTreeMap::new();
    let fixed = [pods, seen.aks_node_subnet(), TAILNET.parse().unwrap()];
    let outward = seen.behind_others(datacenter).into_iter().chain(fixed);
    wanted.extend(outward.map(|prefix| (prefix, KernelRoute::Via(router))));
    for worker in &datacenter.workers {
        assert_eq!(seen.kernel_routes(worker.name.as_str()), wanted, "{}", worker.name);
    }
}

/// I1: our CNI configuration, with the Node's range, and no other before it.
#[tokio::test(start_paused = true)]
async fn each_worker_gives_its_pods_addresses_of_its_own_range() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        for (name, worker) in seen.all_workers() {
            let files = &seen.host(&name).worker.cni_files;
            let (first, subnet) = files.iter().next().unwrap();
            assert_eq!((first.as_str(), *subnet), ("00-stargate.conflist", worker.pod_cidr));
        }
        let pods = seen.objects("v1", "Pod");
        let workers = seen.all_workers();
        let mut on_workers = 0;
        for pod in pods.values().filter(|pod| pod["spec"]["hostNetwork"] != true) {
            let Some(worker) = workers.get(pod["spec"]["nodeName"].as_str().unwrap()) else {
                continue;
            };
            let ip: Ipv4Addr = parse(&pod["status"]["podIP"]);
            assert!(worker.pod_cidr.contains(&ip), "{ip} outside of {}", worker.pod_cidr);
            on_workers += 1;
        }
        assert_eq!(on_workers, workers.len(), "Goldpinger runs on every worker");
    }
}

/// I2: each Server names its router by the address that it has in the tailnet.
#[tokio::test(start_paused = true)]
async fn each_server_names_its_router_by_address() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let servers = seen.objects("stargate.io/v1alpha1", "Server");
        assert_eq!(servers.len(), seen.all_workers().len());
        for datacenter in seen.datacenters() {
            let (address, ..) = seen.device(datacenter.router.name.as_str());
            assert!(TAILNET.parse::<Ipv4Net>().unwrap().contains(&address));
            for worker in &datacenter.workers {
                let router: Ipv4Addr = parse(&servers[worker.name.as_str()]["spec"]["routerIP"]);
                assert_eq!(router, address);
            }
        }
    }
}

/// I4: CiliumNodes tell the Node's range; all ranges are apart.
#[tokio::test(start_paused = true)]
async fn cilium_knows_each_range_and_none_overlap() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let cilium = seen.objects("cilium.io/v2", "CiliumNode");
        let workers = seen.all_workers();
        for (name, worker) in &workers {
            let ranges = cilium[name]["spec"]["ipam"]["podCIDRs"].as_array().unwrap();
            assert_eq!(ranges, &[Value::from(worker.pod_cidr.to_string())]);
        }
        let all: Vec<Ipv4Net> = seen
            .aks_nodes()
            .into_values()
            .chain(workers.into_values())
            .map(|it| it.pod_cidr)
            .collect();
        for (index, one) in all.iter().enumerate() {
            assert!(all[index + 1..].iter().all(|other| !overlaps(one, other)), "{one}");
            assert!(deployment.topology.cluster.pod_cidr.contains(one), "{one}");
        }
    }
}

/// I5a: machines that pass on what is not theirs may do so.
#[tokio::test(start_paused = true)]
async fn interfaces_of_routers_and_workers_forward() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let interfaces: Vec<_> =
            seen.world.arm.list("Microsoft.Network/networkInterfaces").collect();
        assert!(interfaces.len() >= 4);
        for (id, interface) in interfaces {
            assert_eq!(interface["properties"]["enableIPForwarding"], true, "{id}");
        }
    }
}

/// I5: as nodes come and go, one apply brings the table back in line.
#[tokio::test(start_paused = true)]
async fn the_table_follows_the_nodes() {
    use stargate::sandbox::faults::Fault;
    let deployment = Deployment::example_applied().await;
    for fault in [Fault::AksScaleOut, Fault::AksScaleOut, Fault::AksScaleIn] {
        deployment.strike(fault, None);
        deployment.iterate().await;
        let seen = Seen::of(&deployment);
        let nodes = seen.aks_nodes().into_values().map(|node| (node.pod_cidr, node.ip)).collect();
        assert_eq!(seen.routes("stargate-router-rt"), nodes);
    }
}

/// I6: nothing of ours touches Cilium's configuration or the AKS nodes.
#[tokio::test(start_paused = true)]
async fn the_cluster_s_own_objects_are_not_ours() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let ours = |object: &Value| {
            let managers = object["metadata"]["managedFields"].as_array();
            managers.into_iter().flatten().any(|entry| entry["manager"] == "stargate")
        };
        for name in seen.aks_nodes().keys() {
            assert!(!ours(seen.objects("v1", "Node")[name]), "{name}");
            assert!(!ours(seen.objects("cilium.io/v2", "CiliumNode")[name]), "{name}");
        }
        assert!(!seen.objects("apps/v1", "DaemonSet").contains_key("stargate-route-manager"));
        assert!(seen.objects("v1", "ConfigMap").values().all(|map| !ours(map)));
    }
}

/// I7: only a worker's own router offers a prefix that covers it.
#[tokio::test(start_paused = true)]
async fn nobody_else_captures_a_worker_s_traffic() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        for datacenter in seen.datacenters() {
            for device in seen.world.tailnet.devices() {
                if device.hostname == datacenter.router.name.as_str() {
                    continue;
                }
                for prefix in device.advertised_routes.union(&device.enabled_routes) {
                    let covers = |net: Ipv4Net| prefix.contains(&IpNet::V4(net));
                    let captured = seen.behind(datacenter).into_iter().find(|net| covers(*net));
                    assert_eq!(captured, None, "{} offers {prefix}", device.hostname);
                }
            }
        }
    }
}

/// Source addresses are hidden by both masquerades or by none.
#[tokio::test(start_paused = true)]
async fn routers_are_set_as_the_topology_says() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let hidden = deployment.topology.network.source_addresses == SourceAddresses::Masquerade;
        let routers = seen.datacenters().iter().map(|it| it.router.name.as_str());
        for name in routers.chain([deployment.topology.cluster.router.name.as_str()]) {
            let host = seen.host(name);
            let tailscale = host.tailscale.as_ref().unwrap();
            assert_eq!(host.firewall.masquerade, hidden, "{name}");
            assert_eq!(tailscale.snat_subnet_routes, hidden, "{name}");
            assert!(host.kernel.ip_forwarding && host.firewall.mss_clamp, "{name}");
            assert!(tailscale.accept_routes && !host.kernel.send_redirects, "{name}");
        }
    }
}

/// Every Node keeps away from Azure's controllers, and is Ready.
#[tokio::test(start_paused = true)]
async fn workers_are_members_of_their_own_kind() {
    for deployment in &both().await {
        let seen = Seen::of(deployment);
        let nodes = seen.objects("v1", "Node");
        for datacenter in seen.datacenters() {
            for worker in &datacenter.workers {
                let node = nodes[worker.name.as_str()];
                let provider = format!("stargate:///{}/{}", datacenter.name, worker.name);
                assert_eq!(node["spec"]["providerID"], provider.as_str());
                let labels = &node["metadata"]["labels"];
                assert_eq!(labels["kubernetes.azure.com/managed"], "false");
                let conditions = node["status"]["conditions"].as_array().unwrap();
                let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
                assert_eq!(ready["status"], "True");
            }
        }
        let secrets = seen.objects("v1", "Secret");
        assert!(secrets.keys().all(|name| !name.starts_with("bootstrap-token")), "{secrets:?}");
        let hosts = seen.world.hosts.values();
        assert!(hosts.map(|host| &host.worker.bootstrap).all(Option::is_none));
    }
}

/// I13: a second apply writes nothing at all.
#[tokio::test(start_paused = true)]
async fn a_second_apply_writes_nothing() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(9));
        deployment.iterate().await;
        let before = (deployment.writes(), canonical_state(&deployment.copy_of_world()));
        let applied = deployment.apply(&RefreshOptions::deep()).await;
        assert_eq!(applied.rounds, 0);
        assert_eq!(before, (deployment.writes(), canonical_state(&deployment.copy_of_world())));
    }
}
