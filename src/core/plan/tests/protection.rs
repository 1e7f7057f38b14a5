//! Protected resources, and the resources that they need.

use super::case::{
    Case, address, blocked, done, group, inside, interface, key, machine, nothing_special, subnet,
    table,
};
use crate::diagnostics::Code;
use crate::plan::Action;
use crate::resource::Ownership;

const GROUP: &str = "resource-group/dc/group";
const SUBNET: &str = "subnet/dc/subnet";
const NIC: &str = "network-interface/dc/nic";
const MACHINE: &str = "virtual-machine/dc/router";
const TABLE: &str = "route-table/dc/table";

/// A protected machine in a subnet with a table on it.
fn protected() -> Case {
    Case::default()
        .keeps(GROUP, group("here"), nothing_special)
        .keeps(TABLE, table("10.0.0.0/8"), inside(GROUP))
        .keeps("route-table/dc/unused", table("10.0.0.0/8"), inside(GROUP))
        .keeps(SUBNET, subnet("10.0.0.0/24", Some(TABLE)), inside(GROUP))
        .keeps(NIC, interface(4), inside(SUBNET))
        .keeps(MACHINE, machine("small", NIC), |resource| {
            inside(NIC)(resource);
            resource.protect = true;
        })
}

#[test]
fn protected_resources_and_their_containers_are_kept() {
    let plan = protected().plan_to_destroy();
    for home in [GROUP, SUBNET, NIC, MACHINE] {
        let blocked = blocked(&plan, home);
        assert_eq!(
            (blocked.failure.code, blocked.action),
            (Code::Protected, Action::Delete),
            "{home}"
        );
        let itself = home == MACHINE;
        assert_eq!(blocked.caused_by, (!itself).then(|| address(MACHINE)), "{home}");
    }
    let plan = protected().wants(GROUP, group("there"), nothing_special).plan();
    assert!(plan.changes.is_empty(), "{}", super::summary(&plan));
    assert_eq!(blocked(&plan, GROUP).action, Action::Replace);
}

#[test]
fn protected_resources_may_be_updated() {
    let plan = protected()
        .wants(MACHINE, machine("large", NIC), |resource| resource.protect = true)
        .plan();
    assert_eq!(done(&plan), ["~ virtual-machine/dc/router"]);
}

#[test]
fn a_plan_that_destroys_deletes_nothing_while_something_is_protected() {
    let plan = protected().plan_to_destroy();
    assert_eq!(done(&plan), [""; 0]);
    let unused = blocked(&plan, "route-table/dc/unused");
    assert_eq!(
        (unused.failure.code, &unused.caused_by),
        (Code::Protected, &Some(address(MACHINE)))
    );
    let table = blocked(&plan, TABLE);
    assert_eq!((table.failure.code, &table.caused_by), (Code::Protected, &Some(address(MACHINE))));
    assert!(table.failure.message.contains("nothing is deleted"), "{}", table.failure.message);
}

#[test]
fn a_group_with_a_foreign_object_is_kept() {
    let with_stranger = |mut case: Case| {
        case.inventory.foreign_contents.insert(key(GROUP), vec!["theirs".to_owned()]);
        case
    };
    let kept = with_stranger(Case::default().keeps(GROUP, group("here"), nothing_special));
    assert!(kept.plan().is_empty(), "as long as the group stays, it may hold what it likes");
    let plan = kept.plan_to_destroy();
    assert_eq!(blocked(&plan, GROUP).failure.code, Code::GroupHasForeignObjects);
    let moved = kept.wants(GROUP, group("there"), nothing_special).keeps(
        TABLE,
        table("10.0.0.0/8"),
        inside(GROUP),
    );
    let plan = moved.plan();
    assert!(plan.changes.is_empty(), "{}", super::summary(&plan));
    let group = blocked(&plan, GROUP);
    assert_eq!((group.failure.code, group.action), (Code::GroupHasForeignObjects, Action::Replace));
    assert!(group.failure.message.contains("theirs"), "{}", group.failure.message);
    assert_eq!((plan.unchanged, plan.blocked.len()), (1, 1), "{}", super::summary(&plan));
}

#[test]
fn references_of_foreign_objects_are_kept() {
    let case = Case::default()
        .has(SUBNET, subnet("10.0.0.0/24", Some(TABLE)))
        .has(TABLE, table("10.0.0.0/8"))
        .has_with(NIC, interface(4), Ownership::Foreign);
    let plan = case.plan_to_destroy();
    assert!(plan.changes.is_empty(), "{}", super::summary(&plan));
    let reason = &blocked(&plan, SUBNET).failure.message;
    assert!(reason.contains("nic, which the topology does not own"), "{reason}");
    assert_eq!(blocked(&plan, TABLE).caused_by, Some(address(SUBNET)));
    // A subnet of another range would have to go as well.
    let plan = case.wants(SUBNET, subnet("10.0.9.0/24", Some(TABLE)), nothing_special).plan();
    assert_eq!(blocked(&plan, SUBNET).action, Action::Replace);
}

#[test]
fn references_of_blocked_resources_are_kept() {
    let renamed = "route-table/dc/renamed";
    let plan = Case::default()
        .wants(renamed, table("10.0.0.0/8"), nothing_special)
        .has_with(renamed, table("10.0.0.0/8"), Ownership::Foreign)
        .wants(NIC, interface(5), |resource| {
            resource.depends_on.push(address(renamed));
        })
        .has(NIC, interface(4))
        .has(SUBNET, subnet("10.0.0.0/24", None))
        .plan();
    assert!(plan.changes.is_empty(), "{}", super::summary(&plan));
    assert_eq!(blocked(&plan, SUBNET).caused_by, Some(address(NIC)));
}

/// The group contains the machine's resources; an edit of its region is refused.
fn moved_group() -> Case {
    Case::default().wants(GROUP, group("there"), nothing_special).has(GROUP, group("here")).keeps(
        TABLE,
        table("10.0.0.0/8"),
        inside(GROUP),
    )
}

#[test]
fn a_container_is_replaced_only_if_it_is_named() {
    let refused = Case { replace: Some(Default::default()), ..moved_group() }.plan();
    assert_eq!(done(&refused), [""; 0]);
    let group = blocked(&refused, GROUP);
    assert_eq!(group.failure.code, Code::ReplacementNotRequested);
    let message = &group.failure.message;
    assert!(["`location`", "here", "there", TABLE].iter().all(|it| message.contains(it)));
    let named = Case { replace: Some([address(GROUP)].into()), ..moved_group() }.plan();
    assert_eq!(done(&named).len(), 2, "{}", super::summary(&named));
    assert!(named.blocked.is_empty());
}

#[test]
fn a_container_of_nothing_is_replaced_without_being_named() {
    let empty =
        Case::default().wants(GROUP, group("there"), nothing_special).has(GROUP, group("here"));
    let plan = Case { replace: Some(Default::default()), ..empty }.plan();
    assert!(plan.blocked.is_empty(), "{}", super::summary(&plan));
}
