//! Reprovisioning and reboots, and the records of operations on workers.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use stargate::apply::Applied;
use stargate::apply::events::Outcome;
use stargate::diagnostics::{Code, Failure};
use stargate::pipeline::Planned;
use stargate::plan::{Action, Plan, WorkerOperation, WorkerRequest};
use stargate::sandbox::kubernetes::ObjectIdentity;
use stargate::topology::names::WorkerName;

use crate::harness::{Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, summary};
use crate::observer::Observer;
use crate::refused_calls::{RefusedCalls, is_request};

pub(crate) const FIRST: &str = "stargate-aks-e2e-2-worker-1";
const SECOND: &str = "stargate-aks-e2e-2-worker-2";

pub(crate) fn options(operation: WorkerOperation, workers: &[&str]) -> RefreshOptions {
    let workers: BTreeSet<WorkerName> = workers.iter().copied().map(WorkerName::new).collect();
    RefreshOptions {
        worker_request: Some(WorkerRequest::new(operation, workers)),
        ..RefreshOptions::default()
    }
}

async fn plan_and_apply(deployment: &Deployment, options: &RefreshOptions) -> (Plan, Applied) {
    let Planned { plan, .. } = deployment.refresh_and_plan(options).await;
    let applied = deployment.apply_once(&plan).await;
    (plan, applied)
}

fn object(deployment: &Deployment, kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let version = match kind {
        "Operation" | "Server" => "stargate.io/v1alpha1",
        _ => "v1",
    };
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.get(version, kind, namespace, name).cloned().unwrap_or_default()
    })
}

pub(crate) fn node(deployment: &Deployment, name: &str) -> Value {
    object(deployment, "Node", None, name)
}

/// The Operations of a worker, oldest first: kind, phase and message.
fn operations(deployment: &Deployment, worker: &str) -> Vec<(String, String, String)> {
    let mut found: Vec<Value> = deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let all = store.list("stargate.io/v1alpha1", "Operation", None);
        all.into_iter().filter(|it| it["spec"]["serverRef"]["name"] == worker).cloned().collect()
    });
    found.sort_by_key(|it| it["status"]["startTime"].to_string());
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |it: &Value| {
        let status = &it["status"];
        (word(&it["spec"]["operation"]), word(&status["phase"]), word(&status["message"]))
    };
    found.iter().map(one).collect()
}

pub(crate) fn put(deployment: &Deployment, object: Value) {
    deployment.sandbox.change(|sandbox, now| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        store.put(object, "test", &now.to_string()).map(drop).unwrap();
    });
}

