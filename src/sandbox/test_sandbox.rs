//! A sandbox built without stargate: an AKS cluster, two routers, a datacenter's worker.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ApiResponse;
use super::controllers;
use super::state::SandboxState;
use crate::provider::host::{KubeletConfiguration, RouterChange, WorkerStep};
use crate::provider::http::Api;
use crate::provider::secret::Secret;
use crate::resource::ArmId;
use crate::resource::host::KernelRoute;
use crate::sandbox::hosts::change::HostEnvironment;
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

pub(super) fn put(sandbox: &mut SandboxState, id: &ArmId, body: Value) {
    let SandboxState { arm, entropy, .. } = sandbox;
    arm.upsert(id, body, &mut || entropy.next_guid());
}

pub(super) fn request(
    sandbox: &mut SandboxState,
    api: Api,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let token = match api {
        Api::Kubernetes => sandbox.cluster_access.as_ref().map(|access| access.token.clone()),
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
    match sandbox.handle(api, &request, now()) {
        ApiResponse::Complete(response) => {
            let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
            (response.status().as_u16(), value)
        }
        ApiResponse::Watch(_) => (200, Value::Null),
    }
}

pub(super) fn auth_key(sandbox: &mut SandboxState) -> String {
    sandbox.seed_tag(&TailnetTag::new(TAG));
    let create = json!({ "preauthorized": true, "tags": [TAG] });
    let body = json!({ "capabilities": { "devices": { "create": create } } });
    let (status, key) = request(sandbox, Api::Tailscale, "POST", "/api/v2/tailnet/-/keys", &body);
    assert_eq!(status, 200, "{key}");
    key["key"].as_str().unwrap().to_owned()
}

/// Creates a VM through Azure's API, so that its custom data is stored.
pub(super) fn machine(
    sandbox: &mut SandboxState,
    group: &str,
    name: &str,
    address: &str,
    key: Option<&str>,
) {
    let role = if key.is_some() { "router" } else { "worker" };
    let about = json!({ "hostname": name, "role": role, "auth_key": key });
    let cloud_init = format!("#cloud-config\n{} {about}\n", machine_line());
    let network_id = id(group, "Microsoft.Network/virtualNetworks", "net");
    let interface = id(group, "Microsoft.Network/networkInterfaces", &format!("{name}-nic"));
    let security = id(group, "Microsoft.Network/networkSecurityGroups", &format!("{name}-nsg"));
    let subnet = if key.is_some() { "routers" } else { "workers" };
    put(
        sandbox,
        &ArmId::resource_group(super::arm::SUBSCRIPTION, group),
        json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
    );
    put(
        sandbox,
        &security,
        json!({ "location": "canadacentral", "tags": {}, "properties": { "provisioningState": "Succeeded", "securityRules": [] } }),
    );
    put(
        sandbox,
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
    let (status, response) = request(sandbox, Api::Azure, "PUT", &path, &body);
    assert!(status < 300, "{status} {response}");
    let SandboxState { arm, entropy, .. } = sandbox;
    arm.modify(&vm, |vm| vm["properties"]["provisioningState"] = json!("Succeeded"), &mut || {
        entropy.next_guid()
    });
    controllers::reconcile(sandbox, now());
}

fn machine_line() -> &'static str {
    "# stargate-machine:"
}

pub(super) fn network(sandbox: &mut SandboxState, group: &str, table: Option<&ArmId>) {
    let network = id(group, "Microsoft.Network/virtualNetworks", "net");
    let mut routers = json!({ "name": "routers", "properties": { "addressPrefix": "10.1.1.0/24", "provisioningState": "Succeeded" } });
    if let Some(table) = table {
        routers["properties"]["routeTable"] = json!({ "id": table.as_str() });
    }
    let workers = json!({ "name": "workers", "properties": { "addressPrefix": "10.1.2.0/24", "provisioningState": "Succeeded" } });
    put(
        sandbox,
        &network,
        json!({ "location": "canadacentral", "properties": {
            "provisioningState": "Succeeded",
            "addressSpace": { "addressPrefixes": ["10.0.0.0/8"] }, "subnets": [routers, workers],
        }}),
    );
}

pub(super) fn aks(sandbox: &mut SandboxState, count: u64) {
    let cluster = id("lab", "Microsoft.ContainerService/managedClusters", "aks");
    let group = ArmId::resource_group(super::arm::SUBSCRIPTION, "lab");
    put(
        sandbox,
        &group,
        json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
    );
    put(
        sandbox,
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
    controllers::reconcile(sandbox, now());
}

fn routes(sandbox: &mut SandboxState, id: &ArmId, routes: &[(&str, &str)]) {
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
        sandbox,
        id,
        json!({
            "location": "canadacentral",
            "tags": { "managed-by": "stargate", "stargate-topology": "lab" },
            "properties": { "provisioningState": "Succeeded", "routes": routes },
        }),
    );
}

pub(super) fn allow_bootstrap(sandbox: &mut SandboxState) {
    let store = sandbox.kubernetes.as_mut().unwrap();
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

/// Applies all bootstrap steps to a host, up to the start of the kubelet.
pub(super) fn prepare_worker(sandbox: &mut SandboxState, name: &str, address: &str, range: &str) {
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
        sandbox.hosts.get_mut(name).unwrap().apply_worker_step(&step).unwrap();
        controllers::reconcile(sandbox, now());
    }
}

pub(super) fn approve_all(sandbox: &mut SandboxState) {
    let store = sandbox.kubernetes.as_mut().unwrap();
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
    controllers::reconcile(sandbox, now());
}

/// A complete sandbox, as an apply would leave it.
pub(super) fn complete_sandbox() -> SandboxState {
    let mut sandbox = SandboxState::new(7);
    let router_table = id(NODE_GROUP, "Microsoft.Network/routeTables", "stargate-router-rt");
    let worker_table = id(NODE_GROUP, "Microsoft.Network/routeTables", "stargate-workers-rt");
    let site_table = id("dc1", "Microsoft.Network/routeTables", "dc1-route-table");
    aks(&mut sandbox, 2);
    for group in [NODE_GROUP, "dc1"] {
        put(
            &mut sandbox,
            &ArmId::resource_group(super::arm::SUBSCRIPTION, group),
            json!({ "location": "canadacentral", "properties": { "provisioningState": "Succeeded" } }),
        );
    }
    network(&mut sandbox, NODE_GROUP, Some(&router_table));
    network(&mut sandbox, "dc1", None);
    routes(
        &mut sandbox,
        &router_table,
        &[("10.244.0.0/24", "10.224.0.5"), ("10.244.1.0/24", "10.224.0.4")],
    );
    routes(
        &mut sandbox,
        &worker_table,
        &[("10.50.0.0/16", "10.225.0.4"), ("10.244.64.0/18", "10.225.0.4")],
    );
    routes(&mut sandbox, &site_table, &[("10.244.64.0/24", "10.1.2.10")]);
    for (group, name, address) in
        [(NODE_GROUP, "aks-router", "10.1.1.4"), ("dc1", "dc1-router", "10.1.1.5")]
    {
        let key = auth_key(&mut sandbox);
        machine(&mut sandbox, group, name, address, Some(&key));
        configure_router(&mut sandbox, name);
    }
    machine(&mut sandbox, "dc1", "dc1-worker-1", "10.1.2.10", None);
    allow_bootstrap(&mut sandbox);
    prepare_worker(&mut sandbox, "dc1-worker-1", "10.1.2.10", "10.244.64.0/24");
    approve_all(&mut sandbox);
    finish_worker(&mut sandbox);
    sandbox
}

fn configure_router(sandbox: &mut SandboxState, name: &str) {
    let route = BTreeMap::from([("10.244.0.0/24".parse().unwrap(), KernelRoute::Tunnel)]);
    let advertised = ["10.50.0.0/16".parse().unwrap()].into();
    let changes = [
        RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        },
        RouterChange::Firewall { masquerade: true, mss_clamp: true },
        RouterChange::KernelRoutes(route),
        RouterChange::TailscaleSettings { accept_routes: true, snat_subnet_routes: true },
        RouterChange::AdvertisedRoutes(advertised),
    ];
    let SandboxState { hosts, tailnet, entropy, .. } = sandbox;
    let host = hosts.get_mut(name).unwrap();
    for change in changes {
        host.change_router(&change, &mut HostEnvironment { tailnet, entropy, now: now() }).unwrap();
    }
    let device = host.tailscale.as_ref().unwrap().device.clone().unwrap();
    tailnet.device_mut(&device).unwrap().enabled_routes.insert("10.50.0.0/16".parse().unwrap());
    controllers::reconcile(sandbox, now());
}

fn finish_worker(sandbox: &mut SandboxState) {
    let store = sandbox.kubernetes.as_mut().unwrap();
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
    controllers::reconcile(sandbox, now());
}
