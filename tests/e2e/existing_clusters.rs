//! The shapes of clusters that stargate did not make: each is connected, kept and left as it
//! was, or refused with its reason.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Finding, FindingSeverity, PlanStatus};
use stargate::provider::azure::Precondition;
use stargate::resource::ArmId;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::{SandboxState, arm};

use crate::destroy::{foreign_cluster, ours};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

const NAME: &str = "stargate-aks-e2e-2";
const OTHER_SUBSCRIPTION: &str = "0e6a0c1e-0000-4000-8000-00000000000b";
const REGION: &str = "westeurope";
const ROUTER_SUBNET: &str = "stargate-aks-router-subnet";

/// A cluster that another tool made.
struct Shape {
    name: &'static str,
    /// The resource group of its own VNet; without one AKS makes the VNet.
    network: Option<ArmId>,
    /// The ranges of the subnets of its pools, one pool each.
    subnets: &'static [&'static str],
    /// Properties that differ, by their pointers.
    settings: Vec<(&'static str, Value)>,
    /// Why it cannot be used, and what the remedy names.
    refused: Option<(Code, &'static str)>,
}

const ONE: &[&str] = &["10.224.0.0/16"];
const SEVERAL: &[&str] = &["10.224.0.0/17", "10.225.0.0/24"];

fn group(name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, name)
}

fn shape(name: &'static str) -> Shape {
    Shape { name, network: None, subnets: ONE, settings: Vec::new(), refused: None }
}

fn with_network(name: &'static str, network: ArmId, subnets: &'static [&'static str]) -> Shape {
    Shape { network: Some(network), subnets, ..shape(name) }
}

fn with_setting(name: &'static str, pointer: &'static str, value: Value) -> Shape {
    Shape { settings: vec![(pointer, value)], ..shape(name) }
}

fn refused(shape: Shape, code: Code, remedy: &'static str) -> Shape {
    Shape { refused: Some((code, remedy)), ..shape }
}

fn shapes() -> Vec<Shape> {
    let elsewhere = ArmId::resource_group(OTHER_SUBSCRIPTION, "their-network");
    let profile = "/apiServerAccessProfile";
    let network = |name: &'static str, value| with_setting(name, name_of(name), value);
    let stopped = with_setting("stopped", "/powerState", json!({ "code": "Stopped" }));
    let mut entra = with_setting("Entra", "/disableLocalAccounts", json!(true));
    entra.settings.push(("/aadProfile", json!({ "enableAzureRBAC": true })));
    let unsupported = Code::ClusterUnsupported;
    vec![
        shape("managed"),
        with_network("own VNet, same group", group(NAME), ONE),
        with_network("own VNet, another group", group("their-network"), ONE),
        with_network("own VNet, another subscription", elsewhere, ONE),
        with_network("pools with own subnets", group("their-network"), SEVERAL),
        entra,
        with_setting("authorized", profile, json!({ "authorizedIPRanges": ["20.0.0.0/8"] })),
        with_setting("private", profile, json!({ "enablePrivateCluster": true })),
        refused(stopped, Code::ClusterStopped, "az aks start --resource-group"),
        refused(network("dual stack", json!(["IPv4", "IPv6"])), unsupported, "--ip-families ipv4"),
        refused(network("plain", Value::Null), unsupported, "--network-plugin-mode overlay"),
        refused(network("bring your own", json!("none")), unsupported, "create a cluster"),
    ]
}

/// A cluster whose VNet is in another subscription and region than the topology names.
pub(crate) async fn with_network_elsewhere() -> Deployment {
    let elsewhere = ArmId::resource_group(OTHER_SUBSCRIPTION, "their-network");
    deployment(&with_network("elsewhere", elsewhere, ONE)).await
}

fn name_of(shape: &str) -> &'static str {
    match shape {
        "dual stack" => "/networkProfile/ipFamilies",
        "plain" => "/networkProfile/networkPluginMode",
        _ => "/networkProfile/networkPlugin",
    }
}

async fn put(deployment: &Deployment, id: &ArmId, body: Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
    deployment.clients.azure.wait_until_idle(id).await.unwrap();
}

