//! Changes in Azure that drain nodes, while the cluster cannot be read.

use stargate::plan::{Action, Blocked, Change, Plan};
use stargate::resource::{Address, Kind};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::node_pools::{self, allowing_loss, pool};

fn hide_cluster(deployment: &Deployment, source: &str) {
    deployment.inject("source-down".parse().unwrap(), Some(source));
}

/// These resources are blocked by the failure of the source that did not answer, and the
/// plan changes none of them.
fn are_held_back(plan: &Plan, action: Action, names: &[&str]) {
    let is_named = |address: &Address| names.contains(&address.name.as_str());
    let blocked: Vec<&Blocked> =
        plan.blocked.iter().filter(|it| it.action == action && is_named(&it.address)).collect();
    assert_eq!(blocked.len(), names.len(), "{}", summary(plan));
    for blocked in blocked {
        let failure = &blocked.failure;
        assert!(failure.message.contains("cannot be drained"), "{failure}");
        let gap = plan.gaps.iter().find(|gap| gap.failure.code == failure.code);
        assert!(gap.is_some(), "{}", summary(plan));
        let is_changed = plan.changes.iter().any(|it| it.address == blocked.address);
        assert!(!is_changed, "{}", summary(plan));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_pool_is_not_deleted_while_its_nodes_are_unread() {
    let deployment = node_pools::applied(&node_pools::two_pools()).await;
    let edited = deployment.edited(&node_pools::with_pools(&pool("system", "count = 2")));
    hide_cluster(&edited, "kubernetes");
    let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
    are_held_back(&plan, Action::Delete, &["apps"]);
    let writes = edited.writes();
    let applied = edited.apply(&allowing_loss()).await;
    assert_eq!((failures(&applied), edited.writes()), (Vec::new(), writes));
    hide_cluster(&edited, "none");
    node_pools::converges(&edited, &allowing_loss()).await;
}

#[tokio::test(start_paused = true)]
async fn the_machine_of_a_worker_is_not_restarted_while_its_node_is_unread() {
    let deployment = Deployment::example_applied().await;
    let size = "router_subnet_cidr = \"10.50.0.0/24\"\nvm_size = \"Standard_D2s_v5\"";
    assert!(EXAMPLE.contains(size));
    let edited = deployment.edited(&EXAMPLE.replace(size, &size.replace("D2s", "D8s")));
    let options = RefreshOptions::default();
    let plan = edited.plan().await;
    let is_update =
        |it: &Change| it.address.kind == Kind::VirtualMachine && it.action == Action::Update;
    assert!(plan.changes.iter().any(is_update), "{}", summary(&plan));
    hide_cluster(&edited, "kubernetes");
    let plan = edited.refresh_and_plan(&options).await.plan;
    let workers = ["stargate-aks-e2e-2-worker-1", "stargate-aks-e2e-2-worker-2"];
    are_held_back(&plan, Action::Update, &workers);
    let applied = edited.apply(&options).await;
    assert_eq!(failures(&applied), Vec::<String>::new());
    hide_cluster(&edited, "none");
    edited.iterate().await;
}
