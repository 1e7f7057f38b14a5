//! A destroy deletes everything that the topology owns, and nothing else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::provider::azure::client::Precondition;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::transport::kube_service;
use stargate::sandbox::{SandboxState, arm};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

fn group(name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, name)
}

async fn put(deployment: &Deployment, id: &ArmId, body: serde_json::Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
}

/// Adds objects of other owners in the same subscription and tailnet.
async fn add_foreign_objects(deployment: &Deployment) {
    put(deployment, &group("others"), json!({ "location": "westeurope" })).await;
    let table = group("others").in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    put(deployment, &table, json!({ "location": "westeurope", "properties": { "routes": [] } }))
        .await;
    let tagged = json!({ "managed-by": "stargate", "stargate-topology": "another" });
    let id = group("another");
    put(deployment, &id, json!({ "location": "westeurope", "tags": tagged })).await;
    deployment
        .sandbox
        .change(|sandbox, _| sandbox.seed_machine("stranger", [10, 99, 0, 9].into(), None, true));
}

/// Everything that the topology owns.
fn ours(sandbox: &SandboxState, topology: &str) -> Vec<String> {
    let tagged = |body: &serde_json::Value| body["tags"]["stargate-topology"] == topology;
    let mut found: Vec<String> = Vec::new();
    for resource_type in [
        "Microsoft.Resources/resourceGroups",
        "Microsoft.ContainerService/managedClusters",
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/routeTables",
        "Microsoft.Network/networkSecurityGroups",
        "Microsoft.Network/publicIPAddresses",
        "Microsoft.Network/natGateways",
        "Microsoft.Network/networkInterfaces",
        "Microsoft.Compute/virtualMachines",
        "Microsoft.Compute/disks",
    ] {
        let all = sandbox.arm.list(resource_type);
        found.extend(all.filter(|(_, body)| tagged(body)).map(|(id, _)| id.to_string()));
    }
    let tag = format!("tag:stargate-{topology}");
    let devices = sandbox.tailnet.devices().filter(|device| device.tags.contains(&tag));
    found.extend(devices.map(|device| device.hostname.clone()));
    if let Some(store) = &sandbox.kubernetes {
        let text = serde_json::to_string(store).unwrap();
        let marks = [
            format!("\"stargate.io/topology\":\"{topology}\""),
            "\"name\":\"servers.stargate.io\"".to_owned(),
        ];
        found.extend(marks.into_iter().filter(|mark| text.contains(mark)));
    }
    found
}

