//! The plan names the settings of a profile that change, although a Node holds their digest.

use serde_json::json;
use stargate::plan::Plan;
use stargate::provider::cluster::PROFILE_DIGEST_ANNOTATION;
use stargate::resource::Kind;

use crate::harness::{Deployment, EXAMPLE, summary};
use crate::workers::put;

const PROFILE: &str = "[profiles.azure-k8s-worker]\n";
const VERSION: &str = "kubernetes_version = \"1.33\"\n";

/// Why the plan changes the workers.
fn reasons(plan: &Plan) -> Vec<&str> {
    let workers = plan.changes.iter().filter(|change| change.address.kind == Kind::Worker);
    workers.map(|change| change.planned_because_of.as_str()).collect()
}

fn with_settings(settings: &str) -> String {
    assert!(EXAMPLE.contains(PROFILE));
    EXAMPLE.replace(PROFILE, &format!("{PROFILE}{settings}\n"))
}

#[tokio::test(start_paused = true)]
async fn changed_settings_of_a_profile_are_named() {
    let mut deployment = Deployment::example_applied().await;
    for (settings, named) in [
        ("max_pods = 60", "max_pods (default) -> 60"),
        ("max_pods = 40\ntaints = [\"a=b:NoSchedule\"]", "max_pods 60 -> 40, taints"),
        ("", "max_pods 40 -> (default), taints"),
    ] {
        deployment = deployment.edited(&with_settings(settings));
        let plan = deployment.plan().await;
        let end = format!("; its settings change: {named}");
        let reasons = reasons(&plan);
        assert_eq!(reasons.len(), 2, "{settings}: {}", summary(&plan));
        assert!(reasons.iter().all(|reason| reason.ends_with(&end)), "{settings}: {reasons:?}");
        deployment.iterate().await;
    }
}

/// A worker that gets another profile: what differs between both is named.
#[tokio::test(start_paused = true)]
async fn the_settings_of_another_profile_are_compared() {
    let deployment = Deployment::example_applied().await;
    let other = format!("{EXAMPLE}\n[profiles.small]\n{VERSION}max_pods = 30\n");
    let worker = "ip = \"10.50.1.6\"\n";
    assert!(other.contains(worker));
    let other = other.replace(worker, &format!("{worker}profile = \"small\"\n"));
    let plan = deployment.edited(&other).plan().await;
    let reasons = reasons(&plan);
    let [reason] = &reasons[..] else { panic!("{}", summary(&plan)) };
    assert!(reason.ends_with("its settings change: max_pods (default) -> 30"), "{reason}");
}

/// Where the cluster's records do not tell what a worker had, nothing is made up.
#[tokio::test(start_paused = true)]
async fn unknown_settings_are_not_named() {
    let deployment = Deployment::example_applied().await;
    let mut nodes = deployment.sandbox.read(|sandbox| {
        let nodes = sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None);
        nodes.into_iter().cloned().collect::<Vec<_>>()
    });
    nodes.retain(|node| node["metadata"]["annotations"][PROFILE_DIGEST_ANNOTATION].is_string());
    for mut node in nodes {
        node["metadata"]["annotations"][PROFILE_DIGEST_ANNOTATION] = json!("an older digest");
        put(&deployment, node);
    }
    let plan = deployment.plan().await;
    let reasons = reasons(&plan);
    assert!(!reasons.is_empty(), "{}", summary(&plan));
    assert!(reasons.iter().all(|it| !it.contains("settings change")), "{reasons:?}");
}
