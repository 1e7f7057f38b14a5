//! Kubernetes versions: upgrades in one commit, minor versions, and refusals.

use std::sync::Mutex;

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::diagnostics::Code;
use stargate::plan::{Action, Finding, FindingSeverity, Plan};
use stargate::resource::{Kind, Resource};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::node_pools::{change_cluster, cluster_id, live_pools};
use crate::refused_calls::{RefusedCalls, is_request};

/// The example with these versions of the cluster and of the profile.
fn versions(cluster: &str, profile: &str) -> String {
    with_versions(EXAMPLE, cluster, profile)
}

/// A variant of the example with these versions of the cluster and of the profile.
pub(crate) fn with_versions(text: &str, cluster: &str, profile: &str) -> String {
    let (head, tail) = text.split_once("[profiles").unwrap();
    let with = |text: &str, version: &str| {
        assert!(text.contains("\"1.33\""));
        text.replace("\"1.33\"", &format!("\"{version}\""))
    };
    format!("{}[profiles{}", with(head, cluster), with(tail, profile))
}

async fn applied(cluster: &str, profile: &str) -> Deployment {
    let deployment = Deployment::of(&versions(cluster, profile), SandboxState::new(31));
    deployment.iterate().await;
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    deployment
}

/// The live versions: control plane, pool, workers.
fn live(deployment: &Deployment) -> (String, String, Vec<String>) {
    let (cluster, workers) = deployment.sandbox.read(|sandbox| {
        let cluster = sandbox.arm.get(&cluster_id()).unwrap();
        let nodes = sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None).into_iter();
        let workers =
            nodes.filter(|node| node["metadata"]["labels"]["stargate.io/datacenter"].is_string());
        let version = |node: &Value| {
            node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap().to_owned()
        };
        let cluster = cluster["properties"]["currentKubernetesVersion"].as_str().unwrap();
        (cluster.to_owned(), workers.map(version).collect())
    });
    let pool = live_pools(deployment)[0]["currentOrchestratorVersion"].as_str().unwrap().to_owned();
    (cluster, pool, workers)
}

fn all_at(version: &str) -> (String, String, Vec<String>) {
    let worker = format!("v{version}");
    (version.to_owned(), version.to_owned(), vec![worker.clone(), worker])
}

/// AKS upgrades the control plane, and the pool too if asked.
fn upgrade_by_aks(deployment: &Deployment, version: &str, with_pool: bool) {
    change_cluster(deployment, |cluster| {
        cluster["currentKubernetesVersion"] = json!(version);
        if with_pool {
            cluster["agentPoolProfiles"][0]["currentOrchestratorVersion"] = json!(version);
        }
    });
}

