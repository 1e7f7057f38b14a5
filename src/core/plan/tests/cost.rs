//! The cost of a plan.

use std::collections::BTreeMap;

use super::case::{Case, after, device, inside, interface, machine, nothing_special, table};
use crate::plan::StepGraph;
use crate::plan::cost::Cost;
use crate::resource::Api;

#[test]
fn an_empty_plan_costs_only_its_refresh() {
    let requests = BTreeMap::from([(Api::Azure, 12)]);
    let cost = Cost::of(&[], &StepGraph::default(), &requests);
    assert_eq!(cost, Cost { requests, ..Cost::default() });
}

#[test]
fn an_object_takes_one_write_and_a_replacement_two() {
    let plan = Case::default()
        .wants("route-table/dc/a", table("10.0.0.0/8"), nothing_special)
        .wants("network-interface/dc/nic", interface(5), nothing_special)
        .has("network-interface/dc/nic", interface(4))
        .has("route-table/dc/gone", table("10.0.0.0/8"))
        .plan();
    assert_eq!(plan.cost.apply_writes, BTreeMap::from([(Api::Azure, 4)]));
    assert_eq!(plan.cost.apply_requests, BTreeMap::from([(Api::Azure, 16)]));
}

#[test]
fn a_device_that_registers_itself_takes_no_write() {
    let name = "tailnet-device/dc/router";
    let made = Case::default().wants(name, device(true), nothing_special).plan();
    assert_eq!(made.cost.apply_writes[&Api::Tailscale], 0);
    let removed = Case::default().has(name, device(true)).plan();
    assert_eq!(removed.cost.apply_writes[&Api::Tailscale], 1);
}

#[test]
fn the_critical_path_counts_and_not_the_sum() {
    let nic = "network-interface/dc/nic";
    let router = "virtual-machine/dc/router";
    let plan = Case::default()
        .wants(nic, interface(4), nothing_special)
        .wants(router, machine("small", nic), inside(nic))
        .wants("tailnet-device/dc/router", device(true), inside(router))
        .wants("route-table/dc/a", table("10.0.0.0/8"), nothing_special)
        .wants("route-table/dc/b", table("10.0.0.0/8"), after("route-table/dc/a"))
        .plan();
    let path: Vec<String> = plan.cost.critical_path.iter().map(ToString::to_string).collect();
    assert_eq!(path, [nic, router, "tailnet-device/dc/router"]);
    assert_eq!(plan.cost.seconds, 10 + 60 + 60);
}