async fn destroy(deployment: &Deployment) {
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(applied.status, ApplyStatus::Converged, "{left}");
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_are_kept() {
    for (text, name) in [(EXAMPLE, "stargate-aks-e2e-2"), (TWO_DATACENTERS, "lab")] {
        let deployment = Deployment::of(text, SandboxState::new(11));
        add_foreign_objects(&deployment).await;
        let before = canonical_state(&deployment.copy_of_state());
        deployment.iterate().await;
        assert!(ours(&deployment.copy_of_state(), name).len() > 10);
        destroy(&deployment).await;
        assert_eq!(ours(&deployment.copy_of_state(), name), Vec::<String>::new());
        let mut differing = differences(&before, &canonical_state(&deployment.copy_of_state()));
        // Kernel settings of a machine that is kept last until its next boot: their previous values
        // are unknown, and the files that set them are deleted.
        let lasting =
            ["/ip_forwarding", "/modules", "/swap_off", "/reverse_path_filter", "/send_redirects"];
        let of_kernel =
            |line: &str| line.starts_with("/rest/hosts/attic-") && line.contains("/kernel/");
        differing.retain(|line| !of_kernel(line) || !lasting.iter().any(|it| line.contains(it)));
        assert_eq!(differing, Vec::<String>::new(), "{name}");
        // A second destroy has nothing to do and writes nothing.
        let writes = deployment.writes();
        destroy(&deployment).await;
        assert_eq!(deployment.writes(), writes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_with_a_foreign_object_is_kept() {
    let deployment = Deployment::example_applied().await;
    let foreign_object =
        group("stargate-aks-e2e-2-dc").in_group("Microsoft.Network/publicIPAddresses", "foreign");
    let body = json!({
        "location": "canadacentral", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" },
    });
    put(&deployment, &foreign_object, body).await;
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked);
    let remaining = applied.remaining.unwrap();
    let [blocked] = &remaining.blocked[..] else { panic!("{}", summary(&remaining)) };
    assert!(blocked.failure.message.contains("foreign"), "{}", blocked.failure.message);
    let sandbox = deployment.copy_of_state();
    assert!(sandbox.arm.get(&foreign_object).is_some());
    let left = ours(&sandbox, "stargate-aks-e2e-2");
    assert_eq!(left, [group("stargate-aks-e2e-2-dc").to_string()]);
}

/// The cluster of the example as another tool made it, with one node pool.
pub(crate) fn foreign_cluster(pool: Value) -> Value {
    json!({
        "location": "canadacentral", "identity": { "type": "SystemAssigned" },
        "properties": {
            "kubernetesVersion": "1.33.5", "dnsPrefix": "theirs",
            "networkProfile": {
                "networkPlugin": "azure", "networkPluginMode": "overlay",
                "networkDataplane": "cilium", "networkPolicy": "cilium",
                "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16",
                "dnsServiceIP": "10.0.0.10",
            },
            "agentPoolProfiles": [pool],
        },
    })
}

/// The example in front of a cluster that another tool made.
async fn with_existing_cluster() -> (Deployment, ArmId) {
    let text = EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # ");
    let deployment = Deployment::of(&text, SandboxState::new(12));
    put(&deployment, &group("stargate-aks-e2e-2"), json!({ "location": "canadacentral" })).await;
    let id = group("stargate-aks-e2e-2")
        .in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    let body = foreign_cluster(json!({
        "name": "nodepool1", "mode": "System", "count": 2, "vmSize": "Standard_D2ads_v5",
        "enableAutoScaling": true, "minCount": 2, "maxCount": 5,
    }));
    put(&deployment, &id, body).await;
    (deployment, id)
}

/// An existing cluster is read and never written. The topology's objects in its network are
/// deleted.
#[tokio::test(start_paused = true)]
async fn an_existing_cluster_is_not_changed() {
    let (deployment, id) = with_existing_cluster().await;
    let before = deployment.copy_of_state();
    deployment.iterate().await;
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
    let cluster = |sandbox: &SandboxState| sandbox.arm.get(&id).cloned();
    assert_eq!(cluster(&deployment.copy_of_state()), cluster(&before));
    destroy(&deployment).await;
    assert_eq!(cluster(&deployment.copy_of_state()), cluster(&before));
    let differing =
        differences(&canonical_state(&before), &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
    assert_eq!(ours(&deployment.copy_of_state(), "stargate-aks-e2e-2"), Vec::<String>::new());
}

/// The topology no longer fits its cluster, which is an error, and its resources can be deleted.
#[tokio::test(start_paused = true)]
async fn remains_of_a_deleted_existing_cluster_are_destroyed() {
    let (deployment, id) = with_existing_cluster().await;
    deployment.iterate().await;
    deployment.clients.azure.delete(&id, Precondition::None).await.unwrap();
    let plan = deployment.plan().await;
    assert!(plan.findings.iter().any(|it| it.failure.code == Code::ExistingClusterMissing));
    destroy(&deployment).await;
    assert_eq!(ours(&deployment.copy_of_state(), "stargate-aks-e2e-2"), Vec::<String>::new());
}

/// Sends a request to the cluster as another client does.
async fn kubectl(deployment: &Deployment, method: &str, path: &str, body: Value) -> Value {
    let service = kube_service(deployment.sandbox.clone());
    let client = kube::client::ClientBuilder::new(service, "default").build();
    let request = http::Request::builder().method(method).uri(path);
    let request = request.header("content-type", "application/json");
    client.request(request.body(serde_json::to_vec(&body).unwrap()).unwrap()).await.unwrap()
}

const SERVERS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/servers";

/// ConfigMaps of others in both namespaces, and a Server of another topology.
async fn add_foreign_to_namespaces(deployment: &Deployment) {
    for namespace in ["stargate", "goldpinger"] {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let notes = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "notes" },
            "data": { "a": "b" },
        });
        kubectl(deployment, "POST", &path, notes).await;
    }
    let list = kubectl(deployment, "GET", SERVERS, Value::Null).await;
    let mut server = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": { "name": "theirs", "labels": { "stargate.io/topology": "another" } },
    });
    server["spec"] = list["items"][0]["spec"].clone();
    kubectl(deployment, "POST", SERVERS, server).await;
}

async fn remove_foreign_from_namespaces(deployment: &Deployment) {
    for namespace in ["stargate", "goldpinger"] {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/notes");
        kubectl(deployment, "DELETE", &path, json!({})).await;
    }
    kubectl(deployment, "DELETE", &format!("{SERVERS}/theirs"), json!({})).await;
}

