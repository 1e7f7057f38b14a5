//! Changes that follow from others of the same plan: the first plan counts them, and a saved
//! plan is applied to its end wherever an apply of it stopped.

use stargate::apply::ApplyStatus;
use stargate::plan::{Action, Plan};
use stargate::resource::Kind;
use stargate::resource::settings::AutoApply;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::node_pools::{allowing_loss, applied, on_pools, pool, two_pools, with_pools};
use crate::upgrades::with_versions;

const WORKER: &str = "\n[[datacenters.dc1.workers]]\nname = \"another\"\n";

/// How many changes a plan announces.
fn announced(plan: &Plan) -> usize {
    let actions = [Action::Create, Action::Update, Action::Replace, Action::Delete];
    actions.into_iter().map(|action| plan.count(action)).sum()
}

fn larger() -> String {
    pool("system", "count = 2\nvm_size = \"Standard_D4s_v5\"")
}

/// Edits of node pools, also beside one that changes the same routers.
fn edits() -> Vec<(&'static str, String)> {
    let autoscaled = pool("system", "min = 3\nmax = 5");
    let upgraded = with_versions(&with_pools(&pool("system", "count = 2")), "1.34.1", "1.33.5");
    vec![
        ("more nodes", with_pools(&pool("system", "count = 4"))),
        ("fewer nodes", with_pools(&pool("system", "count = 1"))),
        ("an autoscaler", with_pools(&autoscaled)),
        ("another pool", with_pools(&two_pools())),
        ("a successor", with_pools(&larger())),
        ("another name", with_pools(&pool("base", "count = 2"))),
        ("more nodes and a worker", with_pools(&pool("system", "count = 4")) + WORKER),
        ("a successor and a worker", with_pools(&larger()) + WORKER),
        ("a newer version", upgraded.clone()),
        ("a newer version and a worker", upgraded + WORKER),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_first_plan_counts_the_changes_of_every_iteration() {
    let mut wrong = Vec::new();
    for (name, text) in edits() {
        let deployment = applied(&pool("system", "count = 2")).await.edited(&text);
        let plan = deployment.refresh_and_plan(&allowing_loss()).await.plan;
        let done = deployment.apply(&allowing_loss()).await;
        assert_eq!(done.status, ApplyStatus::Converged, "{name}: {:?}", failures(&done));
        if announced(&plan) != done.changes_made {
            let (planned, made) = (announced(&plan), done.changes_made);
            wrong.push(format!("{name}: {planned} planned, {made} made\n{}", summary(&plan)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each apply makes the changes of one iteration, as one that is stopped after it.
#[tokio::test(start_paused = true)]
async fn a_saved_plan_is_continued_where_an_apply_of_it_stopped() {
    for (name, text) in edits() {
        if name == "another name" {
            // The loss is permitted by a plan that is made now.
            continue;
        }
        let deployment = applied(&pool("system", "count = 2")).await.edited(&text);
        let saved = deployment.plan().await;
        let mut made = 0;
        loop {
            let done = deployment.apply_saved(&saved).await;
            let done = done.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"));
            assert_eq!(failures(&done), Vec::<String>::new(), "{name}");
            if done.changes_made == 0 {
                break;
            }
            made += done.changes_made;
        }
        assert_eq!(made, announced(&saved), "{name}: {}", summary(&saved));
        let plan = deployment.plan().await;
        assert!(plan.is_empty(), "{name}: {}", summary(&plan));
    }
}

/// A new pod pool: paths to the old ranges are withdrawn once the workers have moved.
#[tokio::test(start_paused = true)]
async fn paths_that_are_withdrawn_later_are_counted() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(5));
    deployment.iterate().await;
    let text = TWO_DATACENTERS.replace("10.244.64.0/20", "10.244.96.0/20");
    let edited = deployment.edited(&text);
    let saved = edited.plan().await;
    let done = edited.apply(&allowing_loss()).await;
    assert_eq!(done.status, ApplyStatus::Converged, "{:?}", failures(&done));
    assert_eq!(announced(&saved), done.changes_made, "{}", summary(&saved));
    let again = edited.apply_saved(&saved).await.unwrap();
    assert_eq!(again.changes_made, 0);
}

/// The autoscaler is switched off or gets other limits, and AKS keeps the nodes.
#[tokio::test(start_paused = true)]
async fn a_scale_that_fits_the_nodes_changes_nothing_else() {
    let autoscaled = |min, max| pool("system", &format!("min = {min}\nmax = {max}"));
    let mut deployment = applied(&autoscaled(2, 5)).await;
    for pools in [autoscaled(1, 6), pool("system", "count = 2"), autoscaled(2, 3)] {
        deployment = deployment.edited(&with_pools(&pools));
        let plan = deployment.plan().await;
        assert_eq!(on_pools(&plan), [(Action::Update, "system".to_owned())]);
        assert_eq!((announced(&plan), plan.deferred.len()), (1, 0), "{}", summary(&plan));
        let pairs = (plan.reachability.kept, plan.reachability.pairs());
        assert_eq!(pairs, (12, 12), "{}", summary(&plan));
        let done = deployment.apply(&allowing_loss()).await;
        assert_eq!((done.status, done.changes_made), (ApplyStatus::Converged, 1));
    }
}

/// The nodes that go with a pool are announced, although others take their place.
#[tokio::test(start_paused = true)]
async fn the_plan_of_a_successor_says_whose_pods_are_evicted() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let plan = deployment.edited(&with_pools(&larger())).plan().await;
    let deletion = plan.deferred.iter().find(|it| it.action == Action::Delete).unwrap();
    assert!(deletion.interrupts.as_ref().unwrap().contains("evicted"));
    let found = &plan.reachability;
    assert_eq!((found.kept, found.lost, found.removed), (2, 0, 10), "{}", summary(&plan));
    assert_eq!(found.removals[0].resource.as_ref(), Some(&deletion.address));
}

/// A watch repairs a router, although the same router changes again once a change of a pool
/// is approved.
#[tokio::test(start_paused = true)]
async fn a_repair_does_not_wait_with_what_follows_another_change() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let edited = deployment.edited(&with_pools(&pool("system", "count = 4")));
    edited.inject(Fault::KernelRouteMissing, None);
    let options = RefreshOptions { unattended: Some(AutoApply::Routes), ..Default::default() };
    let plan = edited.refresh_and_plan(&options).await.plan;
    let kinds: Vec<Kind> = plan.changes.iter().map(|change| change.address.kind).collect();
    assert_eq!((kinds, plan.deferred.len()), (vec![Kind::RouterHost], 0), "{}", summary(&plan));
    let awaited = |kind| plan.awaiting_approval.iter().filter(|it| it.address.kind == kind).count();
    assert_eq!((awaited(Kind::NodePool), awaited(Kind::RouteTable)), (1, 1), "{}", summary(&plan));
    assert_eq!(awaited(Kind::RouterHost), 1, "the other router waits for the pool");
}

/// AKS drains the nodes of a pool that it upgrades, one after another.
#[tokio::test(start_paused = true)]
async fn an_upgrade_of_a_pool_announces_the_pairs_of_its_nodes() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let text = with_versions(&with_pools(&pool("system", "count = 2")), "1.34.1", "1.33.5");
    let plan = deployment.edited(&text).plan().await;
    let mut found = plan.reachability.disruptions.iter();
    let disruption = found.find(|it| it.during[0].kind == Kind::NodePool).unwrap();
    // Of one node: 2 with the other one, and 4 with the workers.
    assert_eq!((disruption.pairs, disruption.is_rolling), (6, true), "{disruption:?}");
    let summary = plan.reachability.disruption_summaries().join("\n");
    assert!(summary.contains("at most 6 pairs at a time"), "{summary}");
}
