//! Single routes of the topology in route tables of other owners: which of them are the
//! topology's, and when they are added and removed.

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::provider::http::Api;
use stargate::resource::settings::AutoApply;
use stargate::resource::{ArmId, Kind};

use crate::absence::mutation::{How, Mutation};
use crate::absence::rewriting::Answers;
use crate::existing_tables::{
    NAME, REGION, ROUTER, actions_of, applied, body, change_route, deployment, existing, firewall,
    group, is_ours, live, network, put, route, routes_of_owner, status, table, text,
};
use crate::harness::{Deployment, RefreshOptions, failures, summary};

const OUTSIDE: &str = "10.244.200.0/24";
const OTHER_OUTSIDE: &str = "10.244.201.0/24";

fn name_of(prefix: &str) -> String {
    format!("stargate-{NAME}-{}", prefix.replace('/', "-"))
}

fn spoke() -> ArmId {
    group("hub").in_group("Microsoft.Network/routeTables", "spoke")
}

/// A table of the hub with the topology's routes, on a subnet of a VNet that has no nodes.
async fn add_spoke(deployment: &Deployment, routes: Vec<Value>) -> Value {
    put(deployment, &group("hub"), json!({ "location": REGION })).await;
    put(deployment, &spoke(), table(routes)).await;
    let subnet = json!({ "addressPrefix": "10.90.0.0/24", "routeTable": { "id": spoke() } });
    let network = json!({ "location": REGION, "properties": {
        "addressSpace": { "addressPrefixes": ["10.90.0.0/16"] },
        "subnets": [{ "name": "servers", "properties": subnet }],
    }});
    let id = group("hub").in_group("Microsoft.Network/virtualNetworks", "spoke-vnet");
    put(deployment, &id, network).await;
    routes_in(deployment, &spoke()).await
}

async fn routes_in(deployment: &Deployment, table: &ArmId) -> Value {
    body(deployment, table).await["properties"]["routes"].clone()
}

fn copied_routes() -> Vec<Value> {
    let copy = |prefix: &str| route(&name_of(prefix), prefix, ROUTER);
    vec![copy("10.50.0.0/16"), copy("10.77.0.0/16")]
}

fn deletes_routes(plan: &Plan) -> bool {
    actions_of(plan).contains(&(Action::Delete, Kind::Route))
}

async fn attach(deployment: &Deployment, table: Option<&ArmId>) {
    let subnet = network().child("subnets", "nodes");
    let mut changed = body(deployment, &subnet).await;
    let properties = changed["properties"].as_object_mut().unwrap();
    match table {
        Some(table) => _ = properties.insert("routeTable".to_owned(), json!({ "id": table })),
        None => _ = properties.remove("routeTable"),
    }
    put(deployment, &subnet, changed).await;
}

/// Names prove nothing in a table that is on no subnet of nodes: its owner copied the routes.
#[tokio::test(start_paused = true)]
async fn routes_that_an_owner_copies_to_another_table_are_left() {
    for deployment in [applied().await, Deployment::example_applied().await] {
        let copied = add_spoke(&deployment, copied_routes()).await;
        let plan = deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
        let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
        assert_eq!(status(&destroyed), (ApplyStatus::Converged, Vec::new()));
        assert_eq!(routes_in(&deployment, &spoke()).await, copied);
    }
}

/// A table on no subnet at all may be one that a subnet of nodes had.
#[tokio::test(start_paused = true)]
async fn routes_in_a_table_that_was_detached_are_removed() {
    let deployment = applied().await;
    attach(&deployment, None).await;
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let (routes, _) = live(&deployment).await;
    assert!(!routes.iter().any(is_ours), "{routes:?}");
}

/// The VNet's answer is older than the table's: the subnet has the table again.
#[tokio::test(start_paused = true)]
async fn an_attached_table_keeps_its_routes_although_the_network_does_not_name_it() {
    let deployment = applied().await;
    let before = live(&deployment).await;
    let answers = Answers::default();
    let deployment = deployment.with_answers(&answers);
    answers.set(Some(Mutation {
        api: Api::Azure,
        identity: network().to_string().to_ascii_lowercase(),
        how: How::HideField("/properties/subnets/0/properties/routeTable".to_owned()),
    }));
    let plan = deployment.plan().await;
    assert!(!deletes_routes(&plan), "{}", summary(&plan));
    deployment.apply(&RefreshOptions::default()).await;
    answers.set(None);
    let (after, _) = live(&deployment).await;
    assert_eq!(after, before.0);
}