async fn converges(deployment: &Deployment) {
    let applied = deployment.apply(&RefreshOptions::default()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failures = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{failures}\n{left}");
}

fn blocked(plan: &Plan, code: Code) -> Vec<&stargate::plan::Blocked> {
    plan.blocked.iter().filter(|it| it.failure.code == code).collect()
}

/// Notes the kinds of steps that were completed.
#[derive(Default)]
struct Steps(Mutex<Vec<Kind>>);

impl Reporter for Steps {
    fn event(&self, event: &Event) {
        if let Event::StepFinished { address, .. } = event {
            self.0.lock().unwrap().push(address.kind);
        }
    }
}

/// One commit upgrades everything: the control plane first, then the pools, then the workers.
#[tokio::test(start_paused = true)]
async fn one_commit_upgrades_everything_in_order() {
    for (from, to) in
        [(("1.33.5", "1.33.5"), ("1.34.5", "1.34.5")), (("1.33", "1.33"), ("1.34", "1.34"))]
    {
        let deployment = applied(from.0, from.1).await;
        let edited = deployment.edited(&versions(to.0, to.1));
        let planned = edited.refresh_and_plan(&RefreshOptions::default()).await;
        let updated = |kind: Kind| {
            let changes = planned.plan.changes.iter();
            changes.filter(|it| it.address.kind == kind && it.action == Action::Update).count()
        };
        assert_eq!((updated(Kind::ManagedCluster), updated(Kind::NodePool)), (1, 1));
        assert_eq!(updated(Kind::Worker), 2, "{}", summary(&planned.plan));
        let steps = Steps::default();
        let applied = edited.apply_planned(&RefreshOptions::default(), planned, &steps).await;
        let failures = failures(&applied).join("\n");
        assert_eq!(applied.status, ApplyStatus::Converged, "{failures}");
        assert_eq!(live(&edited), all_at("1.34.5"));
        let steps = steps.0.lock().unwrap().clone();
        let first = |kind: Kind| steps.iter().position(|it| *it == kind).unwrap();
        assert!(first(Kind::ManagedCluster) < first(Kind::NodePool));
        assert!(first(Kind::NodePool) < first(Kind::Worker));
        let plan = edited.plan().await;
        assert!(plan.is_empty(), "{}", summary(&plan));
    }
}

/// AKS chooses the patch if it does not say beforehand which ones it offers.
#[tokio::test(start_paused = true)]
async fn a_minor_version_of_unknown_patch_is_upgraded_in_one_apply() {
    let deployment = applied("1.33", "1.33").await;
    deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, |call| {
        is_request(call, "/kubernetesVersions")
    })));
    let edited = deployment.edited(&versions("1.34", "1.34"));
    let plan = edited.plan().await;
    let waiting = plan.deferred.iter().filter(|it| it.address.kind == Kind::Worker);
    assert_eq!(waiting.count(), 2, "{}", summary(&plan));
    let mut said = plan.findings.iter().map(|it| it.failure.message.as_str());
    let reason = "it is unknown whether AKS offers Kubernetes 1.34";
    assert!(said.any(|it| it.starts_with(reason)), "{}", summary(&plan));
    converges(&edited).await;
    assert_eq!(live(&edited), all_at("1.34.5"));
}

/// An upgrade to a version that AKS does not offer is blocked by itself, and a cluster that
/// runs such a version is edited as before.
#[tokio::test(start_paused = true)]
async fn an_upgrade_to_a_version_that_is_not_on_offer_is_blocked() {
    let deployment = applied("1.33", "1.33").await;
    deployment.inject(Fault::VersionEnded, Some("1.33"));
    let plan = deployment.plan().await;
    assert!(plan.is_empty() && plan.findings.is_empty(), "{}", summary(&plan));
    for (fault, remedy) in [
        (Fault::VersionLongTermOnly, "support_plan = \"AKSLongTermSupport\""),
        (Fault::VersionEnded, "kubernetes_version"),
    ] {
        deployment.inject(fault, Some("1.34"));
        let edited = deployment.edited(&versions("1.34", "1.33.5"));
        let plan = edited.plan().await;
        let blocked: Vec<_> = plan.blocked.iter().map(|it| it.address.kind).collect();
        assert_eq!(blocked, [Kind::ManagedCluster], "{}", summary(&plan));
        let failure = &plan.blocked[0].failure;
        assert_eq!(failure.code, Code::VersionUnsupported);
        assert!(failure.remedy.contains(remedy), "{}", failure.remedy);
        let is_error = |it: &Finding| it.severity == FindingSeverity::Error;
        assert!(!plan.findings.iter().any(is_error), "{}", summary(&plan));
    }
}

/// A topology that names no support plan keeps that of the cluster: AKS upgrades a cluster with
/// long-term support to a version that has only that.
#[tokio::test(start_paused = true)]
async fn an_upgrade_keeps_the_support_plan_of_the_cluster() {
    let premium = |text: String, plan: &str| {
        text.replace("[cluster] ", &format!("[cluster]\ntier = \"premium\"\n{plan}# "))
    };
    let long_term = premium(versions("1.33", "1.33"), "support_plan = \"AKSLongTermSupport\"\n");
    let deployment = Deployment::of(&long_term, SandboxState::new(31));
    deployment.iterate().await;
    deployment.inject(Fault::VersionLongTermOnly, Some("1.34"));
    let edited = deployment.edited(&premium(versions("1.34", "1.34"), ""));
    let plan = edited.plan().await;
    assert!(blocked(&plan, Code::VersionUnsupported).is_empty(), "{}", summary(&plan));
    converges(&edited).await;
    assert_eq!(live(&edited), all_at("1.34.5"));
}

