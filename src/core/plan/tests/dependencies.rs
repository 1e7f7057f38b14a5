//! The order of changes.

use super::case::{
    Case, address, after, change, created_by, device, done, group, inside, interface, machine,
    manifest, network, nothing_special, subnet, table,
};
use crate::plan::Action;
use crate::resource::Resource;
use crate::resource::host::JoinedWorker;
use crate::resource::kubernetes::ManifestKind;

const NETWORK: &str = "virtual-network/dc/network";
const SUBNET: &str = "subnet/dc/subnet";
const NIC: &str = "network-interface/dc/nic";
const MACHINE: &str = "virtual-machine/dc/router";
const TABLE: &str = "route-table/dc/table";
const WORKER: &str = "worker/dc/router";

fn worker() -> Resource {
    Resource::Worker(
        JoinedWorker {
            name: "router".to_owned(),
            ip: [10, 0, 0, 4].into(),
            pod_cidr: "10.244.65.0/24".parse().unwrap(),
            provider_id: String::new(),
            labels: Default::default(),
            taints: Default::default(),
            kubelet_version: "1.33.5".parse().unwrap(),
            profile_digest: String::new(),
            routes: String::new(),
            ready: true,
            cordoned_for_work: false,
            host: crate::resource::Observable::unobserved(),
            protected_by: None,
        }
        .into(),
    )
}

#[test]
fn dependents_follow_their_dependencies() {
    let plan = Case::default()
        .wants("route-table/dc/a", table("10.0.0.0/8"), after("route-table/dc/z"))
        .wants("route-table/dc/z", table("10.0.0.0/8"), nothing_special)
        .wants("route-table/dc/m", table("10.0.0.0/8"), after("route-table/dc/unchanged"))
        .keeps("route-table/dc/unchanged", table("10.0.0.0/8"), nothing_special)
        .plan();
    assert_eq!(done(&plan), ["+ route-table/dc/m", "+ route-table/dc/z", "+ route-table/dc/a"]);
    assert_eq!(change(&plan, "route-table/dc/m").depends_on, []);
}

#[test]
fn creations_precede_deletions() {
    let plan = Case::default()
        .has("resource-group/dc/old", group("here"))
        .has("route-table/dc/a", table("10.0.0.0/8"))
        .wants("route-table/dc/z", table("10.0.0.0/8"), nothing_special)
        .wants("route-table/dc/y", table("10.0.0.0/8"), nothing_special)
        .has("route-table/dc/y", table("10.1.0.0/16"))
        .plan();
    assert_eq!(
        done(&plan),
        [
            "~ route-table/dc/y",
            "+ route-table/dc/z",
            "- resource-group/dc/old",
            "- route-table/dc/a",
        ]
    );
}

#[test]
fn deletes_in_reverse_order() {
    let plan = Case::default()
        .has("resource-group/dc/group", group("here"))
        .has(TABLE, table("10.0.0.0/8"))
        .has(NETWORK, network("10.0.0.0/16"))
        .has(SUBNET, subnet("10.0.0.0/24", Some(TABLE)))
        .has(NIC, interface(4))
        .has(MACHINE, machine("small", NIC))
        .has("tailnet-device/dc/router", device(true))
        .has(WORKER, worker())
        .has("server/dc/router", manifest(ManifestKind::Server, "router", Default::default()))
        .plan();
    let order = done(&plan);
    let position = |text: &str| {
        order.iter().position(|it| it.ends_with(text)).unwrap_or_else(|| panic!("{text}"))
    };
    for (first, then) in [
        (WORKER, "server/dc/router"),
        (WORKER, "tailnet-device/dc/router"),
        (WORKER, MACHINE),
        ("tailnet-device/dc/router", MACHINE),
        (MACHINE, NIC),
        (NIC, SUBNET),
        (SUBNET, TABLE),
        (SUBNET, NETWORK),
        (TABLE, "resource-group/dc/group"),
        (NETWORK, "resource-group/dc/group"),
    ] {
        assert!(position(first) < position(then), "{first} before {then}:\n{order:#?}");
    }
}

#[test]
fn a_resource_is_deleted_after_its_last_reference() {
    let plan = Case::default()
        .wants(SUBNET, subnet("10.0.0.0/24", None), nothing_special)
        .has(SUBNET, subnet("10.0.0.0/24", Some(TABLE)))
        .has(TABLE, table("10.0.0.0/8"))
        .plan();
    assert_eq!(done(&plan), ["~ subnet/dc/subnet", "- route-table/dc/table"]);
    assert_eq!(change(&plan, TABLE).depends_on, [address(SUBNET)]);
}

