//! After a kill at any point, the next apply produces the same state.

use std::sync::{Arc, Mutex, OnceLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

/// The state that a kill at this point leaves behind.
#[derive(Debug, Clone)]
pub(crate) struct KillPoint {
    pub(crate) effect: String,
    pub(crate) sandbox: SandboxState,
    pub(crate) time: Timestamp,
}

/// Records the state around each effect.
#[derive(Debug)]
struct Recorder {
    sandbox: OnceLock<SharedSandbox>,
    after: bool,
    kill_points: Mutex<Vec<KillPoint>>,
}

impl Recorder {
    fn record(&self, effect: &Call) {
        let Some(sandbox) = self.sandbox.get().filter(|_| effect.writes()) else { return };
        let moment = KillPoint {
            effect: format!("{effect:?}"),
            sandbox: sandbox.read(Clone::clone),
            time: sandbox.now(),
        };
        self.kill_points.lock().unwrap().push(moment);
    }
}

impl FaultInjector for Recorder {
    fn before(&self, effect: &Call) -> Disposition {
        if !self.after {
            self.record(effect);
        }
        Disposition::Pass
    }

    fn after(&self, effect: &Call) -> Delivery {
        if self.after {
            self.record(effect);
        }
        Delivery::Deliver
    }
}

/// The states around each effect of the example's first apply, and the final state.
pub(crate) async fn kill_points(after: bool) -> (Vec<KillPoint>, Value) {
    let deployment = Deployment::example();
    let recorder =
        Arc::new(Recorder { sandbox: OnceLock::new(), after, kill_points: Mutex::new(Vec::new()) });
    recorder.sandbox.set(deployment.sandbox.clone()).unwrap();
    deployment.sandbox.set_fault_injector(Some(recorder.clone()));
    deployment.iterate().await;
    let kill_points = std::mem::take(&mut *recorder.kill_points.lock().unwrap());
    (kill_points, canonical_state(&deployment.copy_of_state()))
}

async fn assert_each_kill_converges(after: bool) {
    let (kill_points, expected) = kill_points(after).await;
    assert!(kill_points.len() > 100, "only {} effects", kill_points.len());
    let mut troubles = Vec::new();
    for (index, moment) in kill_points.into_iter().enumerate() {
        // In every other case the next apply starts only after keys and tokens have expired.
        let pause = SignedDuration::from_secs(if index % 2 == 0 { 1 } else { 2 * 60 * 60 });
        let deployment = Deployment::at(EXAMPLE, moment.sandbox, moment.time + pause);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
        if applied.status != ApplyStatus::Converged || !plan.is_empty() || !differing.is_empty() {
            troubles.push(format!(
                "after effect {index}, {}: {:?}\n  {}\n  plan: {}\n  {}",
                moment.effect,
                applied.status,
                failures(&applied).join("\n  "),
                summary(&plan),
                differing.join("\n  "),
            ));
        }
    }
    assert!(troubles.is_empty(), "{} troubles\n{}", troubles.len(), troubles.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_kill_before_any_effect_converges() {
    assert_each_kill_converges(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_after_any_effect_converges() {
    assert_each_kill_converges(true).await;
}
