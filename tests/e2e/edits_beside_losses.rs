//! Edits of workers while a part of their datacenter is missing: one apply makes both.

use stargate::apply::ApplyStatus;
use stargate::plan::PlanStatus;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::worker_waves::{base, pod_range, with_worker_line};

async fn assert_converges(deployment: &Deployment, name: &str) {
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let applied = deployment.apply(&options).await;
    let failed = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{name}\n{failed}\n{}", summary(&plan));
    let left = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(left.status(), PlanStatus::Matches, "{name}\n{}", summary(&left));
}

/// A worker is reached through its router, so work on it waits until the router has joined the
/// tailnet again.
#[tokio::test(start_paused = true)]
async fn work_on_workers_waits_for_a_router_that_joins_again() {
    let before = Deployment::of(&base(), SandboxState::new(7));
    before.iterate().await;
    let state = before.copy_of_state();
    let attic_c = "\n[[datacenters.attic.workers]]\nname = \"attic-c\"\nip = \"10.60.1.7\"\n\
                   mac = \"52:54:00:00:00:07\"\n";
    let cloud_c = "\n[[datacenters.cloud.workers]]\nname = \"cloud-c\"\n";
    let moved_to_cloud =
        base().replace(attic_c, "") + "\n[[datacenters.cloud.workers]]\nname = \"attic-c\"\n";
    let moved_to_attic = base().replace(cloud_c, "")
        + "\n[[datacenters.attic.workers]]\nname = \"cloud-c\"\nip = \"10.60.1.9\"\n\
           mac = \"52:54:00:00:00:09\"\n";
    let new = "\n[[datacenters.cloud.workers]]\nname = \"cloud-n\"\n\n\
               [[datacenters.attic.workers]]\nname = \"attic-n\"\nip = \"10.60.1.8\"\n\
               mac = \"52:54:00:00:00:08\"\n";
    let edits = [
        (
            "ranges",
            with_worker_line(
                &with_worker_line(&base(), "cloud-a", &pod_range(70)),
                "attic-a",
                &pod_range(140),
            ),
        ),
        ("an address", with_worker_line(&base(), "cloud-a", "ip = \"10.50.1.40\"")),
        ("a removed machine", base().replace(attic_c, "")),
        ("new workers", base() + new),
        ("removed workers", base().replace(attic_c, "").replace(cloud_c, "")),
        ("moved to cloud", moved_to_cloud),
        ("moved to attic", moved_to_attic),
        (
            "another version",
            base().replace("kubernetes_version = \"1.33.5\"", "kubernetes_version = \"1.34.1\""),
        ),
    ];
    for (edit, text) in &edits {
        for router in ["cloud-router", "attic-router"] {
            let name = format!("{edit}, {router}");
            let deployment = Deployment::of(text, state.clone());
            deployment.inject(Fault::DeviceDeleted, Some(router));
            assert_converges(&deployment, &name).await;
        }
    }
}

/// A VM whose worker is not in the cluster keeps its address until it gets another one.
#[tokio::test(start_paused = true)]
async fn the_address_of_a_vm_without_a_node_is_taken_over_once_it_has_left() {
    let before = Deployment::of(&base(), SandboxState::new(7));
    before.iterate().await;
    for (name, of_c) in [
        ("to a free place", format!("ip = \"10.50.1.40\"\n{}", pod_range(70))),
        (
            "to a range that another worker leaves",
            format!("ip = \"10.50.1.40\"\n{}", pod_range(64)),
        ),
        ("to each other's addresses", format!("ip = \"10.50.1.5\"\n{}", pod_range(64))),
    ] {
        let text = with_worker_line(&base(), "cloud-a", &pod_range(71));
        let text =
            with_worker_line(&text, "cloud-b", &format!("ip = \"10.50.1.6\"\n{}", pod_range(72)));
        let text = with_worker_line(&text, "cloud-c", &of_c) + "\n[rollout]\nwidth = 2\n";
        let deployment = Deployment::of(&text, before.copy_of_state());
        let owner = deployment.scope(&RefreshOptions::default()).owner();
        let cluster = deployment.clients.cluster.connect("", owner).await.unwrap();
        cluster.delete_node("cloud-c", None).await.unwrap();
        assert_converges(&deployment, name).await;
    }
}