/// The example in front of the cluster, with objects of others beside it.
async fn deployment(shape: &Shape) -> Deployment {
    let text = EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # ");
    let deployment = Deployment::of(&text, SandboxState::new(12));
    put(&deployment, &group(NAME), json!({ "location": REGION })).await;
    let network = shape.network.as_ref();
    if let Some(network) = network {
        put(&deployment, network, json!({ "location": REGION })).await;
        add_network(&deployment, network, shape.subnets).await;
    }
    let vnet = network.map(|it| it.in_group("Microsoft.Network/virtualNetworks", "their-vnet"));
    let pool = |(index, _): (usize, &&str)| {
        let mut pool = json!({ "name": format!("pool{index}"), "mode": "System", "count": 2,
            "vmSize": "Standard_D4ads_v5" });
        if let Some(vnet) = &vnet {
            pool["vnetSubnetID"] = json!(vnet.child("subnets", &format!("nodes{index}")));
        }
        pool
    };
    let pools: Vec<Value> = shape.subnets.iter().enumerate().map(pool).collect();
    let mut body = foreign_cluster(Value::Null);
    body["location"] = json!(REGION);
    body["properties"]["agentPoolProfiles"] = json!(pools);
    if let Some((pointer, value)) = shape.settings.iter().find(|it| it.0 == "/aadProfile") {
        body["properties"][&pointer[1..]] = value.clone();
    }
    let id = group(NAME).in_group("Microsoft.ContainerService/managedClusters", NAME);
    put(&deployment, &id, body).await;
    deployment.sandbox.change(|sandbox, now| {
        sandbox.seed_machine("stranger", [10, 99, 0, 9].into(), None, true);
        let SandboxState { arm, entropy, kubernetes, .. } = sandbox;
        let change = |body: &mut Value| {
            for (pointer, value) in &shape.settings {
                set(&mut body["properties"], pointer, value.clone());
            }
        };
        arm.modify(&id, change, &mut || entropy.next_guid());
        let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "b" },
            "metadata": { "name": "theirs", "namespace": "default" } });
        kubernetes.as_mut().unwrap().put(theirs, "them", &now.to_string()).unwrap();
    });
    deployment
}

fn set(body: &mut Value, pointer: &str, value: Value) {
    let mut place = body;
    for name in pointer.split('/').skip(1) {
        place = &mut place[name];
    }
    *place = value;
}