pub(crate) fn pod(name: &str, node: &str, more: &Value) -> Value {
    let mut metadata = json!({ "name": name, "namespace": "default", "labels": { "app": "shop" } });
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": { "nodeName": node, "containers": [{ "name": "main", "image": "x" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn pods_on(deployment: &Deployment, node: &str) -> Vec<String> {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let pods = store.list("v1", "Pod", None).into_iter();
        let here = pods.filter(|pod| pod["spec"]["nodeName"] == node);
        here.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn reprovisioning_replaces_the_worker_and_changes_nothing_else() {
    let deployment = Deployment::example_applied().await;
    let old = node(&deployment, FIRST)["metadata"]["uid"].clone();
    let beside = serde_json::to_value(deployment.copy_of_state().hosts.get(SECOND)).unwrap();
    // Other differences are left to `apply`.
    deployment.inject("route-missing".parse().unwrap(), None);
    let (plan, applied) =
        plan_and_apply(&deployment, &options(WorkerOperation::Repave, &[FIRST])).await;
    let actions: Vec<String> =
        plan.changes.iter().map(|it| format!("{} {}", it.action.glyph(), it.address)).collect();
    let expected = [format!("-/+ worker/dc1/{FIRST}"), format!("-/+ cilium-node/dc1/{FIRST}")];
    assert_eq!(actions, expected, "{}", summary(&plan));
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    let new = node(&deployment, FIRST);
    assert_ne!(new["metadata"]["uid"], old);
    assert!(new["spec"]["unschedulable"].is_null());
    let after = serde_json::to_value(deployment.copy_of_state().hosts.get(SECOND)).unwrap();
    assert_eq!(after, beside);
    let done = operations(&deployment, FIRST);
    let kinds: Vec<_> =
        done.iter().map(|(kind, phase, _)| (kind.as_str(), phase.as_str())).collect();
    assert_eq!(kinds, [("join", "Succeeded"), ("repave", "Succeeded")]);
    let server = object(&deployment, "Server", Some("stargate"), FIRST);
    assert_eq!(server["status"]["state"], "ready");
    deployment.iterate().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_node_can_be_reprovisioned() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.change(|sandbox, now| {
        let node = ObjectIdentity { api_version: "v1", kind: "Node", namespace: None, name: FIRST };
        sandbox.kubernetes.as_mut().unwrap().delete(&node, &now.to_string());
        let host = sandbox.hosts.get_mut(FIRST).unwrap();
        host.worker.cluster_ca_digest = Some("of another cluster".to_owned());
    });
    let (_, applied) =
        plan_and_apply(&deployment, &options(WorkerOperation::Repave, &[FIRST])).await;
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reboot_restarts_the_machine_and_uncordons_the_node() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let (plan, applied) =
        plan_and_apply(&deployment, &options(WorkerOperation::Reboot, &[FIRST, SECOND])).await;
    assert_eq!(plan.count(Action::Reboot), 2, "{}", summary(&plan));
    assert_eq!(plan.rollout.map(|rollout| rollout.waves), Some(2), "a canary first");
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    for name in [FIRST, SECOND] {
        let boots = deployment.sandbox.read(|sandbox| sandbox.hosts.get(name).unwrap().boots);
        assert_eq!(boots, 1, "{name}");
        let node = node(&deployment, name);
        assert!(node["spec"]["unschedulable"].is_null(), "{node}");
        let last = operations(&deployment, name).pop().unwrap();
        assert_eq!((last.0.as_str(), last.1.as_str()), ("reboot", "Succeeded"));
    }
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_cordoned_worker_stays_cordoned() {
    let deployment = Deployment::example_applied().await;
    let mut cordoned = node(&deployment, FIRST);
    cordoned["spec"]["unschedulable"] = json!(true);
    put(&deployment, cordoned);
    let (_, applied) =
        plan_and_apply(&deployment, &options(WorkerOperation::Reboot, &[FIRST])).await;
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    assert_eq!(node(&deployment, FIRST)["spec"]["unschedulable"], true);
}

#[tokio::test(start_paused = true)]
async fn operations_on_protected_or_missing_workers_are_refused() {
    let applied = Deployment::example_applied().await;
    let protected = EXAMPLE
        .replace(&format!("name = \"{FIRST}\""), &format!("name = \"{FIRST}\"\nprotect = true"));
    let protected = applied.edited(&protected);
    let new = Deployment::example();
    for (deployment, code) in [(&protected, Code::Protected), (&new, Code::WorkerOperationBlocked)]
    {
        for operation in [WorkerOperation::Repave, WorkerOperation::Reboot] {
            let plan = deployment.refresh_and_plan(&options(operation, &[FIRST])).await.plan;
            assert!(plan.changes.is_empty() && plan.deferred.is_empty(), "{}", summary(&plan));
            let codes: Vec<Code> = plan.blocked.iter().map(|it| it.failure.code).collect();
            assert_eq!(codes, [code], "{operation:?}: {}", summary(&plan));
        }
    }
}

/// A budget that never allows an eviction, then one that does after a while.
#[tokio::test(start_paused = true)]
async fn a_drain_respects_disruption_budgets_and_ignores_daemon_sets() {
    let deployment = Deployment::example_applied().await;
    let daemons = pods_on(&deployment, FIRST);
    assert!(!daemons.is_empty());
    let mirror = json!({ "annotations": { "kubernetes.io/config.mirror": "x" } });
    let owner = json!({ "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "name": "shop", "uid": "1", "controller": true }] });
    put(&deployment, pod("static", FIRST, &mirror));
    put(&deployment, pod("shop-1", FIRST, &owner));
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": { "name": "shop", "namespace": "default" },
        "spec": { "minAvailable": 2, "selector": { "matchLabels": { "app": "shop" } } },
    });
    put(&deployment, budget);
    let begin = tokio::time::Instant::now();
    let (_, applied) =
        plan_and_apply(&deployment, &options(WorkerOperation::Reboot, &[FIRST])).await;
    let outcome = applied.outcomes.values().next().unwrap();
    let Outcome::Failed(Failure { message: reason, .. }) = outcome else { panic!("{outcome:?}") };
    assert!(
        reason.contains("PodDisruptionBudgets do not allow the eviction of default/shop-1"),
        "{reason}"
    );
    assert!(begin.elapsed() >= Duration::from_secs(300), "{:?}", begin.elapsed());
    assert_eq!(deployment.sandbox.read(|sandbox| sandbox.hosts.get(FIRST).unwrap().boots), 0);
    assert!(
        node(&deployment, FIRST)["spec"]["unschedulable"].is_null(),
        "the worker serves pods again"
    );
    let last = operations(&deployment, FIRST).pop().unwrap();
    assert_eq!((last.0.as_str(), last.1.as_str()), ("reboot", "Failed"));
    let options = options(WorkerOperation::Reboot, &[FIRST]);
    let relief = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        put(&deployment, pod("shop-2", SECOND, &owner));
    };
    let ((_, applied), ()) = tokio::join!(plan_and_apply(&deployment, &options), relief);
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    let left: BTreeSet<String> = pods_on(&deployment, FIRST).into_iter().collect();
    let remaining = daemons.into_iter().chain(["static".to_owned()]).collect();
    assert_eq!(left, remaining);
}

/// An interrupted operation leaves a running record and a cordoned worker. The next operation on
/// the worker clears both.
#[tokio::test(start_paused = true)]
async fn an_interrupted_reboot_is_recorded_and_cleared_by_the_next() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let options = options(WorkerOperation::Reboot, &[FIRST]);
    let cut_off =
        tokio::time::timeout(Duration::from_secs(20), plan_and_apply(&deployment, &options));
    assert!(cut_off.await.is_err(), "a reboot takes longer");
    assert_eq!(operations(&deployment, FIRST).pop().unwrap().1, "Running");
    assert_eq!(node(&deployment, FIRST)["spec"]["unschedulable"], true);
    let (_, applied) = plan_and_apply(&deployment, &options).await;
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    let all = operations(&deployment, FIRST);
    let phases: Vec<&str> = all.iter().map(|(_, phase, _)| phase.as_str()).collect();
    assert_eq!(phases, ["Succeeded", "Failed", "Succeeded"]);
    assert!(all[1].2.starts_with("interrupted, at: restarting the machine"), "{}", all[1].2);
    assert!(node(&deployment, FIRST)["spec"]["unschedulable"].is_null());
}

