//! Applies that lose their Lease.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use tokio::time::sleep;

use crate::harness::{RefreshOptions, failures};
use crate::lease::{LEASE, Other, Slow, VALID, WaitLog, with_work};

/// The apply whose Lease another process took stops.
#[tokio::test(start_paused = true)]
async fn an_apply_that_loses_its_lease_stops() {
    let deployment = with_work().await;
    deployment.sandbox.set_fault_injector(Some(Arc::new(Slow::default())));
    let other = Other::of(&deployment).await;
    let take = async {
        while !matches!(other.0.lease(LEASE).await, Ok(Some(_))) {
            sleep(Duration::from_secs(1)).await;
        }
        other.hold("other process").await;
    };
    let options = RefreshOptions::default();
    let (applied, ()) = tokio::join!(deployment.apply(&options), take);
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!(failure.code, Code::LeaseLost);
    assert!(failure.message.contains("other process has taken it over"), "{failure}");
    assert_eq!(failures(&applied), Vec::<String>::new());
    let left = other.read().await.map(|it| it.holder);
    assert_eq!(left.as_deref(), Some("other process"), "it is not ours to delete");
}

/// Throttles Azure as soon as the repair is written, so that the next plan takes most of
/// a minute.
#[derive(Debug, Default)]
struct SlowPlan {
    is_written: AtomicBool,
    refused: AtomicUsize,
}

impl FaultInjector for SlowPlan {
    fn before(&self, call: &Call) -> Disposition {
        let Call::Request { path, .. } = call else { return Disposition::Pass };
        if call.writes() && path.contains("/ciliumnodes/") {
            self.is_written.store(true, Ordering::Relaxed);
        }
        let is_slow = self.is_written.load(Ordering::Relaxed) && path.contains("/subscriptions/");
        if !is_slow || self.refused.fetch_add(1, Ordering::Relaxed) >= 2 {
            return Disposition::Pass;
        }
        Disposition::Refuse { status: 429, retry_after: Some(45) }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// The Lease may be lost while the next plan is made: that is no interruption by the user.
#[tokio::test(start_paused = true)]
async fn an_apply_that_loses_its_lease_while_it_plans_says_so() {
    let deployment = with_work().await;
    let slow = Arc::new(SlowPlan::default());
    deployment.sandbox.set_fault_injector(Some(slow.clone()));
    let other = Other::of(&deployment).await;
    let take = async {
        while slow.refused.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_secs(1)).await;
        }
        other.hold("other process").await;
    };
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let ((applied, log), ()) = tokio::join!(
        async {
            let log = WaitLog::default();
            (deployment.apply_planned(&options, planned, &log).await, log)
        },
        take
    );
    assert_eq!((applied.iterations, log.0.lock().unwrap().len()), (1, 0));
    assert!(applied.outcomes.values().all(|outcome| *outcome == Outcome::Done), "{applied:?}");
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!(failure.code, Code::LeaseLost);
    assert!(failure.message.contains("other process has taken it over"), "{failure}");
}

/// The same while a saved plan is confirmed after a wait.
#[tokio::test(start_paused = true)]
async fn a_saved_plan_that_loses_its_lease_while_it_is_confirmed_says_so() {
    let deployment = with_work().await;
    let plan = deployment.plan().await;
    let other = Other::of(&deployment).await;
    other.hold("first process").await;
    let slow = Arc::new(SlowPlan::default());
    let take = async {
        sleep(VALID / 2).await;
        deployment.sandbox.set_fault_injector(Some(slow.clone()));
        slow.is_written.store(true, Ordering::Relaxed);
        while slow.refused.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_secs(1)).await;
        }
        other.hold("other process").await;
    };
    let (applied, ()) = tokio::join!(deployment.apply_saved(&plan), take);
    let applied = applied.unwrap();
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!((failure.code, applied.iterations), (Code::LeaseLost, 0));
}