#[tokio::test(start_paused = true)]
async fn a_minor_version_matches_any_patch() {
    let deployment = applied("1.33", "1.33").await;
    assert_eq!(live(&deployment), all_at("1.33.5"));
    upgrade_by_aks(&deployment, "1.33.7", true);
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    assert!(plan.findings.iter().all(|it| it.failure.code != Code::LiveVersionSkew));
    // From an exact version to its minor version nothing changes either.
    let deployment = applied("1.33.5", "1.33.5").await;
    let edited = deployment.edited(&versions("1.33", "1.33"));
    let plan = edited.plan().await;
    let changed: Vec<Kind> = plan.changes.iter().map(|it| it.address.kind).collect();
    assert_eq!(changed, [Kind::ProvisioningProfile], "{}", summary(&plan));
}

/// New workers get the patch of the control plane; `--upgrade-patches` rolls the rest.
#[tokio::test(start_paused = true)]
async fn patches_are_rolled_on_request() {
    let deployment = applied("1.33", "1.33").await;
    upgrade_by_aks(&deployment, "1.33.7", false);
    assert!(deployment.plan().await.is_empty());
    let third = "\n[[datacenters.dc1.workers]]\nname = \"new\"\nip = \"10.50.1.7\"\n\
                 pod_cidr = \"10.244.67.0/24\"\n";
    let edited = deployment.edited(&(versions("1.33", "1.33") + third));
    edited.iterate().await;
    let (_, pool, mut workers) = live(&edited);
    workers.sort();
    assert_eq!(
        (pool.as_str(), workers),
        ("1.33.5", vec!["v1.33.5".into(), "v1.33.5".into(), "v1.33.7".into()])
    );
    let options = RefreshOptions { upgrade_patches: true, ..RefreshOptions::default() };
    let applied = edited.apply(&options).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(applied.status, ApplyStatus::Converged, "{left}");
    let (cluster, pool, workers) = live(&edited);
    assert_eq!((cluster.as_str(), pool.as_str()), ("1.33.7", "1.33.7"));
    assert!(workers.iter().all(|it| it == "v1.33.7"), "{workers:?}");
}

/// A patch that AKS upgraded to is reported and not reverted.
#[tokio::test(start_paused = true)]
async fn an_automatic_upgrade_is_reported_and_kept() {
    let deployment = applied("1.33.5", "1.33.5").await;
    upgrade_by_aks(&deployment, "1.33.7", true);
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let finding = plan.findings.iter().find(|it| it.failure.code == Code::LiveVersionSkew).unwrap();
    assert_eq!(finding.severity, FindingSeverity::Warning);
    assert!(finding.failure.remedy.contains("1.33.7"), "{}", finding.failure.remedy);
}

/// Older versions are refused, and everything else is still repaired.
#[tokio::test(start_paused = true)]
async fn a_downgrade_is_refused_and_the_rest_is_repaired() {
    let deployment = applied("1.34.5", "1.34.5").await;
    let edited = deployment.edited(&versions("1.33.5", "1.33.5"));
    let table = cluster_table(&edited);
    edited.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        arm.modify(&table, |body| body["properties"]["routes"] = json!([]), &mut || {
            entropy.next_guid()
        });
    });
    let plan = edited.plan().await;
    let refused: Vec<Kind> =
        blocked(&plan, Code::KubernetesDowngrade).iter().map(|it| it.address.kind).collect();
    for kind in [Kind::ManagedCluster, Kind::ProvisioningProfile, Kind::Worker] {
        assert!(refused.contains(&kind), "{kind}: {}", summary(&plan));
    }
    let goes_back = plan.changes.iter().any(|it| {
        matches!(
            it.address.kind,
            Kind::ManagedCluster | Kind::NodePool | Kind::Worker | Kind::ProvisioningProfile
        )
    });
    assert!(!goes_back, "{}", summary(&plan));
    assert_eq!(edited.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    assert_eq!(live(&edited), all_at("1.34.5"));
    let routes = edited
        .sandbox
        .read(|sandbox| sandbox.arm.get(&table).unwrap()["properties"]["routes"].clone());
    assert!(!routes.as_array().unwrap().is_empty());
}

