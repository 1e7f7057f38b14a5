//! Operations that are applied as `kubectl apply` does, of watches that are killed in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::watch::ReconcileResult;

use super::replica::{Replica, until};
use super::stage::{Stage, text};

pub(super) const OPERATIONS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/operations";
pub(super) const FIRST: &str = "stargate-aks-e2e-2-worker-1";
pub(super) const SECOND: &str = "stargate-aks-e2e-2-worker-2";
/// After how many changes of hosts the watch is killed.
const KILLS: [usize; 3] = [1, 4, 9];

/// Counts the changes of hosts.
#[derive(Debug, Default)]
struct HostChanges(AtomicUsize);

impl FaultInjector for HostChanges {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        if matches!(call, Call::Host { .. }) && call.writes() {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Delivery::Deliver
    }
}

pub(super) async fn check(stage: &Stage) {
    let watched = text("");
    let start = |name| Replica::start(name, stage.deployment(&watched, None), &watched);
    let replica = start("replica-a");
    replica.results_in(ReconcileResult::Matches).await;
    let boots = boots(stage, SECOND);
    request(stage, "reboot-it", SECOND, "reboot").await;
    succeeds(stage, "reboot-it").await;
    assert_eq!(self::boots(stage, SECOND), boots + 1, "it boots once");
    request(stage, "unknown", "worker-of-another-cluster", "explode").await;
    let refused = stage.admin.get(&format!("{OPERATIONS}/unknown")).await;
    assert_eq!(refused.code, 404, "the schema refuses an unknown operation: {refused:?}");

    let uid = uid(stage, FIRST).await;
    request(stage, "repave-it", FIRST, "repave").await;
    succeeds(stage, "repave-it").await;
    assert_ne!(self::uid(stage, FIRST).await, uid, "it has another Node");
    replica.end().await;
    for kill_after in KILLS {
        killed(stage, kill_after, &start).await;
    }
    let left = stage.deployment(&watched, None).plan().await;
    assert!(left.is_empty(), "{}", crate::harness::summary(&left));
}

/// A repave whose watch is killed after some changes of its host: the next one completes it.
async fn killed(stage: &Stage, kill_after: usize, start: &impl Fn(&'static str) -> Replica) {
    let changes = Arc::new(HostChanges::default());
    let replica = start("replica-a");
    replica.results_in(ReconcileResult::Matches).await;
    replica.is_idle().await;
    stage.sandbox.set_fault_injector(Some(changes.clone()));
    let (name, uid) = (format!("repave-{kill_after}"), uid(stage, FIRST).await);
    request(stage, &name, FIRST, "repave").await;
    let is_due = || changes.0.load(Ordering::SeqCst) >= kill_after;
    until("the host is changed", is_due, || format!("{:#?}", replica.log.events())).await;
    replica.kill().await;
    let found = stage.object(&format!("{OPERATIONS}/{name}")).await;
    assert_ne!(found["status"]["phase"], "Succeeded", "it was killed in the middle: {found:#}");
    let next = start("replica-b");
    let passed = succeeds(stage, &name).await;
    let found = stage.object(&format!("{OPERATIONS}/{name}")).await;
    assert_ne!(self::uid(stage, FIRST).await, uid, "it has another Node");
    println!(
        "killed after {kill_after} changes of the host: continued and ended after {passed:?}, \
         attempts {}",
        found["status"]["attempts"]
    );
    next.is_idle().await;
    stage.sandbox.set_fault_injector(None);
    next.end().await;
}

/// Applies the Operation as `kubectl apply --server-side` does.
pub(super) async fn request(stage: &Stage, name: &str, server: &str, operation: &str) {
    let object = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
        "metadata": { "name": name, "namespace": "stargate" },
        "spec": {
            "serverRef": { "name": server },
            "provisioningProfileRef": { "name": "azure-k8s-worker" },
            "operation": operation,
        },
    });
    stage.admin.apply_as("kubectl", &format!("{OPERATIONS}/{name}"), &object).await;
}

/// Waits until the Operation has succeeded and is released.
pub(super) async fn succeeds(stage: &Stage, name: &str) -> std::time::Duration {
    let begin = tokio::time::Instant::now();
    let path = format!("{OPERATIONS}/{name}");
    let is_over = |body: &Value| {
        let is_held = body["metadata"]["finalizers"].as_array().is_some_and(|it| !it.is_empty());
        body["status"]["completionTime"].is_string() && !is_held
    };
    for _ in 0..4 {
        let ended = stage.admin.until(&path, |response| is_over(&response.body)).await.body;
        if is_over(&ended) {
            assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");
            return begin.elapsed();
        }
    }
    panic!("{name} does not end: {:#}", stage.object(&path).await);
}

async fn uid(stage: &Stage, node: &str) -> String {
    let node = stage.object(&format!("/api/v1/nodes/{node}")).await;
    node["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn boots(stage: &Stage, worker: &str) -> u64 {
    stage.sandbox.read(|sandbox| u64::from(sandbox.hosts.get(worker).unwrap().boots))
}
