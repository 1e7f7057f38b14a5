//! After an edit of the topology, an apply changes only what the edit requires.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Change, Plan};
use stargate::refresh::Scope;
use stargate::resource::{Api, Kind, ObjectKey, Site};
use stargate::sandbox::{SandboxState, arm};
use stargate::topology::names::SubscriptionId;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, KEY, RefreshOptions, TWO_DATACENTERS, summary};

fn position(plan: &Plan, address: &str) -> usize {
    let found = plan.changes.iter().position(|change| change.address.to_string() == address);
    found.unwrap_or_else(|| panic!("{address} is not in\n{}", summary(plan)))
}

fn addresses(plan: &Plan, action: Action) -> Vec<String> {
    let of_action = plan.changes.iter().filter(|change| change.action == action);
    let mut found: Vec<String> = of_action.map(|change| change.address.to_string()).collect();
    found.sort();
    found
}

fn is_azure(change: &Change) -> bool {
    matches!(change.key, ObjectKey::Azure(_) | ObjectKey::AzureAssociation(_))
}

/// The state equals that of a new sandbox with the edited topology.
async fn assert_same_as_new_sandbox(deployment: &Deployment, text: &str) {
    let fresh = Deployment::of(text, SandboxState::new(31));
    fresh.iterate().await;
    let expected = canonical_state(&fresh.copy_of_state());
    let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn inserting_a_worker_renumbers_no_other_worker() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    let second = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"";
    let between = format!("[[datacenters.cloud.workers]]\nname = \"cloud-between\"\n\n{second}");
    let text = TWO_DATACENTERS.replace(second, &between);
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    let on_cluster_site = |change: &&Change| change.address.site == Site::Cluster;
    let touched: Vec<_> =
        plan.changes.iter().filter(on_cluster_site).filter(|it| is_azure(it)).collect();
    assert!(touched.is_empty(), "{}", summary(&plan));
    assert_eq!(
        addresses(&plan, Action::Create),
        [
            "cilium-node/cloud/cloud-between",
            "network-interface/cloud/cloud-between-nic",
            "server/cloud/cloud-between",
            "virtual-machine/cloud/cloud-between",
            "worker/cloud/cloud-between",
        ]
    );
    // Only the worker's own datacenter routes the new pod CIDR.
    assert_eq!(
        addresses(&plan, Action::Update),
        [
            "route-table/cloud/lab-cloud-route-table",
            "route-table/cloud/lab-cloud-router-route-table",
            "router-host/cloud/cloud-router",
        ]
    );
    assert_eq!(plan.changes.len(), 8, "{}", summary(&plan));
    deployment.iterate().await;
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn removing_a_worker_deletes_all_of_its_objects_and_no_other() {
    let before = Deployment::example_applied().await;
    let (head, rest) = EXAMPLE.split_once("[[datacenters.dc1.workers]]").unwrap();
    let (_, second) = rest.split_once("[[datacenters.dc1.workers]]").unwrap();
    let text = format!("{head}[[datacenters.dc1.workers]]{second}");
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    let name = "stargate-aks-e2e-2-worker-1";
    // The CiliumNode is deleted with its Node.
    let mut deleted = [
        format!("network-interface/dc1/{name}-nic"),
        format!("server/dc1/{name}"),
        format!("virtual-machine/dc1/{name}"),
        format!("worker/dc1/{name}"),
    ];
    deleted.sort();
    assert_eq!(addresses(&plan, Action::Delete), deleted);
    assert_eq!(
        addresses(&plan, Action::Update),
        [
            "route-table/dc1/stargate-aks-e2e-2-dc-route-table",
            "route-table/dc1/stargate-aks-e2e-2-dc-router-route-table",
            "router-host/dc1/stargate-aks-e2e-2-dc-router",
        ]
    );
    assert_eq!(plan.changes.len(), 7, "{}", summary(&plan));
    // Pods are evicted before their routes are deleted, and the VM before its interface.
    let order = [
        format!("worker/dc1/{name}"),
        format!("virtual-machine/dc1/{name}"),
        format!("network-interface/dc1/{name}-nic"),
    ];
    assert!(order.map(|address| position(&plan, &address)).is_sorted(), "{}", summary(&plan));
    let left = position(&plan, &format!("worker/dc1/{name}"));
    for route in addresses(&plan, Action::Update) {
        assert!(left < position(&plan, &route), "{}", summary(&plan));
    }
    let worker = &plan.changes[left];
    assert!(worker.interrupts.as_ref().unwrap().contains(name), "{:?}", worker.interrupts);
    deployment.iterate().await;
    assert!(!canonical_state(&deployment.copy_of_state()).to_string().contains(name));
    assert_same_as_new_sandbox(&deployment, &text).await;
}

#[tokio::test(start_paused = true)]
async fn changing_the_router_subnet_replaces_objects_in_a_safe_order() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let deployment = before.edited(&text);
    let replacing = RefreshOptions::replacing(&["subnet/cluster/stargate-aks-router-subnet"]);
    let plan = deployment.refresh_and_plan(&replacing).await.plan;
    let router = "stargate-aks-e2e-2-router";
    let replaced = addresses(&plan, Action::Replace);
    for address in [
        "subnet/cluster/stargate-aks-router-subnet".to_owned(),
        format!("network-interface/cluster/{router}-nic"),
        format!("virtual-machine/cluster/{router}"),
        format!("tailnet-device/cluster/{router}"),
    ] {
        assert!(replaced.contains(&address), "{address} is not replaced:\n{}", summary(&plan));
    }
    // The objects in the subnet are replaced with it, and the plan lists the disruption.
    let interface =
        &plan.changes[position(&plan, &format!("network-interface/cluster/{router}-nic"))];
    assert!(interface.caused_by.is_some());
    let device = &plan.changes[position(&plan, &format!("tailnet-device/cluster/{router}"))];
    let interrupted = device.interrupts.as_deref().unwrap();
    assert!(interrupted.contains(router), "{interrupted}");
    // Each object is destroyed before its container and created after it.
    let interface_down = &interface.destroy_after;
    assert!(interface_down.iter().any(|it| it.kind == Kind::VirtualMachine), "{interface_down:?}");
    let subnet = &plan.changes[position(&plan, "subnet/cluster/stargate-aks-router-subnet")];
    assert!(subnet.destroy_after.iter().any(|it| it.kind == Kind::NetworkInterface));
    assert!(interface.depends_on.contains(&subnet.address));
    // The table of the AKS nodes gets the new next hop only after the new router exists.
    let table = position(&plan, "route-table/cluster/stargate-workers-rt");
    assert!(
        position(&plan, &format!("virtual-machine/cluster/{router}")) < table,
        "{}",
        summary(&plan)
    );
    assert!(plan.changes.iter().all(|it| it.address.kind != Kind::ManagedCluster));
    assert_eq!(deployment.apply(&replacing).await.status, ApplyStatus::Converged);
    assert!(deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
    assert_same_as_new_sandbox(&deployment, &text).await;
}

#[tokio::test(start_paused = true)]
async fn changing_a_datacenter_router_subnet_replaces_objects_in_a_safe_order() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE
        .replace("router_subnet_cidr = \"10.50.0.0/24\"", "router_subnet_cidr = \"10.50.2.0/24\"");
    let deployment = before.edited(&text);
    let replacing = RefreshOptions::replacing(&["subnet/dc1/stargate-router-subnet"]);
    assert_eq!(deployment.apply(&replacing).await.status, ApplyStatus::Converged);
    assert_same_as_new_sandbox(&deployment, &text).await;
}

