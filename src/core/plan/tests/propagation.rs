//! Propagation of a decision to other resources.

use super::case::{
    Case, address, after, blocked, change, created_by, device, done, group, inside, interface, key,
    machine, manifest, nothing_special, subnet, table, table_after,
};
use crate::diagnostics::Code;
use crate::inventory::Source;
use crate::plan::Action;
use crate::resource::Ownership;
use crate::resource::kubernetes::ManifestKind;

const SUBNET: &str = "subnet/dc/subnet";
const NIC: &str = "network-interface/dc/nic";
const MACHINE: &str = "virtual-machine/dc/router";
const DEVICE: &str = "tailnet-device/dc/router";

/// An existing machine, and the device that its creation yields.
fn lost_device() -> Case {
    Case::default().keeps(MACHINE, machine("small", NIC), nothing_special).wants(
        DEVICE,
        device(true),
        created_by(MACHINE),
    )
}

#[test]
fn a_missing_companion_replaces_its_creator() {
    let plan = lost_device().plan();
    assert_eq!(done(&plan), ["-/+ virtual-machine/dc/router", "+ tailnet-device/dc/router"]);
    assert_eq!(change(&plan, DEVICE).caused_by, Some(address(MACHINE)));
}

#[test]
fn an_updated_machine_is_replaced_for_a_missing_companion() {
    let plan = Case::default()
        .wants(MACHINE, machine("large", NIC), nothing_special)
        .has(MACHINE, machine("small", NIC))
        .wants(DEVICE, device(true), created_by(MACHINE))
        .plan();
    assert_eq!(change(&plan, MACHINE).action, Action::Replace);
}

#[test]
fn a_recently_created_machine_is_not_replaced() {
    let mut case = lost_device();
    case.inventory.recently_created.insert(key(MACHINE));
    assert_eq!(done(&case.plan()), ["+ tailnet-device/dc/router"]);
}

#[test]
fn unread_resources_are_not_missing() {
    let plan = lost_device().without(Source::Tailscale).plan();
    assert!(plan.is_empty(), "{}", super::summary(&plan));
    let plan = lost_device().without(Source::Azure).plan();
    // It is unknown whether the machine exists.
    assert!(plan.changes.is_empty(), "{}", super::summary(&plan));
}

/// A subnet whose range was edited, and the resources in it.
fn moved_subnet() -> Case {
    Case::default()
        .wants(SUBNET, subnet("10.0.0.0/24", None), nothing_special)
        .has(SUBNET, subnet("10.0.1.0/24", None))
        .keeps(NIC, interface(4), inside(SUBNET))
        .keeps(MACHINE, machine("small", NIC), inside(NIC))
        .keeps(DEVICE, device(true), created_by(MACHINE))
}

#[test]
fn contents_of_a_replaced_container_are_replaced() {
    let plan = moved_subnet().plan();
    assert_eq!(
        done(&plan),
        [
            "-/+ subnet/dc/subnet",
            "-/+ network-interface/dc/nic",
            "-/+ virtual-machine/dc/router",
            "-/+ tailnet-device/dc/router",
        ]
    );
    assert_eq!(change(&plan, SUBNET).caused_by, None);
    assert_eq!(change(&plan, NIC).caused_by, Some(address(SUBNET)));
    assert_eq!(change(&plan, MACHINE).caused_by, Some(address(NIC)));
}

#[test]
fn replaces_contents_of_missing_container() {
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .keeps(DEVICE, device(true), created_by(MACHINE))
        .wants("router-host/dc/router", table("10.0.0.0/8"), inside(DEVICE))
        .plan();
    assert_eq!(
        done(&plan),
        ["+ virtual-machine/dc/router", "-/+ tailnet-device/dc/router", "+ router-host/dc/router",]
    );
}

#[test]
fn an_offline_device_is_deleted_with_its_missing_machine() {
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .wants(DEVICE, device(true), created_by(MACHINE))
        .has(DEVICE, device(false))
        .plan();
    assert_eq!(change(&plan, DEVICE).action, Action::Replace);
    assert!(plan.blocked.is_empty());
}

