//! A world made by hand: an AKS cluster, two routers, a datacenter's worker.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Answer;
use super::controllers;
use super::world::World;
use crate::provider::host::{KubeletConfiguration, RouterChange, WorkerStep};
use crate::provider::http::Api;
use crate::provider::secret::Secret;
use crate::resource::ArmId;
use crate::resource::host::KernelRoute;
use crate::sandbox::hosts::change::Outside;
use crate::topology::model::PackageSource;
use crate::topology::names::TailnetTag;

pub(super) const TAG: &str = "tag:stargate-lab";
pub(super) const NODE_GROUP: &str = "MC_lab_aks_canadacentral";
pub(super) const TOKEN: &str = "abcdef.0123456789abcdef";

pub(super) fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(super) fn id(group: &str, kind: &str, name: &str) -> ArmId {
    ArmId::resource_group(super::arm::SUBSCRIPTION, group).in_group(kind, name)
}

pub(super) fn put(world: &mut World, id: &ArmId, body: Value) {
    let World { arm, entropy, .. } = world;
    arm.upsert(id, body, &mut || entropy.next_guid());
}

pub(super) fn ask(
    world: &mut World,
    api: Api,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let token = match api {
        Api::Kubernetes => world.cluster_access.as_ref().map(|access| access.token.clone()),
        _ => None,
    };
    let patch = method == "PATCH";
    let content = if patch { "application/merge-patch+json" } else { "application/json" };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content)
        .header("authorization", format!("Bearer {}", token.as_deref().unwrap_or("tskey-api-x")))
        .body(Bytes::from(body.to_string()))
        .unwrap();
    match world.handle(api, &request, now()) {
        Answer::Complete(response) => {
            let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
            (response.status().as_u16(), value)
        }
        Answer::Watch(_) => (200, Value::Null),
    }
}

pub(super) fn auth_key(world: &mut World) -> String {
    world.seed_tag(&TailnetTag::new(TAG));
    let create = json!({ "preauthorized": true, "tags": [TAG] });
    let body = json!({ "capabilities": { "devices": { "create": create } } });
    let (status, key) = ask(world, Api::Tailscale, "POST", "/api/v2/tailnet/-/keys", &body);
    assert_eq!(status, 200, "{key}");
    key["key"].as_str().unwrap().to_owned()
}

/// A VM through Azure's own door, so that its custom data is known.
pub(super) fn machine(
    world: &mut World,
    group: &str,
    name: &str,
    address: &str,
    key: Option<&str>,
) {
    let role = if key.is_some() { "router" } else { "worker" };
    let about = json!({ "hostname": name, "role": role, "auth_key": key });
    let cloud_init = format!("#cloud-config\n{} {about}\n", physics_line());
    let network_id = id(group, "Microsoft.Network/virtualNetworks", "net");
    let interface = id(group, "Microsoft.Network/networkInterfaces", &format!("{name}-nic"));
    let security = id(group, "Microsoft.Network/networkSecurityGroups", &format!("{name}-nsg"));
    let subnet = if key.is_some() { "routers" } else { "workers" };
    put(
        world,
        &ArmId::resource_group(super::arm::SUBSCRIPTION, group),
        json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
    );
    put(
        world,
        &security,
        json!({ "location": "canadacentral", "tags": {}, "properties": { "provisioningState": "Succeeded", "securityRules": [] } }),
    );
    put(
        world,
        &interface,
        json!({ "location": "canadacentral", "properties": {
            "provisioningState": "Succeeded",
            "enableIPForwarding": true,
            "networkSecurityGroup": { "id": security.as_str() },
            "ipConfigurations": [{ "name": "main", "properties": {
                "privateIPAddress": address, "privateIPAllocationMethod": "Static",
                "subnet": { "id": network_id.child("subnets", subnet).as_str() },
            }}],
        }}),
    );
    let vm = id(group, "Microsoft.Compute/virtualMachines", name);
    let path = format!("{}?api-version=2024-07-01", vm.as_str());
    let body = json!({ "location": "canadacentral", "properties": {
        "hardwareProfile": { "vmSize": "Standard_D2s_v5" },
        "storageProfile": {
            "imageReference": { "publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest" },
            "osDisk": { "createOption": "FromImage" },
        },
        "osProfile": {
            "computerName": name, "adminUsername": "stargate",
            "customData": STANDARD.encode(cloud_init),
            "linuxConfiguration": { "disablePasswordAuthentication": true, "ssh": { "publicKeys": [{
                "path": "/home/stargate/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA x" }] } },
        },
        "networkProfile": { "networkInterfaces": [{ "id": interface.as_str() }] },
    }});
    let (status, answer) = ask(world, Api::Azure, "PUT", &path, &body);
    assert!(status < 300, "{status} {answer}");
    let World { arm, entropy, .. } = world;
    arm.modify(&vm, |vm| vm["properties"]["provisioningState"] = json!("Succeeded"), &mut || {
        entropy.next_guid()
    });
    controllers::reconcile(world, now());
}