/// A namespace or a definition of ours with foreign objects is kept, and the plan names
/// these objects.
#[tokio::test(start_paused = true)]
async fn a_namespace_and_a_definition_with_foreign_objects_are_kept() {
    let (deployment, _) = with_existing_cluster().await;
    deployment.iterate().await;
    add_foreign_to_namespaces(&deployment).await;
    assert!(deployment.plan().await.is_empty());
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    let blocked: BTreeMap<String, &str> = plan
        .blocked
        .iter()
        .map(|it| (it.address.name.to_string(), it.failure.message.as_str()))
        .collect();
    let names: Vec<&str> = blocked.keys().map(String::as_str).collect();
    assert_eq!(names, ["goldpinger", "servers.stargate.io", "stargate"], "{}", summary(&plan));
    let foreign = "it holds objects that the topology does not own";
    assert_eq!(blocked["goldpinger"], format!("{foreign}: ConfigMap notes"));
    assert_eq!(blocked["servers.stargate.io"], format!("{foreign}: theirs"));
    assert_eq!(blocked["stargate"], format!("{foreign}: ConfigMap notes, Server theirs"));
    assert!(plan.blocked.iter().all(|it| it.failure.code == Code::GroupHasForeignObjects));
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked);
    let server = kubectl(&deployment, "GET", &format!("{SERVERS}/theirs"), Value::Null).await;
    assert_eq!(server["metadata"]["name"], "theirs");
    let notes = "/api/v1/namespaces/goldpinger/configmaps/notes";
    assert_eq!(kubectl(&deployment, "GET", notes, Value::Null).await["data"]["a"], "b");
    remove_foreign_from_namespaces(&deployment).await;
    destroy(&deployment).await;
    assert_eq!(ours(&deployment.copy_of_state(), "stargate-aks-e2e-2"), Vec::<String>::new());
}

/// Goldpinger is switched off: its namespace stays while others keep something in it.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_no_longer_desired_keeps_foreign_objects() {
    let before = Deployment::example_applied().await;
    add_foreign_to_namespaces(&before).await;
    let text = EXAMPLE.replace("[network]", "[network]\ngoldpinger = false");
    let text = match EXAMPLE.contains("[network]") {
        true => text,
        false => format!("{EXAMPLE}\n[network]\ngoldpinger = false\n"),
    };
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.address.to_string(), "namespace/cluster/goldpinger");
    assert!(blocked.failure.message.ends_with("ConfigMap notes"), "{}", blocked.failure.message);
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    let notes = "/api/v1/namespaces/goldpinger/configmaps/notes";
    assert_eq!(kubectl(&deployment, "GET", notes, Value::Null).await["data"]["a"], "b");
}

/// A foreign node pool blocks the deletion of our cluster, so that its namespaces are not
/// deleted with it: foreign objects in them block their deletion, too.
#[tokio::test(start_paused = true)]
async fn the_contents_of_an_own_cluster_that_stays_are_kept() {
    let deployment = Deployment::example_applied().await;
    add_foreign_to_namespaces(&deployment).await;
    let goes = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    let containers = ["goldpinger", "servers.stargate.io", "stargate"];
    assert!(goes.blocked.is_empty(), "{}", summary(&goes));
    let is_container = |it: &&stargate::plan::Change| {
        matches!(it.address.kind, Kind::Namespace | Kind::CustomResourceDefinition)
            && containers.contains(&it.address.name.as_str())
    };
    let deleted = goes.changes.iter().filter(is_container);
    assert_eq!(deleted.count(), 0, "they go with the cluster, or stay: {}", summary(&goes));

    let cluster = group("stargate-aks-e2e-2")
        .in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    let pool = cluster.child("agentPools", "theirs");
    let body = json!({ "properties": { "count": 1, "vmSize": "Standard_D2s_v5", "mode": "User" } });
    put(&deployment, &pool, body).await;
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    let blocked: BTreeMap<String, Code> =
        plan.blocked.iter().map(|it| (it.address.name.to_string(), it.failure.code)).collect();
    for name in containers {
        assert_eq!(blocked.get(name), Some(&Code::GroupHasForeignObjects), "{}", summary(&plan));
    }
    deployment.apply(&RefreshOptions::destroying()).await;
    assert!(deployment.copy_of_state().arm.get(&cluster).is_some(), "{}", summary(&plan));
    let notes = "/api/v1/namespaces/goldpinger/configmaps/notes";
    assert_eq!(kubectl(&deployment, "GET", notes, Value::Null).await["data"]["a"], "b");
    let server = kubectl(&deployment, "GET", &format!("{SERVERS}/theirs"), Value::Null).await;
    assert_eq!(server["metadata"]["name"], "theirs");
}
