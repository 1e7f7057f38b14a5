//! The Topology object: what a watch reports on it, and approvals by digest.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use stargate::lease::{LeaseIdentity, LeaseSlot};
use stargate::plan::Action;
use stargate::resource::Kind;
use stargate::resource::custom_resources::{APPROVE_ANNOTATION, GROUP, NAMESPACE, VERSION};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::kube_client;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;

use super::approval::WORKER_2;
use super::{Watch, reporting, watched};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS};
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

fn status(deployment: &Deployment) -> Value {
    object(deployment).expect("the object")["status"].clone()
}

/// The status and the reason of a condition.
fn condition(status: &Value, kind: &str) -> (String, String) {
    let conditions = status["conditions"].as_array().expect("conditions");
    let condition = conditions.iter().find(|it| it["type"] == kind).expect(kind);
    let word = |field: &str| condition[field].as_str().unwrap().to_owned();
    (word("status"), word("reason"))
}

/// Asserts the three conditions by their status, and the reason of Ready.
fn has_conditions(deployment: &Deployment, ready: &str, reason: &str, abnormal: Option<&str>) {
    let status = status(deployment);
    assert_eq!(condition(&status, "Ready"), (ready.to_owned(), reason.to_owned()), "{status:#}");
    for kind in ["Reconciling", "Stalled"] {
        let expected = if abnormal == Some(kind) { "True" } else { "False" };
        assert_eq!(condition(&status, kind).0, expected, "{kind}: {status:#}");
    }
}

fn digest(deployment: &Deployment) -> String {
    let status = status(deployment);
    let digest = status["pendingApproval"]["digest"].as_str();
    digest.unwrap_or_else(|| panic!("no digest: {status:#}")).to_owned()
}

/// Sets the annotation, as `kubectl annotate` does.
async fn approve(deployment: &Deployment, digest: &str) {
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

/// What became of the last approval.
fn approval(deployment: &Deployment) -> (String, String) {
    let status = status(deployment);
    let word = |field: &str| status["approval"][field].as_str().unwrap_or_default().to_owned();
    (word("digest"), word("state"))
}

fn is_consumed(deployment: &Deployment) {
    let annotations = object(deployment).unwrap()["metadata"]["annotations"].clone();
    assert_eq!(annotations[APPROVE_ANNOTATION], Value::Null, "{annotations}");
}

fn nodes(deployment: &Deployment) -> BTreeSet<String> {
    let list = |sandbox: &stargate::sandbox::SandboxState| {
        let nodes = sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None);
        nodes.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    deployment.sandbox.read(list)
}

impl Watch<'_> {
    /// Removes a worker from the topology, which waits for approval.
    async fn removes_a_worker(&self, text: &str) -> String {
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

/// The digest is the same in every process for as long as the same changes wait, and its
/// approval makes all of them and nothing else, once.
#[tokio::test(start_paused = true)]
async fn an_approval_makes_exactly_what_waits_and_is_used_once() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    let removed = text.replace(WORKER_2, "");
    let mut digests = BTreeSet::new();
    for _ in 0..2 {
        reporting(&deployment, &removed, async |watch| {
            watch.settles().await;
            digests.insert(digest(&deployment));
            deployment.inject(Fault::AksScaleOut, None);
            watch.settles().await;
            digests.insert(digest(&deployment));
        })
        .await;
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    let approved = digests.pop_first().unwrap();
    let before = nodes(&deployment);
    reporting(&deployment, &removed, async |watch| {
        watch.settles().await;
        approve(&deployment, &approved).await;
        watch.settles().await;
        watch.matches();
        let gone: Vec<_> = before.difference(&nodes(&deployment)).cloned().collect();
        assert_eq!(gone, ["stargate-aks-e2e-2-worker-2"]);
        assert_eq!(approval(&deployment), (approved.clone(), "Done".to_owned()));
        is_consumed(&deployment);
        has_conditions(&deployment, "True", "Matches", None);
        // The same changes wait again: they need an approval of their own.
        watch.edit(Some(&text)).await;
        watch.settles().await;
        let again = digest(&deployment);
        approve(&deployment, &again).await;
        watch.settles().await;
        watch.matches();
        watch.edit(Some(&removed)).await;
        watch.settles().await;
        assert_eq!(digest(&deployment), approved);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::AwaitsApproval);
        assert_eq!(nodes(&deployment).len(), before.len(), "nothing is deleted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_of_another_plan_is_refused_and_shown() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        approve(&deployment, "0123456789abcdef").await;
        watch.settles().await;
        assert_eq!(approval(&deployment), ("0123456789abcdef".to_owned(), "Refused".to_owned()));
        is_consumed(&deployment);
        let first = watch.removes_a_worker(&text).await;
        // The plan changes before it is approved.
        let other = text.replace(WORKER_2, "").replace("azure-k8s-worker", "worker");
        watch.edit(Some(&other)).await;
        watch.settles().await;
        let second = digest(&deployment);
        assert_ne!(first, second);
        let (before, writes) = (nodes(&deployment), deployment.writes());
        approve(&deployment, &first).await;
        watch.settles().await;
        assert_eq!(approval(&deployment), (first.clone(), "Refused".to_owned()));
        let message = status(&deployment)["approval"]["message"].to_string();
        assert!(message.contains(&second), "{message}");
        assert_eq!(nodes(&deployment), before);
        assert_eq!(deployment.writes() - writes, 3, "the approval, its removal and its refusal");
        // What was refused approves nothing later.
        watch.edit(Some(&text.replace(WORKER_2, ""))).await;
        watch.settles().await;
        assert_eq!(digest(&deployment), first);
        assert_eq!(nodes(&deployment), before);
        approve(&deployment, &first).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
}

/// What is protected is blocked, and no approval changes that.
#[tokio::test(start_paused = true)]
async fn no_approval_deletes_what_is_protected() {
    let text = watched("").replace("[datacenters.dc1]", "[datacenters.dc1]\nprotect = true");
    let deployment = Deployment::of(&text, stargate::sandbox::SandboxState::new(1));
    deployment.iterate().await;
    let before = nodes(&deployment);
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.edit(Some(&text.replace(WORKER_2, ""))).await;
        watch.settles().await;
        has_conditions(&deployment, "False", "Blocked", Some("Stalled"));
        let status = status(&deployment);
        if let Some(digest) = status["pendingApproval"]["digest"].as_str() {
            approve(&deployment, digest).await;
        }
        approve(&deployment, "00000000000000000000000000000000").await;
        watch.settles().await;
        assert_eq!(nodes(&deployment), before);
    })
    .await;
}

/// Another apply holds the Lease: the approved changes are made after it.
#[tokio::test(start_paused = true)]
async fn an_approval_waits_for_the_lease() {
    let deployment = Deployment::example_applied().await;
    let other = LeaseSlot::new(LeaseIdentity::new(&deployment.topology.name, "another apply"));
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let client = deployment.clients.cluster.connect("", owner).await.unwrap();
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        let (now, before) = (deployment.sandbox.now(), nodes(&deployment));
        assert!(!other.acquire(client.clone(), now, &|_| (), |_| ()).await.unwrap());
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(nodes(&deployment), before);
        has_conditions(&deployment, "Unknown", "Changing", Some("Reconciling"));
        assert_eq!(approval(&deployment), (digest.clone(), "InProgress".to_owned()));
        other.release().await.unwrap();
        watch.settles().await;
        watch.matches();
        assert_eq!(approval(&deployment), (digest, "Done".to_owned()));
    })
    .await;
}