/// The same command after an interrupt does only work that is not proven done; after a
/// complete run it does everything again.
#[tokio::test(start_paused = true)]
async fn an_interrupted_request_is_continued() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let boots = |name: &str| deployment.sandbox.read(|it| it.hosts.get(name).unwrap().boots);
    let both = options(WorkerOperation::Reboot, &[FIRST, SECOND]);
    // The canary is done, and the second worker has not restarted yet.
    let until_second = async {
        while boots(FIRST) == 0 || node(&deployment, SECOND)["spec"]["unschedulable"] != true {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = plan_and_apply(&deployment, &both) => panic!("it was not interrupted"),
        () = until_second => {}
    }
    assert_eq!((boots(FIRST), boots(SECOND)), (1, 0));
    let (plan, applied) = plan_and_apply(&deployment, &both).await;
    let names: Vec<&str> = plan.changes.iter().map(|it| it.address.name.as_str()).collect();
    assert_eq!(names, [SECOND], "{}", summary(&plan));
    let said: Vec<&str> = plan.findings.iter().map(|it| it.failure.message.as_str()).collect();
    assert!(said.iter().any(|it| it.contains(FIRST) && it.contains("is skipped")), "{said:?}");
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    assert_eq!((boots(FIRST), boots(SECOND)), (1, 1));
    // Another request, for one of them, is not the interrupted one.
    let alone = deployment.refresh_and_plan(&options(WorkerOperation::Reboot, &[FIRST])).await.plan;
    assert_eq!(alone.count(Action::Reboot), 1, "{}", summary(&alone));
    let (plan, _) = plan_and_apply(&deployment, &both).await;
    assert_eq!(plan.count(Action::Reboot), 2, "{}", summary(&plan));
    assert_eq!((boots(FIRST), boots(SECOND)), (2, 2));
}

