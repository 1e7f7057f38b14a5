//! Any one call may be refused or lost: the world that results is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, RefreshOptions, failures, told};

/// What happens to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mishap {
    /// 429 with a time to wait.
    TooManyRequests,
    /// 503.
    Unavailable,
    /// The connection breaks before the call arrives.
    LostOnTheWay,
    /// The call takes effect and its answer is lost.
    AnswerLost,
}

const MISHAPS: [Mishap; 4] =
    [Mishap::TooManyRequests, Mishap::Unavailable, Mishap::LostOnTheWay, Mishap::AnswerLost];

/// Strikes one call, counted from the first.
#[derive(Debug)]
struct OnceAt {
    call: usize,
    mishap: Mishap,
    calls: AtomicUsize,
    struck: std::sync::Mutex<Option<String>>,
    answer: std::sync::Mutex<Option<Call>>,
}

impl OnceAt {
    fn new(call: usize, mishap: Mishap) -> Arc<Self> {
        Arc::new(Self {
            call,
            mishap,
            calls: AtomicUsize::new(0),
            struck: std::sync::Mutex::default(),
            answer: std::sync::Mutex::default(),
        })
    }
}

impl FaultInjector for OnceAt {
    fn before(&self, effect: &Call) -> Disposition {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.call {
            return Disposition::Pass;
        }
        *self.struck.lock().unwrap() = Some(format!("{effect:?}"));
        match self.mishap {
            // There are no such answers over SSH; the connection may break.
            Mishap::TooManyRequests | Mishap::Unavailable
                if matches!(effect, Call::Host { .. }) =>
            {
                Disposition::Lose
            }
            Mishap::TooManyRequests => Disposition::Refuse { status: 429, retry_after: Some(3) },
            Mishap::Unavailable => Disposition::Refuse { status: 503, retry_after: None },
            Mishap::LostOnTheWay => Disposition::Lose,
            Mishap::AnswerLost => {
                *self.answer.lock().unwrap() = Some(effect.clone());
                Disposition::Pass
            }
        }
    }

    fn after(&self, effect: &Call) -> Delivery {
        let mut answer = self.answer.lock().unwrap();
        if answer.as_ref() == Some(effect) {
            *answer = None;
            return Delivery::Lose;
        }
        Delivery::Deliver
    }
}

/// Every fourth call with one mishap, so that each kind gets its turn; with
/// `STARGATE_EVERY_MISHAP` set, every call with each.
async fn any_one_call(share: usize, shares: usize) {
    let healthy = Deployment::example();
    let counter = OnceAt::new(usize::MAX, Mishap::Unavailable);
    healthy.world.set_fault_injector(Some(counter.clone()));
    healthy.iterate().await;
    let calls = counter.calls.load(Ordering::SeqCst);
    assert!(calls > 200, "only {calls} calls");
    let expected = canonical_state(&healthy.copy_of_world());
    let mut troubles = Vec::new();
    for (call, mishap) in chosen(calls).into_iter().skip(share).step_by(shares) {
        troubles.extend(strike(call, mishap, &expected).await);
    }
    assert!(troubles.is_empty(), "{} troubles\n{}", troubles.len(), troubles.join("\n"));
}

fn chosen(calls: usize) -> Vec<(usize, Mishap)> {
    if std::env::var_os("STARGATE_EVERY_MISHAP").is_some() {
        return (0..calls).flat_map(|call| MISHAPS.map(|mishap| (call, mishap))).collect();
    }
    (0..calls).step_by(4).map(|call| (call, MISHAPS[call / 4 % MISHAPS.len()])).collect()
}

/// Strikes one call of an apply; tells what is wrong afterwards.
async fn strike(call: usize, mishap: Mishap, expected: &serde_json::Value) -> Option<String> {
    let deployment = Deployment::example();
    let fault_injector = OnceAt::new(call, mishap);
    deployment.world.set_fault_injector(Some(fault_injector.clone()));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    let plan = deployment.look(&RefreshOptions::deep()).await.plan;
    let differing = differences(expected, &canonical_state(&deployment.copy_of_world()));
    if applied.ending == ApplyStatus::Converged && plan.is_empty() && differing.is_empty() {
        return None;
    }
    Some(format!(
        "call {call} {mishap:?}, {}: {:?}\n  {}\n  plan: {}\n  {}",
        fault_injector.struck.lock().unwrap().clone().unwrap_or_default(),
        applied.ending,
        failures(&applied).join("\n  "),
        told(&plan),
        differing.join("\n  "),
    ))
}

#[tokio::test(start_paused = true)]
async fn one_call_goes_wrong() {
    any_one_call(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn another_call_goes_wrong() {
    any_one_call(1, 2).await;
}
