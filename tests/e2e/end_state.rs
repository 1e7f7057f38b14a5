//! The state after an apply: the expected tables and the invariants.
//!
//! Everything is read from the sandbox itself, and computed from the topology independently of the
//! planner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use stargate::net::prefix::overlaps;
use stargate::resource::host::KernelRoute;
use stargate::sandbox::SandboxState;
use stargate::topology::model::{Datacenter, DatacenterKind, SourceAddresses};

use crate::canonical_state::canonical_state;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};
use crate::state_query::{StateQuery, parse};

const TAILNET: &str = "100.64.0.0/10";

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
async fn route_tables_of_the_cluster_are_as_expected() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let router: Ipv4Addr = "10.237.0.4".parse().unwrap();
        let behind: BTreeSet<Ipv4Net> =
            state.datacenters().iter().flat_map(|it| state.behind(it)).collect();
        assert_eq!(state.routes("stargate-workers-rt"), to(router, behind.clone()));
        let nodes = state.aks_nodes().into_values().map(|node| (node.pod_cidr, node.ip)).collect();
        assert_eq!(state.routes("stargate-router-rt"), nodes);
        let tables = state.tables_on_subnets();
        assert_eq!(tables["aks-subnet"].as_deref(), Some("stargate-workers-rt"));
        assert_eq!(tables["stargate-aks-router-subnet"].as_deref(), Some("stargate-router-rt"));

        let name = deployment.topology.cluster.router.name.as_str();
        let (_, advertised, approved) = state.device(name);
        let node_ranges = state.aks_nodes().into_values().map(|node| node.pod_cidr);
        let expected = nets(node_ranges.chain([state.aks_node_subnet()]));
        assert_eq!((&advertised, &approved), (&expected, &expected));
        let tunnel = behind.into_iter().map(|prefix| (prefix, KernelRoute::Tunnel)).collect();
        assert_eq!(state.kernel_routes(name), tunnel);
    }
}

#[tokio::test(start_paused = true)]
async fn route_tables_of_each_datacenter_are_as_expected() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        for datacenter in state.datacenters() {
            routers_of(&state, datacenter);
            match &datacenter.kind {
                DatacenterKind::Azure(azure) => {
                    fabric(&state, datacenter, azure.resource_group.as_str());
                }
                DatacenterKind::Existing(_) => routes_of_machines(&state, datacenter),
            }
        }
    }
}

fn routers_of(state: &StateQuery<'_>, datacenter: &Datacenter) {
    let name = datacenter.router.name.as_str();
    let (_, advertised, approved) = state.device(name);
    let expected = nets(state.behind(datacenter));
    assert_eq!((&advertised, &approved), (&expected, &expected));

    let mut expected: BTreeMap<Ipv4Net, KernelRoute> = BTreeMap::new();
    // Azure's workers are in another subnet than the router: its gateway leads to them.
    let gateway = match &datacenter.kind {
        DatacenterKind::Azure(azure) => azure.router_subnet_cidr.hosts().next(),
        DatacenterKind::Existing(_) => None,
    };
    for worker in state.workers(datacenter).into_values() {
        expected.insert(worker.pod_cidr, KernelRoute::Via(gateway.unwrap_or(worker.ip)));
    }
    let node_ranges = state.aks_nodes().into_values().map(|node| node.pod_cidr);
    let remote =
        node_ranges.chain([state.aks_node_subnet()]).chain(state.behind_others(datacenter));
    expected.extend(remote.map(|prefix| (prefix, KernelRoute::Tunnel)));
    let pods = state.deployment.topology.cluster.pod_cidr;
    for end in [pods, state.aks_space(), TAILNET.parse().unwrap()] {
        expected.entry(end).or_insert(KernelRoute::Unreachable);
    }
    assert_eq!(state.kernel_routes(name), expected, "{name}");
}