/// Without the records it is unknown which workers an interrupted run has finished: none is
/// restarted again.
#[tokio::test(start_paused = true)]
async fn a_request_stops_while_its_records_cannot_be_read() {
    for operation in [WorkerOperation::Reboot, WorkerOperation::Repave] {
        let deployment = Deployment::example_applied().await;
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, |call| {
            is_request(call, "/operations") && !call.writes()
        })));
        let options = options(operation, &[FIRST, SECOND]);
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        let reason = "how far an interrupted run of the same command came";
        let mut gaps = plan.gaps.iter();
        assert!(gaps.any(|gap| gap.failure.message.contains(reason)), "{}", summary(&plan));
        assert!(deployment.plan().await.is_empty(), "other commands need no records");
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_repave_is_continued() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let both = options(WorkerOperation::Repave, &[FIRST, SECOND]);
    let uid = |name: &str| node(&deployment, name)["metadata"]["uid"].clone();
    let (first, second) = (uid(FIRST), uid(SECOND));
    let until_second = async {
        while node(&deployment, SECOND)["spec"]["unschedulable"] != true {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = plan_and_apply(&deployment, &both) => panic!("it was not interrupted"),
        () = until_second => {}
    }
    let done = uid(FIRST);
    assert_ne!(done, first);
    let (_, applied) = plan_and_apply(&deployment, &both).await;
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    assert_eq!(uid(FIRST), done, "it was repaved once");
    assert_ne!(uid(SECOND), second);
    deployment.iterate().await;
}

/// A worker that left the cluster in an interrupted run is not reset again.
#[tokio::test(start_paused = true)]
async fn an_interrupted_repave_joins_the_worker_that_has_left() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let options = options(WorkerOperation::Repave, &[FIRST]);
    let until_left = async {
        while !node(&deployment, FIRST).is_null() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = plan_and_apply(&deployment, &options) => panic!("it was not interrupted"),
        () = until_left => {}
    }
    let observer = Observer::of(&deployment);
    let (plan, applied) = plan_and_apply(&deployment, &options).await;
    let actions: Vec<Action> = plan.changes.iter().map(|change| change.action).collect();
    assert_eq!(actions, [Action::Create, Action::Create], "{}", summary(&plan));
    assert!(applied.outcomes.values().all(|it| *it == Outcome::Done), "{:?}", applied.outcomes);
    assert_eq!(observer.place(&["reset on"]), None, "{:#?}", observer.calls());
    let last = operations(&deployment, FIRST).pop().unwrap();
    assert_eq!((last.0.as_str(), last.1.as_str()), ("repave", "Succeeded"));
    deployment.sandbox.set_fault_injector(None);
    deployment.iterate().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_last_records_are_kept() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let options = options(WorkerOperation::Reboot, &[FIRST]);
    for _ in 0..7 {
        let planned = deployment.refresh_and_plan(&options).await;
        deployment.apply_planned(&RefreshOptions::default(), planned, &IgnoreProgress).await;
    }
    let kinds: BTreeSet<String> =
        operations(&deployment, FIRST).into_iter().map(|(kind, ..)| kind).collect();
    assert_eq!(operations(&deployment, FIRST).len(), 5);
    assert_eq!(kinds, BTreeSet::from(["reboot".to_owned()]), "the oldest go first");
    assert_eq!(operations(&deployment, SECOND).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn records_are_deleted_with_their_worker() {
    let deployment = Deployment::example_applied().await;
    let (head, _) = EXAMPLE.rsplit_once("[[datacenters.dc1.workers]]").unwrap();
    let edited = deployment.edited(head);
    edited.iterate().await;
    assert_eq!(operations(&edited, SECOND), []);
    assert_eq!(operations(&edited, FIRST).len(), 1);
}
