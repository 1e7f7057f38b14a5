//! A plan that was kept: each step checks what it relied on, and only that.

use std::collections::BTreeSet;

use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::plan::Plan;
use stargate::plan::saved_plan::{Expected, FORMAT_VERSION, SavedPlan};
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, told};

/// The plan as it comes back out of its file.
fn kept(plan: &Plan) -> Plan {
    let saved = SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: "1".to_owned(),
        topology_digest: "digest".to_owned(),
        adopt: BTreeSet::new(),
        destroy: false,
        plan: plan.clone(),
    };
    let expected =
        Expected { stargate_version: "1", topology: &plan.topology, topology_digest: "digest" };
    SavedPlan::from_text(&saved.to_text().unwrap(), expected).unwrap().plan
}

/// Three things are broken on three services, and planned.
async fn broken() -> (Deployment, Plan) {
    let deployment = Deployment::example_applied().await;
    for fault in [Fault::NicForwardingOff, Fault::RouteWrongHop, Fault::ServerRouterIpHostname] {
        deployment.strike(fault, None);
    }
    deployment.strike(Fault::TailnetRouteUnapproved, None);
    let plan = kept(&deployment.plan().await);
    assert_eq!(plan.changes.len(), 4, "{}", told(&plan));
    (deployment, plan)
}

#[tokio::test(start_paused = true)]
async fn what_moved_on_is_left_alone_and_the_rest_is_done() {
    let (deployment, plan) = broken().await;
    // Somebody takes the route out altogether.
    deployment.strike(Fault::RouteMissing, None);
    let applied = deployment.apply_once(&plan).await;
    assert_eq!(applied.ending, ApplyStatus::Stale);
    for (address, outcome) in &applied.outcomes {
        if address.to_string() == "route-table/cluster/stargate-workers-rt" {
            assert!(matches!(outcome, Outcome::GuardFailed { .. }), "{outcome:?}");
        } else {
            assert_eq!(*outcome, Outcome::Done, "{address}");
        }
    }
    let now = deployment.plan().await;
    assert_eq!(now.changes.len(), 1, "{}", told(&now));
    assert_eq!(now.changes[0].address.to_string(), "route-table/cluster/stargate-workers-rt");
}

#[tokio::test(start_paused = true)]
async fn what_changed_elsewhere_makes_no_plan_stale() {
    let (deployment, plan) = broken().await;
    for fault in [Fault::KernelRouteMissing, Fault::AksScaleOut, Fault::NsgDeny] {
        deployment.strike(fault, None);
    }
    let applied = deployment.apply_once(&plan).await;
    assert_eq!(applied.ending, ApplyStatus::Converged);
    assert!(applied.outcomes.values().all(|outcome| *outcome == Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn the_second_time_there_is_nothing_to_do() {
    let (deployment, plan) = broken().await;
    assert_eq!(deployment.apply_once(&plan).await.ending, ApplyStatus::Converged);
    let writes = deployment.writes();
    let again = deployment.apply_once(&plan).await;
    assert_eq!(again.ending, ApplyStatus::Converged);
    assert!(again.outcomes.values().all(|outcome| *outcome == Outcome::UpToDate));
    assert_eq!(deployment.writes(), writes);
    assert!(deployment.plan().await.is_empty());
}

/// The first plan of all, kept, and applied twice: what it deferred is planned
/// once it can be, and the second time nothing is written.
#[tokio::test(start_paused = true)]
async fn a_plan_from_nothing_can_be_kept_too() {
    use crate::harness::{Quiet, RefreshOptions};
    let deployment = Deployment::example();
    let first = deployment.look(&RefreshOptions::default()).await;
    let plan = kept(&first.plan);
    for round in 0..2 {
        let writes = deployment.writes();
        let seen = deployment.look(&RefreshOptions::default()).await;
        let planned = stargate::pipeline::Planned { plan: plan.clone(), ..seen };
        let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &Quiet).await;
        assert_eq!(applied.ending, ApplyStatus::Converged, "round {round}");
        assert!(round == 0 || deployment.writes() == writes, "it wrote the second time");
    }
}
