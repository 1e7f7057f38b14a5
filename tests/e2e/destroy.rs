//! Everything of ours goes, and nothing else.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::provider::azure::client::Precondition;
use stargate::resource::ArmId;
use stargate::sandbox::{World, arm};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, told};

fn group(name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, name)
}

async fn put(deployment: &Deployment, id: &ArmId, body: serde_json::Value) {
    deployment.doors.azure.put(id, &body, Precondition::None).await.unwrap();
}

/// Somebody else's things in the same subscription and tailnet.
async fn strangers(deployment: &Deployment) {
    put(deployment, &group("others"), json!({ "location": "westeurope" })).await;
    let table = group("others").in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    put(deployment, &table, json!({ "location": "westeurope", "properties": { "routes": [] } }))
        .await;
    let tagged = json!({ "managed-by": "stargate", "stargate-topology": "another" });
    let id = group("another");
    put(deployment, &id, json!({ "location": "westeurope", "tags": tagged })).await;
    deployment
        .world
        .change(|world, _| world.seed_machine("stranger", [10, 99, 0, 9].into(), None, true));
}

/// What carries our mark anywhere.
fn ours(world: &World, topology: &str) -> Vec<String> {
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
        let all = world.arm.list(resource_type);
        found.extend(all.filter(|(_, body)| tagged(body)).map(|(id, _)| id.to_string()));
    }
    let tag = format!("tag:stargate-{topology}");
    let devices = world.tailnet.devices().filter(|device| device.tags.contains(&tag));
    found.extend(devices.map(|device| device.hostname.clone()));
    if let Some(store) = &world.kubernetes {
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
    let left = applied.remaining.as_ref().map(told).unwrap_or_default();
    assert_eq!(applied.ending, ApplyStatus::Converged, "{left}");
}

#[tokio::test(start_paused = true)]
async fn it_leaves_what_was_there_before() {
    for (text, name) in [(EXAMPLE, "stargate-aks-e2e-2"), (TWO_DATACENTERS, "lab")] {
        let deployment = Deployment::of(text, World::new(11));
        strangers(&deployment).await;
        let before = canonical_state(&deployment.copy_of_world());
        deployment.iterate().await;
        assert!(ours(&deployment.copy_of_world(), name).len() > 10);
        destroy(&deployment).await;
        assert_eq!(ours(&deployment.copy_of_world(), name), Vec::<String>::new());
        let mut differing = differences(&before, &canonical_state(&deployment.copy_of_world()));
        // What the kernel of a machine that stays was told lasts until it
        // boots: nobody knows what it was before, and our files are gone.
        let lasting =
            ["/ip_forwarding", "/modules", "/swap_off", "/reverse_path_filter", "/send_redirects"];
        let of_kernel =
            |line: &str| line.starts_with("/rest/hosts/attic-") && line.contains("/kernel/");
        differing.retain(|line| !of_kernel(line) || !lasting.iter().any(|it| line.contains(it)));
        assert_eq!(differing, Vec::<String>::new(), "{name}");
        // Once more: there is nothing left to do, and nothing is done.
        let writes = deployment.writes();
        destroy(&deployment).await;
        assert_eq!(deployment.writes(), writes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_with_a_stranger_in_it_stays() {
    let deployment = Deployment::example_applied().await;
    let stranger = group("stargate-aks-e2e-2-dc")
        .in_group("Microsoft.Network/publicIPAddresses", "somebody-elses");
    let body = json!({
        "location": "canadacentral", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" },
    });
    put(&deployment, &stranger, body).await;
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.ending, ApplyStatus::Blocked);
    let remaining = applied.remaining.unwrap();
    let [blocked] = &remaining.blocked[..] else { panic!("{}", told(&remaining)) };
    assert!(blocked.failure.message.contains("somebody-elses"), "{}", blocked.failure.message);
    let world = deployment.copy_of_world();
    assert!(world.arm.get(&stranger).is_some());
    let left = ours(&world, "stargate-aks-e2e-2");
    assert_eq!(left, [group("stargate-aks-e2e-2-dc").to_string()]);
}

/// A cluster that was there before is read and never written; what of ours is
/// in its network goes again.
#[tokio::test(start_paused = true)]
async fn an_existing_cluster_is_left_as_it_was() {
    let text = EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # ");
    let deployment = Deployment::of(&text, World::new(12));
    put(&deployment, &group("stargate-aks-e2e-2"), json!({ "location": "canadacentral" })).await;
    let id = group("stargate-aks-e2e-2")
        .in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    let body = json!({
        "location": "canadacentral", "identity": { "type": "SystemAssigned" },
        "properties": {
            "kubernetesVersion": "1.33.5", "dnsPrefix": "theirs",
            "networkProfile": {
                "networkPlugin": "azure", "networkPluginMode": "overlay",
                "networkDataplane": "cilium", "networkPolicy": "cilium",
                "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10",
            },
            "agentPoolProfiles": [{
                "name": "nodepool1", "mode": "System", "count": 2, "vmSize": "Standard_D2ads_v5",
                "enableAutoScaling": true, "minCount": 2, "maxCount": 5,
            }],
        },
    });
    put(&deployment, &id, body).await;
    let before = deployment.copy_of_world();
    deployment.iterate().await;
    assert!(deployment.look(&RefreshOptions::deep()).await.plan.is_empty());
    let cluster = |world: &World| world.arm.get(&id).cloned();
    assert_eq!(cluster(&deployment.copy_of_world()), cluster(&before));
    destroy(&deployment).await;
    assert_eq!(cluster(&deployment.copy_of_world()), cluster(&before));
    let differing =
        differences(&canonical_state(&before), &canonical_state(&deployment.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
    assert_eq!(ours(&deployment.copy_of_world(), "stargate-aks-e2e-2"), Vec::<String>::new());
}
