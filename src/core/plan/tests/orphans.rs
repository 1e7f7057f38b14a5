//! Objects that the topology owns and no longer lists.

use super::case::{Case, change, device, done, group, key, machine, nothing_special, table};
use crate::inventory::Source;
use crate::plan::Action;
use crate::resource::ownership::SiteName;
use crate::resource::tailnet::RouteSet;
use crate::resource::{Ownership, Pending, Resource};

const TABLE: &str = "route-table/dc/table";

#[test]
fn only_owned_objects_are_deleted() {
    let plan = Case::default()
        .has(TABLE, table("10.0.0.0/8"))
        .has_with("route-table/dc/theirs", table("10.0.0.0/8"), Ownership::Foreign)
        .has_with("route-table/dc/nobodys", table("10.0.0.0/8"), Ownership::Inherited)
        .plan();
    assert_eq!(done(&plan), ["- route-table/dc/table"]);
    let change = change(&plan, TABLE);
    assert_eq!((change.action, &change.after), (Action::Delete, &None));
    assert!(plan.blocked.is_empty());
}

#[test]
fn an_object_desired_at_another_address_is_kept() {
    // A table of the same ID that another datacenter desires.
    let site = SiteName("old".to_owned());
    let plan = Case::default()
        .wants(TABLE, table("10.0.0.0/8"), nothing_special)
        .has_with(TABLE, table("10.0.0.0/8"), Ownership::Ours { site })
        .plan();
    assert!(plan.is_empty(), "{}", super::summary(&plan));
}

#[test]
fn routes_are_deleted_with_their_device() {
    let prefixes = Pending::Known(Default::default());
    let routes = RouteSet { hostname: "router".to_owned(), prefixes };
    let plan = Case::default()
        .has("tailnet-device/dc/router", device(true))
        .has("advertised-routes/dc/router", Resource::AdvertisedRoutes(routes.clone()))
        .has("approved-routes/dc/router", Resource::ApprovedRoutes(routes))
        .plan();
    assert_eq!(done(&plan), ["- tailnet-device/dc/router"]);
}

#[test]
fn a_deletion_names_its_disruption() {
    let plan = Case::default().has("tailnet-device/dc/router", device(true)).plan();
    let interrupts = change(&plan, "tailnet-device/dc/router").interrupts.as_deref();
    assert!(interrupts.is_some_and(|text| text.contains("router")), "{interrupts:?}");
    let plan = Case::default().has(TABLE, table("10.0.0.0/8")).plan();
    assert_eq!(change(&plan, TABLE).interrupts, None);
}

/// A source may fail half way: the objects that it returned may still be desired.
#[test]
fn unread_sources_cause_no_deletions() {
    let machine = machine("small", "network-interface/dc/nic");
    let case = Case::default()
        .has("resource-group/dc/group", group("here"))
        .has("virtual-machine/dc/router", machine)
        .has("tailnet-device/dc/router", device(true));
    // The VM of a device may carry the record of its protection.
    let plan = case.clone().without(Source::Azure).plan();
    assert_eq!(done(&plan), Vec::<String>::new());
    let plan = case.without(Source::Tailscale).plan();
    assert!(!done(&plan).contains(&"- tailnet-device/dc/router".to_owned()));
    assert_eq!(done(&plan).len(), 2);
}

#[test]
fn destroy_plans_an_empty_desired_set() {
    let case = Case::default().keeps(TABLE, table("10.0.0.0/8"), nothing_special).wants(
        "route-table/dc/other",
        table("10.0.0.0/8"),
        nothing_special,
    );
    let plan = case.plan_to_destroy();
    assert_eq!(done(&plan), ["- route-table/dc/table"]);
    assert_eq!(change(&plan, TABLE).key, key(TABLE));
}
