//! Node pools of AKS: those of others, and every change of ours.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::provider::azure::client::Precondition;
use stargate::resource::{ArmId, Kind, Resource};
use stargate::sandbox::{SandboxState, arm};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

const POOL: &str = "[cluster.node_pools.nodepool1]\nmin = 2                                  \
                    # for the autoscaler; count = 2 is a fixed number\nmax = 5\n\
                    vm_size = \"Standard_D2ads_v5\"\n";

/// The example with other node pools.
pub(crate) fn with_pools(pools: &str) -> String {
    assert!(EXAMPLE.contains(POOL));
    EXAMPLE.replace(POOL, pools)
}

pub(crate) fn pool(name: &str, settings: &str) -> String {
    let size = if settings.contains("vm_size") { "" } else { "vm_size = \"Standard_D2ads_v5\"\n" };
    format!("[cluster.node_pools.{name}]\n{size}{settings}\n")
}

pub(crate) fn cluster_id() -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2")
        .in_group("Microsoft.ContainerService/managedClusters", "stargate-aks-e2e-2")
}

/// The pools by their names in Azure.
pub(crate) fn live_pools(deployment: &Deployment) -> Vec<Value> {
    deployment.sandbox.read(|sandbox| {
        let cluster = sandbox.arm.get(&cluster_id()).unwrap();
        cluster["properties"]["agentPoolProfiles"].as_array().unwrap().clone()
    })
}

pub(crate) fn names(deployment: &Deployment) -> Vec<String> {
    let pools = live_pools(deployment);
    pools.iter().map(|pool| pool["name"].as_str().unwrap().to_owned()).collect()
}

/// Changes the AKS cluster as Azure or its owner could.
pub(crate) fn change_cluster(deployment: &Deployment, change: impl FnOnce(&mut Value)) {
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        arm.modify(&cluster_id(), |body| change(&mut body["properties"]), &mut || {
            entropy.next_guid()
        });
    });
}

/// The network that AKS made for its nodes.
pub(crate) fn node_network(deployment: &Deployment) -> ArmId {
    deployment.sandbox.read(|sandbox| {
        let networks = sandbox.arm.list("Microsoft.Network/virtualNetworks");
        let of_nodes = networks.into_iter().find(|(id, _)| id.to_string().contains("/MC_"));
        of_nodes.unwrap().0.clone()
    })
}

/// The addresses of AKS's nodes, and the next hops of the routes to their pods.
pub(crate) fn nodes_and_routes(deployment: &Deployment) -> (BTreeSet<String>, BTreeSet<String>) {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let nodes = store.list("v1", "Node", None).into_iter();
        let nodes = nodes.filter(|node| {
            node["metadata"]["labels"]["kubernetes.azure.com/agentpool"].is_string()
        });
        let address =
            |node: &Value| node["status"]["addresses"][0]["address"].as_str().map(str::to_owned);
        let tables = sandbox.arm.list("Microsoft.Network/routeTables");
        let (_, table) =
            tables.into_iter().find(|(id, _)| id.name() == "stargate-router-rt").unwrap();
        let routes = table["properties"]["routes"].as_array().unwrap().iter();
        let hop =
            |route: &Value| route["properties"]["nextHopIpAddress"].as_str().map(str::to_owned);
        (nodes.filter_map(address).collect(), routes.filter_map(hop).collect())
    })
}

/// Every node of AKS has its route, and there is no other one.
pub(crate) fn routes_are_complete(deployment: &Deployment) {
    let (nodes, routes) = nodes_and_routes(deployment);
    assert_eq!(nodes, routes);
}

pub(crate) async fn converges(deployment: &Deployment, options: &RefreshOptions) {
    let applied = deployment.apply(options).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failures = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{failures}\n{left}");
    let plan = deployment.plan().await;
    assert!(plan.is_empty(), "{}", summary(&plan));
    routes_are_complete(deployment);
}

pub(crate) fn allowing_loss() -> RefreshOptions {
    RefreshOptions { allow_loss: true, ..RefreshOptions::default() }
}

pub(crate) async fn applied(pools: &str) -> Deployment {
    let deployment = Deployment::of(&with_pools(pools), SandboxState::new(21));
    deployment.iterate().await;
    assert!(deployment.plan().await.is_empty());
    deployment
}

pub(crate) fn two_pools() -> String {
    pool("system", "count = 2") + &pool("apps", "count = 2")
}

