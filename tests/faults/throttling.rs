//! An API server that throttles: its Retry-After is obeyed, and requests wait
//! for their budget.

use std::time::Duration;

use stargate::plan::PlanStatus;
use stargate::provider::http::Api;
use tokio::time::Instant;

use crate::deployment::{Deployment, EXAMPLE};
use crate::fault::Fault;

#[tokio::test(start_paused = true)]
async fn a_service_that_throttles_for_a_while_is_waited_for() {
    for api in Api::ALL {
        for fault in [Fault::ThrottledForTwoSeconds, Fault::UnavailableForTwoSeconds] {
            let (sandbox, now) = Deployment::applied().await;
            let deployment = Deployment::at(sandbox, EXAMPLE, now);
            deployment.proxy.arm(api, fault);
            let proxy = deployment.proxy.clone();
            let recovers = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(3_500)).await;
                proxy.disarm();
                proxy.struck()
            });
            let start = Instant::now();
            let plan = deployment.plan(false).await.plan;
            assert_eq!(plan.status(), PlanStatus::Matches, "{api} {fault:?}");
            assert!(start.elapsed() >= Duration::from_secs(4), "{:?}", start.elapsed());
            assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
            // Each of the calls side by side is sent at 0 s and at 2 s.
            let struck = recovers.await.unwrap();
            assert!(struck <= 2 * 20, "{api}: {struck} requests in 3.5 s");
        }
    }
}

/// The budget of the API server's is its own: 100 at once, then 50 a second.
#[tokio::test(start_paused = true)]
async fn requests_to_the_api_server_keep_to_their_rate() {
    let (sandbox, now) = Deployment::applied().await;
    let deployment = Deployment::at(sandbox, EXAMPLE, now);
    // Two pages in a circle are noticed late enough to take many requests.
    deployment.proxy.arm(Api::Kubernetes, Fault::EndlessPages);
    let start = Instant::now();
    deployment.plan(false).await;
    let sent = deployment.clients.requests.by_api()[&Api::Kubernetes];
    let least = (sent as f64 - 101.0) / 50.0;
    assert!(sent > 300, "{sent}");
    assert!(start.elapsed().as_secs_f64() >= least, "{sent} in {:?}", start.elapsed());
}
