//! `--adopt` never adopts objects of another topology. A renamed topology adopts its
//! objects under the former name by `--adopt-from`.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::provider::azure::client::Precondition;
use stargate::resource::{ArmId, Kind, Site};
use stargate::sandbox::{SandboxState, arm};
use stargate::topology::names::TopologyName;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};

const NEW: &str = "renamed";

fn former(text: &str) -> &str {
    let (_, rest) = text.split_once("[stargate]").unwrap();
    rest.split('"').nth(1).unwrap()
}

/// Adopts the objects of the topology's former name.
fn renamed_from(former: &str) -> RefreshOptions {
    let adopt_from = Some(TopologyName::new(former));
    RefreshOptions { adopt_from, ..RefreshOptions::default() }
}

fn renamed(text: &str) -> String {
    let old = former(text);
    let (head, rest) = text.split_once("[stargate]").unwrap();
    format!("{head}[stargate]{}", rest.replacen(&format!("\"{old}\""), &format!("\"{NEW}\""), 1))
}

/// Admits the new name's tag to the tailnet's policy, as the operator does.
fn admit_tag(deployment: &Deployment) {
    let topology = &deployment.topology;
    deployment.sandbox.change(|sandbox, _| sandbox.seed(topology));
}

async fn applied(text: &str) -> Deployment {
    let deployment = Deployment::of(text, SandboxState::new(21));
    deployment.iterate().await;
    deployment
}

fn blocked_by_other(plan: &Plan) -> usize {
    let of_other = |it: &&stargate::plan::Blocked| it.failure.code == Code::OwnedByOtherTopology;
    plan.blocked.iter().filter(of_other).count()
}

/// The marks of the former name that are left, in all services.
fn marks_of(sandbox: &SandboxState, name: &str) -> Vec<String> {
    let tag = format!("tag:stargate-{name}");
    let devices = sandbox.tailnet.devices().filter(|device| device.tags.contains(&tag));
    let mut found: Vec<String> = devices.map(|device| device.hostname.clone()).collect();
    let azure_text = serde_json::to_string(&sandbox.arm).unwrap();
    let kubernetes = serde_json::to_string(&sandbox.kubernetes).unwrap();
    let azure = format!("\"stargate-topology\":\"{name}\"");
    let label = format!("\"stargate.io/topology\":\"{name}\"");
    found
        .extend(azure_text.match_indices(&azure).map(|(at, _)| azure_text[at..at + 80].to_owned()));
    found.extend(
        kubernetes
            .match_indices(&label)
            .map(|(at, _)| kubernetes[at.saturating_sub(300)..at + 80].to_owned()),
    );
    found
}

#[tokio::test(start_paused = true)]
async fn a_renamed_topology_is_blocked_and_changes_nothing() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let before = applied(text).await;
        let deployment = before.edited(&renamed(text));
        admit_tag(&deployment);
        let writes = deployment.writes();
        let plan = deployment.plan().await;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        assert!(blocked_by_other(&plan) > 10, "{}", summary(&plan));
        let old = former(text);
        for blocked in &plan.blocked {
            if blocked.failure.code == Code::OwnedByOtherTopology && blocked.caused_by.is_none() {
                let failure = &blocked.failure;
                assert!(failure.message.contains(&format!("owned by topology `{old}`")));
                assert!(failure.remedy.contains(&format!("apply --adopt-from {old}")));
            }
        }
        let applied = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(applied.status, ApplyStatus::Blocked);
        assert_eq!(deployment.writes(), writes);
        let destroying = RefreshOptions::destroying();
        let plan = deployment.refresh_and_plan(&destroying).await.plan;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        let mut findings = plan.findings.iter().map(|it| &it.failure);
        assert!(findings.any(|it| it.message.contains(&format!("`{old}` owns"))));
        assert_eq!(plan.status(), PlanStatus::Wrong);
        deployment.apply(&destroying).await;
        assert_eq!(deployment.writes(), writes);
        // The topology under its former name goes on.
        assert!(before.plan().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_renamed_topology_takes_over_its_objects_in_one_apply() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let before = applied(text).await;
        let deployment = before.edited(&renamed(text));
        admit_tag(&deployment);
        let old = former(text);
        let options = renamed_from(old);
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.count(Action::Adopt), plan.changes.len(), "{}", summary(&plan));
        assert!(plan.blocked.is_empty() && plan.deferred.is_empty(), "{}", summary(&plan));
        assert_eq!(plan.reachability.lost, 0);
        let applied = deployment.apply(&options).await;
        let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
        let failed = failures(&applied).join("\n");
        assert_eq!(applied.status, ApplyStatus::Converged, "{failed}\n{left}");
        let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        assert!(plan.is_empty(), "{}", summary(&plan));
        assert_eq!(marks_of(&deployment.copy_of_state(), old), Vec::<String>::new());
        let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
        assert_eq!(destroyed.status, ApplyStatus::Converged);
    }
}