fn fabric(state: &StateQuery<'_>, datacenter: &Datacenter, group: &str) {
    let router = state.host(datacenter.router.name.as_str()).ip;
    let to_workers: BTreeMap<Ipv4Net, Ipv4Addr> = state
        .workers(datacenter)
        .into_values()
        .map(|worker| (worker.pod_cidr, worker.ip))
        .collect();
    assert_eq!(state.routes(&format!("{group}-router-route-table")), to_workers);
    let pods = state.deployment.topology.cluster.pod_cidr;
    let others = state.datacenters().iter().filter(|other| other.name != datacenter.name);
    let networks = others.map(Datacenter::network);
    let outward = networks.chain([pods, state.aks_space(), TAILNET.parse().unwrap()]);
    let mut expected = to(router, outward);
    expected.extend(to_workers);
    let table = format!("{group}-route-table");
    assert_eq!(state.routes(&table), expected);
    let tables = state.tables_on_subnets();
    assert!(tables.values().any(|on| on.as_deref() == Some(&table)));
}

/// Sites of existing machines have no fabric routes: the machines have kernel routes instead.
fn routes_of_machines(state: &StateQuery<'_>, datacenter: &Datacenter) {
    let router = state.host(datacenter.router.name.as_str()).ip;
    let pods = state.deployment.topology.cluster.pod_cidr;
    let mut expected: BTreeMap<Ipv4Net, KernelRoute> = BTreeMap::new();
    let fixed = [pods, state.aks_node_subnet(), TAILNET.parse().unwrap()];
    let outward = state.behind_others(datacenter).into_iter().chain(fixed);
    expected.extend(outward.map(|prefix| (prefix, KernelRoute::Via(router))));
    for worker in &datacenter.workers {
        assert_eq!(state.kernel_routes(worker.name.as_str()), expected, "{}", worker.name);
    }
}

/// I1: stargate's CNI configuration has the Node's pod CIDR and is the first by name.
#[tokio::test(start_paused = true)]
async fn each_worker_s_cni_configuration_has_its_pod_cidr() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        for (name, worker) in state.all_workers() {
            let files = &state.host(&name).worker.cni_files;
            let (first, subnet) = files.iter().next().unwrap();
            assert_eq!((first.as_str(), *subnet), ("00-stargate.conflist", worker.pod_cidr));
        }
        let pods = state.objects("v1", "Pod");
        let workers = state.all_workers();
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

/// I2: each Server names its router by its tailnet address.
#[tokio::test(start_paused = true)]
async fn each_server_names_its_router_by_address() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let servers = state.objects("stargate.io/v1alpha1", "Server");
        assert_eq!(servers.len(), state.all_workers().len());
        for datacenter in state.datacenters() {
            let (address, ..) = state.device(datacenter.router.name.as_str());
            assert!(TAILNET.parse::<Ipv4Net>().unwrap().contains(&address));
            for worker in &datacenter.workers {
                let router: Ipv4Addr = parse(&servers[worker.name.as_str()]["spec"]["routerIP"]);
                assert_eq!(router, address);
            }
        }
    }
}

/// I4: each CiliumNode has its Node's pod CIDR, and all pod CIDRs are disjoint.
#[tokio::test(start_paused = true)]
async fn cilium_nodes_have_disjoint_pod_cidrs() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let cilium = state.objects("cilium.io/v2", "CiliumNode");
        let workers = state.all_workers();
        for (name, worker) in &workers {
            let ranges = cilium[name]["spec"]["ipam"]["podCIDRs"].as_array().unwrap();
            assert_eq!(ranges, &[Value::from(worker.pod_cidr.to_string())]);
        }
        let all: Vec<Ipv4Net> = state
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

/// I5a: interfaces of hosts that forward packets have IP forwarding enabled.
#[tokio::test(start_paused = true)]
async fn interfaces_of_routers_and_workers_forward() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let interfaces: Vec<_> =
            state.sandbox.arm.list("Microsoft.Network/networkInterfaces").collect();
        assert!(interfaces.len() >= 4);
        for (id, interface) in interfaces {
            assert_eq!(interface["properties"]["enableIPForwarding"], true, "{id}");
        }
    }
}

