//! New workers beside something that is blocked or must come back first: nothing is made for a
//! worker that cannot join, and one that only waits joins in the same apply.

use stargate::apply::ApplyStatus;
use stargate::plan::{Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::upgrades::with_versions;

const NEW: &str = "\n[[datacenters.dc1.workers]]\nname = \"late\"\nip = \"10.50.1.7\"\n\
                   pod_cidr = \"10.244.67.0/24\"\n";

fn versions(cluster: &str, profile: &str) -> String {
    with_versions(EXAMPLE, cluster, profile)
}

/// Whether anything of the plan or of the deployment is for the worker.
fn traces(deployment: &Deployment, plan: &Plan) -> Vec<String> {
    let of_plan = plan.changes.iter().filter(|change| {
        let value = serde_json::to_string(&change.after).unwrap();
        change.address.name.starts_with("late") || value.contains("10.244.67.0/24")
    });
    let found = of_plan.map(|change| change.address.to_string());
    let has_server = deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.get("stargate.io/v1alpha1", "Server", Some("stargate"), "late").is_some()
    });
    found.chain(has_server.then(|| "Server".to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_for_a_worker_behind_a_blocked_upgrade() {
    let other = "\n[profiles.next]\nkubernetes_version = \"1.34\"\n\
                 container_runtime = \"containerd\"\n";
    let with_profile = format!("{NEW}profile = \"next\"\n{other}");
    let cases = [
        ("the profile of all", versions("1.34", "1.34") + NEW),
        ("an exact version", versions("1.34.5", "1.34.5") + NEW),
        ("a profile of its own", versions("1.34", "1.33.5") + &with_profile),
    ];
    for (name, text) in cases {
        let before = Deployment::of(&versions("1.33", "1.33"), SandboxState::new(41));
        before.iterate().await;
        before.inject(Fault::VersionEnded, Some("1.34"));
        let deployment = before.edited(&text);
        let plan = deployment.plan().await;
        let report = format!("{name}\n{}", summary(&plan));
        assert_eq!(traces(&deployment, &plan), Vec::<String>::new(), "{report}");
        let mut blocked = plan.blocked.iter().map(|it| (it.address.kind, it.address.name.as_str()));
        assert!(blocked.any(|it| it == (Kind::Worker, "late")), "{report}");
        assert_eq!(plan.status(), PlanStatus::Blocked, "{report}");
        let applied = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(applied.status, ApplyStatus::Blocked, "{report}");
        assert_eq!(traces(&deployment, &plan), Vec::<String>::new(), "{report}");
    }
}

/// The router of a worker's datacenter comes back into the tailnet with the same plan: work on the
/// worker follows it and is no reason to refuse.
#[tokio::test(start_paused = true)]
async fn work_on_a_worker_follows_the_return_of_its_router() {
    let labelled = TWO_DATACENTERS.replace(
        "[profiles.standard]\n",
        "[profiles.standard]\nlabels = { \"example.com/tier\" = \"gold\" }\n",
    );
    assert_ne!(labelled, TWO_DATACENTERS);
    let joins = format!("{TWO_DATACENTERS}\n[[datacenters.cloud.workers]]\nname = \"late\"\n");
    for fault in [Fault::DeviceUnauthorized, Fault::DeviceKeyExpired] {
        for text in [&labelled, &joins] {
            let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(42));
            before.iterate().await;
            before.inject(fault, Some("cloud-router"));
            let deployment = before.edited(text);
            let plan = deployment.plan().await;
            let report = format!("{fault:?}\n{}", summary(&plan));
            assert_eq!(plan.status(), PlanStatus::Differs, "{report}");
            let waits = |kind| plan.deferred.iter().any(|it| it.address.kind == kind);
            // The host of a router whose key expired is still reached at its own address.
            assert!(fault == Fault::DeviceKeyExpired || waits(Kind::Worker), "{report}");
            let applied = deployment.apply(&RefreshOptions::default()).await;
            let failed = failures(&applied).join("\n");
            assert_eq!(applied.status, ApplyStatus::Converged, "{report}\n{failed}");
        }
    }
}
