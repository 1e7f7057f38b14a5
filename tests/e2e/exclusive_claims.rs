//! Places change hands: who comes waits until who goes is gone.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::plan::{Action, PlanStatus};
use stargate::provider::azure::client::Precondition;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::{World, arm};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, told};

/// One round does it, and the world is as if it had been made so.
async fn at_once(text: &str) {
    let before = Deployment::example_applied().await;
    let deployment = before.edited(text);
    deployment.iterate().await;
    assert!(deployment.look(&RefreshOptions::deep()).await.plan.is_empty());
    let fresh = Deployment::of(text, World::new(31));
    fresh.iterate().await;
    let expected = canonical_state(&fresh.copy_of_world());
    let differing = differences(&expected, &canonical_state(&deployment.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn two_workers_change_addresses() {
    let text = EXAMPLE
        .replace("ip = \"10.50.1.5\"", "ip = \"swapped\"")
        .replace("ip = \"10.50.1.6\"", "ip = \"10.50.1.5\"")
        .replace("ip = \"swapped\"", "ip = \"10.50.1.6\"");
    at_once(&text).await;
}

#[tokio::test(start_paused = true)]
async fn two_workers_change_pod_ranges() {
    let text = EXAMPLE
        .replace("10.244.65.0/24", "swapped")
        .replace("10.244.66.0/24", "10.244.65.0/24")
        .replace("swapped", "10.244.66.0/24");
    at_once(&text).await;
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_moves_to_another_network() {
    at_once(&EXAMPLE.replace("10.50.", "10.51.")).await;
}

#[tokio::test(start_paused = true)]
async fn two_subnets_change_ranges() {
    let text = EXAMPLE
        .replace("router_subnet_cidr = \"10.50.0.0/24\"", "router_subnet_cidr = \"10.50.1.0/24\"")
        .replace("\nsubnet_cidr = \"10.50.1.0/24\" ", "\nsubnet_cidr = \"10.50.0.0/24\" ")
        .replace("ip = \"10.50.1.", "ip = \"10.50.0.");
    at_once(&text).await;
}

/// The old group goes as a whole, whatever in it has a name of the new one's.
#[tokio::test(start_paused = true)]
async fn a_datacenter_moves_to_another_group() {
    at_once(&EXAMPLE.replace("\"stargate-aks-e2e-2-dc\"", "\"stargate-aks-e2e-2-other\"")).await;
}

/// Called somebody else's from now on, a cluster of ours is not taken away.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_called_existing_stays() {
    let before = Deployment::example_applied().await;
    let deployment =
        before.edited(&EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # "));
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", told(&plan));
    let gone = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(gone.ending, ApplyStatus::Converged);
    let group = ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2");
    let id = group.in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    assert!(deployment.copy_of_world().arm.get(&id).is_some());
}

fn stranger() -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2-dc")
        .in_group("Microsoft.Network/publicIPAddresses", "somebody-elses")
}

async fn with_a_stranger() -> Deployment {
    let deployment = Deployment::example_applied().await;
    let body = json!({
        "location": "canadacentral", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" },
    });
    deployment.doors.azure.put(&stranger(), &body, Precondition::None).await.unwrap();
    deployment
}

/// Another region is another group, and the old one would go with all in it.
#[tokio::test(start_paused = true)]
async fn a_group_with_a_stranger_in_it_is_not_replaced() {
    let before = with_a_stranger().await;
    let moved = "resource_group = \"stargate-aks-e2e-2-dc\"\nlocation = \"westeurope\"";
    let text = EXAMPLE.replace("resource_group = \"stargate-aks-e2e-2-dc\"", moved);
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    assert_eq!(plan.standing(), PlanStatus::Blocked, "{}", told(&plan));
    let group = plan.blocked.iter().find(|it| it.address.kind == Kind::ResourceGroup).unwrap();
    assert_eq!((group.failure.code, group.action), (Code::GroupHoldsForeign, Action::Replace));
    assert!(group.failure.message.contains("somebody-elses"), "{}", group.failure.message);
    deployment.apply(&RefreshOptions::default()).await;
    assert!(deployment.copy_of_world().arm.get(&stranger()).is_some());
    // Without the stranger it moves.
    deployment.doors.azure.delete(&stranger(), Precondition::None).await.unwrap();
    deployment.iterate().await;
}

/// What a protected worker stands on stays with it, and the rest goes.
#[tokio::test(start_paused = true)]
async fn what_a_protected_machine_rests_on_outlives_it() {
    for name in ["ip = \"10.50.1.5\"", "name = \"stargate-aks-e2e-2-dc-router\""] {
        let text = EXAMPLE.replace(name, &format!("{name}\nprotect = true"));
        let deployment = Deployment::of(&text, World::new(7));
        deployment.iterate().await;
        let applied = deployment.apply(&RefreshOptions::destroying()).await;
        let remaining = applied.remaining.as_ref().map(told).unwrap_or_default();
        assert_eq!(applied.ending, ApplyStatus::Blocked, "{:?}\n{remaining}", applied.outcomes);
        assert!(applied.outcomes.values().all(Outcome::is_success), "{:?}", applied.outcomes);
    }
}

/// Who holds which range only the cluster knows: without its word no table is
/// written, or a worker's pods would be sent to its neighbour.
#[tokio::test(start_paused = true)]
async fn without_the_cluster_nobody_is_renumbered() {
    let before = Deployment::of(TWO_DATACENTERS, World::new(3));
    before.iterate().await;
    let second = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"";
    let between = format!("[[datacenters.cloud.workers]]\nname = \"cloud-between\"\n\n{second}");
    let deployment = before.edited(&TWO_DATACENTERS.replace(second, &between));
    deployment.strike(Fault::SourceDown, Some("kubernetes"));
    let plan = deployment.plan().await;
    let tables: Vec<_> =
        plan.changes.iter().filter(|it| it.address.kind == Kind::RouteTable).collect();
    assert!(tables.is_empty(), "{}", told(&plan));
    assert!(plan.unexplained_gaps().count() > 0);
    deployment.apply(&RefreshOptions::default()).await;
    deployment.strike(Fault::SourceDown, Some("none"));
    deployment.iterate().await;
    assert!(deployment.look(&RefreshOptions::deep()).await.plan.is_empty());
}
