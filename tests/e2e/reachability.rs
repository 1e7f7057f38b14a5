//! The effect of a plan on reachability.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::pipeline::Planned;
use stargate::plan::impact::Reachability;
use stargate::plan::{Change, Plan, PlanStatus};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{
    Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, TWO_DATACENTERS, summary,
};

#[tokio::test(start_paused = true)]
async fn repairing_a_fault_gains_pairs_and_loses_none() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    for (fault, gained) in [
        (Fault::RouteMissing, 4),
        (Fault::NicForwardingOff, 4),
        (Fault::RouterTableDetached, 8),
        (Fault::CiliumNodeEmpty, 0),
        (Fault::AksScaleOut, 4),
    ] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.inject(fault, None);
        let found =
            deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.reachability.clone();
        let nodes = if fault == Fault::AksScaleOut { 5 } else { 4 };
        let all = nodes * (nodes - 1);
        assert_eq!((found.gained, found.kept), (gained, all - gained), "{fault} {found:?}");
        assert_eq!((found.lost, found.broken, found.unknown), (0, 0, 0), "{fault} {found:?}");
    }
}

/// A pair whose reachability is unknown counts neither as kept nor as lost.
#[tokio::test(start_paused = true)]
async fn no_plan_of_an_apply_loses_pairs() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        assert_eq!(deployment.plan().await.reachability.lost, 0);
        deployment.iterate().await;
        let plan = deployment.plan().await;
        let found = &plan.reachability;
        assert!(plan.is_empty() && found.kept >= 12, "{found:?}");
        assert_eq!(found.kept, found.pairs(), "a plan without changes counts the pairs, too");
        let translated = match text.contains("\"masquerade\"") {
            true => text.replace("\"masquerade\"", "\"preserve\""),
            false => text.replace("\"preserve\"", "\"masquerade\""),
        };
        let edited = deployment.edited(&translated);
        let plan = edited.plan().await;
        assert!(plan.reachability.kept >= 12, "{:?}", plan.reachability);
        assert_eq!(plan.reachability.kept, plan.reachability.pairs(), "{}", summary(&plan));
    }
}

/// The router moves, but the route table that refers to it may not be changed.
#[tokio::test(start_paused = true)]
async fn a_plan_that_loses_pairs_is_refused() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    let deployment = Deployment::of(EXAMPLE, healthy);
    deployment.inject(Fault::TagRemoved, None);
    let moved = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let deployment = deployment.edited(&moved);
    let allowing = RefreshOptions::replacing(&["subnet/cluster/stargate-aks-router-subnet"]);
    let refusing = RefreshOptions { allow_loss: false, ..allowing.clone() };
    let plan = deployment.refresh_and_plan(&refusing).await.plan;
    let found = &plan.reachability;
    assert!(found.lost > 0 && found.is_refused(), "{found:?}\n{}", summary(&plan));
    assert!(found.losses.iter().all(|loss| loss.resource.is_some()), "{found:?}");
    assert_eq!(plan.status(), PlanStatus::Blocked);
    let allowed = deployment.refresh_and_plan(&allowing).await.plan;
    assert_eq!(allowed.reachability.lost, found.lost);
    assert!(!allowed.reachability.is_refused());
}

/// No later iteration may lose pairs that the first plan did not lose.
#[tokio::test(start_paused = true)]
async fn a_later_iteration_that_would_lose_pairs_is_not_started() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    let moved = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    for (loss_allowed, code) in [(false, Code::ReachabilityLost), (true, Code::PartlyApplied)] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.inject(Fault::TagRemoved, None);
        deployment.inject(Fault::MssClampMissing, None);
        let deployment = deployment.edited(&moved);
        let replacing = RefreshOptions::replacing(&["subnet/cluster/stargate-aks-router-subnet"]);
        let options = RefreshOptions { allow_loss: loss_allowed, ..replacing };
        let planned = deployment.refresh_and_plan(&options).await;
        assert_eq!(planned.plan.reachability.is_refused(), !loss_allowed);
        let plan = only_the_clamp(&planned.plan);
        assert_eq!(plan.changes.len(), 1, "{}", summary(&plan));
        let planned = Planned { plan, ..planned };
        let applied = deployment.apply_planned(&options, planned, &IgnoreProgress).await;
        assert_eq!(applied.iterations, 1);
        let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
        assert_eq!(failure.code, code, "{failure}");
        assert_eq!(failure.message.contains("loses"), !loss_allowed, "{failure}");
        // The option to continue differs: a permission, or the same command.
        let remedy = &failure.remedy;
        assert_eq!(remedy.contains("--allow-loss"), !loss_allowed, "{remedy}");
        assert_eq!(remedy.contains("shows the remaining changes"), loss_allowed, "{remedy}");
    }
}

/// The plan reduced to the repair of the MSS clamping, as if a user had approved only that.
fn only_the_clamp(plan: &Plan) -> Plan {
    let mut contents = serde_json::to_value(plan).unwrap();
    contents["reachability"] = serde_json::to_value(Reachability::default()).unwrap();
    for list in ["deferred", "blocked"] {
        contents[list] = serde_json::json!([]);
    }
    let is_clamp = |change: &serde_json::Value| {
        let change: Change = serde_json::from_value(change.clone()).unwrap();
        change.address.to_string().contains("router-host/dc1")
    };
    contents["changes"].as_array_mut().unwrap().retain(is_clamp);
    serde_json::from_value(contents).unwrap()
}

/// The effect of a plan on a worker is known before it has joined, also on a machine that exists
/// and whose kernel was not read.
#[tokio::test(start_paused = true)]
async fn the_pairs_of_workers_that_join_and_leave_are_known() {
    let renamed = |names: &[&str]| {
        let rename = |text: String, name: &&str| {
            let (from, to) = (format!("\"{name}\""), format!("\"new-{name}\""));
            assert!(text.contains(&from));
            text.replace(&from, &to)
        };
        names.iter().fold(TWO_DATACENTERS.to_owned(), rename)
    };
    let third = "\n[[datacenters.attic.workers]]\nname = \"attic-c\"\nip = \"10.60.1.7\"\n\
                 mac = \"52:54:00:00:00:07\"\n";
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(1));
    before.iterate().await;
    let all = before.plan().await.reachability.kept;
    for (name, text, gained, left) in [
        ("a machine", renamed(&["attic-a"]), 12, 12),
        ("all machines", renamed(&["attic-a", "attic-b"]), 22, 22),
        ("all VMs", renamed(&["cloud-a", "cloud-b"]), 22, 22),
        ("one more machine", TWO_DATACENTERS.to_owned() + third, 14, 0),
    ] {
        let deployment = Deployment::of(TWO_DATACENTERS, before.copy_of_state()).edited(&text);
        let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
        let plan = deployment.refresh_and_plan(&options).await.plan;
        let found = &plan.reachability;
        assert_eq!((found.unknown, found.broken), (0, 0), "{name}: {found:?}");
        let counts = (found.kept, found.gained, found.lost + found.removed);
        assert_eq!(counts, (all - left, gained, left), "{name}: {found:?}");
        let applied = deployment.apply(&options).await;
        assert_eq!(applied.status, ApplyStatus::Converged, "{name}");
        let after = deployment.plan().await.reachability.kept;
        assert_eq!(after, all - left + gained, "{name}");
    }
}