#[test]
fn routes_are_deleted_after_their_pods() {
    let plan = Case::default()
        .wants(TABLE, table("10.0.0.0/8"), nothing_special)
        .has(TABLE, table("10.1.0.0/16"))
        .has(WORKER, worker())
        .plan();
    assert_eq!(done(&plan), ["- worker/dc/router", "~ route-table/dc/table"]);
}

#[test]
fn a_replacement_follows_its_contents_and_names_the_disruption() {
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .has(MACHINE, machine("small", "network-interface/dc/other"))
        .keeps("tailnet-device/dc/router", device(true), created_by(MACHINE))
        .plan();
    let machine = change(&plan, MACHINE);
    assert_eq!(machine.destroy_after, [address("tailnet-device/dc/router")]);
    assert_eq!(machine.interrupts, None);
    let device = change(&plan, "tailnet-device/dc/router");
    assert!(device.interrupts.is_some() && device.destroy_after.is_empty());
    assert_eq!(device.depends_on, [address(MACHINE)]);
}

#[test]
fn contents_of_a_missing_container_are_destroyed_before_it_is_created() {
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .keeps("tailnet-device/dc/router", device(true), created_by(MACHINE))
        .plan();
    let machine = change(&plan, MACHINE);
    assert_eq!(machine.action, Action::Create);
    assert_eq!(machine.create_after_destroy_of, [address("tailnet-device/dc/router")]);
}

/// Azure deletes nothing that is pointed at.
#[test]
fn references_to_a_replaced_resource_are_replaced() {
    let elsewhere = |resource: Resource| match resource {
        Resource::RouteTable(mut table) => {
            table.location = "there".to_owned();
            Resource::RouteTable(table)
        }
        other => other,
    };
    let plan = Case::default()
        .wants(TABLE, elsewhere(table("10.0.0.0/8")), nothing_special)
        .has(TABLE, table("10.0.0.0/8"))
        .keeps(SUBNET, subnet("10.0.0.0/24", Some(TABLE)), after(TABLE))
        .keeps(NIC, interface(4), inside(SUBNET))
        .plan();
    assert_eq!(
        done(&plan),
        ["-/+ route-table/dc/table", "-/+ subnet/dc/subnet", "-/+ network-interface/dc/nic"]
    );
    assert_eq!(change(&plan, TABLE).destroy_after, [address(SUBNET)]);
    assert_eq!(change(&plan, SUBNET).caused_by, Some(address(TABLE)));
}

#[test]
fn an_address_is_claimed_after_its_release() {
    let new = "network-interface/dc/new";
    let plan = Case::default()
        .wants(new, interface(4), nothing_special)
        .has(NIC, interface(4))
        .wants("network-interface/dc/a", interface(5), nothing_special)
        .has("network-interface/dc/a", interface(6))
        .wants("network-interface/dc/b", interface(6), nothing_special)
        .has("network-interface/dc/b", interface(5))
        .plan();
    assert_eq!(change(&plan, new).depends_on, [address(NIC)]);
    for (one, other) in [("a", "b"), ("b", "a")] {
        let one = change(&plan, &format!("network-interface/dc/{one}"));
        let other = address(&format!("network-interface/dc/{other}"));
        assert_eq!(one.create_after_destroy_of, [other]);
        assert!(one.depends_on.is_empty());
    }
}

#[test]
fn a_prefix_is_released_after_its_addresses() {
    let plan = Case::default()
        .wants(NETWORK, network("10.1.0.0/16"), nothing_special)
        .has(NETWORK, network("10.0.0.0/16"))
        .wants(SUBNET, subnet("10.1.0.0/24", None), inside(NETWORK))
        .has(SUBNET, subnet("10.0.0.0/24", None))
        .wants("subnet/dc/other", subnet("10.1.1.0/24", None), inside(NETWORK))
        .has("subnet/dc/other", subnet("10.1.0.0/24", None))
        .plan();
    // The other one's range stays in the network, and is taken by the first.
    assert_eq!(change(&plan, NETWORK).create_after_destroy_of, [address(SUBNET)]);
    assert_eq!(change(&plan, SUBNET).create_after_destroy_of, [address("subnet/dc/other")]);
    assert_eq!(change(&plan, SUBNET).depends_on, [address(NETWORK)]);
    assert_eq!(change(&plan, "subnet/dc/other").create_after_destroy_of, []);
}

#[test]
fn a_consequence_names_its_cause() {
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .wants("tailnet-device/dc/router", device(true), created_by(MACHINE))
        .wants(TABLE, table("10.0.0.0/8"), after(MACHINE))
        .plan();
    assert_eq!(change(&plan, MACHINE).caused_by, None);
    assert_eq!(change(&plan, "tailnet-device/dc/router").caused_by, Some(address(MACHINE)));
    assert_eq!(change(&plan, TABLE).caused_by, None);
}
