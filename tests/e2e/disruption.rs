//! Whatever restarts a worker goes through the rollout: announced, drained before, a canary
//! first, and never more workers of a datacenter at the same time than the width.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::plan::impact::WaveRange;
use stargate::plan::{Action, Plan, WorkerOperation, WorkerRequest};
use stargate::resource::{Kind, Resource};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::topology::names::WorkerName;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::observer::Observer;
use crate::upgrades::with_versions;

/// The example with so many workers in its datacenter of VMs.
fn azure_workers(count: usize, rollout: &str) -> String {
    let text = with_versions(EXAMPLE, "1.33", "1.33.5");
    let (head, _) = text.split_once("[[datacenters.dc1.workers]]").unwrap();
    let workers = (0..count).map(|number| {
        let ip = 10 + number;
        format!("[[datacenters.dc1.workers]]\nname = \"w{number}\"\nip = \"10.50.1.{ip}\"\n")
    });
    format!("{head}{}\n[rollout]\n{rollout}\n", workers.collect::<String>())
}

/// The same with larger VMs in the datacenter.
fn resized(text: &str) -> String {
    let size = "router_subnet_cidr = \"10.50.0.0/24\"\nvm_size = \"Standard_D2s_v5\"";
    let edited = text.replace(size, &size.replace("D2s", "D8s"));
    assert_ne!(edited, text);
    edited
}

fn put(deployment: &Deployment, object: Value) {
    deployment.sandbox.change(|sandbox, now| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        store.put(object, "test", &now.to_string()).map(drop).unwrap();
    });
}

/// Runs a pod of a ReplicaSet on each worker.
fn serve_pods(deployment: &Deployment, workers: usize) {
    for number in 0..workers {
        let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop",
            "uid": "1", "controller": true }]);
        put(
            deployment,
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": format!("shop-{number}"), "namespace": "default",
                              "ownerReferences": owner },
                "spec": { "nodeName": format!("w{number}"),
                          "containers": [{ "name": "main", "image": "x" }] },
                "status": { "phase": "Running",
                            "conditions": [{ "type": "Ready", "status": "True" }] },
            }),
        );
    }
}

fn node(deployment: &Deployment, name: &str) -> Value {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.get("v1", "Node", None, name).cloned().unwrap_or_default()
    })
}

fn boots(deployment: &Deployment, host: &str) -> u32 {
    deployment.sandbox.read(|sandbox| sandbox.hosts.get(host).unwrap().boots)
}

/// The numbers of the waves, with the workers of each.
fn waves(plan: &Plan) -> Vec<Vec<String>> {
    let waves = plan.rollout.map(|rollout| rollout.waves(&plan.changes)).unwrap_or_default();
    waves.iter().map(|wave| wave.iter().map(|it| it.name.to_string()).collect()).collect()
}

