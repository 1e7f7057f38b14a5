//! Any single call may be refused or lost: the resulting state is the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stargate::apply::ApplyStatus;
use stargate::provider::http::Api;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CallFault {
    /// Status 429 with `Retry-After`.
    TooManyRequests,
    /// Status 503.
    Unavailable,
    /// The connection breaks before the request arrives.
    RequestLost,
    /// The request takes effect and its response is lost.
    ResponseLost,
}

const CALL_FAULTS: [CallFault; 4] = [
    CallFault::TooManyRequests,
    CallFault::Unavailable,
    CallFault::RequestLost,
    CallFault::ResponseLost,
];

/// Injects a fault into one call, counted from the first.
#[derive(Debug)]
struct FaultAtCall {
    call: usize,
    fault: CallFault,
    calls: AtomicUsize,
    affected: std::sync::Mutex<Option<String>>,
    response: std::sync::Mutex<Option<Call>>,
}

impl FaultAtCall {
    fn new(call: usize, fault: CallFault) -> Arc<Self> {
        Arc::new(Self {
            call,
            fault,
            calls: AtomicUsize::new(0),
            affected: std::sync::Mutex::default(),
            response: std::sync::Mutex::default(),
        })
    }
}

impl FaultInjector for FaultAtCall {
    fn before(&self, effect: &Call) -> Disposition {
        if self.calls.fetch_add(1, Ordering::SeqCst) != self.call {
            return Disposition::Pass;
        }
        *self.affected.lock().unwrap() = Some(format!("{effect:?}"));
        match self.fault {
            // SSH has no such responses, so the connection breaks instead.
            CallFault::TooManyRequests | CallFault::Unavailable
                if matches!(effect, Call::Host { .. }) =>
            {
                Disposition::Lose
            }
            CallFault::TooManyRequests => Disposition::Refuse { status: 429, retry_after: Some(3) },
            CallFault::Unavailable => Disposition::Refuse { status: 503, retry_after: None },
            CallFault::RequestLost => Disposition::Lose,
            CallFault::ResponseLost => {
                *self.response.lock().unwrap() = Some(effect.clone());
                Disposition::Pass
            }
        }
    }

    fn after(&self, effect: &Call) -> Delivery {
        let mut response = self.response.lock().unwrap();
        if response.as_ref() == Some(effect) {
            *response = None;
            return Delivery::Lose;
        }
        Delivery::Deliver
    }
}

/// Tests every fourth call with one fault, so that each kind is used. With `STARGATE_EVERY_FAULT`
/// set, tests every call with every fault.
async fn any_one_call(share: usize, shares: usize) {
    let healthy = Deployment::example();
    let counter = FaultAtCall::new(usize::MAX, CallFault::Unavailable);
    healthy.sandbox.set_fault_injector(Some(counter.clone()));
    healthy.iterate().await;
    let calls = counter.calls.load(Ordering::SeqCst);
    assert!(calls > 200, "only {calls} calls");
    let expected = canonical_state(&healthy.copy_of_state());
    let mut troubles = Vec::new();
    for (call, fault) in chosen(calls).into_iter().skip(share).step_by(shares) {
        troubles.extend(inject_fault(call, fault, &expected).await);
    }
    assert!(troubles.is_empty(), "{} troubles\n{}", troubles.len(), troubles.join("\n"));
}

fn chosen(calls: usize) -> Vec<(usize, CallFault)> {
    if std::env::var_os("STARGATE_EVERY_FAULT").is_some() {
        return (0..calls).flat_map(|call| CALL_FAULTS.map(|fault| (call, fault))).collect();
    }
    (0..calls).step_by(4).map(|call| (call, CALL_FAULTS[call / 4 % CALL_FAULTS.len()])).collect()
}

/// Injects a fault into one call of an apply and returns the differences of the resulting state.
async fn inject_fault(
    call: usize,
    fault: CallFault,
    expected: &serde_json::Value,
) -> Option<String> {
    let deployment = Deployment::example();
    let fault_injector = FaultAtCall::new(call, fault);
    deployment.sandbox.set_fault_injector(Some(fault_injector.clone()));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    let differing = differences(expected, &canonical_state(&deployment.copy_of_state()));
    if applied.status == ApplyStatus::Converged && plan.is_empty() && differing.is_empty() {
        return None;
    }
    Some(format!(
        "call {call} {fault:?}, {}: {:?}\n  {}\n  plan: {}\n  {}",
        fault_injector.affected.lock().unwrap().clone().unwrap_or_default(),
        applied.status,
        failures(&applied).join("\n  "),
        summary(&plan),
        differing.join("\n  "),
    ))
}

#[tokio::test(start_paused = true)]
async fn any_first_half_call_may_fail() {
    any_one_call(0, 2).await;
}

#[tokio::test(start_paused = true)]
async fn any_second_half_call_may_fail() {
    any_one_call(1, 2).await;
}

/// Answers every write of an API with 502, although it took effect.
#[derive(Debug)]
struct LosesWrites(Option<Api>);

impl FaultInjector for LosesWrites {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        match call {
            Call::Request { api, .. } if call.writes() && self.0.is_none_or(|it| it == *api) => {
                Delivery::Refuse(502)
            }
            _ => Delivery::Deliver,
        }
    }
}

/// Whatever a destroy deleted without an answer is there again after one apply, or gone after
/// another destroy.
#[tokio::test(start_paused = true)]
async fn one_apply_converges_after_a_destroy_without_answers() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        for api in [None, Some(Api::Azure), Some(Api::Tailscale), Some(Api::Kubernetes)] {
            for destroys in [false, true] {
                let deployment = Deployment::of(text, SandboxState::new(4));
                deployment.iterate().await;
                deployment.sandbox.set_fault_injector(Some(Arc::new(LosesWrites(api))));
                let cut_off = deployment.apply(&RefreshOptions::destroying()).await;
                deployment.sandbox.set_fault_injector(None);
                let options = RefreshOptions { destroying: destroys, ..Default::default() };
                let applied = deployment.apply(&options).await;
                let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
                let failed = failures(&applied).join("\n");
                assert_eq!(
                    applied.status,
                    ApplyStatus::Converged,
                    "{api:?}, destroys: {destroys}, after {:?}\n{failed}\n{left}",
                    cut_off.status
                );
                let plan = deployment.refresh_and_plan(&options).await.plan;
                assert!(plan.is_empty(), "{}", summary(&plan));
            }
        }
    }
}
