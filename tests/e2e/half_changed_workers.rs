//! A change of a worker that ends early says in which state it leaves the worker.

use std::sync::Mutex;

use serde_json::json;
use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{ApplyStatus, StopSignal};
use stargate::diagnostics::Code;
use stargate::plan::WorkerOperation;

use crate::harness::Deployment;
use crate::refused_calls::{RefusedCalls, is_deletion};
use crate::workers::{FIRST, node, options, pod, put};

/// Stops the apply once a stage of a worker is completed, and records how steps ended.
struct StopAfter {
    stage: &'static str,
    stop: StopSignal,
    ended: Mutex<Vec<(String, Outcome)>>,
}

impl Reporter for StopAfter {
    fn event(&self, event: &Event) {
        match event {
            Event::PhaseFinished { phase, .. } if phase == self.stage => self.stop.stop(),
            Event::StepFinished { address, outcome, .. } => {
                self.ended.lock().unwrap().push((address.to_string(), outcome.clone()));
            }
            _ => {}
        }
    }
}

/// A worker that left and did not join again is not called "not started": it was drained
/// and reset.
#[tokio::test(start_paused = true)]
async fn an_interrupt_between_leave_and_join_reports_completed_actions() {
    let deployment = Deployment::example_applied().await;
    let options = options(WorkerOperation::Repave, &[FIRST]);
    let planned = deployment.refresh_and_plan(&options).await;
    let reporter = StopAfter {
        stage: "removal of the Node",
        stop: deployment.stop.clone(),
        ended: Mutex::default(),
    };
    let applied = deployment.apply_planned(&options, planned, &reporter).await;
    assert_eq!(applied.status, ApplyStatus::Interrupted);
    let outcome = &applied.outcomes[&format!("worker/dc1/{FIRST}").parse().unwrap()];
    let expected = Outcome::HalfReplaced {
        done: "drained, reset and removed from the cluster".to_owned(),
        reason: "the apply stopped first".to_owned(),
    };
    assert_eq!(*outcome, expected);
    let ended = reporter.ended.into_inner().unwrap();
    assert!(ended.contains(&(format!("worker/dc1/{FIRST}"), expected)), "{ended:?}");
    assert!(node(&deployment, FIRST).is_null());
}

/// The error of a worker that failed after the drain says that it is cordoned.
#[tokio::test(start_paused = true)]
async fn a_failure_after_the_drain_says_that_the_worker_stays_cordoned() {
    let deployment = Deployment::example_applied().await;
    deployment
        .sandbox
        .set_fault_injector(Some(RefusedCalls::of(403, |call| is_deletion(call, "/nodes/"))));
    let options = options(WorkerOperation::Repave, &[FIRST]);
    let applied = deployment.apply(&options).await;
    let outcome = &applied.outcomes[&format!("worker/dc1/{FIRST}").parse().unwrap()];
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    let state = "it was drained and reset, and stays cordoned until the change succeeds";
    assert!(failure.message.ends_with(state), "{failure}");
    assert_eq!(node(&deployment, FIRST)["spec"]["unschedulable"], true);
}

/// A drain that pods prevent leaves the worker as it was, and says nothing else.
#[tokio::test(start_paused = true)]
async fn a_prevented_drain_does_not_call_the_worker_cordoned() {
    let deployment = Deployment::example_applied().await;
    put(
        &deployment,
        pod(
            "shop",
            FIRST,
            &json!({ "ownerReferences": [{ "kind": "ReplicaSet", "name": "shop", "controller": true }] }),
        ),
    );
    put(
        &deployment,
        json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "shop", "namespace": "default" },
            "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "shop" } } },
        }),
    );
    let applied = deployment.apply(&options(WorkerOperation::Repave, &[FIRST])).await;
    let outcome = &applied.outcomes[&format!("worker/dc1/{FIRST}").parse().unwrap()];
    let Outcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.code, Code::DrainBlocked);
    assert!(!failure.message.contains("cordoned"), "{failure}");
    assert!(node(&deployment, FIRST)["spec"]["unschedulable"].is_null());
}
