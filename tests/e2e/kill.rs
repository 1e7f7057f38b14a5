//! Killed anywhere, the next apply brings the same world about.

use std::sync::{Arc, Mutex, OnceLock};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, told};

/// A world as a kill at that moment leaves it.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    pub(crate) effect: String,
    pub(crate) world: SandboxState,
    pub(crate) time: Timestamp,
}

/// Keeps the world as it is around each effect.
#[derive(Debug)]
struct Recorder {
    world: OnceLock<SharedSandbox>,
    after: bool,
    moments: Mutex<Vec<Moment>>,
}

impl Recorder {
    fn keep(&self, effect: &Call) {
        let Some(world) = self.world.get().filter(|_| effect.writes()) else { return };
        let moment = Moment {
            effect: format!("{effect:?}"),
            world: world.read(Clone::clone),
            time: world.now(),
        };
        self.moments.lock().unwrap().push(moment);
    }
}

impl FaultInjector for Recorder {
    fn before(&self, effect: &Call) -> Disposition {
        if !self.after {
            self.keep(effect);
        }
        Disposition::Pass
    }

    fn after(&self, effect: &Call) -> Delivery {
        if self.after {
            self.keep(effect);
        }
        Delivery::Deliver
    }
}

/// The world around each effect of the example's first apply, and after it.
pub(crate) async fn moments(after: bool) -> (Vec<Moment>, Value) {
    let deployment = Deployment::example();
    let recorder =
        Arc::new(Recorder { world: OnceLock::new(), after, moments: Mutex::new(Vec::new()) });
    recorder.world.set(deployment.world.clone()).unwrap();
    deployment.world.set_fault_injector(Some(recorder.clone()));
    deployment.iterate().await;
    let moments = std::mem::take(&mut *recorder.moments.lock().unwrap());
    (moments, canonical_state(&deployment.copy_of_world()))
}

async fn each_moment_leads_to_the_same_world(after: bool) {
    let (moments, expected) = moments(after).await;
    assert!(moments.len() > 100, "only {} effects", moments.len());
    let mut troubles = Vec::new();
    for (index, moment) in moments.into_iter().enumerate() {
        // Every other time nobody comes back before keys and tokens have lapsed.
        let pause = SignedDuration::from_secs(if index % 2 == 0 { 1 } else { 2 * 60 * 60 });
        let deployment = Deployment::at(EXAMPLE, moment.world, moment.time + pause);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        let plan = deployment.look(&RefreshOptions::deep()).await.plan;
        let differing = differences(&expected, &canonical_state(&deployment.copy_of_world()));
        if applied.ending != ApplyStatus::Converged || !plan.is_empty() || !differing.is_empty() {
            troubles.push(format!(
                "after effect {index}, {}: {:?}\n  {}\n  plan: {}\n  {}",
                moment.effect,
                applied.ending,
                failures(&applied).join("\n  "),
                told(&plan),
                differing.join("\n  "),
            ));
        }
    }
    assert!(troubles.is_empty(), "{} troubles\n{}", troubles.len(), troubles.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn killed_before_each_effect() {
    each_moment_leads_to_the_same_world(false).await;
}

#[tokio::test(start_paused = true)]
async fn killed_after_each_effect() {
    each_moment_leads_to_the_same_world(true).await;
}