#[test]
fn dependents_that_are_not_contents_are_kept() {
    let plan = moved_subnet().keeps("route-table/dc/a", table("10.0.0.0/8"), after(SUBNET)).plan();
    assert_eq!(plan.unchanged, 1);
}

/// A source may fail half way: the objects that it returned are not replaced.
#[test]
fn unread_contents_are_not_replaced_with_their_container() {
    let set = manifest(ManifestKind::DaemonSet, "set", serde_json::json!({}));
    let plan = Case::default()
        .wants("resource-group/dc/group", group("here"), nothing_special)
        .has("resource-group/dc/group", group("there"))
        .keeps("daemon-set/dc/set", set, inside("resource-group/dc/group"))
        .without(Source::Kubernetes)
        .plan();
    assert_eq!(done(&plan), ["-/+ resource-group/dc/group"]);
}

#[test]
fn dependents_of_a_deferred_creation_are_deferred() {
    let first = "route-table/dc/a";
    let plan = Case::default()
        .wants(first, table_after("managed-cluster/cluster/lab"), nothing_special)
        .wants("route-table/dc/b", table("10.0.0.0/8"), after(first))
        .wants("route-table/dc/c", table("10.0.0.0/8"), after("route-table/dc/b"))
        .plan();
    let waits: Vec<_> = plan.deferred.iter().map(|it| it.waits_for[0].to_string()).collect();
    assert_eq!(waits, ["managed-cluster/cluster/lab", first, "route-table/dc/b"]);
}

#[test]
fn dependents_of_a_deferred_update_continue() {
    let first = "route-table/dc/a";
    let plan = Case::default()
        .wants(first, table_after("managed-cluster/cluster/lab"), nothing_special)
        .has(first, table("10.0.0.0/8"))
        .wants("route-table/dc/b", table("10.0.0.0/8"), after(first))
        .plan();
    assert_eq!(done(&plan), ["+ route-table/dc/b"]);
}

#[test]
fn a_gap_blocks_creations_and_not_updates() {
    let home = "tailnet-device/dc/router";
    let case = Case::default()
        .wants(home, device(true), nothing_special)
        .wants("route-table/dc/new", table("10.0.0.0/8"), after(home))
        .wants("route-table/dc/old", table("10.0.0.0/8"), after(home))
        .has("route-table/dc/old", table("10.1.0.0/16"));
    let plan = case.without(Source::Tailscale).plan();
    assert_eq!(done(&plan), ["~ route-table/dc/old"]);
    assert_eq!(blocked(&plan, "route-table/dc/new").failure.code, Code::SourceGap);
}

#[test]
fn dependents_of_a_blocked_change_are_blocked_with_its_code() {
    let first = "route-table/dc/a";
    let plan = Case::default()
        .wants(first, table("10.0.0.0/8"), nothing_special)
        .has_with(first, table("10.0.0.0/8"), Ownership::Foreign)
        .wants("route-table/dc/b", table("10.0.0.0/8"), after(first))
        .wants("route-table/dc/c", table("10.0.0.0/8"), after("route-table/dc/b"))
        .plan();
    assert!(plan.changes.is_empty());
    let last = blocked(&plan, "route-table/dc/c");
    assert_eq!(
        (last.failure.code, &last.caused_by),
        (Code::NotOwned, &Some(address("route-table/dc/b")))
    );
}

#[test]
fn a_resource_that_only_refers_to_a_foreign_object_is_updated() {
    let first = "route-table/dc/a";
    let case = Case::default()
        .wants(first, table("10.0.0.0/8"), nothing_special)
        .has_with(first, table("10.0.0.0/8"), Ownership::Foreign)
        .wants(SUBNET, subnet("10.0.0.0/24", Some(first)), after(first))
        .has(SUBNET, subnet("10.0.0.0/24", None));
    assert_eq!(done(&case.plan()), ["~ subnet/dc/subnet"]);
}
