//! Facts that a plan invalidates.

use super::case::{Case, created_by, device, interface, machine, nothing_special, table};
use crate::desired::tests::generate::{SUBSCRIPTION, Sketch, all_facts, cluster_facts};
use crate::inventory::Inventory;
use crate::plan::surviving;
use crate::resource::azure::ResourceGroup;
use crate::resource::kubernetes::ObjectName;
use crate::resource::{ArmId, ObjectKey, Ownership, Resource};
use crate::topology::model::Topology;

fn topology() -> Topology {
    let sketch = Sketch { datacenters: Vec::new(), ..Sketch::default() };
    sketch.topology()
}

#[test]
fn unchanged_facts_are_not_stale() {
    let plan = Case::default()
        .wants("network-interface/dc/nic", interface(5), nothing_special)
        .has("network-interface/dc/nic", interface(4))
        .wants("route-table/dc/table", table("10.0.0.0/8"), nothing_special)
        .plan();
    let facts = all_facts(&topology());
    assert_eq!(surviving(&facts, &Inventory::default(), &plan), None);
}

#[test]
fn a_router_that_rejoins_gets_another_address() {
    let router = "virtual-machine/cluster/router";
    let mut facts = all_facts(&topology());
    facts.router_addresses.insert("router".to_owned(), [100, 64, 0, 77].into());
    let plan = Case::default()
        .wants(router, machine("small", "network-interface/dc/nic"), nothing_special)
        .has(router, machine("small", "network-interface/dc/other"))
        .keeps("tailnet-device/cluster/router", device(true), created_by(router))
        .plan();
    let (stays, _) = surviving(&facts, &Inventory::default(), &plan).unwrap();
    assert!(!stays.router_addresses.contains_key("router"));
    assert_eq!(stays.router_addresses.len(), facts.router_addresses.len() - 1);
    assert_eq!(stays.cluster, facts.cluster);
}

#[test]
fn deleting_a_cluster_makes_only_its_objects_stale() {
    let topology = topology();
    let facts = all_facts(&topology);
    let cluster = "managed-cluster/cluster/lab";
    let mut plan = Case::default()
        .wants(cluster, table("10.0.0.0/8"), nothing_special)
        .has(cluster, table("10.1.0.0/16"))
        .plan();
    for change in &mut plan.contents.changes {
        change.action = crate::plan::Action::Replace;
    }
    let mut inventory = Inventory::default();
    let node_group = cluster_facts(&topology).node_resource_group.to_uppercase();
    let in_group = |name: &str| {
        ObjectKey::Azure(ArmId::resource_group(SUBSCRIPTION, name).in_group("Microsoft.A/b", "c"))
    };
    let namespaced = ObjectName { kind: "Node".into(), namespace: None, name: "n".to_owned() };
    let keys = [
        in_group(&node_group),
        in_group("lab"),
        ObjectKey::Kubernetes(namespaced),
        ObjectKey::Host("router".to_owned()),
    ];
    for key in &keys {
        let value = Resource::ResourceGroup(ResourceGroup {
            location: "here".to_owned(),
            protected_by: None,
        });
        inventory.note(key.clone(), value, Ownership::Inherited);
    }
    let (stays, inventory) = surviving(&facts, &inventory, &plan).unwrap();
    assert_eq!((stays.cluster, stays.nodes.len()), (None, 0));
    let left: Vec<_> = inventory.iter().map(|(key, _)| key).collect();
    assert_eq!(left, [&keys[1], &keys[3]]);
}