/// `--adopt` of an object of another topology would cut that topology off.
#[tokio::test(start_paused = true)]
async fn an_object_of_another_topology_is_not_adopted() {
    let deployment = applied(EXAMPLE).await;
    let table = "route-table/dc1/stargate-aks-e2e-2-dc-route-table";
    let id = ArmId::resource_group(arm::SUBSCRIPTION, "stargate-aks-e2e-2-dc")
        .in_group("Microsoft.Network/routeTables", "stargate-aks-e2e-2-dc-route-table");
    let azure = &deployment.clients.azure;
    let mut body = azure.get(&id).await.unwrap().unwrap();
    body["tags"]["stargate-topology"] = "another".into();
    azure.put(&id, &body, Precondition::None).await.unwrap();
    let writes = deployment.writes();
    let options = RefreshOptions::adopting(table);
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let blocked = plan.blocked.iter().find(|it| it.address.to_string() == table).unwrap();
    assert_eq!(blocked.failure.code, Code::OwnedByOtherTopology);
    assert!(blocked.failure.message.contains("topology `another`"));
    assert_eq!(plan.count(Action::Adopt), 0, "{}", summary(&plan));
    assert_eq!(deployment.apply(&options).await.status, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
    // An object without tags is adopted.
    body["tags"] = serde_json::json!({});
    azure.put(&id, &body, Precondition::None).await.unwrap();
    let plan = deployment.plan().await;
    let blocked = plan.blocked.iter().find(|it| it.address.to_string() == table).unwrap();
    assert!(blocked.failure.message.contains("not owned by any topology"));
    assert_eq!(deployment.apply(&options).await.status, ApplyStatus::Converged);
    assert!(deployment.plan().await.is_empty());
}

/// Another edit that needs a replacement waits until the objects are taken over.
#[tokio::test(start_paused = true)]
async fn a_renamed_topology_is_not_replaced_in_the_same_apply() {
    let before = applied(EXAMPLE).await;
    let text = renamed(EXAMPLE).replace("10.50.1.5", "10.50.1.9");
    let deployment = before.edited(&text);
    admit_tag(&deployment);
    let plan = deployment.refresh_and_plan(&renamed_from(former(EXAMPLE))).await.plan;
    let ends = |it: &stargate::plan::Change| matches!(it.action, Action::Delete | Action::Replace);
    assert!(!plan.changes.iter().any(ends), "{}", summary(&plan));
    let of_worker = plan
        .blocked
        .iter()
        .find(|it| it.address.kind == Kind::NetworkInterface && it.caused_by.is_none());
    let remedy = &of_worker.unwrap_or_else(|| panic!("{}", summary(&plan))).failure.remedy;
    assert!(remedy.contains("--adopt-from") && remedy.contains("undo"), "{remedy}");
    assert!(plan.changes.iter().any(|it| it.address.site == Site::Cluster));
}

/// Another topology with names and ranges of its own.
fn second(text: &str) -> String {
    let text = text.replace("stargate-aks-e2e-2", "second");
    text.replace("10.50.", "10.70.").replace("10.244.", "10.246.")
}

/// The objects of a cluster have fixed names: a second topology on it is refused by the
/// plan, with the reason.
#[tokio::test(start_paused = true)]
async fn a_second_topology_on_a_cluster_is_refused() {
    let first = applied(EXAMPLE).await;
    let cluster = "name = \"stargate-aks-e2e-2\"\nresource_group = \"stargate-aks-e2e-2\"";
    let own = second(EXAMPLE);
    let own_cluster = second(cluster);
    assert!(own.contains(&own_cluster));
    let (head, pools) = own.split_once("[cluster.node_pools").unwrap();
    let (_, rest) = pools.split_once("\n[network]").unwrap();
    let text = format!("{head}[network]{rest}")
        .replace(&own_cluster, cluster)
        .replace("[cluster]  ", "[cluster]\nexisting = true # ")
        .replace("10.246.", "10.244.")
        .replace("10.244.6", "10.244.8")
        .replace("10.244.84", "10.244.80");
    let deployment = first.edited(&text);
    let writes = deployment.writes();
    let plan = deployment.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert!(blocked_by_other(&plan) > 0, "{}", summary(&plan));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{}", summary(&plan));
    assert_eq!(deployment.writes(), writes);
    assert!(first.plan().await.is_empty());
}

/// Two topologies in one tailnet with one tag: neither deletes the routers of the other.
#[tokio::test(start_paused = true)]
async fn routers_of_another_topology_with_the_same_tag_are_not_deleted() {
    let first = applied(EXAMPLE).await;
    let tag = "[tailnet]\ntag = \"tag:stargate-stargate-aks-e2e-2\"";
    let text = second(EXAMPLE).replace("[tailnet]", tag);
    for options in [RefreshOptions::default(), RefreshOptions::destroying()] {
        let plan = first.edited(&text).refresh_and_plan(&options).await.plan;
        assert_eq!(plan.count(Action::Delete), 0, "{}", summary(&plan));
        for router in ["stargate-aks-e2e-2-router", "stargate-aks-e2e-2-dc-router"] {
            let mut findings = plan.findings.iter().map(|it| &it.failure);
            let names = |it: &stargate::diagnostics::Failure| {
                it.code == Code::OwnedByOtherTopology && it.message.contains(router)
            };
            assert!(findings.any(names), "{}", summary(&plan));
        }
    }
    assert!(first.plan().await.is_empty());
    // The remaining objects of a removed datacenter are deleted.
    let lab = applied(TWO_DATACENTERS).await;
    let (head, _) = TWO_DATACENTERS.split_once("[datacenters.attic]").unwrap();
    let plan = lab.edited(head).plan().await;
    let mut deletions = plan.changes.iter().filter(|it| it.action == Action::Delete);
    let is_device = |it: &stargate::plan::Change| it.address.kind == Kind::TailnetDevice;
    assert!(deletions.any(is_device), "{}", summary(&plan));
}

/// A route table of others that has the name of the topology's, on a subnet of AKS nodes.
#[tokio::test(start_paused = true)]
async fn a_foreign_route_table_of_the_same_name_stays_on_its_subnet() {
    let deployment = applied(EXAMPLE).await;
    let azure = &deployment.clients.azure;
    let group = ArmId::resource_group(arm::SUBSCRIPTION, "others");
    let place = serde_json::json!({ "location": "canadacentral" });
    azure.put(&group, &place, Precondition::None).await.unwrap();
    let table = group.in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    let body = serde_json::json!({ "location": "canadacentral", "properties": { "routes": [] } });
    azure.put(&table, &body, Precondition::None).await.unwrap();
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    let subnet = deployment.sandbox.read(|sandbox| {
        let mut networks = sandbox.arm.list("Microsoft.Network/virtualNetworks");
        let of_aks = |id: &ArmId| id.name().starts_with("aks-vnet");
        let (network, _) = networks.find(|(id, _)| of_aks(id)).unwrap();
        network.child("subnets", "aks-subnet")
    });
    let mut body = azure.get(&subnet).await.unwrap().unwrap();
    body["properties"]["routeTable"] = serde_json::json!({ "id": table.to_string() });
    azure.put(&subnet, &body, Precondition::None).await.unwrap();
    let writes = deployment.writes();
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.address.kind, Kind::RouteTableAssociation);
    assert_eq!(blocked.failure.code, Code::ForeignRouteTable);
    deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(deployment.writes(), writes);
    let adopting = RefreshOptions::adopting(&blocked.address.to_string());
    assert_eq!(deployment.apply(&adopting).await.status, ApplyStatus::Converged);
}
