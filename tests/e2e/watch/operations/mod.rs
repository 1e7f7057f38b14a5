//! Operations that people create in the cluster: the watch runs them.

mod cancelled;
mod kills;
mod paused;
mod refused;
mod rollout;
mod run;
mod servers;

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};
use stargate::sandbox::transport::kube_client;
use tokio::time::{Instant, sleep};

use super::{watched, watching};
use crate::harness::Deployment;

const FIRST: &str = "stargate-aks-e2e-2-worker-1";
const SECOND: &str = "stargate-aks-e2e-2-worker-2";
const PROFILE: &str = "azure-k8s-worker";

/// Longer than any Operation takes, in virtual time.
const LIMIT: Duration = Duration::from_secs(4 * 3_600);

fn api(deployment: &Deployment) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "stargate.io".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "stargate.io/v1alpha1".to_owned(),
        kind: "Operation".to_owned(),
        plural: "operations".to_owned(),
    };
    Api::namespaced_with(kube_client(deployment.sandbox.clone()), "stargate", &resource)
}

/// An Operation as in a file for `kubectl apply`.
pub(super) fn manifest(name: &str, server: &str, operation: &str, profile: &str) -> Value {
    json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
        "metadata": { "name": name, "namespace": "stargate" },
        "spec": {
            "serverRef": { "name": server },
            "provisioningProfileRef": { "name": profile },
            "operation": operation,
        },
    })
}

pub(super) async fn create(deployment: &Deployment, object: Value) {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let params = PostParams {
        field_manager: Some("kubectl-client-side-apply".to_owned()),
        ..PostParams::default()
    };
    api(deployment).create(&params, &object).await.unwrap();
}

/// Requests an operation on a worker of the example.
async fn request(deployment: &Deployment, name: &str, server: &str, operation: &str) {
    create(deployment, manifest(name, server, operation, PROFILE)).await;
}

/// Requests a reboot of a worker of the example, and waits until a watch has done it.
pub(crate) async fn reboot_by_operation(deployment: &Deployment) {
    request(deployment, "reboot-it", FIRST, "reboot").await;
    watching(deployment, &watched(""), async |_| ended(deployment, &["reboot-it"]).await).await;
    assert_eq!(phase(deployment, "reboot-it"), "Succeeded");
}

pub(super) async fn delete(deployment: &Deployment, name: &str) {
    api(deployment).delete(name, &DeleteParams::default()).await.unwrap();
}

pub(super) fn objects(deployment: &Deployment, api_version: &str, kind: &str) -> Vec<Value> {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.list(api_version, kind, None).into_iter().cloned().collect()
    })
}

pub(super) fn operations(deployment: &Deployment) -> Vec<Value> {
    objects(deployment, "stargate.io/v1alpha1", "Operation")
}

/// The Operation of that name; null if it does not exist.
fn operation(deployment: &Deployment, name: &str) -> Value {
    let mut found = operations(deployment).into_iter();
    found.find(|it| it["metadata"]["name"] == name).unwrap_or_default()
}

fn phase(deployment: &Deployment, name: &str) -> String {
    let found = operation(deployment, name);
    found["status"]["phase"].as_str().unwrap_or_default().to_owned()
}

/// The status of a condition, its reason and its message.
fn condition(deployment: &Deployment, name: &str, kind: &str) -> (String, String, String) {
    let found = operation(deployment, name);
    let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let condition = conditions.into_iter().find(|it| it["type"] == kind).unwrap_or_default();
    let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

async fn until(text: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "not in time: {text}");
        sleep(Duration::from_millis(500)).await;
    }
}

/// Waits until these Operations have ended and are released.
async fn ended(deployment: &Deployment, names: &[&str]) {
    for name in names {
        until(name, || {
            let found = operation(deployment, name);
            let is_final = found["status"]["completionTime"].is_string();
            is_final && found["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)
        })
        .await;
    }
}

fn node(deployment: &Deployment, name: &str) -> Value {
    let mut nodes = objects(deployment, "v1", "Node").into_iter();
    nodes.find(|it| it["metadata"]["name"] == name).unwrap_or_default()
}

fn uid(deployment: &Deployment, worker: &str) -> String {
    node(deployment, worker)["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

fn boots(deployment: &Deployment, worker: &str) -> u64 {
    deployment.sandbox.read(|sandbox| u64::from(sandbox.hosts.get(worker).unwrap().boots))
}

/// The reasons of the Events about an object.
fn events_about(deployment: &Deployment, kind: &str, name: &str) -> BTreeSet<String> {
    let events = objects(deployment, "events.k8s.io/v1", "Event").into_iter();
    events
        .filter(|it| it["regarding"]["kind"] == kind && it["regarding"]["name"] == name)
        .map(|it| it["reason"].as_str().unwrap().to_owned())
        .collect()
}

fn reasons(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

/// Asserts that every worker serves pods and nothing is left to do.
async fn is_whole(deployment: &Deployment) {
    for node in objects(deployment, "v1", "Node") {
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
    }
    let left = deployment.plan().await;
    assert!(left.is_empty(), "{}", crate::harness::summary(&left));
}
