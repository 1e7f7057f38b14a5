//! Saved plans: only changes that a fresh plan confirms are applied, and each step checks
//! its facts.

use stargate::apply::events::Outcome;
use stargate::apply::{Applied, ApplyStatus};
use stargate::cli::exit;
use stargate::pipeline::Pipeline;
use stargate::plan::saved_plan::{
    Expected, FORMAT_VERSION, Permissions, SavedPlan, SavedPlanRefusal,
};
use stargate::plan::{Action, Plan};
use stargate::resource::{Address, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, clock, summary};

/// The plan after a round trip through its file.
fn saved(plan: &Plan) -> Plan {
    let saved = SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: "1".to_owned(),
        topology_digest: "digest".to_owned(),
        permissions: Permissions::default(),
        plan: plan.clone(),
    };
    let expected = Expected {
        stargate_version: "1",
        topology: &plan.topology,
        topology_digest: "digest",
        key: None,
    };
    SavedPlan::from_text(&saved.to_text(None).unwrap(), expected).unwrap().plan
}

/// Injects three faults in three services, and plans.
async fn plan_with_three_faults() -> (Deployment, Plan) {
    let deployment = Deployment::example_applied().await;
    for fault in [Fault::NicForwardingOff, Fault::RouteWrongHop, Fault::ServerRouterIpHostname] {
        deployment.inject(fault, None);
    }
    deployment.inject(Fault::TailnetRouteUnapproved, None);
    let plan = saved(&deployment.plan().await);
    assert_eq!(plan.changes.len(), 4, "{}", summary(&plan));
    (deployment, plan)
}

#[tokio::test(start_paused = true)]
async fn changed_objects_are_skipped_and_the_rest_is_applied() {
    let (deployment, plan) = plan_with_three_faults().await;
    // Deletes the route altogether.
    deployment.inject(Fault::RouteMissing, None);
    let applied = deployment.apply_once(&plan).await;
    assert_eq!(applied.status, ApplyStatus::Stale);
    // Pipelines take 4 for a plan that changed nothing.
    assert_eq!(exit::from_apply(&applied), exit::PARTIAL);
    for (address, outcome) in &applied.outcomes {
        if address.to_string() == "route-table/cluster/stargate-workers-rt" {
            assert!(matches!(outcome, Outcome::GuardFailed { .. }), "{outcome:?}");
        } else {
            assert_eq!(*outcome, Outcome::Done, "{address}");
        }
    }
    let now = deployment.plan().await;
    assert_eq!(now.changes.len(), 1, "{}", summary(&now));
    assert_eq!(now.changes[0].address.to_string(), "route-table/cluster/stargate-workers-rt");
}

#[tokio::test(start_paused = true)]
async fn unrelated_changes_do_not_make_a_plan_stale() {
    let (deployment, plan) = plan_with_three_faults().await;
    for fault in [Fault::KernelRouteMissing, Fault::AksScaleOut, Fault::NsgDeny] {
        deployment.inject(fault, None);
    }
    let applied = deployment.apply_once(&plan).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
    assert!(applied.outcomes.values().all(|outcome| *outcome == Outcome::Done));
}

#[tokio::test(start_paused = true)]
async fn a_second_apply_of_a_saved_plan_does_nothing() {
    let (deployment, plan) = plan_with_three_faults().await;
    let deployment = deployment.without_lease();
    assert_eq!(deployment.apply_once(&plan).await.status, ApplyStatus::Converged);
    let writes = deployment.writes();
    let again = deployment.apply_once(&plan).await;
    assert_eq!(again.status, ApplyStatus::Converged);
    assert!(again.outcomes.values().all(|outcome| *outcome == Outcome::UpToDate));
    assert_eq!(deployment.writes(), writes);
    assert!(deployment.plan().await.is_empty());
}

