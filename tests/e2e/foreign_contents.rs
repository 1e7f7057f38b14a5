//! Foreign objects in containers of ours are neither deleted nor forgotten, and copied tags
//! do not make objects ours.

use serde_json::{Value, json};

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::Plan;
use stargate::provider::azure::Precondition;
use stargate::resource::ArmId;
use stargate::sandbox::arm;

use crate::harness::{Deployment, RefreshOptions, summary};

fn in_group(group: &str, resource_type: &str, name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, group).in_group(resource_type, name)
}

async fn put(deployment: &Deployment, id: &ArmId, body: Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
    deployment.clients.azure.wait_until_idle(id).await.unwrap();
}

async fn exists(deployment: &Deployment, id: &ArmId) -> bool {
    deployment.clients.azure.get(id).await.unwrap().is_some()
}

fn blocked_codes(plan: &Plan, address: &str) -> Vec<Code> {
    let of_address = |it: &&stargate::plan::Blocked| it.address.to_string() == address;
    plan.blocked.iter().filter(of_address).map(|it| it.failure.code).collect()
}

/// The name of the node resource group.
fn node_group(deployment: &Deployment) -> String {
    let groups = deployment.copy_of_state();
    let mut groups = groups.arm.list("Microsoft.Resources/resourceGroups");
    let found = groups.find(|(id, _)| id.name().to_ascii_uppercase().starts_with("MC_"));
    found.map(|(id, _)| id.name().to_owned()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn tags_that_aks_copies_make_none_of_its_objects_ours() {
    let deployment = Deployment::example_applied().await;
    let copies: Vec<ArmId> = deployment.sandbox.read(|sandbox| {
        let networks = sandbox.arm.list("Microsoft.Network/virtualNetworks");
        let groups = sandbox.arm.list("Microsoft.Network/networkSecurityGroups");
        let all = networks.chain(groups).filter(|(id, _)| id.name().starts_with("aks-"));
        all.filter(|(_, body)| body["tags"]["managed-by"] == "stargate")
            .map(|(id, _)| id.clone())
            .collect()
    });
    assert_eq!(copies.len(), 2, "{copies:?}");
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
}

#[tokio::test(start_paused = true)]
async fn a_subnet_that_others_add_to_our_network_is_kept() {
    let deployment = Deployment::example_applied().await;
    let group = "stargate-aks-e2e-2-dc";
    let network = in_group(group, "Microsoft.Network/virtualNetworks", "stargate-vnet");
    let bastion = network.child("subnets", "AzureBastionSubnet");
    put(&deployment, &bastion, json!({"properties": {"addressPrefix": "10.50.200.0/26"}})).await;
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let options = RefreshOptions::destroying();
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let codes = blocked_codes(&plan, "virtual-network/dc1/stargate-vnet");
    assert_eq!(codes, [Code::GroupHasForeignObjects], "{}", summary(&plan));
    let applied = deployment.apply(&options).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    assert!(exists(&deployment, &bastion).await);
    deployment.clients.azure.delete(&bastion, Precondition::None).await.unwrap();
    let applied = deployment.apply(&options).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
    assert!(!exists(&deployment, &network).await);
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_in_the_node_resource_group_block_the_deletion_of_the_cluster() {
    let deployment = Deployment::example_applied().await;
    let group = node_group(&deployment);
    let theirs = in_group(&group, "Microsoft.Network/publicIPAddresses", "theirs");
    let body = json!({"location": "canadacentral", "properties": {}});
    put(&deployment, &theirs, body).await;
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let options = RefreshOptions::destroying();
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let cluster = plan.blocked.iter().find(|it| it.address.kind.as_str() == "managed-cluster");
    let cluster = cluster.unwrap_or_else(|| panic!("{}", summary(&plan)));
    assert_eq!(cluster.failure.code, Code::GroupHasForeignObjects);
    assert!(cluster.failure.message.contains(&format!("{group}/theirs")));
    let applied = deployment.apply(&options).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    assert!(exists(&deployment, &theirs).await);
    deployment.clients.azure.delete(&theirs, Precondition::None).await.unwrap();
    let applied = deployment.apply(&options).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
}
