//! The Topology object: the status that a watch writes, and approvals by digest.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use stargate::resource::custom_resources::{APPROVE_ANNOTATION, GROUP, NAMESPACE, VERSION};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::kube_client;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;

use super::approval::WORKER_2;
use super::{Watch, reporting, watched};
use crate::harness::{Deployment, RefreshOptions};
use crate::refused_calls::{RefusedCalls, is_request};

/// The object as it is stored.
fn object(deployment: &Deployment) -> Option<Value> {
    let api_version = format!("{GROUP}/{VERSION}");
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref()?;
        store
            .get(&api_version, "Topology", Some(NAMESPACE), deployment.topology.name.as_str())
            .cloned()
    })
}

pub(super) fn status(deployment: &Deployment) -> Value {
    object(deployment).unwrap()["status"].clone()
}

/// The status and the reason of a condition.
fn condition(status: &Value, kind: &str) -> (String, String) {
    let conditions = status["conditions"].as_array().unwrap();
    let condition = conditions.iter().find(|it| it["type"] == kind).unwrap();
    let word = |field: &str| condition[field].as_str().unwrap().to_owned();
    (word("status"), word("reason"))
}

/// Asserts the three conditions by their status, and the reason of Ready.
pub(super) fn has_conditions(
    deployment: &Deployment,
    ready: &str,
    reason: &str,
    abnormal: Option<&str>,
) {
    let status = status(deployment);
    assert_eq!(condition(&status, "Ready"), (ready.to_owned(), reason.to_owned()), "{status:#}");
    for kind in ["Reconciling", "Stalled"] {
        let expected = if abnormal == Some(kind) { "True" } else { "False" };
        assert_eq!(condition(&status, kind).0, expected, "{kind}: {status:#}");
    }
}

pub(super) fn digest(deployment: &Deployment) -> String {
    let status = status(deployment);
    let digest = status["pendingApproval"]["digest"].as_str();
    digest.unwrap_or_else(|| panic!("no digest: {status:#}")).to_owned()
}

/// Sets the annotation, as `kubectl annotate` does.
pub(super) async fn approve(deployment: &Deployment, digest: &str) {
    let resource = ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: "Topology".to_owned(),
        plural: "topologies".to_owned(),
    };
    let client = kube_client(deployment.sandbox.clone());
    let topologies: Api<DynamicObject> = Api::namespaced_with(client, NAMESPACE, &resource);
    let patch = json!({ "metadata": { "annotations": { APPROVE_ANNOTATION: digest } } });
    topologies
        .patch(deployment.topology.name.as_str(), &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// The result of the last approval.
pub(super) fn approval(deployment: &Deployment) -> (String, String) {
    let status = status(deployment);
    let word = |field: &str| status["approval"][field].as_str().unwrap_or_default().to_owned();
    (word("digest"), word("state"))
}

pub(super) fn is_consumed(deployment: &Deployment) {
    let annotations = object(deployment).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations[APPROVE_ANNOTATION], Value::Null, "{annotations}");
}

pub(super) fn nodes(deployment: &Deployment) -> BTreeSet<String> {
    let list = |sandbox: &stargate::sandbox::SandboxState| {
        let nodes = sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None);
        nodes.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    deployment.sandbox.read(list)
}

impl Watch<'_> {
    /// Removes a worker from the topology, which waits for approval.
    pub(super) async fn removes_a_worker(&self, text: &str) -> String {
        let removed = text.replace(WORKER_2, "");
        assert_ne!(removed, text);
        self.edit(Some(&removed)).await;
        self.settles().await;
        assert_eq!(self.last().reconciled.result, ReconcileResult::AwaitsApproval);
        digest(self.deployment)
    }
}