fn cluster_table(deployment: &Deployment) -> stargate::resource::ArmId {
    deployment.sandbox.read(|sandbox| {
        let tables = sandbox.arm.list("Microsoft.Network/routeTables");
        let mut ids = tables.into_iter().map(|(id, _)| id.clone());
        ids.find(|id| id.name() == "stargate-router-rt").unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn a_skipped_minor_version_is_refused() {
    for (cluster, profile) in [("1.35.5", "1.33.5"), ("1.35", "1.35"), ("1.35.5", "1.35.5")] {
        let deployment = applied("1.33.5", "1.33.5").await;
        let edited = deployment.edited(&versions(cluster, profile));
        let plan = edited.plan().await;
        let refused = blocked(&plan, Code::KubernetesMinorSkipped);
        assert_eq!(refused.len(), 1, "{}", summary(&plan));
        assert!(refused[0].failure.remedy.contains("\"1.34\""), "{}", refused[0].failure.remedy);
        let upgrades = plan.changes.iter().filter(|it| {
            matches!(it.address.kind, Kind::ManagedCluster | Kind::NodePool | Kind::Worker)
        });
        assert_eq!(upgrades.count(), 0, "{}", summary(&plan));
        // Workers that would be newer than the control plane wait with their profile, and say
        // why.
        let skew = blocked(&plan, Code::LiveVersionSkew).len();
        assert_eq!(skew, if profile == "1.33.5" { 0 } else { 3 }, "{}", summary(&plan));
    }
}

/// A kubelet alone does not go back either.
/// A refused upgrade leaves pools and profiles as they are, and the former file fits again.
#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_keeps_pools_and_profiles() {
    for (cluster, profile) in [("1.35", "1.35"), ("1.34.99", "1.34"), ("1.33.99", "1.33.99")] {
        let deployment = applied("1.33.5", "1.33.7").await;
        let edited = deployment.edited(&versions(cluster, profile));
        let applied = edited.apply(&RefreshOptions::default()).await;
        let remaining = applied.remaining.as_ref().map(summary).unwrap_or_default();
        assert_eq!(applied.status, ApplyStatus::Blocked, "{cluster}: {remaining}");
        let (control_plane, pool, workers) = live(&deployment);
        assert_eq!((&*control_plane, &*pool), ("1.33.5", "1.33.5"), "{cluster}");
        assert!(workers.iter().all(|it| it == "v1.33.7"), "{cluster}: {workers:?}");
        let plan = deployment.plan().await;
        assert!(plan.blocked.is_empty(), "{cluster}: {}", summary(&plan));
        converges(&deployment).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_not_taken_back() {
    let deployment = applied("1.33.5", "1.33.7").await;
    let edited = deployment.edited(&versions("1.33.5", "1.33.5"));
    let plan = edited.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    let refused = blocked(&plan, Code::KubernetesDowngrade);
    assert_eq!(refused.len(), 3, "{}", summary(&plan));
    let edited = deployment.edited(&versions("1.33.5", "1.33"));
    edited.iterate().await;
    assert_eq!(live(&edited).2, ["v1.33.7", "v1.33.7"]);
}

/// The upgrade of the control plane waits for kubelets that it would no longer support.
#[tokio::test(start_paused = true)]
async fn a_control_plane_does_not_leave_its_workers_behind() {
    let deployment = applied("1.33.5", "1.30.5").await;
    let edited = deployment.edited(&versions("1.34.5", "1.31.5"));
    let plan = edited.plan().await;
    let refused = blocked(&plan, Code::LiveVersionSkew);
    assert!(refused.iter().any(|it| it.address.kind == Kind::ManagedCluster), "{}", summary(&plan));
    converges(&deployment.edited(&versions("1.33.5", "1.31.5"))).await;
    converges(&edited).await;
    assert_eq!(live(&edited).0, "1.34.5");
}

/// The version of a worker follows from its Node, so that a plan names it exactly.
#[tokio::test(start_paused = true)]
async fn a_worker_has_an_exact_version() {
    let deployment = applied("1.33", "1.33").await;
    let desired = deployment.plan().await;
    let workers = desired.desired().iter().filter_map(|it| match &it.resource {
        Resource::Worker(worker) => Some(worker.kubelet_version.to_string()),
        _ => None,
    });
    assert_eq!(workers.collect::<Vec<_>>(), ["1.33.5", "1.33.5"]);
}
