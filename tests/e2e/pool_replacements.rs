//! Node pools that take the place of others, and the system pool that a cluster always has.

use serde_json::json;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::resource::{Kind, Resource};
use stargate::topology::load::load_text;

use crate::harness::{Deployment, RefreshOptions, summary};
use crate::node_pools::{
    allowing_loss, applied, converges, live_pools, names, node_network, on_pools, pool,
    put_in_own_subnet, two_pools, with_pools,
};
use crate::observer::Observer;

/// The nodes of a pool, by its name in Azure.
fn nodes_of(deployment: &Deployment, pool: &str) -> Vec<String> {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let names = store.list("v1", "Node", None);
        let names = names.into_iter().filter_map(|node| node["metadata"]["name"].as_str());
        let of_pool = |name: &&str| name.starts_with(&format!("aks-{pool}-"));
        names.filter(of_pool).map(str::to_owned).collect()
    })
}

fn blocked_pools(plan: &Plan) -> Vec<Code> {
    let blocked = plan.blocked.iter().filter(|it| it.address.kind == Kind::NodePool);
    blocked.map(|it| it.failure.code).collect()
}

/// The remaining pool becomes a system pool before the last one goes.
#[tokio::test(start_paused = true)]
async fn the_last_system_pool_is_never_missing() {
    let all_user = with_pools(&pool("apps", "count = 2\nmode = \"user\""));
    let errors = load_text("stargate.toml", &all_user).unwrap_err();
    assert!(errors.list.iter().any(|it| it.code == Code::NoSystemPool), "{errors:?}");
    let empty =
        with_pools(&pool("system", "count = 0\nmode = \"system\"")) + &pool("a", "count = 1");
    let errors = load_text("stargate.toml", &empty).unwrap_err();
    assert!(errors.list.iter().any(|it| it.code == Code::NoSystemPool), "{errors:?}");
    let deployment = applied(&two_pools()).await;
    let edited = deployment.edited(&with_pools(&pool("apps", "count = 2")));
    let plan = edited.plan().await;
    let expected = [(Action::Update, "apps".to_owned()), (Action::Delete, "system".to_owned())];
    assert_eq!(on_pools(&plan), expected, "{}", summary(&plan));
    assert_eq!(plan.count(Action::Delete), 1);
    assert!(plan.reachability.is_refused());
    converges(&edited, &allowing_loss()).await;
    let pools = live_pools(&edited);
    assert_eq!(
        (pools.len(), &pools[0]["name"], &pools[0]["mode"]),
        (1, &json!("apps"), &json!("System"))
    );
}

/// The only pool gets another name: the new one is created before the old one goes.
#[tokio::test(start_paused = true)]
async fn the_only_pool_is_renamed_in_one_apply() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let edited = deployment.edited(&with_pools(&pool("base", "count = 2")));
    let plan = edited.plan().await;
    let expected = [(Action::Create, "base".to_owned()), (Action::Delete, "system".to_owned())];
    assert_eq!(on_pools(&plan), expected, "{}", summary(&plan));
    assert!(plan.reachability.is_refused(), "the nodes of `system` go");
    converges(&edited, &allowing_loss()).await;
    assert_eq!(names(&edited), ["base"]);
}

/// A successor takes the place of a pool that AKS cannot change. No pair is lost.
#[tokio::test(start_paused = true)]
async fn a_fixed_setting_leads_to_a_successor() {
    let mut deployment = applied(&pool("system", "count = 2")).await;
    let mut name = "system".to_owned();
    for (settings, successor) in [
        ("vm_size = \"Standard_D4s_v5\"", "systema"),
        ("vm_size = \"Standard_D4s_v5\"\nmax_pods = 60", "systemb"),
        ("vm_size = \"Standard_D4s_v5\"\nmax_pods = 60\nos_disk_gb = 64", "systema"),
        ("vm_size = \"Standard_D4s_v5\"\nzones = [\"1\", \"2\"]", "systemb"),
    ] {
        let pools = pool("system", &format!("count = 2\n{settings}"));
        deployment = deployment.edited(&with_pools(&pools));
        let plan = deployment.plan().await;
        let old = format!("system/{name}");
        let expected = [(Action::Create, "system".to_owned()), (Action::Delete, old)];
        assert_eq!(on_pools(&plan), expected, "{}", summary(&plan));
        assert_eq!((plan.count(Action::Create), plan.count(Action::Delete)), (1, 1));
        assert_eq!(plan.reachability.lost, 0);
        let nodes = nodes_of(&deployment, &name);
        let observer = Observer::of(&deployment);
        converges(&deployment, &RefreshOptions::default()).await;
        deployment.sandbox.set_fault_injector(None);
        let created = observer.place(&["PUT", &format!("agentPools/{successor}")]);
        let deleted = observer.place(&["DELETE", &format!("agentPools/{name}")]);
        assert!(created.is_some() && created < deleted, "{:#?}", observer.calls());
        // Each node is cordoned once the successor exists, and before its pool goes.
        assert!(!nodes.is_empty());
        for node in nodes {
            let cordoned = observer.place(&["PATCH", &format!("/nodes/{node}")]);
            assert!(created < cordoned && cordoned < deleted, "{node}: {:#?}", observer.calls());
        }
        assert_eq!(names(&deployment), [successor]);
        assert_eq!(live_pools(&deployment)[0]["tags"]["stargate-pool"], "system");
        name = successor.to_owned();
    }
}