/// A watch that reports, fails, is approved and ends: every request that a report makes.
pub(crate) async fn reports_and_takes_an_approval(deployment: &Deployment) {
    let text = watched("");
    reporting(deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        approve(deployment, &digest).await;
        // Steps on hosts take their time.
        sleep(Duration::from_secs(3600)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_object_shows_the_result_and_is_written_only_when_that_changes() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        has_conditions(&deployment, "True", "Matches", None);
        let found = object(&deployment).unwrap();
        let status = &found["status"];
        assert_eq!(found["spec"], json!({ "topology": deployment.topology.name }));
        assert_eq!(status["observedGeneration"], found["metadata"]["generation"]);
        assert_eq!(status["version"], "1.2.3");
        assert_eq!(
            (&status["apply"], &status["intervalSeconds"]),
            (&json!("routes"), &json!(86400))
        );
        assert_eq!(status["workers"]["ready"], 2, "{status:#}");
        assert_eq!((&status["drift"]["total"], &status["pairs"]["broken"]), (&json!(0), &json!(0)));
        assert!(status["lastSuccessTime"].is_string());
        let before = deployment.writes();
        for _ in 0..10 {
            watch.triggers.add(Trigger::Request);
            watch.settles().await;
            sleep(Duration::from_secs(300)).await;
        }
        assert_eq!(deployment.writes(), before, "nothing changed, so nothing is written");
        assert_eq!(object(&deployment).unwrap(), found);

        watch.removes_a_worker(&text).await;
        has_conditions(&deployment, "False", "AwaitsApproval", None);
        let pending = super::topology_object::status(&deployment)["pendingApproval"].clone();
        let waiting = watch.last().reconciled.awaiting_approval;
        assert_eq!(pending["total"], waiting.len(), "{pending:#}");
        assert_eq!(pending["changes"].as_array().unwrap().len(), waiting.len(), "{pending:#}");
        let command = pending["command"].as_str().unwrap();
        assert!(command.contains(pending["digest"].as_str().unwrap()), "{command}");
        let drift = super::topology_object::status(&deployment)["drift"].clone();
        let kinds = drift["kinds"].as_array().unwrap();
        let workers = json!({ "kind": "worker", "count": 1 });
        assert!(kinds.contains(&workers), "{drift:#}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_invalid_file_stalls_the_object_until_it_is_fixed() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.edit(Some("[stargate")).await;
        watch.settles().await;
        has_conditions(&deployment, "False", "TopologyInvalid", Some("Stalled"));
        // A reconcile of the last valid topology does not hide it.
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        watch.matches();
        has_conditions(&deployment, "False", "TopologyInvalid", Some("Stalled"));
        watch.edit(None).await;
        watch.settles().await;
        has_conditions(&deployment, "False", "TopologyInvalid", Some("Stalled"));
        watch.edit(Some(&text)).await;
        watch.settles().await;
        has_conditions(&deployment, "True", "Matches", None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_that_fails_is_shown_as_repeated_and_broken_pairs_as_not_ready() {
    let deployment = Deployment::example_applied().await;
    reporting(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        // Without its credentials the cluster cannot be planned, and still be reported to.
        deployment
            .sandbox
            .set_fault_injector(Some(RefusedCalls::of(403, |call| is_request(call, "Credential"))));
        watch.triggers.add(Trigger::Request);
        sleep(Duration::from_secs(30)).await;
        has_conditions(&deployment, "False", "Failed", Some("Reconciling"));
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(409, |call| {
            call.writes() && is_request(call, "/routeTables/")
        })));
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Request);
        sleep(Duration::from_secs(30)).await;
        has_conditions(&deployment, "False", "Failed", Some("Reconciling"));
        assert_eq!(status(&deployment)["drift"]["total"], 1);
        deployment.sandbox.set_fault_injector(None);
        sleep(Duration::from_secs(600)).await;
        has_conditions(&deployment, "True", "Matches", None);
        deployment.inject(Fault::WorkerNotReady, None);
        watch.settles().await;
        let status = status(&deployment);
        let counts = &status["workers"];
        assert_eq!((&counts["ready"], &counts["notReady"]), (&json!(1), &json!(1)), "{status:#}");
    })
    .await;
}

/// A cluster that does not know Topologies is watched as any other.
#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_definition_gets_no_report() {
    let deployment = Deployment::example_applied().await;
    let missing = |status| RefusedCalls::of(status, |call| is_request(call, "/topologies"));
    for refusal in [404, 403] {
        deployment.sandbox.set_fault_injector(Some(missing(refusal)));
        deployment.inject(Fault::RouteMissing, None);
        reporting(&deployment, &watched(""), async |watch| {
            watch.settles().await;
            watch.matches();
        })
        .await;
        assert_eq!(object(&deployment), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_destroy_deletes_the_object_with_the_cluster() {
    let deployment = Deployment::example_applied().await;
    reporting(&deployment, &watched(""), async |watch| {
        watch.settles().await;
    })
    .await;
    assert!(object(&deployment).is_some());
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(destroyed.status, stargate::apply::ApplyStatus::Converged);
    assert_eq!(object(&deployment), None);
}
