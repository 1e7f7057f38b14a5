//! A watch that is killed at any call of an Operation: the next one completes it, and does
//! no proven step again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use jiff::{SignedDuration, Timestamp};
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};
use stargate::watch::ReconcileResult;

use super::{FIRST, boots, condition, ended, is_whole, node, operation, phase, request, uid};
use crate::harness::Deployment;
use crate::watch::{watched, watching};
use crate::watch_harness::Finished;

/// The steps that are done again without the last of them: a token is known to the process
/// that made it alone, and only a stamped host is known to run with its configuration.
const REPEATED: [&str; 2] = ["bootstrap-kubeconfig", "start"];

/// The state after a call took effect.
#[derive(Debug, Clone)]
struct KillPoint {
    call: String,
    state: SandboxState,
    time: Timestamp,
    /// The steps on hosts that were done.
    done: BTreeSet<&'static str>,
}

/// Records the state after each call that may change something, and the steps on hosts.
#[derive(Debug, Default)]
struct Recorder {
    sandbox: OnceLock<SharedSandbox>,
    keeps_states: bool,
    points: Mutex<Vec<KillPoint>>,
    steps: Mutex<Vec<&'static str>>,
}

impl Recorder {
    fn of(deployment: &Deployment, keeps_states: bool) -> Arc<Self> {
        let recorder = Arc::new(Self { keeps_states, ..Self::default() });
        recorder.sandbox.set(deployment.sandbox.clone()).unwrap();
        deployment.sandbox.set_fault_injector(Some(recorder.clone()));
        recorder
    }
}

impl FaultInjector for Recorder {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        if !call.writes() {
            return Delivery::Deliver;
        }
        if let Call::Host { activity, .. } = call {
            self.steps.lock().unwrap().push(activity);
        }
        if self.keeps_states {
            let sandbox = self.sandbox.get().unwrap();
            self.points.lock().unwrap().push(KillPoint {
                call: format!("{call:?}"),
                state: sandbox.read(Clone::clone),
                time: sandbox.now(),
                done: self.steps.lock().unwrap().iter().copied().collect(),
            });
        }
        Delivery::Deliver
    }
}

/// The states after each call of an Operation that is not interrupted.
async fn kill_points(kind: &str) -> Vec<KillPoint> {
    let deployment = Deployment::example_applied().await;
    request(&deployment, "work", FIRST, kind).await;
    let recorder = Recorder::of(&deployment, true);
    watching(&deployment, &watched(""), async |_| ended(&deployment, &["work"]).await).await;
    deployment.sandbox.set_fault_injector(None);
    std::mem::take(&mut *recorder.points.lock().unwrap())
}

/// Continues after a kill, and returns the violations in the result.
async fn resume(point: KillPoint, pause: SignedDuration, before: &str) -> Vec<String> {
    let KillPoint { call, state, time, done } = point;
    let text = watched("");
    let deployment = Deployment::at(&text, state, time + pause);
    let recorder = Recorder::of(&deployment, false);
    let finished = watching(&deployment, &text, async |watch| {
        ended(&deployment, &["work"]).await;
        watch.settles().await;
    })
    .await;
    deployment.sandbox.set_fault_injector(None);
    let mut troubles = Vec::new();
    let awaits = |it: &&Finished| it.reconciled.result == ReconcileResult::AwaitsApproval;
    if let Some(found) = finished.iter().find(awaits) {
        troubles.push(format!("{call}: {:?}", found.reconciled.awaiting_approval));
    }
    let status = operation(&deployment, "work")["status"].clone();
    if status["phase"] != "Succeeded" {
        troubles.push(format!("{call}: {status}"));
    }
    let steps = recorder.steps.lock().unwrap().clone();
    for step in steps.iter().filter(|step| done.contains(*step) && !REPEATED.contains(step)) {
        troubles.push(format!("{call}: {step} is repeated"));
    }
    let is_done = boots(&deployment, FIRST) == 1 || uid(&deployment, FIRST) != before;
    if !is_done || boots(&deployment, FIRST) > 1 {
        troubles.push(format!("{call}: {} boots", boots(&deployment, FIRST)));
    }
    if !node(&deployment, FIRST)["spec"]["unschedulable"].is_null() {
        troubles.push(format!("{call}: the worker stays cordoned"));
    }
    if troubles.is_empty() {
        is_whole(&deployment).await;
    }
    troubles
}

async fn every_kill_is_survived(kind: &str, least: usize) {
    let before = uid(&Deployment::example_applied().await, FIRST);
    let points = kill_points(kind).await;
    assert!(points.len() >= least, "only {} calls", points.len());
    let mut troubles = Vec::new();
    for (index, point) in points.into_iter().enumerate() {
        // Every other time the next process starts only once tokens have expired.
        let pause = SignedDuration::from_secs(if index % 2 == 0 { 1 } else { 2 * 3_600 });
        troubles.extend(resume(point, pause, &before).await);
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_repave_survives_a_kill_after_any_call() {
    every_kill_is_survived("repave", 40).await;
}

#[tokio::test(start_paused = true)]
async fn a_reboot_survives_a_kill_after_any_call() {
    every_kill_is_survived("reboot", 10).await;
}

/// A worker that was cordoned is not given up: its Operation waits while the plan blocks it.
#[tokio::test(start_paused = true)]
async fn a_started_operation_waits_while_its_worker_is_protected() {
    let name = format!("name = \"{FIRST}\"");
    let protected = watched("").replace(&name, &format!("{name}\nprotect = true"));
    let cordoned = kill_points("repave").await.into_iter().find_map(|point| {
        let deployment = Deployment::at(&protected, point.state, point.time);
        (node(&deployment, FIRST)["spec"]["unschedulable"] == true).then_some(deployment)
    });
    let deployment = cordoned.unwrap();
    let before = uid(&deployment, FIRST);
    watching(&deployment, &protected, async |watch| _ = watch.settles().await).await;
    assert_eq!(phase(&deployment, "work"), "Running");
    let (status, reason, message) = condition(&deployment, "work", "Reconciling");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Protected"), "{message}");
    assert_eq!(uid(&deployment, FIRST), before, "nothing more is done");
}