/// Of the workers' machines, those that were restarted at the same time.
fn at_most_disturbed(observer: &Observer) -> usize {
    observer
        .observed_calls()
        .iter()
        .map(|observed| observed.disturbed.len())
        .max()
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_new_size_of_workers_is_rolled_out_with_drains() {
    let text = azure_workers(7, "width = 3");
    let deployment = Deployment::of(&text, SandboxState::new(41));
    deployment.iterate().await;
    serve_pods(&deployment, 7);
    let edited = deployment.edited(&resized(&text));
    let plan = edited.plan().await;
    assert_eq!(plan.count(Action::Update), 8, "{}", summary(&plan));
    let expected = [vec!["w0"], vec!["w1", "w2", "w3"], vec!["w4", "w5", "w6"]];
    assert_eq!(waves(&plan), expected);
    let interrupts: BTreeMap<String, String> = plan
        .changes
        .iter()
        .map(|it| (it.address.name.to_string(), it.interrupts.clone().unwrap_or_default()))
        .collect();
    assert_eq!(interrupts["w0"], "the pods on w0 are evicted, then w0 restarts");
    let router = "stargate-aks-e2e-2-dc-router";
    assert_eq!(
        interrupts[router],
        format!("pods lose connectivity through {router} while it restarts")
    );
    let disruptions = &plan.reachability.disruptions;
    let waves: Vec<_> = disruptions.iter().map(|it| (it.during.len(), it.waves)).collect();
    assert!(waves.contains(&(1, None)), "the router is in no wave: {waves:?}");
    assert!(waves.contains(&(7, Some(WaveRange { first: 1, last: 3 }))), "{waves:?}");
    let observer = Observer::of(&edited);
    edited.iterate().await;
    for name in (0..7).map(|number| format!("w{number}")) {
        let update = observer.observed_call(&["PUT", "virtualMachines", &name]);
        assert!(update.disturbed.contains(&name), "{name} is cordoned: {update:?}");
        assert!(!update.serving.contains(&name), "{name} is drained: {update:?}");
        assert_eq!(boots(&edited, &name), 1);
        let node = node(&edited, &name);
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
        assert!(node["metadata"]["annotations"]["stargate.io/cordoned-for-work"].is_null());
    }
    let canary = observer.observed_call(&["PUT", "virtualMachines", "w0"]);
    assert_eq!(canary.disturbed.len(), 1, "{canary:?}");
    assert_eq!(at_most_disturbed(&observer), 3);
    let router = observer.place(&["PUT", "virtualMachines", router]).unwrap();
    assert!(Some(router) < observer.place(&["PUT", "virtualMachines", "w0"]), "the router first");
    assert!(edited.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

/// Azure has no capacity for the new size of a machine.
#[derive(Debug)]
struct NoCapacityFor(&'static str);

impl FaultInjector for NoCapacityFor {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Request { method, path, .. }
                if *method == http::Method::PUT
                    && path.ends_with(&format!("virtualMachines/{}", self.0)) =>
            {
                let error = json!({ "error": { "code": "SkuNotAvailable", "message": "no" } });
                Disposition::Respond { status: 409, body: error.to_string() }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_resize_of_the_canary_leaves_the_other_workers_alone() {
    let text = azure_workers(4, "width = 2");
    let deployment = Deployment::of(&text, SandboxState::new(42));
    deployment.iterate().await;
    let edited = deployment.edited(&resized(&text));
    edited.sandbox.set_fault_injector(Some(Arc::new(NoCapacityFor("w0"))));
    let applied = edited.apply(&RefreshOptions::default()).await;
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!(failure.code, Code::RolloutStopped);
    assert!(failure.message.contains("w0 failed; 3 more workers were not started"), "{failure:?}");
    for name in ["w0", "w1", "w2", "w3"] {
        assert_eq!(boots(&edited, name), 0, "{name}");
        assert!(node(&edited, name)["spec"]["unschedulable"].is_null(), "{name} serves again");
    }
    edited.sandbox.set_fault_injector(None);
    edited.iterate().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_be_drained_is_not_restarted() {
    let text = azure_workers(2, "width = 2\ncanary = 0");
    let deployment = Deployment::of(&text, SandboxState::new(43));
    deployment.iterate().await;
    serve_pods(&deployment, 1);
    put(
        &deployment,
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "all", "namespace": "default" },
            "spec": { "minAvailable": 1, "selector": {} },
        }),
    );
    let edited = deployment.edited(&resized(&text));
    let applied = edited.apply(&RefreshOptions::default()).await;
    let outcome = applied.outcomes.iter().find(|(it, _)| it.name == "w0").unwrap().1;
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, Code::DrainBlocked);
    assert_eq!((boots(&edited, "w0"), boots(&edited, "w1")), (0, 1));
    assert!(node(&edited, "w0")["spec"]["unschedulable"].is_null());
}

/// An apply that is cut off while a machine restarts leaves its worker cordoned: the next plan
/// shows that, and the next apply uncordons it.
#[tokio::test(start_paused = true)]
async fn a_worker_that_an_interrupted_apply_left_cordoned_is_uncordoned() {
    let text = azure_workers(1, "");
    let deployment = Deployment::of(&text, SandboxState::new(44));
    deployment.iterate().await;
    let mut cordoned = node(&deployment, "w0");
    cordoned["spec"]["unschedulable"] = json!(true);
    cordoned["metadata"]["annotations"]["stargate.io/cordoned-for-work"] = json!("true");
    put(&deployment, cordoned);
    let plan = deployment.plan().await;
    let [change] = &plan.changes[..] else { panic!("{}", summary(&plan)) };
    assert_eq!((change.address.kind, change.action), (Kind::Worker, Action::Update));
    let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
    assert_eq!(
        (fields, change.interrupts.as_deref()),
        (vec!["cordoned_for_work".to_owned()], None)
    );
    deployment.iterate().await;
    assert!(node(&deployment, "w0")["spec"]["unschedulable"].is_null());
}

/// The topology before an upgrade of the workers' kubelets.
fn older_kubelet(text: &str) -> String {
    let older = text.replace("1.33.5", "1.33.4");
    assert_ne!(older, text);
    older
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_upgrade_drains_each_worker() {
    let text = azure_workers(5, "width = 2");
    let deployment = Deployment::of(&older_kubelet(&text), SandboxState::new(45));
    deployment.iterate().await;
    serve_pods(&deployment, 5);
    let edited = deployment.edited(&text);
    let plan = edited.plan().await;
    assert_eq!(waves(&plan), [vec!["w0"], vec!["w1", "w2"], vec!["w3", "w4"]]);
    let first = plan.changes.iter().find(|it| it.address.name == "w0").unwrap();
    let interrupts = first.interrupts.as_deref().unwrap_or_default();
    assert!(interrupts.starts_with("the pods on w0 are evicted"), "{interrupts}");
    let observer = Observer::of(&edited);
    edited.iterate().await;
    for name in (0..5).map(|number| format!("w{number}")) {
        let upgrade = observer.observed_call(&[&format!("kubelet on {name}")]);
        assert!(upgrade.disturbed.contains(&name) && !upgrade.serving.contains(&name), "{name}");
        assert!(node(&edited, &name)["spec"]["unschedulable"].is_null(), "{name}");
    }
    assert_eq!(at_most_disturbed(&observer), 2);
}

/// Another profile restarts the kubelet, and containers outlive that: the plan says so.
#[tokio::test(start_paused = true)]
async fn a_profile_without_another_kubelet_drains_nothing_and_says_why() {
    let text = azure_workers(2, "");
    let deployment = Deployment::of(&text, SandboxState::new(46));
    deployment.iterate().await;
    serve_pods(&deployment, 2);
    let labelled = text.replace(
        "container_runtime = \"containerd\"",
        "container_runtime = \"containerd\"\nlabels = { tier = \"edge\" }",
    );
    let edited = deployment.edited(&labelled);
    let plan = edited.plan().await;
    let change = plan.changes.iter().find(|it| it.address.name == "w0").unwrap();
    let interrupts = change.interrupts.as_deref().unwrap_or_default();
    assert!(interrupts.ends_with("its pods keep running, so it is not drained"), "{interrupts}");
    let observer = Observer::of(&edited);
    edited.iterate().await;
    assert_eq!(observer.place(&["eviction"]), None, "{:#?}", observer.calls());
}

/// A size and a version in one edit: each worker is worked on in one wave.
#[tokio::test(start_paused = true)]
async fn a_size_and_a_version_change_in_the_same_wave() {
    let text = azure_workers(3, "width = 1");
    let deployment = Deployment::of(&older_kubelet(&text), SandboxState::new(47));
    deployment.iterate().await;
    let edited = deployment.edited(&resized(&text));
    let plan = edited.plan().await;
    assert_eq!(waves(&plan), [["w0"], ["w1"], ["w2"]]);
    let sizes = plan.changes.iter().filter(|it| matches!(it.after, Some(Resource::Worker(_))));
    assert_eq!(sizes.count(), 3, "{}", summary(&plan));
    let observer = Observer::of(&edited);
    let applied = edited.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
    assert_eq!(at_most_disturbed(&observer), 1);
}

/// The effects of the plan itself on workers are known: they are disrupted in their wave,
/// and recover.
#[tokio::test(start_paused = true)]
async fn the_plan_of_an_upgrade_knows_its_reachability() {
    let text = azure_workers(5, "width = 2");
    let deployment = Deployment::of(&older_kubelet(&text), SandboxState::new(48));
    deployment.iterate().await;
    let now = Matrix::of(&deployment).await;
    let edited = deployment.edited(&text);
    let plan = edited.plan().await;
    let found = &plan.reachability;
    assert_eq!((found.kept, found.lost, found.unknown), (now.reached, 0, 0), "{found:?}");
    let [disruption] = &found.disruptions[..] else { panic!("{found:?}") };
    assert_eq!(disruption.waves, Some(WaveRange { first: 1, last: 3 }));
    assert_eq!(disruption.during.len(), 5);
    // Two workers at a time, each with every other node in both directions.
    assert_eq!(disruption.pairs, 2 * 2 * (now.nodes - 1), "{disruption:?}");
    assert!((60..=300).contains(&disruption.seconds), "{disruption:?}");
    let [summary] = &found.disruption_summaries()[..] else { panic!("{found:?}") };
    assert!(summary.contains("at a time") && summary.contains("waves 1 to 3"), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn repaves_reboots_and_destroys_report_their_disruptions() {
    let text = azure_workers(3, "");
    let deployment = Deployment::of(&text, SandboxState::new(49));
    deployment.iterate().await;
    let now = Matrix::of(&deployment).await;
    for operation in [WorkerOperation::Repave, WorkerOperation::Reboot] {
        let workers = ["w0", "w1"].into_iter().map(WorkerName::new).collect();
        let options = RefreshOptions {
            worker_request: Some(WorkerRequest::new(operation, workers)),
            ..RefreshOptions::default()
        };
        let plan = deployment.refresh_and_plan(&options).await.plan;
        let found = &plan.reachability;
        assert_eq!(
            (found.kept, found.unknown, found.lost),
            (now.reached, 0, 0),
            "{operation:?} {found:?}"
        );
        let [disruption] = &found.disruptions[..] else { panic!("{operation:?} {found:?}") };
        assert_eq!(disruption.waves, Some(WaveRange { first: 1, last: 2 }), "{operation:?}");
        assert_eq!(disruption.pairs, 2 * (now.nodes - 1), "{operation:?} {disruption:?}");
    }
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    let found = &plan.reachability;
    assert_eq!((found.kept, found.lost, found.is_refused()), (0, now.reached, false), "{found:?}");
}

/// The pairs of nodes that reach each other now.
struct Matrix {
    nodes: u64,
    reached: u64,
}

impl Matrix {
    async fn of(deployment: &Deployment) -> Self {
        let nodes = deployment
            .sandbox
            .read(|sandbox| sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None).len());
        let nodes = nodes as u64;
        assert!(deployment.plan().await.is_empty());
        Self { nodes, reached: nodes * (nodes - 1) }
    }
}
