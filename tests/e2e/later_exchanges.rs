//! Exchanges that come in a later iteration of an apply and that are wider than the rollout
//! permits: the first plan refuses them.

use std::collections::BTreeSet;

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::worker_waves::{PairObserver, base};

fn edited(lines: &[(&str, &str)], rest: &str) -> String {
    let add = |text: String, (worker, line): &(&str, &str)| {
        let name = format!("name = \"{worker}\"\n");
        assert!(text.contains(&name), "{worker}");
        text.replace(&name, &format!("{name}{line}\n"))
    };
    lines.iter().fold(base(), add) + rest
}

const FREE_A: (&str, &str) = ("cloud-a", "pod_cidr = \"10.244.69.0/24\"");
const EXCHANGE: [(&str, &str); 2] = [
    ("cloud-b", "ip = \"10.50.1.6\"\npod_cidr = \"10.244.70.0/24\""),
    ("cloud-c", "ip = \"10.50.1.5\"\npod_cidr = \"10.244.64.0/24\""),
];

async fn deployed() -> Deployment {
    let deployment = Deployment::of(&base(), SandboxState::new(7));
    deployment.iterate().await;
    deployment
}

fn refused(plan: &Plan) -> BTreeSet<&str> {
    let refused = plan.blocked.iter().filter(|it| it.failure.code == Code::AddressExchange);
    let workers = refused.filter(|it| it.address.kind == Kind::Worker);
    workers.map(|it| it.address.name.as_str()).collect()
}

fn changed(plan: &Plan) -> BTreeSet<&str> {
    let changed = plan.changes.iter().map(|it| (&it.address, it.action));
    let later = plan.deferred.iter().map(|it| (&it.address, it.action));
    let all = changed.chain(later).filter(|(_, action)| *action != Action::Update);
    all.filter(|(it, _)| it.kind == Kind::Worker).map(|(it, _)| it.name.as_str()).collect()
}

/// The plan refuses the exchange, one apply makes the rest of the plan, and the next plan refuses
/// the same.
async fn assert_first_plan_refuses(text: &str, expected: &[&str]) {
    assert_refuses(deployed().await.edited(text), expected).await;
}

async fn assert_refuses(deployment: Deployment, expected: &[&str]) {
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let expected: BTreeSet<&str> = expected.iter().copied().collect();
    assert_eq!(refused(&plan), expected, "{}", summary(&plan));
    assert!(changed(&plan).is_disjoint(&expected), "{}", summary(&plan));
    let planned = plan.changes.len() + plan.expected().count();
    let observer = PairObserver::of(&deployment);
    let applied = deployment.apply(&RefreshOptions::default()).await;
    deployment.sandbox.set_fault_injector(None);
    let failed = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Blocked, "{failed}\n{}", summary(&plan));
    assert_eq!(applied.changes_made, planned, "{failed}\n{}", summary(&plan));
    assert!(observer.widest().is_none_or(|(most, _)| most <= 1), "{}", summary(&plan));
    let left = deployment.plan().await;
    assert_eq!((left.changes.len(), refused(&left)), (0, expected), "{}", summary(&left));
}

#[tokio::test(start_paused = true)]
async fn an_exchange_behind_a_takeover_is_refused_by_the_first_plan() {
    let lines = [FREE_A, EXCHANGE[0], EXCHANGE[1]];
    assert_first_plan_refuses(&edited(&lines, ""), &["cloud-b", "cloud-c"]).await;
    // A worker that waits for one of them waits on.
    let new =
        "\n[[datacenters.cloud.workers]]\nname = \"cloud-n\"\npod_cidr = \"10.244.66.0/24\"\n";
    assert_first_plan_refuses(&edited(&lines, new), &["cloud-b", "cloud-c", "cloud-n"]).await;
}

/// The VM of a worker that is not in the cluster has its address, too.
#[tokio::test(start_paused = true)]
async fn a_worker_without_a_node_exchanges_its_address_as_others_do() {
    let deployment = deployed().await;
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let cluster = deployment.clients.cluster.connect("", owner).await.unwrap();
    cluster.delete_node("cloud-c", None).await.unwrap();
    let lines = [FREE_A, EXCHANGE[0], EXCHANGE[1]];
    assert_refuses(deployment.edited(&edited(&lines, "")), &["cloud-b", "cloud-c"]).await;
}

/// With the width that the message names, one apply makes the edit.
#[tokio::test(start_paused = true)]
async fn a_later_exchange_of_the_permitted_width_is_made() {
    let lines = [FREE_A, EXCHANGE[0], EXCHANGE[1]];
    let deployment = deployed().await.edited(&edited(&lines, "\n[rollout]\nwidth = 2\n"));
    let plan = deployment.plan().await;
    assert!(refused(&plan).is_empty(), "{}", summary(&plan));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let planned = plan.changes.len() + plan.expected().count();
    assert_eq!(applied.changes_made, planned, "{}", summary(&plan));
}

/// One worker gets the address of another, which gets its range, once a third one has left.
#[tokio::test(start_paused = true)]
async fn a_later_exchange_of_an_address_for_a_range_is_refused_by_the_first_plan() {
    let lines = [
        FREE_A,
        ("cloud-b", "ip = \"10.50.1.6\"\npod_cidr = \"10.244.64.0/24\""),
        ("cloud-c", "ip = \"10.50.1.30\"\npod_cidr = \"10.244.65.0/24\""),
    ];
    assert_first_plan_refuses(&edited(&lines, ""), &["cloud-b", "cloud-c"]).await;
    let deployment = deployed().await.edited(&edited(&lines, "\n[rollout]\nwidth = 2\n"));
    let plan = deployment.plan().await;
    assert!(refused(&plan).is_empty(), "{}", summary(&plan));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
}
