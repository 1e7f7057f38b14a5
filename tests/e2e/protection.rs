//! `protect = true` protects an object, its parts and its containers, in plan, apply and
//! destroy.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::resource::{Kind, Site};
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

const PROTECTED: &str = "protect = true\n";

fn protected(text: &str, table: &str) -> String {
    let header = format!("{table}\n");
    assert!(text.contains(&header), "{table}");
    text.replacen(&header, &format!("{header}{PROTECTED}"), 1)
}

fn is_blocked(plan: &Plan, kind: Kind) -> bool {
    let mut of_kind = plan.blocked.iter().filter(|blocked| blocked.address.kind == kind);
    of_kind.any(|blocked| blocked.failure.code == Code::Protected)
}

/// The plan has no changes, and applying it writes nothing.
async fn assert_nothing_is_done(deployment: &Deployment, options: &RefreshOptions) -> Plan {
    let plan = deployment.refresh_and_plan(options).await.plan;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    let writes = deployment.writes();
    let applied = deployment.apply(options).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{}", summary(&plan));
    assert_eq!(deployment.writes(), writes);
    plan
}

#[tokio::test(start_paused = true)]
async fn a_protected_datacenter_keeps_its_workers_machines_and_routes() {
    let before = Deployment::example_applied().await;
    let text = protected(EXAMPLE, "[datacenters.dc1]");
    before.edited(&text).iterate().await;
    let moved = text.replace("10.50.1.5", "10.50.1.9");
    let plan = assert_nothing_is_done(&before.edited(&moved), &RefreshOptions::default()).await;
    for kind in [Kind::NetworkInterface, Kind::Worker, Kind::RouteTable, Kind::Server] {
        assert!(is_blocked(&plan, kind), "{kind}\n{}", summary(&plan));
    }
    // Without protection the same edit is applied.
    before.iterate().await;
    let free = before.edited(&EXAMPLE.replace("10.50.1.5", "10.50.1.9"));
    let allowing = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    assert_eq!(free.apply(&allowing).await.status, ApplyStatus::Converged);
}

#[tokio::test(start_paused = true)]
async fn a_worker_stays_that_is_removed_from_a_protected_datacenter() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    for (table, worker) in [
        ("[datacenters.cloud]", "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n"),
        (
            "[datacenters.attic]",
            "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
             \"52:54:00:00:00:05\"\n",
        ),
    ] {
        assert!(TWO_DATACENTERS.contains(worker));
        let text = protected(&TWO_DATACENTERS.replace(worker, ""), table);
        let plan = before.edited(&text).plan().await;
        let ends =
            plan.changes.iter().find(|it| matches!(it.action, Action::Delete | Action::Replace));
        assert_eq!(ends, None, "{}", summary(&plan));
        assert!(is_blocked(&plan, Kind::Worker), "{}", summary(&plan));
    }
}

#[tokio::test(start_paused = true)]
async fn a_destroy_stops_before_the_first_deletion_if_something_is_protected() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(4));
    before.iterate().await;
    for table in [
        "[cluster]",
        "[cluster.router]",
        "[datacenters.cloud]",
        "[datacenters.cloud.router]",
        "[datacenters.attic]",
        "[datacenters.attic.router]",
        "[[datacenters.cloud.workers]]",
        "[[datacenters.attic.workers]]",
    ] {
        let deployment = before.edited(&protected(TWO_DATACENTERS, table));
        let plan = assert_nothing_is_done(&deployment, &RefreshOptions::destroying()).await;
        let mut remedies = plan.blocked.iter().map(|it| &it.failure.remedy);
        assert!(remedies.any(|it| it.contains("protect = false")), "{table}");
    }
    let unprotected = before.edited(TWO_DATACENTERS);
    assert!(unprotected.plan().await.is_empty());
    let destroyed = unprotected.apply(&RefreshOptions::destroying()).await;
    assert_eq!(destroyed.status, ApplyStatus::Converged);
}

/// The blocked cluster is shown as blocked, and nothing is created without it.
#[tokio::test(start_paused = true)]
async fn a_protected_cluster_in_another_region_blocks_the_whole_plan() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE
        .replace("canadacentral", "westeurope")
        .replace("service_cidr =", "protect = true\nservice_cidr =");
    let deployment = before.edited(&text);
    let named = RefreshOptions::replacing(&["resource-group/dc1/stargate-aks-e2e-2-dc"]);
    for options in [RefreshOptions::default(), named] {
        let plan = assert_nothing_is_done(&deployment, &options).await;
        for kind in [Kind::ManagedCluster, Kind::ResourceGroup] {
            assert!(is_blocked(&plan, kind), "{}", summary(&plan));
        }
        let deferred = plan.deferred.iter().find(|it| it.action == Action::Replace);
        assert_eq!(deferred, None, "{}", summary(&plan));
    }
}

/// A cluster that is missing and cannot be created costs nothing.
#[tokio::test(start_paused = true)]
async fn no_datacenter_is_created_for_a_cluster_that_is_blocked() {
    let deployment = Deployment::example();
    let group = stargate::resource::ArmId::resource_group(
        stargate::sandbox::arm::SUBSCRIPTION,
        "stargate-aks-e2e-2",
    );
    let body = serde_json::json!({ "location": "canadacentral" });
    let put = deployment.clients.azure.put(
        &group,
        &body,
        stargate::provider::azure::client::Precondition::None,
    );
    put.await.unwrap();
    let plan = assert_nothing_is_done(&deployment, &RefreshOptions::default()).await;
    let of_datacenter = |site: &Site| *site != Site::Cluster;
    assert!(plan.blocked.iter().any(|it| of_datacenter(&it.address.site)), "{}", summary(&plan));
}