/// The owner attaches the table after the plan was made.
#[tokio::test(start_paused = true)]
async fn routes_are_not_deleted_from_a_table_that_was_attached_since() {
    let deployment = applied().await;
    attach(&deployment, None).await;
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let name = name_of("10.50.0.0/16");
    change_route(&deployment, &name, Some(route(&name, "10.50.0.0/16", ROUTER))).await;
    let plan = deployment.plan().await;
    assert_eq!(actions_of(&plan), [(Action::Delete, Kind::Route)], "{}", summary(&plan));
    attach(&deployment, Some(&firewall())).await;
    let applied = deployment.apply_once(&plan).await;
    assert!(failures(&applied).iter().any(|it| it.contains("firewall")), "{applied:?}");
    let (routes, _) = live(&deployment).await;
    assert!(routes.iter().any(is_ours), "{routes:?}");
}

/// The subnet cannot get the topology's table, which another owner's object prevents.
#[tokio::test(start_paused = true)]
async fn routes_stay_while_the_association_is_blocked() {
    let deployment = applied().await;
    let own =
        group("their-network").in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    put(&deployment, &own, table(Vec::new())).await;
    let deployment = deployment.edited(&text(""));
    let plan = deployment.plan().await;
    let is_association =
        |it: &&stargate::plan::Blocked| it.address.kind == Kind::RouteTableAssociation;
    let association = plan.blocked.iter().find(is_association).unwrap().address.to_string();
    let plan = deployment.refresh_and_plan(&RefreshOptions::adopting(&association)).await.plan;
    assert!(plan.blocked.iter().any(|it| is_association(&it)), "{}", summary(&plan));
    assert!(!deletes_routes(&plan), "{}", summary(&plan));
}

fn worker_at(from: &str, to: &str) -> String {
    let edited = existing().replacen(from, to, 1);
    assert_ne!(edited, existing());
    edited
}

async fn applied_with(text: &str) -> Deployment {
    let deployment = deployment(text, routes_of_owner()).await;
    let applied = deployment.iterate().await;
    assert_eq!(failures(&applied), Vec::<String>::new());
    deployment
}

fn is_route_to(address: &stargate::resource::Address, prefix: &str) -> bool {
    address.kind == Kind::Route && address.name.ends_with(&prefix.replace('/', "-"))
}

/// A worker is drained once the route to its next range exists.
#[tokio::test(start_paused = true)]
async fn a_new_route_precedes_the_worker_that_gets_its_range() {
    let deployment = applied_with(&existing()).await;
    let deployment = deployment.edited(&worker_at("10.244.65.0/24", OUTSIDE));
    let plan = deployment.plan().await;
    let created = plan.changes.iter().find(|it| is_route_to(&it.address, OUTSIDE)).unwrap();
    assert_eq!(created.action, Action::Create, "{}", summary(&plan));
    let is_worker = |it: &&stargate::plan::Change| it.address.kind == Kind::Worker;
    let worker = plan.changes.iter().find(is_worker).unwrap();
    assert!(worker.destroy_after.contains(&created.address), "{:?}", worker.destroy_after);
}

/// The route to the range that a worker leaves is withdrawn by the same apply.
#[tokio::test(start_paused = true)]
async fn the_withdrawal_of_an_earlier_route_is_planned_and_made() {
    let swap = worker_at("10.244.65.0/24", "10.244.66.0/24");
    let (head, tail) = swap.rsplit_once("10.244.66.0/24").unwrap();
    let exchanged = format!("{head}10.244.67.0/24{tail}");
    for text in [existing(), exchanged] {
        let deployment = applied_with(&worker_at("10.244.65.0/24", OUTSIDE)).await;
        let deployment = deployment.edited(&text);
        let plan = deployment.plan().await;
        let mut deferred = plan.deferred.iter();
        let is_withdrawal = |it: &stargate::plan::Deferred| {
            it.action == Action::Delete && is_route_to(&it.address, OUTSIDE)
        };
        assert!(deferred.any(is_withdrawal), "{}", summary(&plan));
        let applied = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(status(&applied), (ApplyStatus::Converged, Vec::new()));
        let (routes, _) = live(&deployment).await;
        assert!(!routes.iter().any(|it| it.1 == OUTSIDE), "{routes:?}");
    }
}