/// What a failed attempt left is made by the next one, in the same process.
#[tokio::test(start_paused = true)]
async fn an_approval_survives_a_failed_attempt() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(409, |call| {
            is_request(call, "/virtualMachines/") && call.writes()
        })));
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::Failed);
        deployment.sandbox.set_fault_injector(None);
        sleep(Duration::from_secs(1200)).await;
        watch.matches();
        assert_eq!(approval(&deployment), (digest, "Done".to_owned()));
    })
    .await;
}

/// An approval also covers what the burst guard holds back.
#[tokio::test(start_paused = true)]
async fn an_approval_covers_a_burst() {
    let deployment = Deployment::example_applied().await;
    for _ in 0..4 {
        deployment.inject(Fault::AksScaleOut, None);
    }
    deployment.iterate().await;
    reporting(&deployment, &watched("max_removals = 1"), async |watch| {
        watch.settles().await;
        deployment.inject(Fault::AksScaleIn, None);
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        has_conditions(&deployment, "False", "Paused", None);
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(deployment.plan().await.is_empty());
}

/// The status says that the approval makes pairs unreachable, and the approval covers it.
#[tokio::test(start_paused = true)]
async fn an_approval_covers_the_loss_of_pairs_that_it_names() {
    let settings = "\n[watch]\ninterval_seconds = 86400\napply = \"all\"\n";
    let attic = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let without = format!("{}{settings}", &TWO_DATACENTERS[..attic]);
    let deployment = Deployment::of(TWO_DATACENTERS, stargate::sandbox::SandboxState::new(7));
    deployment.iterate().await;
    reporting(&deployment, &without, async |watch| {
        watch.settles().await;
        let status = status(&deployment);
        assert_eq!(status["pendingApproval"]["losesPairs"], true, "{status:#}");
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(!nodes(&deployment).contains("attic-a"));
}

/// `none` makes what is approved, and nothing that comes beside it.
#[tokio::test(start_paused = true)]
async fn a_change_beside_the_approved_ones_waits() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::TailnetRouteUnapproved, None);
    reporting(&deployment, &watched("apply = \"none\""), async |watch| {
        watch.settles().await;
        let first = digest(&deployment);
        deployment.inject(Fault::RouteMissing, None);
        approve(&deployment, &first).await;
        watch.settles().await;
        assert_eq!(approval(&deployment).1, "Refused");
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        let waiting = watch.last().reconciled.awaiting_approval;
        let kinds: Vec<_> = waiting.iter().map(|it| (it.action, it.address.kind)).collect();
        assert_eq!(kinds, [(Action::Update, Kind::RouteTable)]);
    })
    .await;
}
