//! An existing cluster whose node pools are in a VNet of another resource group.

use serde_json::{Value, json};
use stargate::plan::{Action, PlanStatus};
use stargate::provider::azure::Precondition;
use stargate::provider::http::Api;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::{SandboxState, arm};

use crate::absence::mutation::{How, Mutation};
use crate::absence::rewriting::Answers;
use crate::destroy::foreign_cluster;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

fn group(name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, name)
}

fn network() -> ArmId {
    group("their-network").in_group("Microsoft.Network/virtualNetworks", "their-vnet")
}

async fn put(deployment: &Deployment, id: &ArmId, body: Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
    deployment.clients.azure.wait_until_idle(id).await.unwrap();
}

/// The example in front of such a cluster. The node subnet has its range in the form of a
/// list, as newer services answer it.
async fn applied(range: Value) -> Deployment {
    let text = EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # ");
    let deployment = Deployment::of(&text, SandboxState::new(12));
    for name in ["stargate-aks-e2e-2", "their-network"] {
        put(&deployment, &group(name), json!({ "location": "canadacentral" })).await;
    }
    let body = json!({ "location": "canadacentral", "properties": {
        "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] },
        "subnets": [{ "name": "nodes", "properties": range }],
    }});
    put(&deployment, &network(), body).await;
    let cluster = group("stargate-aks-e2e-2")
        .in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    let body = foreign_cluster(json!({
        "name": "nodepool1", "mode": "System", "count": 2, "vmSize": "Standard_D4ads_v5",
        "vnetSubnetID": network().child("subnets", "nodes"),
    }));
    put(&deployment, &cluster, body).await;
    deployment.iterate().await;
    deployment
}

fn as_text() -> Value {
    json!({ "addressPrefix": "10.224.0.0/16" })
}

#[tokio::test(start_paused = true)]
async fn a_cluster_in_a_network_of_its_owner_is_connected() {
    for range in [as_text(), json!({ "addressPrefixes": ["10.224.0.0/16"] })] {
        let deployment = applied(range.clone()).await;
        let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        assert_eq!(plan.status(), PlanStatus::Matches, "{range}: {}", summary(&plan));
        assert!(plan.reachability.lost == 0, "{}", summary(&plan));
    }
}

/// The table is missing on the pools' subnet, also if its range is written as a list.
#[tokio::test(start_paused = true)]
async fn a_missing_route_table_is_noticed() {
    for range in [as_text(), json!({ "addressPrefixes": ["10.224.0.0/16"] })] {
        let deployment = applied(range.clone()).await;
        deployment.sandbox.change(|sandbox, _| {
            let SandboxState { arm, entropy, .. } = sandbox;
            let detach = |body: &mut Value| {
                for subnet in body["properties"]["subnets"].as_array_mut().unwrap() {
                    if subnet["name"] == "nodes" {
                        subnet["properties"].as_object_mut().unwrap().remove("routeTable");
                    }
                }
            };
            arm.modify(&network(), detach, &mut || entropy.next_guid());
        });
        let plan = deployment.plan().await;
        let [change] = &plan.changes[..] else { panic!("{range}: {}", summary(&plan)) };
        assert_eq!(change.address.kind, Kind::RouteTableAssociation);
        assert_eq!(change.action, Action::Update);
        let applied = deployment.iterate().await;
        assert_eq!(failures(&applied), Vec::<String>::new());
        assert_eq!(deployment.plan().await.status(), PlanStatus::Matches);
    }
}

/// A role on the VNet was taken away: the router in it stays, and the gap names the VNet.
#[tokio::test(start_paused = true)]
async fn a_network_that_may_not_be_read_is_named() {
    let deployment = applied(as_text()).await;
    let responses = Answers::default();
    let deployment = deployment.with_answers(&responses);
    let identity = network().to_string().to_ascii_lowercase();
    let mutation = |how| Mutation { api: Api::Azure, identity: identity.clone(), how };
    responses.set(Some(mutation(How::HideFromLists)));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    for destroying in [false, true] {
        responses.set(Some(mutation(How::Refuse)));
        let options = RefreshOptions { destroying, ..RefreshOptions::default() };
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let of_azure = plan.changes.iter().filter(|it| it.address.kind.arm().is_some());
        assert_eq!(of_azure.count(), 0, "{}", summary(&plan));
        let named = |gap: &&stargate::inventory::Gap| {
            gap.failure.message.to_ascii_lowercase().contains(&identity)
        };
        let gap = plan.gaps.iter().find(named).expect("a gap that names the VNet");
        assert!(gap.failure.remedy.contains("Network Contributor"), "{}", gap.failure.remedy);
    }
}