fn physics_line() -> &'static str {
    "# stargate-machine:"
}

pub(super) fn network(world: &mut World, group: &str, table: Option<&ArmId>) {
    let network = id(group, "Microsoft.Network/virtualNetworks", "net");
    let mut routers = json!({ "name": "routers", "properties": { "addressPrefix": "10.1.1.0/24", "provisioningState": "Succeeded" } });
    if let Some(table) = table {
        routers["properties"]["routeTable"] = json!({ "id": table.as_str() });
    }
    let workers = json!({ "name": "workers", "properties": { "addressPrefix": "10.1.2.0/24", "provisioningState": "Succeeded" } });
    put(
        world,
        &network,
        json!({ "location": "canadacentral", "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": { "addressPrefixes": ["10.0.0.0/8"] }, "subnets": [routers, workers],
        }}),
    );
}

pub(super) fn aks(world: &mut World, count: u64) {
    let cluster = id("lab", "Microsoft.ContainerService/managedClusters", "aks");
    let group = ArmId::resource_group(super::arm::SUBSCRIPTION, "lab");
    put(
        world,
        &group,
        json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
    );
    put(
        world,
        &cluster,
        json!({ "location": "canadacentral", "properties": {
            "provisioningState": "Succeeded",
            "kubernetesVersion": "1.33.5",
            "fqdn": "aks-1234.hcp.canadacentral.azmk8s.io",
            "nodeResourceGroup": NODE_GROUP,
            "networkProfile": { "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16" },
            "agentPoolProfiles": [{ "name": "system", "count": count, "vmSize": "Standard_D2s_v5", "mode": "System" }],
        }}),
    );
    controllers::reconcile(world, now());
}

fn routes(world: &mut World, id: &ArmId, routes: &[(&str, &str)]) {
    let routes: Vec<Value> = routes
        .iter()
        .map(|(prefix, hop)| {
            json!({ "name": prefix.replace(['.', '/'], "-"), "properties": {
                "addressPrefix": prefix, "nextHopType": "VirtualAppliance", "nextHopIpAddress": hop,
                "provisioningState": "Succeeded",
            }})
        })
        .collect();
    put(
        world,
        id,
        json!({
            "location": "canadacentral",
            "tags": { "managed-by": "stargate", "stargate-topology": "lab" },
            "properties": { "provisioningState": "Succeeded", "routes": routes },
        }),
    );
}

pub(super) fn allow_bootstrap(world: &mut World) {
    let store = world.kubernetes.as_mut().unwrap();
    let encode = |text: &str| STANDARD.encode(text);
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": { "name": "bootstrap-token-abcdef", "namespace": "kube-system" },
        "data": {
            "token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
            "usage-bootstrap-authentication": encode("true"),
            "expiration": encode("2026-01-02T04:00:00Z"),
            "auth-extra-groups": encode("system:bootstrappers:stargate"),
        },
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": "stargate-bootstrap" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-bootstrapper" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:bootstrappers:stargate" }],
    });
    for object in [secret, binding] {
        store.put(object, "test", "2026-01-02T03:04:05Z").unwrap();
    }
}