/// I5: after nodes were added or deleted, one apply updates the table.
#[tokio::test(start_paused = true)]
async fn the_route_table_follows_the_nodes() {
    use stargate::sandbox::faults::Fault;
    let deployment = Deployment::example_applied().await;
    for fault in [Fault::AksScaleOut, Fault::AksScaleOut, Fault::AksScaleIn] {
        deployment.inject(fault, None);
        deployment.iterate().await;
        let state = StateQuery::of(&deployment);
        let nodes = state.aks_nodes().into_values().map(|node| (node.pod_cidr, node.ip)).collect();
        assert_eq!(state.routes("stargate-router-rt"), nodes);
    }
}

/// I6: stargate changes neither Cilium's configuration nor the AKS nodes.
#[tokio::test(start_paused = true)]
async fn the_cluster_s_own_objects_are_not_changed() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let ours = |object: &Value| {
            let managers = object["metadata"]["managedFields"].as_array();
            managers.into_iter().flatten().any(|entry| entry["manager"] == "stargate")
        };
        for name in state.aks_nodes().keys() {
            assert!(!ours(state.objects("v1", "Node")[name]), "{name}");
            assert!(!ours(state.objects("cilium.io/v2", "CiliumNode")[name]), "{name}");
        }
        assert!(!state.objects("apps/v1", "DaemonSet").contains_key("stargate-route-manager"));
        assert!(state.objects("v1", "ConfigMap").values().all(|map| !ours(map)));
    }
}

/// I7: only a worker's own router advertises a prefix that covers it.
#[tokio::test(start_paused = true)]
async fn only_a_worker_s_router_advertises_its_address() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        for datacenter in state.datacenters() {
            for device in state.sandbox.tailnet.devices() {
                if device.hostname == datacenter.router.name.as_str() {
                    continue;
                }
                for prefix in device.advertised_routes.union(&device.enabled_routes) {
                    let covers = |net: Ipv4Net| prefix.contains(&IpNet::V4(net));
                    let captured = state.behind(datacenter).into_iter().find(|net| covers(*net));
                    assert_eq!(captured, None, "{} offers {prefix}", device.hostname);
                }
            }
        }
    }
}

/// Both masquerades are active, or neither.
#[tokio::test(start_paused = true)]
async fn routers_are_configured_as_the_topology_specifies() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let masquerade =
            deployment.topology.network.source_addresses == SourceAddresses::Masquerade;
        let routers = state.datacenters().iter().map(|it| it.router.name.as_str());
        for name in routers.chain([deployment.topology.cluster.router.name.as_str()]) {
            let host = state.host(name);
            let tailscale = host.tailscale.as_ref().unwrap();
            assert_eq!(host.firewall.masquerade, masquerade, "{name}");
            assert_eq!(tailscale.snat_subnet_routes, masquerade, "{name}");
            assert!(host.kernel.ip_forwarding && host.firewall.mss_clamp, "{name}");
            assert!(tailscale.accept_routes && !host.kernel.send_redirects, "{name}");
        }
    }
}

/// Every Node is excluded from Azure's controllers, and is Ready.
#[tokio::test(start_paused = true)]
async fn workers_are_excluded_from_azure_controllers_and_ready() {
    for deployment in &both().await {
        let state = StateQuery::of(deployment);
        let nodes = state.objects("v1", "Node");
        for datacenter in state.datacenters() {
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
        let secrets = state.objects("v1", "Secret");
        assert!(secrets.keys().all(|name| !name.starts_with("bootstrap-token")), "{secrets:?}");
        let hosts = state.sandbox.hosts.values();
        assert!(hosts.map(|host| &host.worker.bootstrap).all(Option::is_none));
    }
}

/// I13: a second apply writes nothing.
#[tokio::test(start_paused = true)]
async fn a_second_apply_writes_nothing() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(9));
        deployment.iterate().await;
        let before = (deployment.writes(), canonical_state(&deployment.copy_of_state()));
        let applied = deployment.apply(&RefreshOptions::deep()).await;
        assert_eq!(applied.iterations, 0);
        assert_eq!(before, (deployment.writes(), canonical_state(&deployment.copy_of_state())));
    }
}
