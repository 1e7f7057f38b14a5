//! An address, range or name moves from one resource to another: the new holder waits until the old
//! one is deleted.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::plan::{Action, PlanStatus};
use stargate::provider::azure::client::Precondition;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::{SandboxState, arm};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

const SUBNETS: [&str; 2] = ["subnet/dc1/stargate-subnet", "subnet/dc1/stargate-router-subnet"];

/// One iteration is enough, and the state equals that of a new sandbox.
async fn assert_one_iteration(text: &str, replaced: &[&str]) {
    let before = Deployment::example_applied().await;
    let deployment = before.edited(text);
    deployment.iterate_replacing(replaced).await;
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
    let fresh = Deployment::of(text, SandboxState::new(31));
    fresh.iterate().await;
    let expected = canonical_state(&fresh.copy_of_state());
    let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

/// Both workers of an exchange are disturbed at the same time, which the file permits.
fn two_at_a_time(text: &str) -> String {
    format!("{text}\n[rollout]\nwidth = 2\n")
}

#[tokio::test(start_paused = true)]
async fn two_workers_swap_addresses() {
    let text = EXAMPLE
        .replace("ip = \"10.50.1.5\"", "ip = \"swapped\"")
        .replace("ip = \"10.50.1.6\"", "ip = \"10.50.1.5\"")
        .replace("ip = \"swapped\"", "ip = \"10.50.1.6\"");
    assert_one_iteration(&two_at_a_time(&text), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn two_workers_swap_pod_cidrs() {
    let text = EXAMPLE
        .replace("10.244.65.0/24", "swapped")
        .replace("10.244.66.0/24", "10.244.65.0/24")
        .replace("swapped", "10.244.66.0/24");
    assert_one_iteration(&two_at_a_time(&text), &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_moves_to_another_network() {
    assert_one_iteration(&EXAMPLE.replace("10.50.", "10.51."), &SUBNETS).await;
}

#[tokio::test(start_paused = true)]
async fn two_subnets_swap_prefixes() {
    let text = EXAMPLE
        .replace("router_subnet_cidr = \"10.50.0.0/24\"", "router_subnet_cidr = \"10.50.1.0/24\"")
        .replace("\nsubnet_cidr = \"10.50.1.0/24\" ", "\nsubnet_cidr = \"10.50.0.0/24\" ")
        .replace("ip = \"10.50.1.", "ip = \"10.50.0.");
    assert_one_iteration(&text, &SUBNETS).await;
}

/// The old group is deleted as a whole, even if its contents have names that are also used in the
/// new one.
#[tokio::test(start_paused = true)]
async fn a_datacenter_moves_to_another_group() {
    assert_one_iteration(
        &EXAMPLE.replace("\"stargate-aks-e2e-2-dc\"", "\"stargate-aks-e2e-2-other\""),
        &["resource-group/dc1/stargate-aks-e2e-2-dc"],
    )
    .await;
}

/// A cluster that is declared as existing is no longer owned and is not deleted.
#[tokio::test(start_paused = true)]
async fn a_cluster_declared_as_existing_is_kept() {
    let before = Deployment::example_applied().await;
    let deployment =
        before.edited(&EXAMPLE.replace("[cluster]  ", "[cluster]\nexisting = true # "));
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let deleted = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(deleted.status, ApplyStatus::Converged);
    let group = ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2");
    let id = group.in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2");
    assert!(deployment.copy_of_state().arm.get(&id).is_some());
}

fn foreign_object() -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2-dc")
        .in_group("Microsoft.Network/publicIPAddresses", "foreign")
}

async fn with_a_foreign_object() -> Deployment {
    let deployment = Deployment::example_applied().await;
    let body = json!({
        "location": "canadacentral", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" },
    });
    deployment.clients.azure.put(&foreign_object(), &body, Precondition::None).await.unwrap();
    deployment
}

/// Another region needs another group, and the old one would be deleted with foreign contents.
#[tokio::test(start_paused = true)]
async fn a_group_with_a_foreign_object_is_not_replaced() {
    let before = with_a_foreign_object().await;
    let moved = "resource_group = \"stargate-aks-e2e-2-dc\"\nlocation = \"westeurope\"";
    let text = EXAMPLE.replace("resource_group = \"stargate-aks-e2e-2-dc\"", moved);
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let group = plan.blocked.iter().find(|it| it.address.kind == Kind::ResourceGroup).unwrap();
    assert_eq!((group.failure.code, group.action), (Code::GroupHasForeignObjects, Action::Replace));
    assert!(group.failure.message.contains("foreign"), "{}", group.failure.message);
    deployment.apply(&RefreshOptions::default()).await;
    assert!(deployment.copy_of_state().arm.get(&foreign_object()).is_some());
    // Without the stranger it moves.
    deployment.clients.azure.delete(&foreign_object(), Precondition::None).await.unwrap();
    deployment.iterate_replacing(&["resource-group/dc1/stargate-aks-e2e-2-dc"]).await;
}

/// Everything that a protected worker depends on is kept, and the rest is deleted.
#[tokio::test(start_paused = true)]
async fn dependencies_of_a_protected_machine_are_kept() {
    for name in ["ip = \"10.50.1.5\"", "name = \"stargate-aks-e2e-2-dc-router\""] {
        let text = EXAMPLE.replace(name, &format!("{name}\nprotect = true"));
        let deployment = Deployment::of(&text, SandboxState::new(7));
        deployment.iterate().await;
        let applied = deployment.apply(&RefreshOptions::destroying()).await;
        let remaining = applied.remaining.as_ref().map(summary).unwrap_or_default();
        assert_eq!(applied.status, ApplyStatus::Blocked, "{:?}\n{remaining}", applied.outcomes);
        assert!(applied.outcomes.values().all(Outcome::is_success), "{:?}", applied.outcomes);
    }
}

/// Only the cluster knows the assignment of pod CIDRs. If it cannot be read, no table is written,
/// because packets could reach the wrong worker.
#[tokio::test(start_paused = true)]
async fn no_worker_is_renumbered_if_the_cluster_cannot_be_read() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    let second = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"";
    let between = format!("[[datacenters.cloud.workers]]\nname = \"cloud-between\"\n\n{second}");
    let deployment = before.edited(&TWO_DATACENTERS.replace(second, &between));
    deployment.inject(Fault::SourceDown, Some("kubernetes"));
    let plan = deployment.plan().await;
    let tables: Vec<_> =
        plan.changes.iter().filter(|it| it.address.kind == Kind::RouteTable).collect();
    assert!(tables.is_empty(), "{}", summary(&plan));
    assert!(plan.unexplained_gaps().count() > 0);
    deployment.apply(&RefreshOptions::default()).await;
    deployment.inject(Fault::SourceDown, Some("none"));
    deployment.iterate().await;
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}
