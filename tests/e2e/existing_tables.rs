//! Subnets of AKS nodes with the route table of another owner, such as that of a hub's firewall.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::Code;
use stargate::plan::{Action, FindingSeverity, Plan, PlanStatus};
use stargate::provider::azure::Precondition;
use stargate::provider::http::Api;
use stargate::resource::names::TopologyName;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::{SandboxState, arm};

use crate::absence::mutation::{How, Mutation};
use crate::absence::rewriting::Answers;
use crate::destroy::foreign_cluster;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::rules::violation_texts;

pub(crate) const NAME: &str = "stargate-aks-e2e-2";
pub(crate) const REGION: &str = "canadacentral";
pub(crate) const ROUTER: &str = "10.237.0.4";

pub(crate) fn group(name: &str) -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, name)
}

pub(crate) fn network() -> ArmId {
    group("their-network").in_group("Microsoft.Network/virtualNetworks", "their-vnet")
}

pub(crate) fn firewall() -> ArmId {
    group("hub").in_group("Microsoft.Network/routeTables", "firewall")
}

pub(crate) fn route(name: &str, prefix: &str, hop: &str) -> Value {
    let properties = match hop.parse::<std::net::Ipv4Addr>() {
        Ok(_) => json!({ "addressPrefix": prefix, "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": hop }),
        Err(_) => json!({ "addressPrefix": prefix, "nextHopType": hop }),
    };
    json!({ "name": name, "properties": properties })
}

pub(crate) fn table(routes: Vec<Value>) -> Value {
    json!({ "location": REGION, "tags": { "owner": "hub team" }, "properties": {
        "disableBgpRoutePropagation": true, "routes": routes } })
}

pub(crate) fn routes_of_owner() -> Vec<Value> {
    vec![
        route("default", "0.0.0.0/0", "10.100.0.4"),
        route("on-premises", "172.16.0.0/12", "VirtualNetworkGateway"),
        route("monitor", "AzureMonitor", "Internet"),
        route("six", "2001:db8::/32", "VirtualNetworkGateway"),
    ]
}

pub(crate) async fn put(deployment: &Deployment, id: &ArmId, body: Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
    deployment.clients.azure.wait_until_idle(id).await.unwrap();
}

pub(crate) fn text(setting: &str) -> String {
    EXAMPLE.replace("[cluster]  ", &format!("[cluster]\nexisting = true\n{setting}\n# "))
}

pub(crate) fn existing() -> String {
    text("route_table = \"existing\"")
}

/// A cluster of others, on a subnet with the table of a hub's firewall.
pub(crate) async fn deployment(text: &str, routes: Vec<Value>) -> Deployment {
    let deployment = Deployment::of(text, SandboxState::new(16));
    for name in [NAME, "their-network", "hub"] {
        put(&deployment, &group(name), json!({ "location": REGION })).await;
    }
    put(&deployment, &firewall(), table(routes)).await;
    let nodes = json!({ "addressPrefix": "10.224.0.0/16", "routeTable": { "id": firewall() } });
    let body = json!({ "location": REGION, "properties": {
        "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] },
        "subnets": [{ "name": "nodes", "properties": nodes }],
    }});
    put(&deployment, &network(), body).await;
    let cluster = group(NAME).in_group("Microsoft.ContainerService/managedClusters", NAME);
    let body = foreign_cluster(json!({
        "name": "nodepool1", "mode": "System", "count": 2, "vmSize": "Standard_D4ads_v5",
        "vnetSubnetID": network().child("subnets", "nodes"),
    }));
    put(&deployment, &cluster, body).await;
    deployment
}

pub(crate) async fn applied() -> Deployment {
    let deployment = deployment(&existing(), routes_of_owner()).await;
    let applied = deployment.iterate().await;
    assert_eq!(failures(&applied), Vec::<String>::new());
    deployment
}

pub(crate) async fn body(deployment: &Deployment, id: &ArmId) -> Value {
    deployment.clients.azure.get(id).await.unwrap().unwrap()
}

/// The names, destinations and next hops of the table's routes, and its other settings.
pub(crate) async fn live(deployment: &Deployment) -> (Vec<(String, String, String)>, Value) {
    let table = body(deployment, &firewall()).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut routes: Vec<(String, String, String)> = table["properties"]["routes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|route| {
            let properties = &route["properties"];
            let hop = match &properties["nextHopIpAddress"] {
                Value::String(hop) => hop.clone(),
                _ => text(&properties["nextHopType"]),
            };
            (text(&route["name"]), text(&properties["addressPrefix"]), hop)
        })
        .collect();
    routes.sort();
    let settings = json!([table["tags"], table["properties"]["disableBgpRoutePropagation"]]);
    (routes, settings)
}