#[tokio::test(start_paused = true)]
async fn protected_resources_are_not_replaced() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE
        .replace("10.237.0.0/24\"            #", "10.236.0.0/24\"\nprotect = true #")
        .replace("max = 5", "max = 6");
    let deployment = before.edited(&text);
    let plan = deployment.plan().await;
    assert!(!plan.blocked.is_empty(), "{}", summary(&plan));
    assert!(
        plan.blocked.iter().any(|it| it.address.kind == Kind::NetworkInterface),
        "{}",
        summary(&plan)
    );
    assert_eq!(addresses(&plan, Action::Replace), Vec::<String>::new(), "{}", summary(&plan));
    // The tables keep the address of the router that stays, and no pair is lost.
    let table = plan.blocked.iter().find(|it| it.address.kind == Kind::RouteTable);
    assert_eq!(table.map(|it| it.failure.code), Some(Code::Protected), "{}", summary(&plan));
    assert_eq!(plan.reachability.lost, 0);
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked);
    let now = deployment.plan().await;
    let pools: Vec<_> =
        now.changes.iter().filter(|it| it.address.kind == Kind::ManagedCluster).collect();
    assert!(pools.is_empty(), "the pool was not changed: {}", summary(&now));
}

/// The plan announces the exact number of requests of the apply.
#[tokio::test(start_paused = true)]
async fn a_plan_announces_its_number_of_requests() {
    let deployment = Deployment::example_applied().await;
    let plan = deployment.plan().await;
    assert!(plan.is_empty());
    for api in Api::ALL {
        assert!(plan.cost.requests[&api] > 0, "{api}");
    }
}

/// The key is put on a machine when it is created: another operator's key, or another comment,
/// replaces no machine.
#[tokio::test(start_paused = true)]
async fn another_public_key_replaces_no_machine() {
    let deployment = Deployment::example_applied().await;
    let subscription = SubscriptionId::new(arm::SUBSCRIPTION);
    for key in [format!("{KEY} of another operator"), KEY.replace("Stargate", "Another1")] {
        let other = Scope::new(&deployment.topology, subscription.clone(), key);
        let reading = deployment.read(&other).await;
        let plan = stargate::plan::plan(reading.input(&other));
        assert!(plan.is_empty(), "{}", summary(&plan));
    }
}