/// The actions on node pools, planned or deferred.
pub(crate) fn on_pools(plan: &Plan) -> Vec<(Action, String)> {
    let changes = plan.changes.iter().map(|it| (it.action, &it.address));
    let deferred = plan.deferred.iter().map(|it| (it.action, &it.address));
    let of_pools = changes.chain(deferred).filter(|(_, address)| address.kind == Kind::NodePool);
    of_pools.map(|(action, address)| (action, address.name.to_string())).collect()
}

/// Notes the phases of steps.
#[derive(Default)]
struct Phases(Mutex<Vec<(String, String)>>);

impl Reporter for Phases {
    fn event(&self, event: &Event) {
        if let Event::PhaseStarted { address, phase } = event {
            self.0.lock().unwrap().push((address.to_string(), phase.clone()));
        }
    }
}

/// Gives one pool a subnet of this name; the others are in the subnet of AKS.
pub(crate) async fn put_in_own_subnet(deployment: &Deployment, pool_name: &str, name: &str) {
    let network = node_network(deployment);
    let subnet = |name: &str| network.child("subnets", name);
    let body = json!({ "properties": { "addressPrefix": "10.230.0.0/24" } });
    deployment.clients.azure.put(&subnet(name), &body, Precondition::None).await.unwrap();
    change_cluster(deployment, |cluster| {
        for pool in cluster["agentPoolProfiles"].as_array_mut().unwrap() {
            let name = if pool["name"] == pool_name { name } else { "aks-subnet" };
            pool["vnetSubnetID"] = json!(subnet(name).to_string());
        }
    });
}

async fn put_pool(deployment: &Deployment, name: &str, properties: Value) {
    let id = cluster_id().child("agentPools", name);
    let body = json!({ "properties": properties });
    deployment.clients.azure.put(&id, &body, Precondition::None).await.unwrap();
}

/// Another client adds a pool, as `az aks nodepool add` does.
#[tokio::test(start_paused = true)]
async fn a_pool_of_others_is_reported_and_gets_routes() {
    let deployment = Deployment::example_applied().await;
    let theirs = json!({
        "count": 1, "vmSize": "Standard_D2s_v5", "mode": "User", "tags": { "cost": "7" },
    });
    put_pool(&deployment, "theirs", theirs).await;
    let before = live_pools(&deployment);
    let plan = deployment.plan().await;
    let finding = plan.findings.iter().find(|it| it.failure.code == Code::ForeignNodePool);
    assert!(finding.unwrap().failure.message.contains("theirs"));
    assert_eq!(on_pools(&plan), []);
    assert_eq!(plan.count(Action::Delete), 0);
    assert_eq!(plan.reachability.lost, 0);
    converges(&deployment, &RefreshOptions::default()).await;
    assert_eq!(live_pools(&deployment), before);
    // An update of the cluster and of our own pool leaves theirs alone.
    let edited = deployment.edited(&EXAMPLE.replace("max = 5", "max = 6"));
    converges(&edited, &RefreshOptions::default()).await;
    let theirs = |pools: &[Value]| pools.iter().find(|it| it["name"] == "theirs").cloned().unwrap();
    let mut now = theirs(&live_pools(&edited));
    now["eTag"] = theirs(&before)["eTag"].clone();
    assert_eq!(now, theirs(&before));
}

/// A pool of others may be in a subnet of their own: a new pool of ours is not put into it.
#[tokio::test(start_paused = true)]
async fn a_new_pool_does_not_take_the_subnet_of_a_pool_of_others() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let theirs = json!({ "count": 1, "vmSize": "Standard_D2s_v5", "mode": "User" });
    put_pool(&deployment, "aa", theirs).await;
    put_in_own_subnet(&deployment, "aa", "theirs").await;
    let plan = deployment.edited(&with_pools(&two_pools())).plan().await;
    let created = plan.changes.iter().find_map(|change| match &change.after {
        Some(Resource::NodePool(pool)) if pool.key == "apps" => Some(pool.subnet.clone()),
        _ => None,
    });
    let expected = node_network(&deployment).child("subnets", "aks-subnet");
    assert_eq!(created, Some(Some(expected)), "{}", summary(&plan));
}

