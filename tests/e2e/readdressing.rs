//! Existing machines whose addresses are edited in the topology: an ordinary plan detects
//! it, and no worker is reset for a host that does not answer.

use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, PlanStatus};
use stargate::resource::Kind;
use stargate::resource::host::KernelRoute;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};

async fn applied() -> Deployment {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(5));
    deployment.iterate().await;
    deployment
}

fn node(deployment: &Deployment, name: &str) -> Option<Value> {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.get("v1", "Node", None, name).cloned()
    })
}

fn next_hops(deployment: &Deployment, host: &str) -> Vec<String> {
    deployment.sandbox.read(|sandbox| {
        let routes = sandbox.hosts.get(host).unwrap().probe_worker().host.kernel_routes;
        let mut hops: Vec<String> = routes
            .values()
            .map(|route| match route {
                KernelRoute::Via(hop) => hop.to_string(),
                other => format!("{other:?}"),
            })
            .collect();
        hops.dedup();
        hops
    })
}

/// The router has another address: its workers' routes lead there after one apply.
#[tokio::test(start_paused = true)]
async fn another_address_of_a_router_is_seen_by_an_ordinary_plan() {
    let before = applied().await;
    assert_eq!(next_hops(&before, "attic-a"), ["10.60.0.4"]);
    let deployment = before.edited(&TWO_DATACENTERS.replace("10.60.0.4", "10.60.0.7"));
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("attic-router").unwrap().ip = [10, 60, 0, 7].into();
    });
    let plan = deployment.plan().await;
    let mut updated: Vec<&str> = plan
        .changes
        .iter()
        .filter(|it| it.address.kind == Kind::Worker && it.action == Action::Update)
        .map(|it| it.address.name.as_str())
        .collect();
    updated.sort_unstable();
    assert_eq!(updated, ["attic-a", "attic-b"], "{}", summary(&plan));
    let is_worker = |it: &&stargate::plan::Change| {
        it.address.kind == Kind::Worker && it.address.name == "attic-a"
    };
    let change = plan.changes.iter().find(is_worker).unwrap();
    let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
    assert_eq!(fields, ["routes"], "{}", summary(&plan));
    deployment.iterate().await;
    for worker in ["attic-a", "attic-b"] {
        assert_eq!(next_hops(&deployment, worker), ["10.60.0.7"]);
    }
    for options in [RefreshOptions::default(), RefreshOptions::deep()] {
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    }
}

/// A worker stays in the cluster while the host at its new address does not answer, or is
/// another one.
#[tokio::test(start_paused = true)]
async fn a_worker_is_not_given_up_before_its_new_host_was_probed() {
    for stranger in [false, true] {
        let before = applied().await;
        let deployment = before.edited(&TWO_DATACENTERS.replace("10.60.1.5", "10.60.1.9"));
        if stranger {
            deployment.sandbox.change(|sandbox, _| {
                sandbox.seed_machine("stranger", [10, 60, 1, 9].into(), None, false);
            });
        }
        let plan = deployment.plan().await;
        let is_worker = |it: &&stargate::plan::Change| {
            it.address.kind == Kind::Worker && it.address.name == "attic-a"
        };
        let change = plan.changes.iter().find(is_worker).unwrap();
        assert_eq!(change.action, Action::Replace, "{}", summary(&plan));
        let pods = pods_on(&deployment, "attic-a");
        let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
        let applied = deployment.apply(&options).await;
        let failed = failures(&applied).join("\n");
        assert!(failed.contains("its new host was probed first"), "{failed}");
        let expected = if stranger { "has the name stranger" } else { "HostUnreachable" };
        assert!(failed.contains(expected), "{failed}");
        let node = node(&deployment, "attic-a").unwrap();
        assert_ne!(node["spec"]["unschedulable"], true, "{failed}");
        assert_eq!(pods_on(&deployment, "attic-a"), pods);
        assert!(!next_hops(&deployment, "attic-a").is_empty(), "the host was not reset");
    }
}

fn pods_on(deployment: &Deployment, node: &str) -> Vec<String> {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let pods = store.list("v1", "Pod", None).into_iter();
        let on_node = pods.filter(|pod| pod["spec"]["nodeName"] == node);
        on_node.filter_map(|pod| Some(pod["metadata"]["name"].as_str()?.to_owned())).collect()
    })
}