pub(crate) fn is_ours(route: &(String, String, String)) -> bool {
    route.0.starts_with(&format!("stargate-{NAME}-"))
}

pub(crate) async fn change_route(deployment: &Deployment, name: &str, body: Option<Value>) {
    let id = firewall().child("routes", name);
    match body {
        Some(body) => put(deployment, &id, body).await,
        None => deployment.clients.azure.delete(&id, Precondition::None).await.unwrap(),
    }
}

pub(crate) fn actions_of(plan: &Plan) -> Vec<(Action, Kind)> {
    plan.changes.iter().map(|it| (it.action, it.address.kind)).collect()
}

pub(crate) fn status(applied: &Applied) -> (ApplyStatus, Vec<String>) {
    (applied.status.clone(), failures(applied))
}

#[tokio::test(start_paused = true)]
async fn routes_are_kept_in_the_table_of_the_owner() {
    let deployment = deployment(&existing(), routes_of_owner()).await;
    let (before, settings) = live(&deployment).await;
    let earlier = deployment.sandbox.read(|sandbox| sandbox.log.entries().count());
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let planned = deployment.refresh_and_plan(&RefreshOptions::deep()).await;
    // The firewall is in no network of the topology.
    assert_eq!(violation_texts(&deployment, &planned), BTreeSet::new());
    let plan = planned.plan;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    assert_eq!(plan.reachability.lost, 0, "{}", summary(&plan));
    assert!(plan.findings.is_empty(), "{}", summary(&plan));
    let (after, settings_now) = live(&deployment).await;
    assert_eq!(settings, settings_now);
    let (ours, theirs): (Vec<_>, Vec<_>) = after.into_iter().partition(is_ours);
    assert_eq!(theirs, before);
    assert!(ours.len() >= 2 && ours.iter().all(|(_, _, hop)| hop == ROUTER), "{ours:?}");
    for (name, prefix, _) in &ours {
        let topology = TopologyName::new(NAME);
        let prefix = prefix.parse().unwrap();
        assert_eq!(*name, stargate::resource::route_name::route_name(&topology, &prefix));
    }
    // Nothing but single routes was written.
    deployment.sandbox.read(|sandbox| {
        let entries = sandbox.log.entries().skip(earlier);
        let writes = entries.filter(|it| it.api == Api::Azure && it.method != "GET");
        let to_table: Vec<&str> = writes.map(|it| it.path.as_str()).collect();
        assert!(
            !to_table.iter().any(|path| path.ends_with("routeTables/firewall")),
            "{to_table:?}"
        );
        assert!(!to_table.iter().any(|path| path.ends_with("subnets/nodes")), "{to_table:?}");
        assert!(to_table.iter().any(|path| path.contains("routeTables/firewall/routes/")));
    });
    let subnet = body(&deployment, &network().child("subnets", "nodes")).await;
    assert_eq!(subnet["properties"]["routeTable"]["id"], json!(firewall()));
    let own =
        group("their-network").in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    assert!(deployment.clients.azure.get(&own).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn drift_of_single_routes_is_repaired_and_the_owners_changes_are_left() {
    let deployment = applied().await;
    let (before, _) = live(&deployment).await;
    let mut ours = before.iter().filter(|it| is_ours(it));
    let (deleted, redirected) = (ours.next().unwrap(), ours.next().unwrap());
    change_route(&deployment, &deleted.0, None).await;
    let other = route(&redirected.0, &redirected.1, "10.100.0.4");
    change_route(&deployment, &redirected.0, Some(other)).await;
    let added = route("printer", "192.168.7.0/24", "10.100.0.9");
    change_route(&deployment, "printer", Some(added)).await;
    let plan = deployment.plan().await;
    let mut changes = actions_of(&plan);
    changes.sort();
    assert_eq!(changes, [(Action::Create, Kind::Route), (Action::Update, Kind::Route)]);
    assert!(plan.reachability.gained > 0, "{}", summary(&plan));
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let (after, _) = live(&deployment).await;
    let without_printer: Vec<_> = after.iter().filter(|it| it.0 != "printer").cloned().collect();
    assert_eq!(without_printer, before);
    assert_eq!(after.len(), before.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_removes_the_topologys_routes_only() {
    let deployment = deployment(&existing(), routes_of_owner()).await;
    let before = live(&deployment).await;
    deployment.iterate().await;
    let other = route("stargate-other-10.60.0.0-16", "10.60.0.0/16", "10.100.0.7");
    change_route(&deployment, "stargate-other-10.60.0.0-16", Some(other)).await;
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(status(&destroyed), (ApplyStatus::Converged, Vec::new()));
    change_route(&deployment, "stargate-other-10.60.0.0-16", None).await;
    assert_eq!(live(&deployment).await, before);
    let subnet = body(&deployment, &network().child("subnets", "nodes")).await;
    assert_eq!(subnet["properties"]["routeTable"]["id"], json!(firewall()));
}

/// The table is not in the lists, or may not be read at all.
#[tokio::test(start_paused = true)]
async fn a_table_that_cannot_be_read_is_not_empty() {
    let deployment = applied().await;
    let before = live(&deployment).await;
    let answers = Answers::default();
    let deployment = deployment.with_answers(&answers);
    let identity = firewall().to_string().to_ascii_lowercase();
    let mutation = |how| Mutation { api: Api::Azure, identity: identity.clone(), how };
    answers.set(Some(mutation(How::HideFromLists)));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    let garbled = How::Garble("/properties/routes/0/properties/nextHopType".to_owned());
    for how in [How::Refuse, garbled] {
        answers.set(Some(mutation(how.clone())));
        for destroying in [false, true] {
            let options = RefreshOptions { destroying, ..RefreshOptions::default() };
            let plan = deployment.refresh_and_plan(&options).await.plan;
            let context = format!("{how:?} {destroying}: {}", summary(&plan));
            assert_eq!(plan.status(), PlanStatus::Unknown, "{context}");
            assert!(!actions_of(&plan).iter().any(|(_, kind)| *kind == Kind::Route), "{context}");
            let named = |gap: &&stargate::inventory::Gap| gap.failure.message.contains("firewall");
            assert!(plan.gaps.iter().any(|gap| named(&gap)), "{context}");
        }
    }
    answers.set(None);
    assert_eq!(live(&deployment).await, before);
}

/// A route of the owner to the same destination is never replaced, and one to a part of it
/// is named.
#[tokio::test(start_paused = true)]
async fn routes_of_the_owner_that_take_packets_are_named() {
    let mut routes = routes_of_owner();
    routes.push(route("same", "10.50.0.0/16", "10.100.0.4"));
    let deployment = deployment(&existing(), routes).await;
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    let plan = deployment.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!((blocked.address.kind, blocked.failure.code), (Kind::Route, Code::ForeignRoute));
    assert!(blocked.failure.message.contains("route same"), "{}", blocked.failure);
    assert!(blocked.failure.remedy.contains(ROUTER), "{}", blocked.failure);
    // With the router as its next hop it serves the topology.
    let same = route("same", "10.50.0.0/16", ROUTER);
    change_route(&deployment, "same", Some(same)).await;
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    change_route(&deployment, "same", None).await;
    deployment.iterate().await;
    let part = route("part", "10.50.1.0/24", "10.100.0.4");
    change_route(&deployment, "part", Some(part)).await;
    let plan = deployment.plan().await;
    let [finding] = &plan.findings[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(finding.failure.code, Code::ForeignRoute);
    assert_eq!(finding.severity, FindingSeverity::Warning);
    assert!(finding.failure.message.contains("route part"), "{}", finding.failure);
}

/// Without the setting the table is not the topology's to change; the plan of an adoption
/// names the routes that the subnet loses.
#[tokio::test(start_paused = true)]
async fn the_routes_that_an_adoption_ends_are_shown() {
    let deployment = deployment(&text(""), routes_of_owner()).await;
    let plan = deployment.plan().await;
    let find = |plan: &Plan| {
        plan.blocked.iter().find(|it| it.address.kind == Kind::RouteTableAssociation).cloned()
    };
    let blocked = find(&plan).unwrap();
    assert_eq!(blocked.failure.code, Code::ForeignRouteTable);
    let remedy = &blocked.failure.remedy;
    assert!(remedy.contains("route_table = \"existing\""), "{remedy}");
    for lost in ["default (0.0.0.0/0 → 10.100.0.4)", "AzureMonitor", "2001:db8::/32"] {
        assert!(remedy.contains(lost), "{lost}: {remedy}");
    }
    let before = live(&deployment).await;
    let adopting = RefreshOptions::adopting(&blocked.address.to_string());
    let plan = deployment.refresh_and_plan(&adopting).await.plan;
    let adoption = plan.changes.iter().find(|it| it.address == blocked.address).unwrap();
    let lost = adoption.interrupts.clone().unwrap();
    assert!(lost.contains("default (0.0.0.0/0 → 10.100.0.4)"), "{lost}");
    assert_eq!(deployment.apply(&adopting).await.status, ApplyStatus::Converged);
    assert_eq!(live(&deployment).await, before);
}

/// The routes stay while the subnet keeps the owner's table, and go once it has the topology's.
#[tokio::test(start_paused = true)]
async fn the_setting_can_be_removed() {
    let deployment = applied().await;
    let before = live(&deployment).await;
    let deployment = deployment.edited(&text(""));
    let plan = deployment.plan().await;
    assert!(!actions_of(&plan).iter().any(|(_, kind)| *kind == Kind::Route), "{}", summary(&plan));
    assert_eq!(plan.reachability.lost, 0, "{}", summary(&plan));
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    assert_eq!(live(&deployment).await, before);
    let blocked = deployment.plan().await.blocked.first().unwrap().address.to_string();
    let adopting = RefreshOptions::adopting(&blocked);
    let plan = deployment.refresh_and_plan(&adopting).await.plan;
    assert_eq!(plan.reachability.lost, 0, "{}", summary(&plan));
    assert_eq!(status(&deployment.apply(&adopting).await), (ApplyStatus::Converged, Vec::new()));
    let (after, _) = live(&deployment).await;
    assert!(!after.iter().any(is_ours), "{after:?}");
    assert_eq!(after.len(), routes_of_owner().len());
    // And back: the subnet has the topology's table, which stays.
    let deployment = deployment.edited(&existing());
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
}

/// The owner attaches a table to a subnet that has had the topology's.
#[tokio::test(start_paused = true)]
async fn a_table_that_the_owner_attaches_later_gets_the_routes() {
    let deployment = deployment(&existing(), routes_of_owner()).await;
    let subnet = network().child("subnets", "nodes");
    let mut without = body(&deployment, &subnet).await;
    without["properties"].as_object_mut().unwrap().remove("routeTable");
    put(&deployment, &subnet, without).await;
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let own =
        group("their-network").in_group("Microsoft.Network/routeTables", "stargate-workers-rt");
    let mut with = body(&deployment, &subnet).await;
    assert_eq!(with["properties"]["routeTable"]["id"], json!(own));
    with["properties"]["routeTable"] = json!({ "id": firewall() });
    put(&deployment, &subnet, with).await;
    assert_eq!(status(&deployment.iterate().await), (ApplyStatus::Converged, Vec::new()));
    let (after, _) = live(&deployment).await;
    assert!(after.iter().any(is_ours), "{after:?}");
    assert!(deployment.clients.azure.get(&own).await.unwrap().is_none());
    assert_eq!(deployment.plan().await.status(), PlanStatus::Matches);
}

/// The routes of a renamed topology get its new name.
#[tokio::test(start_paused = true)]
async fn a_renamed_topology_takes_its_routes_over() {
    let deployment = applied().await;
    let renamed = existing().replacen(&format!("name = \"{NAME}\""), "name = \"renamed\"", 1);
    assert_ne!(renamed, existing());
    let deployment = deployment.edited(&renamed);
    let options =
        RefreshOptions { adopt_from: Some(TopologyName::new(NAME)), ..RefreshOptions::default() };
    let applied = deployment.apply(&options).await;
    assert_eq!(status(&applied), (ApplyStatus::Converged, Vec::new()));
    let (after, _) = live(&deployment).await;
    assert!(!after.iter().any(is_ours), "{after:?}");
    assert!(after.iter().any(|it| it.0.starts_with("stargate-renamed-")), "{after:?}");
}

/// `[[ignore]]` leaves the next hop of one route as it is.
#[tokio::test(start_paused = true)]
async fn a_single_route_can_be_ignored() {
    let deployment = applied().await;
    let (before, _) = live(&deployment).await;
    let (name, prefix, _) = before.iter().find(|it| is_ours(it)).unwrap();
    let end = prefix.replace('/', "-");
    let rule = format!(
        "\n[[ignore]]\naddress = \"route/cluster/firewall/{end}\"\nfield = \"next_hop\"\nreason = \"known\"\n"
    );
    let deployment = deployment.edited(&format!("{}{rule}", existing()));
    change_route(&deployment, name, Some(route(name, prefix, "10.100.0.4"))).await;
    let plan = deployment.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert_eq!(plan.ignored.len(), 1, "{}", summary(&plan));
}