#[tokio::test(start_paused = true)]
async fn tags_of_the_cluster_alone_do_not_make_a_pool_ours() {
    let deployment = Deployment::example_applied().await;
    let tags = json!({ "managed-by": "stargate", "stargate-topology": "stargate-aks-e2e-2" });
    let theirs = json!({ "count": 1, "vmSize": "Standard_D2s_v5", "mode": "User", "tags": tags });
    put_pool(&deployment, "theirs", theirs).await;
    converges(&deployment, &RefreshOptions::default()).await;
    assert!(names(&deployment).contains(&"theirs".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_pool_of_others_is_adopted_on_request_only() {
    let deployment = applied(&pool("system", "count = 2")).await;
    let theirs = json!({ "count": 2, "vmSize": "Standard_D2ads_v5", "mode": "User" });
    put_pool(&deployment, "apps", theirs).await;
    deployment.iterate().await;
    let edited = deployment.edited(&with_pools(&two_pools()));
    let plan = edited.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.failure.code, Code::NotOwned);
    converges(&edited, &RefreshOptions::adopting("node-pool/cluster/apps")).await;
    let apps = live_pools(&edited).into_iter().find(|it| it["name"] == "apps").unwrap();
    assert_eq!(apps["tags"]["stargate-pool"], "apps");
}

#[tokio::test(start_paused = true)]
async fn removing_a_pool_counts_drains_and_loses_its_pairs() {
    let deployment = applied(&two_pools()).await;
    let edited = deployment.edited(&with_pools(&pool("system", "count = 2")));
    let plan = edited.plan().await;
    assert_eq!(on_pools(&plan), [(Action::Delete, "apps".to_owned())]);
    assert_eq!(plan.count(Action::Delete), 1);
    let deletion = plan.changes.iter().find(|it| it.address.kind == Kind::NodePool).unwrap();
    assert!(deletion.interrupts.as_ref().unwrap().contains("evicted"));
    // Two nodes of six, with the worker pairs and those between AKS's nodes.
    assert_eq!(plan.reachability.lost, 6 * 5 - 4 * 3);
    assert_eq!(plan.reachability.losses[0].resource.as_ref(), Some(&deletion.address));
    // The routes of its nodes go in the same plan, after it.
    let routes = plan.changes.iter().find(|it| it.address.name.as_str() == "stargate-router-rt");
    assert!(routes.unwrap().depends_on.contains(&deletion.address), "{}", summary(&plan));
    let writes = edited.writes();
    let refused = edited.apply(&RefreshOptions::default()).await;
    assert!(matches!(
        &refused.status,
        ApplyStatus::Partial(failure) if failure.code == Code::ReachabilityLost
    ));
    assert_eq!(edited.writes(), writes);
    let phases = Phases::default();
    let planned = edited.refresh_and_plan(&allowing_loss()).await;
    let done = edited.apply_planned(&allowing_loss(), planned, &phases).await;
    assert_eq!(done.status, ApplyStatus::Converged);
    let drains = phases.0.lock().unwrap().clone();
    let drains = drains
        .iter()
        .filter(|(address, phase)| address == "node-pool/cluster/apps" && phase == "drain");
    assert_eq!(drains.count(), 2);
    assert_eq!(names(&edited), ["system"]);
    routes_are_complete(&edited);
}

/// Consequences of an approved plan need no second approval.
#[tokio::test(start_paused = true)]
async fn adding_and_scaling_pools_needs_one_approval() {
    let mut deployment = applied(&pool("system", "count = 2")).await;
    for pools in [
        pool("system", "count = 4"),
        pool("system", "count = 2"),
        pool("system", "min = 3\nmax = 5"),
        pool("system", "min = 1\nmax = 6"),
        pool("system", "count = 3"),
        two_pools(),
        pool("system", "count = 2") + &pool("apps", "min = 0\nmax = 3"),
    ] {
        deployment = deployment.edited(&with_pools(&pools));
        let plan = deployment.plan().await;
        assert!(!on_pools(&plan).is_empty(), "{}", summary(&plan));
        assert_eq!(plan.reachability.unknown, 0, "{}", summary(&plan));
        assert!(!plan.reachability.is_refused(), "{}", summary(&plan));
        converges(&deployment, &RefreshOptions::default()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn labels_taints_surge_and_mode_change_in_place() {
    let deployment = applied(&two_pools()).await;
    let settings = "count = 2\nmode = \"system\"\nmax_surge = \"50%\"\n\
                    labels = { \"example.com/team\" = \"blue\" }\n\
                    taints = [\"example.com/team=blue:NoSchedule\"]";
    let edited =
        deployment.edited(&with_pools(&(pool("system", "count = 2") + &pool("apps", settings))));
    let plan = edited.plan().await;
    assert_eq!(on_pools(&plan), [(Action::Update, "apps".to_owned())]);
    converges(&edited, &RefreshOptions::default()).await;
    let apps = |deployment: &Deployment| {
        live_pools(deployment).into_iter().find(|it| it["name"] == "apps").unwrap()
    };
    assert_eq!(apps(&edited)["mode"], "System");
    assert_eq!(apps(&edited)["upgradeSettings"]["maxSurge"], "50%");
    assert_eq!(apps(&edited)["nodeLabels"], json!({ "example.com/team": "blue" }));
    // They go again, and the system pool becomes a user pool once another one is.
    let last = pool("system", "count = 2\nmode = \"user\"") + &pool("apps", "count = 2");
    let edited = edited.edited(&with_pools(&last));
    converges(&edited, &RefreshOptions::default()).await;
    assert_eq!(apps(&edited)["nodeLabels"], json!({}));
    let tainted = edited.sandbox.read(|sandbox| {
        let nodes = sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None);
        nodes.into_iter().any(|node| node["spec"]["taints"].to_string().contains("blue"))
    });
    assert!(!tainted);
}

/// No state of a pool or of the cluster leads to a deletion.
#[tokio::test(start_paused = true)]
async fn provisioning_states_never_lead_to_a_deletion() {
    for state in
        ["Updating", "Upgrading", "Deleting", "Failed", "Canceled", "Creating", "Levitating"]
    {
        let deployment = applied(&two_pools()).await;
        change_cluster(&deployment, |cluster| {
            cluster["agentPoolProfiles"][1]["provisioningState"] = json!(state);
        });
        let plan = deployment.plan().await;
        let ends =
            plan.changes.iter().filter(|it| matches!(it.action, Action::Delete | Action::Replace));
        assert_eq!(ends.count(), 0, "{state}: {}", summary(&plan));
        let differs = !matches!(state, "Updating" | "Upgrading" | "Levitating");
        assert_eq!(!on_pools(&plan).is_empty(), differs, "{state}: {}", summary(&plan));
        change_cluster(&deployment, |cluster| {
            cluster["agentPoolProfiles"][1]["provisioningState"] = json!("Succeeded");
            cluster["provisioningState"] = json!(state);
        });
        let plan = deployment.plan().await;
        let ends =
            plan.changes.iter().filter(|it| matches!(it.action, Action::Delete | Action::Replace));
        assert_eq!(ends.count(), 0, "{state}: {}", summary(&plan));
    }
}

/// A pool that fails is written again, and ready afterwards.
#[tokio::test(start_paused = true)]
async fn a_failed_pool_is_repaired() {
    let deployment = applied(&two_pools()).await;
    change_cluster(&deployment, |cluster| {
        cluster["agentPoolProfiles"][1]["provisioningState"] = json!("Failed");
    });
    converges(&deployment, &RefreshOptions::default()).await;
    assert_eq!(live_pools(&deployment)[1]["provisioningState"], "Succeeded");
}

/// Pools go with their cluster: AKS refuses to delete the last system pool before.
#[tokio::test(start_paused = true)]
async fn destroy_deletes_pools_with_the_cluster() {
    let deployment = applied(&two_pools()).await;
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    assert_eq!(on_pools(&plan), []);
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
    assert!(deployment.sandbox.read(|sandbox| sandbox.arm.get(&cluster_id()).is_none()));
}

/// A new cluster is created with its pools, each with its own tag and mode.
#[tokio::test(start_paused = true)]
async fn a_new_cluster_has_all_its_pools() {
    let pools = pool("zz", "count = 2") + &pool("aa", "count = 1");
    let deployment = Deployment::of(&with_pools(&pools), SandboxState::new(22));
    let plan = deployment.plan().await;
    let cluster = plan.changes.iter().find(|it| it.address.kind == Kind::ManagedCluster).unwrap();
    let Some(Resource::ManagedCluster(cluster)) = &cluster.after else { panic!() };
    assert_eq!(cluster.node_pools.len(), 2);
    deployment.iterate().await;
    let live = live_pools(&deployment);
    let mode = |name: &str| live.iter().find(|it| it["name"] == name).unwrap()["mode"].clone();
    // The first in the file, not the first by name.
    assert_eq!((mode("zz"), mode("aa")), (json!("System"), json!("User")));
    routes_are_complete(&deployment);
}

/// A pool that is scaled to nothing loses as much as one that is removed.
#[tokio::test(start_paused = true)]
async fn scaling_a_pool_to_zero_loses_the_pairs_of_all_its_nodes() {
    let deployment = applied(&two_pools()).await;
    let scaled = |count| pool("system", "count = 2") + &pool("apps", &format!("count = {count}"));
    let plan = deployment.edited(&with_pools(&scaled(0))).plan().await;
    assert_eq!((plan.reachability.lost, plan.reachability.removed), (6 * 5 - 4 * 3, 0));
    assert!(plan.reachability.is_refused());
    let plan = deployment.edited(&with_pools(&scaled(1))).plan().await;
    assert_eq!((plan.reachability.lost, plan.reachability.removed), (0, 6 * 5 - 5 * 4));
}