/// Everything that the bootstrap does on the host, up to the start.
pub(super) fn prepare_worker(world: &mut World, name: &str, address: &str, range: &str) {
    let configuration = KubeletConfiguration {
        node_name: name.to_owned(),
        node_ip: address.parse().unwrap(),
        cluster_dns: "10.0.0.10".parse().unwrap(),
        labels: BTreeMap::from([
            ("kubernetes.azure.com/cluster".to_owned(), NODE_GROUP.to_owned()),
            ("kubernetes.azure.com/managed".to_owned(), "false".to_owned()),
        ]),
        taints: ["site=dc1:NoSchedule".to_owned()].into(),
        provider_id: format!("stargate:///dc1/{name}"),
        max_pods: 110,
        digest: "d".to_owned(),
    };
    let server = "https://kubernetes.sandbox".to_owned();
    let steps = [
        WorkerStep::Kernel,
        WorkerStep::ContainerRuntime(PackageSource::Upstream),
        WorkerStep::Kubelet("1.33.5".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::CniPlugins(PackageSource::Upstream),
        WorkerStep::BootstrapKubeconfig { server, token: Secret::new(TOKEN) },
        WorkerStep::KubeletConfiguration(configuration),
        WorkerStep::CniConfiguration { subnet: range.parse().unwrap() },
        WorkerStep::Start,
    ];
    for step in steps {
        world.hosts.get_mut(name).unwrap().apply_worker_step(&step).unwrap();
        controllers::reconcile(world, now());
    }
}

pub(super) fn approve_all(world: &mut World) {
    let store = world.kubernetes.as_mut().unwrap();
    let requests: Vec<Value> = store
        .list("certificates.k8s.io/v1", "CertificateSigningRequest", None)
        .into_iter()
        .cloned()
        .collect();
    for mut request in requests {
        request["status"]["conditions"] =
            json!([{ "type": "Approved", "status": "True", "reason": "test" }]);
        store.put(request, "test", "2026-01-02T03:04:05Z").unwrap();
    }
    controllers::reconcile(world, now());
}

/// All of it, as an apply would leave it.
pub(super) fn whole() -> World {
    let mut world = World::new(7);
    let router_table = id(NODE_GROUP, "Microsoft.Network/routeTables", "stargate-router-rt");
    let worker_table = id(NODE_GROUP, "Microsoft.Network/routeTables", "stargate-workers-rt");
    let site_table = id("dc1", "Microsoft.Network/routeTables", "dc1-route-table");
    aks(&mut world, 2);
    for group in [NODE_GROUP, "dc1"] {
        put(
            &mut world,
            &ArmId::resource_group(super::arm::SUBSCRIPTION, group),
            json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
        );
    }
    network(&mut world, NODE_GROUP, Some(&router_table));
    network(&mut world, "dc1", None);
    routes(
        &mut world,
        &router_table,
        &[("10.244.0.0/24", "10.224.0.5"), ("10.244.1.0/24", "10.224.0.4")],
    );
    routes(
        &mut world,
        &worker_table,
        &[("10.50.0.0/16", "10.225.0.4"), ("10.244.64.0/18", "10.225.0.4")],
    );
    routes(&mut world, &site_table, &[("10.244.64.0/24", "10.1.2.10")]);
    for (group, name, address) in
        [(NODE_GROUP, "aks-router", "10.1.1.4"), ("dc1", "dc1-router", "10.1.1.5")]
    {
        let key = auth_key(&mut world);
        machine(&mut world, group, name, address, Some(&key));
        configure_router(&mut world, name);
    }
    machine(&mut world, "dc1", "dc1-worker-1", "10.1.2.10", None);
    allow_bootstrap(&mut world);
    prepare_worker(&mut world, "dc1-worker-1", "10.1.2.10", "10.244.64.0/24");
    approve_all(&mut world);
    finish_worker(&mut world);
    world
}

fn configure_router(world: &mut World, name: &str) {
    let route = BTreeMap::from([("10.244.0.0/24".parse().unwrap(), KernelRoute::Tunnel)]);
    let offered = ["10.50.0.0/16".parse().unwrap()].into();
    let changes = [
        RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        },
        RouterChange::Firewall { masquerade: true, mss_clamp: true },
        RouterChange::KernelRoutes(route),
        RouterChange::TailscaleSettings { accept_routes: true, snat_subnet_routes: true },
        RouterChange::AdvertisedRoutes(offered),
    ];
    let World { hosts, tailnet, entropy, .. } = world;
    let host = hosts.get_mut(name).unwrap();
    for change in changes {
        host.change_router(&change, &mut Outside { tailnet, entropy, now: now() }).unwrap();
    }
    let device = host.tailscale.as_ref().unwrap().device.clone().unwrap();
    tailnet.device_mut(&device).unwrap().enabled_routes.insert("10.50.0.0/16".parse().unwrap());
    controllers::reconcile(world, now());
}

fn finish_worker(world: &mut World) {
    let store = world.kubernetes.as_mut().unwrap();
    let time = "2026-01-02T03:04:05Z";
    let mut node = store.get("v1", "Node", None, "dc1-worker-1").unwrap().clone();
    node["spec"]["podCIDR"] = json!("10.244.64.0/24");
    store.put(node, "test", time).unwrap();
    let mut cilium = store.get("cilium.io/v2", "CiliumNode", None, "dc1-worker-1").unwrap().clone();
    cilium["spec"]["ipam"]["podCIDRs"] = json!(["10.244.64.0/24"]);
    store.put(cilium, "test", time).unwrap();
    let resource = super::kubernetes::CustomResource {
        group: "stargate.io",
        version: "v1alpha1",
        kind: "Server",
        plural: "servers",
        namespaced: false,
        status: true,
    };
    store.register_custom_resource(&resource, time).unwrap();
    let server = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": { "name": "dc1-worker-1" }, "spec": { "routerIP": "10.1.1.5" },
    });
    store.put(server, "test", time).unwrap();
    controllers::reconcile(world, now());
}