/// A route of the owner that serves the topology is not added a second time.
#[tokio::test(start_paused = true)]
async fn an_equal_route_of_the_owner_counts_once() {
    let (after, _) = live(&applied().await).await;
    let ours = after.iter().filter(|it| is_ours(it)).count();
    let mut routes = vec![route("same", "10.50.0.0/16", ROUTER)];
    let free = 400 - (ours - 1);
    routes.extend((1..free).map(|number| {
        let prefix = format!("172.{}.{}.0/24", 16 + number / 256, number % 256);
        route(&format!("theirs-{number}"), &prefix, "10.100.0.4")
    }));
    let deployment = deployment(&existing(), routes.clone()).await;
    let plan = deployment.plan().await;
    assert!(plan.findings.is_empty(), "{}", summary(&plan));
    routes.push(route("one-more", "172.31.0.0/16", "10.100.0.4"));
    put(&deployment, &firewall(), table(routes)).await;
    let plan = deployment.plan().await;
    let [finding] = &plan.findings[..] else { panic!("{}", summary(&plan)) };
    assert!(finding.failure.message.contains("401 routes"), "{}", finding.failure);
}

/// No list has the owner's table. Without the setting its routes are found all the same.
#[tokio::test(start_paused = true)]
async fn routes_in_a_table_that_no_list_has_are_removed_without_the_setting() {
    let deployment = applied().await;
    let answers = Answers::default();
    let deployment = deployment.edited(&text("")).with_answers(&answers);
    answers.set(Some(Mutation {
        api: Api::Azure,
        identity: firewall().to_string().to_ascii_lowercase(),
        how: How::HideFromLists,
    }));
    let blocked = deployment.plan().await.blocked.first().unwrap().address.to_string();
    let adopting = RefreshOptions::adopting(&blocked);
    assert_eq!(status(&deployment.apply(&adopting).await), (ApplyStatus::Converged, Vec::new()));
    let (routes, _) = live(&deployment).await;
    assert!(!routes.iter().any(is_ours), "{routes:?}");
}

/// The plan of `apply = "routes"`, and the actions on the route to a prefix that it makes and
/// that await approval.
async fn unattended(deployment: &Deployment, prefix: &str) -> (Vec<Action>, Vec<Action>) {
    let options = RefreshOptions { unattended: Some(AutoApply::Routes), ..Default::default() };
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let made = plan.changes.iter().filter(|it| is_route_to(&it.address, prefix));
    let awaiting = plan.awaiting_approval.iter().filter(|it| is_route_to(&it.address, prefix));
    (made.map(|it| it.action).collect(), awaiting.map(|it| it.action).collect())
}

#[tokio::test(start_paused = true)]
async fn routes_to_workers_wait_for_their_joins_and_departures() {
    let deployment = applied_with(&worker_at("10.244.65.0/24", OUTSIDE)).await;
    let joined = format!(
        "{}\n[[datacenters.dc1.workers]]\nname = \"new\"\nip = \"10.50.1.7\"\n\
         pod_cidr = \"{OTHER_OUTSIDE}\"\n",
        worker_at("10.244.65.0/24", OUTSIDE)
    );
    let joining = deployment.edited(&joined);
    assert_eq!(unattended(&joining, OTHER_OUTSIDE).await, (vec![], vec![Action::Create]));
    let block = "[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-1\"\n\
                 ip = \"10.50.1.5\"\npod_cidr = \"10.244.65.0/24\"\n";
    let leaving = deployment.edited(&worker_at(block, ""));
    assert_eq!(unattended(&leaving, OUTSIDE).await, (vec![], vec![Action::Delete]));
}

/// A route that leads to nothing of the topology is removed as it is from a table of its own.
#[tokio::test(start_paused = true)]
async fn stale_single_routes_are_removed_without_approval() {
    let deployment = applied().await;
    let stale = "10.99.0.0/16";
    change_route(&deployment, &name_of(stale), Some(route(&name_of(stale), stale, ROUTER))).await;
    assert_eq!(unattended(&deployment, stale).await, (vec![Action::Delete], vec![]));
}
