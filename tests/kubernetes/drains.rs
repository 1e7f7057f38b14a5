//! Draining a Node: evicted pods, ignored pods, and pods that a budget protects.

use std::time::Duration;

use serde_json::{Value, json};
use stargate::provider::cluster::{DrainReport, Eviction};

use crate::api_server::{ApiResponse, ApiServer};
use crate::check_log::CheckLog;
use crate::nodes::NODE;

const PODS: &str = "/api/v1/namespaces/theirs/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/theirs/poddisruptionbudgets";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    drain(server, check_log).await;
    a_budget(server, check_log).await;
}

async fn drain(server: &ApiServer, check_log: &mut CheckLog) {
    for name in ["goes", "goes-too", "static"] {
        let made = make_pod(server, name).await;
        check_log.equals(&format!("the pod {name} is made"), made.summary(), "201".into());
    }
    let drained = server.stargate_client.drain(NODE, Duration::from_secs(20)).await;
    let unmanaged = ["theirs/goes", "theirs/goes-too"].map(str::to_owned).to_vec();
    let expected = DrainReport { evicted: 2, unmanaged, ..DrainReport::default() };
    check_log.equals("a Node is drained", drained, Ok(expected));
    for name in ["goes", "goes-too"] {
        let left = server.admin.get(&format!("{PODS}/{name}")).await;
        check_log.equals(
            &format!("the pod {name} is evicted"),
            left.summary(),
            "404 NotFound".into(),
        );
    }
    let kept = server.admin.get(&format!("{PODS}/static")).await;
    check_log.equals("a static pod is ignored", kept.code, 200);
    let missing = server.stargate_client.evict("theirs", "goes").await;
    check_log.equals("the eviction of a missing pod succeeds", missing, Ok(Eviction::Accepted));
}

fn pod(name: &str) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": "theirs", "labels": { "app": name } },
        "spec": {
            "nodeName": NODE,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "c", "image": "registry.example/none" }],
            "tolerations": [{ "operator": "Exists" }],
        },
    });
    if name == "static" {
        pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    }
    pod
}

/// A cluster with a service account controller refuses pods until the namespace has its default
/// account.
async fn make_pod(server: &ApiServer, name: &str) -> ApiResponse {
    loop {
        let made = server.admin.post(PODS, &pod(name)).await;
        if made.code != 403 || !made.message().contains("serviceaccount \"default\" not found") {
            return made;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// While a budget needs a pod, the eviction is refused and the drain reports the remaining pods.
/// Without the budget the pod is evicted.
async fn a_budget(server: &ApiServer, check_log: &mut CheckLog) {
    make_pod(server, "needed").await;
    let status = json!({ "status": { "phase": "Running", "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" },
    ]}});
    let path = format!("{PODS}/needed");
    let runs = server.admin.merge(&format!("{path}/status"), &status).await;
    check_log.equals("a pod runs", runs.code, 200);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "needed" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "needed" } } },
    });
    let made = server.admin.post(BUDGETS, &budget).await;
    check_log.equals("a budget needs it", made.summary(), "201".into());
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": "needed", "namespace": "theirs" } });
    let refused = server.admin.post(&format!("{path}/eviction"), &eviction).await;
    let summary = "429 TooManyRequests =DisruptionBudget";
    check_log.equals("the eviction is refused", refused.summary(), summary.into());
    let requested = server.stargate_client.evict("theirs", "needed").await;
    check_log.equals("which is a result and no failure", requested, Ok(Eviction::RefusedByBudget));
    let drained = server.stargate_client.drain(NODE, Duration::from_millis(100)).await;
    let needed = vec!["theirs/needed".to_owned()];
    let expected =
        DrainReport { remaining: needed.clone(), budgets: needed, ..DrainReport::default() };
    check_log.equals("the drain reports the remaining pods", drained, Ok(expected));
    let deleted = server.admin.delete(&format!("{BUDGETS}/needed")).await;
    check_log.equals("the budget is deleted", deleted.code, 200);
    let requested = server.stargate_client.evict("theirs", "needed").await;
    check_log.equals("and the pod is evicted", requested, Ok(Eviction::Accepted));
}