/// A machine that was carried to another network, whose datacenter is added in the same
/// edit: it leaves once the new router is ready, and is reset at its new address.
#[tokio::test(start_paused = true)]
async fn a_machine_that_moved_to_a_new_datacenter_is_reset_there() {
    let before = applied().await;
    let worker = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\n\
                  mac = \"52:54:00:00:00:05\"\n";
    assert!(TWO_DATACENTERS.contains(worker));
    let edited = TWO_DATACENTERS.replace(worker, "")
        + "\n[datacenters.loft]\npod_pool = \"10.244.208.0/20\"\nprofile = \"standard\"\n\
           existing.network_cidr = \"10.80.0.0/16\"\n\
           router = { name = \"loft-router\", ip = \"10.80.0.4\" }\n\
           workers = [{ name = \"attic-a\", ip = \"10.80.1.5\", mac = \"52:54:00:00:00:05\" }]\n";
    let deployment = before.edited(&edited);
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("attic-a").unwrap().ip = [10, 80, 1, 5].into();
    });
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(next_hops(&deployment, "attic-a"), ["10.80.0.4"]);
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
}

/// The addresses of a range of machines shift by one, so that each machine but the first takes
/// the name of another one: all serve as before until they change.
#[tokio::test(start_paused = true)]
async fn a_range_of_machines_shifts_by_one_address() {
    let (head, _) = TWO_DATACENTERS.split_once("[[datacenters.attic.workers]]").unwrap();
    let text = format!(
        "{head}[datacenters.attic.worker_range]\nname = \"attic-{{:02}}\"\ncount = 4\n\
         first_ip = \"10.60.1.5\"\n"
    );
    let before = Deployment::of(&text, SandboxState::new(6));
    before.iterate().await;
    let deployment = before.edited(&text.replace("10.60.1.5", "10.60.1.6"));
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let workers = plan.changes.iter().filter(|it| it.address.kind == Kind::Worker);
    let fields: Vec<String> = workers
        .flat_map(|change| change.fields().iter().map(|it| it.path.to_string()).collect::<Vec<_>>())
        .collect();
    assert_eq!(fields, ["ip"; 4], "{}", summary(&plan));
    assert_eq!(plan.reachability.unexamined.len(), 0, "{:?}", plan.reachability.unexamined);
    let applied = deployment.apply(&options).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
}

/// The topology gives the router an address that its machine does not have: the workers keep
/// their routes to the one that it has, until the two agree.
#[tokio::test(start_paused = true)]
async fn an_address_that_the_router_does_not_have_blocks_its_site() {
    let before = applied().await;
    let deployment = before.edited(&TWO_DATACENTERS.replace("10.60.0.4", "10.60.0.7"));
    let plan = deployment.plan().await;
    let router = plan.blocked.iter().find(|it| it.address.kind == Kind::RouterHost).unwrap();
    assert_eq!(router.failure.code, Code::RouterAddress, "{}", summary(&plan));
    let text = &router.failure.message;
    assert!(text.contains("attic-router has 10.60.0.4, and not 10.60.0.7"), "{text}");
    let remedy = &router.failure.remedy;
    assert!(remedy.contains("set `ip = \"10.60.0.4\"` in [datacenters.attic.router]"), "{remedy}");
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    assert_eq!(next_hops(&deployment, "attic-a"), ["10.60.0.4"]);
    assert_eq!(plan.reachability.broken + plan.reachability.lost, 0, "{:?}", plan.reachability);
}

/// The machine of the router got another address on its network: the packets of its workers
/// are dropped, whatever the topology says.
#[tokio::test(start_paused = true)]
async fn a_router_that_lost_its_address_is_not_reached() {
    let deployment = applied().await;
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("attic-router").unwrap().ip = [10, 60, 0, 7].into();
    });
    let plan = deployment.plan().await;
    assert!(plan.reachability.broken > 0, "{:?}", plan.reachability);
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let edited = deployment.edited(&TWO_DATACENTERS.replace("10.60.0.4", "10.60.0.7"));
    let plan = edited.plan().await;
    assert!(plan.blocked.is_empty(), "{}", summary(&plan));
    edited.iterate().await;
    assert_eq!(next_hops(&edited, "attic-a"), ["10.60.0.7"]);
}

/// A new datacenter whose router has another address than the topology says is left out.
#[tokio::test(start_paused = true)]
async fn a_new_router_without_its_address_is_left_alone() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(5));
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("attic-router").unwrap().ip = [10, 60, 0, 7].into();
    });
    let text = TWO_DATACENTERS
        .replace("name = \"attic-router\"", "name = \"attic-router\"\nssh_address = \"10.60.0.7\"");
    let deployment = deployment.edited(&text);
    let plan = deployment.plan().await;
    let of_attic = plan.changes.iter().filter(|it| it.address.to_string().contains("/attic/"));
    assert_eq!(of_attic.count(), 0, "{}", summary(&plan));
    assert!(plan.blocked.iter().any(|it| it.failure.code == Code::RouterAddress));
    deployment.apply(&RefreshOptions::default()).await;
    let joined = deployment.sandbox.read(|it| it.hosts.get("attic-router").unwrap().in_tailnet());
    assert!(!joined, "the router stays as it is");
}