/// The first plan of an empty sandbox, saved and applied twice: deferred changes are
/// planned once that is possible, and the second apply writes nothing. Deleted objects stay
/// deleted, so that the second apply has nothing to do.
#[tokio::test(start_paused = true)]
async fn a_saved_deletion_can_be_applied_twice() {
    let removed = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                   \"52:54:00:00:00:05\"\n";
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(17));
    deployment.iterate().await;
    let edited = deployment.edited(&TWO_DATACENTERS.replace(removed, ""));
    let plan = saved(&edited.plan().await);
    assert!(plan.count(Action::Delete) > 0, "{}", summary(&plan));
    assert_eq!(edited.apply_saved(&plan).await.unwrap().status, ApplyStatus::Converged);
    let again = edited.apply_saved(&plan).await;
    let again = again.unwrap_or_else(|refusal| panic!("{:?}", refusal.failures()));
    assert_eq!(again.status, ApplyStatus::Converged);
    assert!(again.outcomes.is_empty(), "{:?}", again.outcomes);
    assert!(edited.plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_first_plan_can_be_saved() {
    use crate::harness::{IgnoreProgress, RefreshOptions};
    let deployment = Deployment::example().without_lease();
    let first = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let plan = saved(&first.plan);
    for round in 0..2 {
        let writes = deployment.writes();
        let seen = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let planned = stargate::pipeline::Planned { plan: plan.clone(), ..seen };
        let applied =
            deployment.apply_planned(&RefreshOptions::default(), planned, &IgnoreProgress).await;
        assert_eq!(applied.status, ApplyStatus::Converged, "round {round}");
        assert!(round == 0 || deployment.writes() == writes, "it wrote the second time");
    }
}

/// A damaged plan whose steps wait for each other ends as an error.
#[tokio::test(start_paused = true)]
async fn steps_that_wait_for_each_other_are_an_error() {
    let (deployment, plan) = plan_with_three_faults().await;
    let text = serde_json::to_string(&plan).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = value["changes"][0]["address"].clone();
    value["changes"][0]["depends_on"] = serde_json::json!([address]);
    let plan: Plan = serde_json::from_value(value).unwrap();
    let applied = deployment.apply_once(&plan).await;
    let ApplyStatus::Partial(failure) = applied.status else { panic!("{:?}", applied.status) };
    assert!(failure.message.contains("cycle"), "{failure}");
}

/// Nothing of a stale plan is applied, and each difference is named.
#[tokio::test(start_paused = true)]
async fn a_stale_plan_changes_nothing() {
    let (deployment, plan) = plan_with_three_faults().await;
    deployment.inject(Fault::RouteMissing, None);
    let writes = deployment.writes();
    let Err(SavedPlanRefusal::Stale(found)) = deployment.apply_saved(&plan).await else {
        panic!("the plan is not stale")
    };
    assert_eq!(deployment.writes(), writes);
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(found.address.to_string(), "route-table/cluster/stargate-workers-rt");
    assert!(found.reason.contains("changed after the plan was made"), "{found}");
}

/// Later findings are not applied with it.
#[tokio::test(start_paused = true)]
async fn only_the_changes_of_a_saved_plan_are_applied() {
    let (deployment, plan) = plan_with_three_faults().await;
    deployment.inject(Fault::CiliumNodeEmpty, None);
    let applied = deployment.apply_saved(&plan).await.unwrap();
    assert_eq!(applied.status, ApplyStatus::Converged);
    let mut addresses: Vec<_> = plan.changes.iter().map(|change| &change.address).collect();
    addresses.sort();
    assert_eq!(applied.outcomes.keys().collect::<Vec<_>>(), addresses);
    let left = deployment.plan().await;
    assert_eq!(left.changes.len(), 1, "{}", summary(&left));
}

/// One of two appliers of one plan makes the changes; the other one finds them made.
#[tokio::test(start_paused = true)]
async fn two_appliers_of_one_plan_change_everything_once() {
    let (deployment, plan) = plan_with_three_faults().await;
    let (one, other) = tokio::join!(deployment.apply_saved(&plan), deployment.apply_saved(&plan));
    let done = |applied: &Applied| {
        applied.outcomes.values().filter(|outcome| **outcome == Outcome::Done).count()
    };
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((&one.status, &other.status), (&ApplyStatus::Converged, &ApplyStatus::Converged));
    assert_eq!(done(&one) + done(&other), plan.changes.len(), "{one:?}\n{other:?}");
    assert!(done(&one) == 0 || done(&other) == 0, "both made changes");
    assert!(deployment.plan().await.is_empty());
}

/// Only deferred resources drop out: they cost nothing any more.
#[tokio::test(start_paused = true)]
async fn changes_that_drop_out_of_a_plan_are_not_counted() {
    let deployment = Deployment::example();
    let plan = deployment.plan().await;
    let workers = plan.deferred.iter().filter(|one| one.address.kind == Kind::Worker).count();
    assert!(workers > 1 && !plan.changes.is_empty(), "{}", summary(&plan));
    let mut contents = serde_json::to_value(&plan).unwrap();
    contents["deferred"] = serde_json::json!([]);
    let saved: Plan = serde_json::from_value(contents).unwrap();
    let scope = deployment.scope(&RefreshOptions::default());
    let clock = clock(deployment.sandbox.now());
    let clients = deployment.clients.read_only();
    let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
    let left = pipeline.confirm(&saved).await.unwrap().plan;
    assert_eq!((left.changes.len(), left.deferred.len()), (plan.changes.len(), 0));
    assert_eq!(left.cost.deferred_join_seconds, 0);
    let is_planned =
        |address: &Address| left.changes.iter().any(|change| change.address == *address);
    assert!(left.cost.critical_path.iter().all(is_planned), "{:?}", left.cost.critical_path);
    assert!(left.cost.seconds < plan.cost.seconds, "{:?}", left.cost);
    for (api, writes) in &left.cost.apply_writes {
        assert!(*writes <= plan.cost.apply_writes[api], "{api}");
    }
}