/// An adopted pool may be in another subnet than the others: so is its successor.
#[tokio::test(start_paused = true)]
async fn a_successor_stays_in_the_subnet_of_its_predecessor() {
    let deployment = applied(&two_pools()).await;
    put_in_own_subnet(&deployment, "system", "others").await;
    let larger = pool("system", "count = 2\nvm_size = \"Standard_D4s_v5\"");
    let plan = deployment.edited(&with_pools(&(larger + &pool("apps", "count = 2")))).plan().await;
    let created = plan.changes.iter().find_map(|change| match &change.after {
        Some(Resource::NodePool(pool)) if pool.key == "system" => Some(pool.subnet.clone()),
        _ => None,
    });
    let expected = node_network(&deployment).child("subnets", "others");
    assert_eq!(created, Some(Some(expected)), "{}", summary(&plan));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_room_for_a_successor_is_refused() {
    let deployment = applied(&pool("twelveletter", "count = 2")).await;
    let settings = "count = 2\nvm_size = \"Standard_D4s_v5\"";
    let edited = deployment.edited(&with_pools(&pool("twelveletter", settings)));
    let plan = edited.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.failure.code, Code::NodePoolNotReplaceable);
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
}

/// Neither a removed pool nor one that would get a successor is touched, and no successor
/// is paid for.
#[tokio::test(start_paused = true)]
async fn a_protected_cluster_keeps_its_pools() {
    let protect = |text: &str| text.replace("[cluster]  ", "[cluster]\nprotect = true #");
    let deployment = applied(&two_pools()).await;
    deployment.edited(&protect(&with_pools(&two_pools()))).iterate().await;
    for pools in [
        pool("system", "count = 2"),
        two_pools() + "\n",
        pool("system", "count = 2") + &pool("apps", "count = 2\nvm_size = \"Standard_D4s_v5\""),
    ] {
        let edited = deployment.edited(&protect(&with_pools(&pools)));
        let plan = edited.plan().await;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        let is_blocked = !pools.ends_with("\n\n");
        assert_eq!(!blocked_pools(&plan).is_empty(), is_blocked, "{}", summary(&plan));
    }
    assert_eq!(names(&deployment), ["apps", "system"]);
}

/// AKS refuses a system pool without nodes.
#[tokio::test(start_paused = true)]
async fn a_system_pool_is_not_scaled_to_zero() {
    let deployment = applied(&two_pools()).await;
    let pools = pool("system", "count = 0") + &pool("apps", "count = 2");
    let edited = deployment.edited(&with_pools(&pools));
    let plan = edited.plan().await;
    assert_eq!(blocked_pools(&plan), [Code::NoSystemPool], "{}", summary(&plan));
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
}

/// A pool that is created or deleted without nodes has no routes, and the plan counts none.
#[tokio::test(start_paused = true)]
async fn a_plan_counts_no_routes_of_a_pool_without_nodes() {
    let mut deployment = applied(&pool("system", "count = 2")).await;
    let with = |apps: &str| pool("system", "count = 2") + apps;
    for (apps, changes) in
        [(pool("apps", "count = 0"), 1), (String::new(), 1), (pool("apps", "min = 0\nmax = 3"), 1)]
    {
        deployment = deployment.edited(&with_pools(&with(&apps)));
        let plan = deployment.plan().await;
        let listed = plan.changes.len() + plan.expected().count();
        assert_eq!(listed, changes, "{apps}: {}", summary(&plan));
        converges(&deployment, &allowing_loss()).await;
    }
}

/// A pool without nodes interrupts nothing, and no routes lead to it.
#[tokio::test(start_paused = true)]
async fn the_replacement_of_an_empty_pool_interrupts_nothing() {
    let pools = |settings: &str| pool("system", "count = 2") + &pool("apps", settings);
    for changed in ["max_pods = 50", "vm_size = \"Standard_D8s_v5\""] {
        let before = "count = 0\nmode = \"user\"\n";
        let deployment = applied(&pools(before)).await;
        let edited = deployment.edited(&with_pools(&pools(&format!("{before}{changed}\n"))));
        let plan = edited.plan().await;
        let interrupted = plan.deferred.iter().any(|it| it.interrupts.is_some());
        let found = &plan.reachability;
        let (lost, disrupted) = (found.lost + found.removed, found.disruptions.len());
        assert_eq!((interrupted, lost, disrupted), (false, 0, 0), "{changed}\n{}", summary(&plan));
        let planned = plan.changes.len() + plan.expected().count();
        let made = edited.apply(&RefreshOptions::default()).await.changes_made;
        converges(&edited, &RefreshOptions::default()).await;
        assert_eq!((planned, made), (2, 2), "{changed}\n{}", summary(&plan));
    }
}
