//! A destroy while the tailnet cannot be read: the hosts of workers are reset through its routers.

use stargate::apply::ApplyStatus;
use stargate::plan::PlanStatus;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::destroy::ours;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};

/// Nothing is deleted, the attempt takes no time, and the same command works later.
#[tokio::test(start_paused = true)]
async fn a_destroy_without_the_tailnet_deletes_nothing() {
    let start = TWO_DATACENTERS.find("[datacenters.attic]").unwrap();
    for (before, after) in [
        (EXAMPLE, EXAMPLE),
        (TWO_DATACENTERS, TWO_DATACENTERS),
        (TWO_DATACENTERS, &TWO_DATACENTERS[..start]),
    ] {
        let applied = Deployment::of(before, SandboxState::new(12));
        applied.iterate().await;
        let deployment = applied.edited(after);
        deployment.inject(Fault::SourceDown, Some("tailscale"));
        let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let reasons = plan.blocked.iter().map(|it| it.failure.message.as_str());
        let is_named = |it: &&str| it.contains("routers in the tailnet are unknown");
        assert!(reasons.filter(is_named).count() > 5, "{}", summary(&plan));
        let writes = deployment.writes();
        let ended = deployment.apply(&RefreshOptions::destroying()).await;
        assert!(matches!(ended.status, ApplyStatus::Partial(_)), "{:?}", ended.status);
        assert_eq!(deployment.writes(), writes, "{}", failures(&ended).join("\n"));
        deployment.inject(Fault::SourceDown, Some("none"));
        let ended = deployment.apply(&RefreshOptions::destroying()).await;
        assert_eq!(ended.status, ApplyStatus::Converged, "{}", failures(&ended).join("\n"));
        let name = deployment.topology.name.as_str();
        assert_eq!(ours(&deployment.copy_of_state(), name), Vec::<String>::new());
    }
}

/// A tailnet that is lost for good: once no worker is left, the rest is deleted. Only what the
/// tailnet holds is unknown.
#[tokio::test(start_paused = true)]
async fn a_destroy_without_workers_needs_no_tailnet() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::SourceDown, Some("tailscale"));
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let cluster = deployment.clients.cluster.connect("", owner).await.unwrap();
    for worker in &deployment.topology.datacenters[0].workers {
        cluster.delete_node(worker.name.as_str(), None).await.unwrap();
    }
    let ended = deployment.apply(&RefreshOptions::destroying()).await;
    assert!(matches!(ended.status, ApplyStatus::Partial(_)), "{:?}", ended.status);
    let name = deployment.topology.name.as_str();
    let mut devices = ours(&deployment.copy_of_state(), name);
    devices.sort();
    assert_eq!(devices, ["stargate-aks-e2e-2-dc-router", "stargate-aks-e2e-2-router"]);
}
