//! Changes in Azure that drain nodes, while the cluster cannot be read.

use stargate::plan::{Action, Blocked, Change, Plan};
use stargate::resource::Kind;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::node_pools::{self, allowing_loss, pool};

fn hide_cluster(deployment: &Deployment, source: &str) {
    deployment.inject("source-down".parse().unwrap(), Some(source));
}

fn blocked(plan: &Plan, kind: Kind) -> Vec<&Blocked> {
    plan.blocked.iter().filter(|blocked| blocked.address.kind == kind).collect()
}

/// The reason is that of the plan, whose code is the one of the source that did not answer.
fn is_held_back(plan: &Plan, kind: Kind, action: Action) {
    assert!(!plan.changes.iter().any(|it| it.address.kind == kind), "{}", summary(plan));
    let blocked = blocked(plan, kind);
    assert!(!blocked.is_empty(), "{}", summary(plan));
    let gap = plan.gaps.iter().find(|gap| gap.failure.code == blocked[0].failure.code);
    assert!(gap.is_some(), "{}", summary(plan));
    for blocked in blocked {
        assert_eq!(blocked.action, action, "{}", blocked.address);
        let message = &blocked.failure.message;
        assert!(message.contains("cannot be drained"), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_pool_is_not_deleted_while_its_nodes_are_unread() {
    let deployment = node_pools::applied(&node_pools::two_pools()).await;
    let edited = deployment.edited(&node_pools::with_pools(&pool("system", "count = 2")));
    hide_cluster(&edited, "kubernetes");
    let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
    is_held_back(&plan, Kind::NodePool, Action::Delete);
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
    is_held_back(&plan, Kind::VirtualMachine, Action::Update);
    let applied = edited.apply(&options).await;
    assert_eq!(failures(&applied), Vec::<String>::new());
    hide_cluster(&edited, "none");
    edited.iterate().await;
}
