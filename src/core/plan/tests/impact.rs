//! The effect on the network: states are examined by their differences, restarts interrupt,
//! remedies are minimal, and large plans get a safe order.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::damage::{damages, strike};
use super::laws::{config, edits};
use super::live_state::{LiveState, RefreshCase};
use super::steps::{reached, sources};
use crate::desired::tests::generate::{Sketch, SketchedDatacenter, SketchedWorker};
use crate::plan::impact::{
    Assessment, PathQuery, Remedy, assess, check_every_state, fewest_changes,
};
use crate::plan::{Action, Phase};
use crate::resource::{Kind, Pending, Resource};
use crate::topology::model::Topology;

fn topology(preserve: bool, datacenters: &[u8], workers: u8) -> Topology {
    let worker =
        |number| SketchedWorker { number, writes_ip: true, writes_pod_cidr: false, protect: false };
    let datacenter = |number: &u8| SketchedDatacenter {
        number: *number,
        workers: (0..workers).map(worker).collect(),
        ..SketchedDatacenter::default()
    };
    let sketch = Sketch {
        preserve,
        datacenters: datacenters.iter().map(datacenter).collect(),
        ..Sketch::default()
    };
    sketch.topology()
}

/// Changes every object of a kind in the live state.
fn drift(live_state: &mut LiveState, mut change: impl FnMut(&mut Resource)) {
    live_state.objects.values_mut().for_each(|observed| change(&mut observed.resource));
}

fn empty_tables_of_nodes(live_state: &mut LiveState) {
    for (key, observed) in &mut live_state.objects {
        if let Resource::RouteTable(table) = &mut observed.resource
            && format!("{key:?}").contains("stargate-workers-rt")
        {
            table.routes = Pending::Known(BTreeMap::new());
        }
    }
}

/// Live state whose routers use SNAT, with stale CiliumNodes and without the routes
/// that preserved sources need.
fn hiding(datacenters: &[u8], workers: u8) -> LiveState {
    let mut live_state = LiveState::of(&topology(false, datacenters, workers));
    empty_tables_of_nodes(&mut live_state);
    drift(&mut live_state, |resource| {
        if let Resource::CiliumNode(node) = resource {
            node.pod_cidrs.clear();
        }
    });
    live_state
}

#[test]
fn a_resize_disrupts_traffic_through_the_machine() {
    let topology = topology(false, &[2], 2);
    let mut live_state = LiveState::of(&topology);
    let mut resized = false;
    drift(&mut live_state, |resource| {
        if let Resource::VirtualMachine(machine) = resource
            && machine.role == crate::resource::azure::MachineRole::Worker
            && !std::mem::replace(&mut resized, true)
        {
            machine.vm_size = "Standard_B1s".to_owned();
        }
    });
    let refreshed = live_state.refresh(&topology, &RefreshCase::default());
    let [change] = refreshed.plan.changes.as_slice() else {
        panic!("{:?}", refreshed.plan.changes)
    };
    assert_eq!((change.address.kind, change.action), (Kind::VirtualMachine, Action::Update));
    let interrupts = change.interrupts.as_deref().unwrap_or_default();
    assert!(interrupts.ends_with(" restarts"), "{interrupts}");
    let found = assess(sources(&topology, &refreshed)).reachability;
    let [disruption] = found.disruptions.as_slice() else { panic!("{found:?}") };
    assert_eq!(disruption.during, std::slice::from_ref(&change.address));
    // The worker with its neighbour and each node of AKS, in both directions.
    let reached = reached(&topology, &refreshed);
    let others = reached.iter().filter(|(from, _)| change.address.name == from.as_str());
    assert_eq!((disruption.pairs, disruption.seconds), (2 * others.count() as u64, 60));
    assert!(found.unexamined.is_empty());
}

#[test]
fn a_remedy_is_the_needed_change_among_many() {
    let datacenters = [0, 1, 2, 3];
    let topology = topology(true, &datacenters, 15);
    let mut live_state = hiding(&datacenters, 15);
    drift(&mut live_state, |resource| {
        if let Resource::RouterHost(router) = resource {
            (router.masquerade, router.snat_subnet_routes) = (false, false);
        }
    });
    let refreshed = live_state.refresh(&topology, &RefreshCase::default());
    assert!(refreshed.plan.changes.len() > 48, "{}", refreshed.plan.changes.len());
    let worker = refreshed.plan.changes.iter().find_map(|change| match &change.after {
        Some(Resource::CiliumNode(node)) => node.pod_cidrs.first().copied(),
        _ => None,
    });
    let from = crate::connectivity::usual(&refreshed.facts.nodes[0].pod_cidr);
    let to = crate::connectivity::usual(&worker.unwrap());
    let query = PathQuery { from, to, protocol: crate::connectivity::PROTOCOL };
    let table =
        refreshed.plan.changes.iter().find(|it| it.address.kind == Kind::RouteTable).unwrap();
    let needed = vec![table.address.clone()];
    let projection = sources(&topology, &refreshed);
    assert_eq!(fewest_changes(projection, query), needed);
    assert_eq!(crate::plan::impact::find_remedy(projection, query), Remedy::Apply(needed));
}

/// Routers stop hiding sources while tables and nodes are drifted: in the order
/// that the plan finds no pair is lost after any step.
#[test]
fn a_large_plan_is_ordered_without_lost_pairs() {
    let datacenters = [1, 2, 3];
    let topology = topology(true, &datacenters, 12);
    let mut live_state = hiding(&datacenters, 12);
    let mut refreshed = live_state.refresh(&topology, &RefreshCase::default());
    assert!(refreshed.plan.changes.len() > 40, "{}", refreshed.plan.changes.len());
    let before = reached(&topology, &refreshed);
    let Assessment { waits, reachability } = assess(sources(&topology, &refreshed));
    assert!(!waits.is_empty());
    assert_eq!((reachability.lost, reachability.disruptions.as_slice()), (0, &[][..]));
    refreshed.plan.contents.wait_for(waits);
    for step in refreshed.plan.steps.steps() {
        assert_eq!(step.phase, Phase::Create);
        let change = &refreshed.plan.changes[step.change];
        live_state.make(&topology, change);
        if change.address.kind == Kind::CiliumNode {
            continue;
        }
        let now = reached(&topology, &live_state.refresh(&topology, &RefreshCase::default()));
        let lost: Vec<_> = before.difference(&now).take(3).collect();
        assert!(lost.is_empty(), "after {}: {lost:?}", change.address);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 100, ..config() })]

    #[test]
    fn incremental_and_full_results_agree(
        (sketch, other) in edits(false), damages in damages(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let refreshed = live_state.refresh(&topology, &RefreshCase::default());
        check_every_state(sources(&topology, &refreshed));
    }
}