/// The VNet with the subnets of the pools and one of another team, which has a route table.
async fn add_network(deployment: &Deployment, group: &ArmId, subnets: &[&str]) {
    let table = group.in_group("Microsoft.Network/routeTables", "firewall");
    let route = json!({ "name": "out", "properties": { "addressPrefix": "0.0.0.0/0",
        "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.230.0.4" } });
    let body = json!({ "location": REGION, "properties": { "routes": [route] } });
    put(deployment, &table, body).await;
    let nodes = |(index, prefix): (usize, &&str)| json!({ "name": format!("nodes{index}"), "properties": { "addressPrefixes": [prefix] } });
    let theirs = json!({ "name": "databases", "properties": {
        "addressPrefix": "10.226.0.0/24", "routeTable": { "id": table } } });
    let all: Vec<Value> = subnets.iter().enumerate().map(nodes).chain([theirs]).collect();
    let body = json!({ "location": REGION, "properties": {
        "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] }, "subnets": all } });
    put(deployment, &group.in_group("Microsoft.Network/virtualNetworks", "their-vnet"), body).await;
}

/// Every object of a state by its name, without the fields that services count in. The subnets
/// of a VNet are objects of their own; `attached` is whether route tables of node subnets count.
fn objects(sandbox: &SandboxState, attached: bool) -> BTreeMap<String, Value> {
    let whole = serde_json::to_value(sandbox).unwrap();
    let mut found = BTreeMap::new();
    for object in fields(&whole["arm"]["objects"]).values() {
        let id = object["id"].as_str().unwrap().to_ascii_lowercase();
        let mut body = object["body"].clone();
        strip(&mut body);
        let subnets = body["properties"]["subnets"].as_array().cloned().unwrap_or_default();
        for mut subnet in subnets {
            let name = subnet["name"].as_str().unwrap().to_owned();
            if !attached && (name.starts_with("nodes") || name == "aks-subnet") {
                subnet["properties"].as_object_mut().unwrap().remove("routeTable");
            }
            found.insert(format!("{id}/subnets/{name}"), subnet);
        }
        body["properties"].as_object_mut().map(|it| it.remove("subnets"));
        found.insert(id, body);
    }
    for (kind, all) in fields(&whole["kubernetes"]["objects"]) {
        // Their contents follow time and the services' own work.
        if kind.starts_with("pods") || kind.starts_with("leases") || kind.starts_with("events") {
            continue;
        }
        for (name, object) in fields(&all) {
            let parts = ["spec", "data", "rules", "subjects", "roleRef"];
            let labels = object["metadata"]["labels"].clone();
            let body: Vec<Value> = parts.iter().map(|part| object[*part].clone()).collect();
            found.insert(format!("{kind} {name}"), json!([labels, body]));
        }
    }
    for (id, device) in fields(&whole["tailnet"]["devices"]) {
        let parts = ["hostname", "tags", "advertised", "enabled", "authorized"];
        let body: Vec<Value> = parts.iter().map(|part| device[*part].clone()).collect();
        found.insert(format!("device {id}"), json!(body));
    }
    found
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            // Azure counts in the first, adds the second with a write, and refers with the third
            // to what uses a subnet.
            for name in ["etag", "resourceGuid", "ipConfigurations"] {
                map.remove(name);
            }
            map.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The objects that existed before and are not as they were.
fn touched(before: &SandboxState, after: &SandboxState, attached: bool) -> Vec<String> {
    let now = objects(after, attached);
    let changed =
        objects(before, attached).into_iter().filter(|(name, body)| now.get(name) != Some(body));
    changed.map(|(name, body)| format!("{name}: {body} | {:?}", now.get(&name))).collect()
}

async fn works(shape: &Shape, deployment: &Deployment) {
    let before = deployment.copy_of_state();
    let applied = deployment.iterate().await;
    assert_eq!(failures(&applied), Vec::<String>::new(), "{}", shape.name);
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}: {}", shape.name, summary(&plan));
    assert_eq!(plan.reachability.lost, 0, "{}: {}", shape.name, summary(&plan));
    let state = deployment.copy_of_state();
    assert_eq!(touched(&before, &state, false), Vec::<String>::new(), "{}", shape.name);
    if let Some(network) = &shape.network {
        is_beside_the_network(network, shape, &state);
    }
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    let left = destroyed.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(destroyed.status, ApplyStatus::Converged, "{}: {left}", shape.name);
    let state = deployment.copy_of_state();
    assert_eq!(touched(&before, &state, true), Vec::<String>::new(), "{}", shape.name);
    assert_eq!(ours(&state, NAME), Vec::<String>::new(), "{}", shape.name);
    let subnets = objects(&state, true);
    assert!(!subnets.keys().any(|name| name.ends_with(ROUTER_SUBNET)), "{}", shape.name);
}

/// The router and the tables are in the group, the subscription and the region of the VNet, and
/// each subnet of nodes has the table.
fn is_beside_the_network(network: &ArmId, shape: &Shape, state: &SandboxState) {
    for (kind, name) in [
        ("Microsoft.Compute/virtualMachines", "stargate-aks-e2e-2-router"),
        ("Microsoft.Network/routeTables", "stargate-workers-rt"),
        ("Microsoft.Network/routeTables", "stargate-router-rt"),
    ] {
        let id = network.in_group(kind, name);
        let body = state.arm.get(&id).unwrap_or_else(|| panic!("{}: no {id}", shape.name));
        assert_eq!(body["location"], REGION, "{}", shape.name);
    }
    let table = network.in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    let subnets = objects(state, true);
    for index in 0..shape.subnets.len() {
        let end = format!("/subnets/nodes{index}");
        let subnet = subnets.iter().find(|(name, _)| name.ends_with(&end)).unwrap().1;
        let attached = ArmId::new(subnet["properties"]["routeTable"]["id"].as_str().unwrap());
        assert_eq!(attached, table, "{}", shape.name);
    }
}

async fn is_refused(shape: &Shape, deployment: &Deployment, (code, remedy): (Code, &str)) {
    let before = deployment.copy_of_state();
    let writes = deployment.writes();
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Wrong, "{}: {}", shape.name, summary(&plan));
    let [finding] = &plan.findings[..] else { panic!("{}: {}", shape.name, summary(&plan)) };
    assert_eq!(finding.failure.code, code, "{}", shape.name);
    assert!(finding.failure.message.contains(NAME), "{}", finding.failure.message);
    assert!(finding.failure.remedy.contains(remedy), "{}", finding.failure.remedy);
    for options in [RefreshOptions::default(), RefreshOptions::destroying()] {
        let applied = deployment.apply(&options).await;
        assert_eq!(failures(&applied), Vec::<String>::new(), "{}", shape.name);
    }
    assert_eq!(deployment.writes(), writes, "{}", shape.name);
    assert_eq!(touched(&before, &deployment.copy_of_state(), true), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn every_shape_is_connected_or_refused_with_its_reason() {
    for shape in shapes() {
        let deployment = deployment(&shape).await;
        match shape.refused {
            Some(reason) => is_refused(&shape, &deployment, reason).await,
            None => works(&shape, &deployment).await,
        }
    }
}

/// Workers come from the address of their NAT gateway: once it is known and a worker is not
/// Ready, the plan has the command for the cluster's owner.
#[tokio::test(start_paused = true)]
async fn workers_must_be_in_the_authorized_ranges() {
    let profile = |ranges: Value| json!({ "authorizedIPRanges": ranges });
    let pointer = "/apiServerAccessProfile";
    let theirs = "203.0.113.0/24";
    let shape_with = |ranges| with_setting("authorized", pointer, profile(ranges));
    let announced = deployment(&shape_with(json!([theirs]))).await.plan().await;
    let [finding] = &announced.findings[..] else { panic!("{}", summary(&announced)) };
    assert_eq!(finding.failure.code, Code::ApiServerUnreachable);
    assert_eq!(finding.severity, FindingSeverity::Warning);
    let deployment = deployment(&shape_with(json!([]))).await;
    deployment.iterate().await;
    let authorize = |ranges: Value| change_property(&deployment, pointer, &profile(ranges));
    authorize(json!([theirs]));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    deployment.inject(Fault::WorkerNotReady, None);
    let plan = deployment.plan().await;
    // Changes elsewhere are still made.
    assert_eq!(plan.findings[0].severity, FindingSeverity::Warning, "{}", summary(&plan));
    let address = gateway_address(&deployment.copy_of_state());
    let command = format!("--api-server-authorized-ip-ranges {theirs},{address}/32`");
    let named = |it: &&Finding| it.failure.remedy.contains(&command);
    assert!(plan.findings.iter().any(|it| named(&it)), "{}", summary(&plan));
    authorize(json!([theirs, format!("{address}/32")]));
    deployment.iterate().await;
}

/// Changes a property of the cluster behind stargate's back.
fn change_property(deployment: &Deployment, pointer: &str, value: &Value) {
    deployment.sandbox.change(|sandbox, _| {
        let id = group(NAME).in_group("Microsoft.ContainerService/managedClusters", NAME);
        let SandboxState { arm, entropy, .. } = sandbox;
        let change = |body: &mut Value| set(&mut body["properties"], pointer, value.clone());
        arm.modify(&id, change, &mut || entropy.next_guid());
    });
}

/// The cluster became dual-stack after the deployment.
#[tokio::test(start_paused = true)]
async fn a_destroy_includes_a_cluster_that_is_refused_since() {
    let deployment = deployment(&shape("managed")).await;
    deployment.iterate().await;
    change_property(&deployment, "/networkProfile/ipFamilies", &json!(["IPv4", "IPv6"]));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Wrong, "{}", summary(&plan));
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(destroyed.status, ApplyStatus::Converged, "{}", failures(&destroyed).join("\n"));
    let state = deployment.copy_of_state();
    assert_eq!(ours(&state, NAME), Vec::<String>::new());
}

fn gateway_address(state: &SandboxState) -> String {
    let mut all = state.arm.list("Microsoft.Network/publicIPAddresses");
    let (_, body) = all.find(|(id, _)| id.name().contains("nat-gateway")).unwrap();
    body["properties"]["ipAddress"].as_str().unwrap().to_owned()
}
