//! Draining a Node: who must go, who stays, and whom a budget keeps.

use std::time::Duration;

use serde_json::{Value, json};
use stargate::provider::cluster::DrainReport;

use crate::api_server::{Answer, ApiServer};
use crate::nodes::NODE;
use crate::verdicts::Verdicts;

const PODS: &str = "/api/v1/namespaces/theirs/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/theirs/poddisruptionbudgets";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    drain(server, verdicts).await;
    a_budget(server, verdicts).await;
}

async fn drain(server: &ApiServer, verdicts: &mut Verdicts) {
    for name in ["goes", "goes-too", "static"] {
        let made = make_pod(server, name).await;
        verdicts.same(&format!("the pod {name} is made"), made.verdict(), "201".into());
    }
    let drained = server.door.drain(NODE, Duration::from_secs(20)).await;
    let unmanaged = ["theirs/goes", "theirs/goes-too"].map(str::to_owned).to_vec();
    let expected = DrainReport { evicted: 2, unmanaged, ..DrainReport::default() };
    verdicts.same("a Node is drained", drained, Ok(expected));
    for name in ["goes", "goes-too"] {
        let left = server.admin.get(&format!("{PODS}/{name}")).await;
        verdicts.same(&format!("the pod {name} is gone"), left.verdict(), "404 NotFound".into());
    }
    let kept = server.admin.get(&format!("{PODS}/static")).await;
    verdicts.same("a pod of the kubelet's own stays", kept.code, 200);
    let nobody = server.door.evict("theirs", "goes").await;
    verdicts.same("a pod that is gone has gone", nobody, Ok(true));
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

/// A cluster with a controller of accounts refuses pods until it has given the
/// namespace its own.
async fn make_pod(server: &ApiServer, name: &str) -> Answer {
    loop {
        let made = server.admin.post(PODS, &pod(name)).await;
        if made.code != 403 || !made.message().contains("serviceaccount \"default\" not found") {
            return made;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// While a budget needs a pod the eviction is refused for now, and the drain
/// says what is left; without the budget the pod goes.
async fn a_budget(server: &ApiServer, verdicts: &mut Verdicts) {
    make_pod(server, "needed").await;
    let status = json!({ "status": { "phase": "Running", "conditions": [
        { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z" },
    ]}});
    let path = format!("{PODS}/needed");
    let runs = server.admin.merge(&format!("{path}/status"), &status).await;
    verdicts.same("a pod runs", runs.code, 200);
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "needed" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "needed" } } },
    });
    let made = server.admin.post(BUDGETS, &budget).await;
    verdicts.same("a budget needs it", made.verdict(), "201".into());
    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": "needed", "namespace": "theirs" } });
    let refused = server.admin.post(&format!("{path}/eviction"), &eviction).await;
    let verdict = "429 TooManyRequests =DisruptionBudget";
    verdicts.same("it does not let it go", refused.verdict(), verdict.into());
    let asked = server.door.evict("theirs", "needed").await;
    verdicts.same("which is an answer and no failure", asked, Ok(false));
    let drained = server.door.drain(NODE, Duration::from_millis(100)).await;
    let needed = vec!["theirs/needed".to_owned()];
    let expected =
        DrainReport { remaining: needed.clone(), budgets: needed, ..DrainReport::default() };
    verdicts.same("the drain tells what is left", drained, Ok(expected));
    let gone = server.admin.delete(&format!("{BUDGETS}/needed")).await;
    verdicts.same("the budget goes", gone.code, 200);
    let asked = server.door.evict("theirs", "needed").await;
    verdicts.same("and lets the pod go", asked, Ok(true));
}
