//! The decision about one resource.

use super::case::{
    Case, address, blocked, change, device, done, group, machine, nothing_special, table,
    table_after,
};
use crate::diagnostics::Code;
use crate::inventory::Source;
use crate::plan::{Action, PlanStatus};
use crate::resource::{ArmId, Ownership, Pending, Resource, azure::RouteTableAssociation};

const TABLE: &str = "route-table/dc/table";
const MACHINE: &str = "virtual-machine/dc/router";
const NIC: &str = "network-interface/dc/nic";

#[test]
fn missing_resources_are_created() {
    let plan = Case::default().wants(TABLE, table("10.0.0.0/8"), nothing_special).plan();
    assert_eq!(done(&plan), ["+ route-table/dc/table"]);
    let change = change(&plan, TABLE);
    assert_eq!((&change.before, &change.ownership), (&None, &None));
    assert_eq!(change.planned_because_of, "route-table/dc/table is desired");
    assert_eq!(plan.status(), PlanStatus::Differs);
}

#[test]
fn matching_resources_are_unchanged() {
    let plan = Case::default().keeps(TABLE, table("10.0.0.0/8"), nothing_special).plan();
    assert!(plan.is_empty());
    assert_eq!((plan.unchanged, plan.status()), (1, PlanStatus::Matches));
}

#[test]
fn differences_are_updated_with_their_precondition() {
    let plan = Case::default()
        .wants(TABLE, table("10.0.0.0/8"), nothing_special)
        .has(TABLE, table("10.1.0.0/16"))
        .plan();
    assert_eq!(done(&plan), ["~ route-table/dc/table"]);
    assert_eq!(change(&plan, TABLE).before, Some(table("10.1.0.0/16")));
}

#[test]
fn immutable_differences_are_replaced() {
    let elsewhere = machine("small", "network-interface/dc/other");
    let plan = Case::default()
        .wants(MACHINE, machine("small", NIC), nothing_special)
        .has(MACHINE, elsewhere)
        .plan();
    assert_eq!(done(&plan), ["-/+ virtual-machine/dc/router"]);
}

#[test]
fn blocks_foreign_objects() {
    // Even where it is as it should be.
    for there in [table("10.0.0.0/8"), table("10.1.0.0/16")] {
        let plan = Case::default()
            .wants(TABLE, table("10.0.0.0/8"), nothing_special)
            .has_with(TABLE, there, Ownership::Foreign)
            .plan();
        assert_eq!(done(&plan), Vec::<String>::new());
        let blocked = blocked(&plan, TABLE);
        assert_eq!((blocked.failure.code, blocked.action), (Code::NotOwned, Action::Adopt));
        assert!(
            blocked.failure.remedy.contains("--adopt route-table/dc/table"),
            "{}",
            blocked.failure.remedy
        );
        assert_eq!(plan.status(), PlanStatus::Blocked);
    }
}

#[test]
fn only_named_objects_are_adopted() {
    let mut case = Case::default();
    for name in [TABLE, "route-table/dc/other"] {
        case = case.wants(name, table("10.0.0.0/8"), nothing_special).has_with(
            name,
            table("10.0.0.0/8"),
            Ownership::Foreign,
        );
    }
    case.adopt.insert(address(TABLE));
    let plan = case.plan();
    assert_eq!(done(&plan), ["> route-table/dc/table"]);
    assert_eq!(change(&plan, TABLE).ownership, Some(Ownership::Foreign));
    assert_eq!(plan.blocked.len(), 1);
}

#[test]
fn a_foreign_route_table_on_a_subnet_has_its_own_code() {
    let name = "route-table-association/cluster/subnet";
    let association = |table: &str| {
        Resource::RouteTableAssociation(RouteTableAssociation {
            subnet: Pending::Known(ArmId::new("/subnet")),
            route_table: Some(ArmId::new(table)),
        })
    };
    let plan = Case::default()
        .wants(name, association("/ours"), nothing_special)
        .has_with(name, association("/x/theirs"), Ownership::Foreign)
        .plan();
    let blocked = blocked(&plan, name);
    assert_eq!(blocked.failure.code, Code::ForeignRouteTable);
    assert!(blocked.failure.message.contains("theirs"), "{}", blocked.failure.message);
}

#[test]
fn resources_of_an_unread_source_are_unreadable() {
    let plan = Case::default()
        .wants(TABLE, table("10.0.0.0/8"), nothing_special)
        .wants("tailnet-device/dc/router", device(true), nothing_special)
        .without(Source::Azure)
        .plan();
    assert_eq!(done(&plan), ["+ tailnet-device/dc/router"]);
    assert!(plan.blocked.is_empty() && plan.deferred.is_empty());
    assert_eq!(plan.status(), PlanStatus::Unknown);
}

#[test]
fn an_unread_cluster_makes_only_datacenter_tables_unreadable() {
    let cluster = "route-table/cluster/table";
    let plan = Case::default()
        .wants(TABLE, table("10.0.0.0/8"), nothing_special)
        .has(TABLE, table("10.1.0.0/16"))
        .wants(cluster, table("10.0.0.0/8"), nothing_special)
        .has(cluster, table("10.1.0.0/16"))
        .without(Source::Kubernetes)
        .plan();
    assert_eq!(done(&plan).len(), 1, "{}", super::summary(&plan));
}

#[test]
fn resources_with_unknown_values_are_deferred() {
    let desired = table_after("managed-cluster/cluster/lab");
    let plan = Case::default()
        .wants(TABLE, desired.clone(), nothing_special)
        .wants("route-table/dc/there", desired, nothing_special)
        .has("route-table/dc/there", table("10.0.0.0/8"))
        .plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    let deferred: Vec<_> = plan
        .deferred
        .iter()
        .map(|it| (it.address.name.as_str(), it.action, it.waits_for.clone()))
        .collect();
    let waits_for = vec![address("managed-cluster/cluster/lab")];
    assert_eq!(
        deferred,
        [("table", Action::Create, waits_for.clone()), ("there", Action::Update, waits_for)]
    );
    assert_eq!(plan.status(), PlanStatus::Differs);
}

#[test]
fn a_resource_without_a_key_is_deferred() {
    let plan = Case::default()
        .keeps("resource-group/dc/group", group("here"), nothing_special)
        .wants(TABLE, table("10.0.0.0/8"), |resource| {
            resource.key = None;
            resource.depends_on.push(address("resource-group/dc/group"));
        })
        .plan();
    assert_eq!(plan.deferred[0].waits_for, [address("resource-group/dc/group")]);
}

#[test]
fn an_offline_router_is_a_finding_that_explains_the_gap_of_its_host() {
    let name = "tailnet-device/dc/router";
    let plan = Case::default()
        .wants(name, device(true), nothing_special)
        .has(name, device(false))
        .without(Source::Host("router".to_owned()))
        .without(Source::Host("other".to_owned()))
        .plan();
    assert_eq!(blocked(&plan, name).failure.code, Code::RouterOffline);
    let unexplained: Vec<_> = plan.unexplained_gaps().map(|gap| gap.source.clone()).collect();
    assert_eq!(unexplained, [Source::Host("other".to_owned())]);
    let alone = Case::default().wants(name, device(true), nothing_special).has(name, device(false));
    // No apply starts the machine.
    assert_eq!(alone.plan().status(), PlanStatus::Blocked);
}
