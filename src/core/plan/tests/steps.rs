//! No pair of pods is lost while a plan is applied, unless the plan predicted it.
//!
//! The predicted disruptions are compared with the live state after each step, with
//! the steps applied in random orders.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::damage::{damages, strike};
use super::laws::{config, edits};
use super::live_state::{LiveState, RefreshCase, Refreshed};
use super::summary;
use crate::connectivity::{PROTOCOL, PathModel, Sources, usual};
use crate::dataplane::{End, RoundTrip};
use crate::desired::tests::generate::{Sketch, SketchedDatacenter, SketchedWorker};
use crate::plan::Action;
use crate::plan::Phase;
use crate::plan::cluster_replacement::loses_cluster;
use crate::plan::impact::{
    Assessment, Disruption, IntermediateState, Projection, Reachability, assess, assess_in_order,
    path_model,
};
use crate::resource::{Kind, ObjectKey, Pending, Resource, Site};
use crate::topology::model::Topology;

/// The table of AKS's node subnets.
const TABLE: &str = "stargate-workers-rt";

/// Two nodes by name.
pub(super) type Pair = (String, String);

pub(super) fn sources<'a>(topology: &'a Topology, refreshed: &'a Refreshed) -> Projection<'a> {
    let observed = Sources {
        topology,
        facts: &refreshed.facts,
        desired: &refreshed.whole,
        inventory: &refreshed.inventory,
    };
    Projection { observed, plan: &refreshed.plan, is_present: false }
}

/// Nodes that have pods, with the sides that they are on.
fn nodes(model: &PathModel) -> BTreeMap<String, (Site, End)> {
    let mut found = BTreeMap::new();
    for site in &model.sites {
        for host in &site.nodes {
            let pods = model.network.host(*host).and_then(|host| host.pods.read().ok()?.range());
            if let Some(range) = pods {
                let end = End { host: *host, address: usual(&range) };
                found.insert(model.network.name(*host).to_owned(), (site.site.clone(), end));
            }
        }
    }
    found
}

/// The pairs that are reached in the live state, each traced by itself.
pub(super) fn reached(topology: &Topology, refreshed: &Refreshed) -> BTreeSet<Pair> {
    let model = path_model(sources(topology, refreshed), &IntermediateState::Observed);
    let nodes = nodes(&model);
    let mut found = BTreeSet::new();
    for (from, (_, source)) in &nodes {
        for (to, (_, case)) in nodes.iter().filter(|(to, _)| *to != from) {
            let round_trip: RoundTrip =
                crate::dataplane::trace_round_trip(&model.network, *source, case.address, PROTOCOL);
            if round_trip.reached() {
                found.insert((from.clone(), to.clone()));
            }
        }
    }
    found
}

fn site_of(topology: &Topology, node: &str) -> Site {
    let of_worker = topology
        .datacenters
        .iter()
        .find(|datacenter| datacenter.workers.iter().any(|worker| worker.name.as_str() == node));
    of_worker.map_or(Site::Cluster, |datacenter| Site::Datacenter(datacenter.name.clone()))
}

/// How many pairs of two sides a plan says that it cuts at the most.
fn predicted(found: &Reachability) -> BTreeMap<(Site, Site), u64> {
    let mut cells: BTreeMap<(Site, Site), u64> = BTreeMap::new();
    for between in found.disruptions.iter().flat_map(|one| &one.between) {
        *cells.entry((between.from.clone(), between.to.clone())).or_default() += between.pairs;
    }
    cells
}

fn check(
    topology: &Topology,
    refreshed: &Refreshed,
    (before, now, after): (&BTreeSet<Pair>, &BTreeSet<Pair>, &BTreeSet<Pair>),
    found: &Reachability,
    done: &str,
) -> Result<(), TestCaseError> {
    let mut cut: BTreeMap<(Site, Site), Vec<&Pair>> = BTreeMap::new();
    // No node outlives its cluster: the plan says that it loses every pair.
    if loses_cluster(&refreshed.plan).is_some() {
        return Ok(());
    }
    // A Node may represent a deleted machine: its pods do not run.
    let lacks_machine = |node: &str| {
        let mut created = refreshed.plan.changes.iter();
        created.any(|change| {
            let (address, action) = (&change.address, change.action);
            address.kind == Kind::VirtualMachine && address.name == node && action == Action::Create
        })
    };
    let lost = before.difference(now).filter(|pair| after.contains(*pair));
    for pair in lost.filter(|pair| !lacks_machine(&pair.0) && !lacks_machine(&pair.1)) {
        let cell = (site_of(topology, &pair.0), site_of(topology, &pair.1));
        cut.entry(cell).or_default().push(pair);
    }
    let said = predicted(found);
    for (cell, pairs) in cut {
        let said = said.get(&cell).copied().unwrap_or_default();
        prop_assert!(
            pairs.len() as u64 <= said,
            "{cell:?}: {said} predicted, cut {pairs:?} after\n{done}of\n{}",
            summary(&refreshed.plan)
        );
    }
    Ok(())
}

/// Applies a plan in an order that the executor may take, and calls `refresh` after
/// each step.
fn apply_step_by_step(
    live_state: &mut LiveState,
    topology: &Topology,
    refreshed: &Refreshed,
    choices: &mut impl Iterator<Item = Index>,
    mut refresh: impl FnMut(&LiveState, &str) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    let changes = &refreshed.plan.changes;
    let steps = refreshed.plan.steps.steps();
    let mut done: BTreeSet<usize> = BTreeSet::new();
    let mut story = String::new();
    while done.len() < steps.len() {
        let free: Vec<usize> = (0..steps.len())
            .filter(|it| {
                let causes = refreshed.plan.steps.causes(*it);
                !done.contains(it) && causes.iter().all(|it| done.contains(it))
            })
            .collect();
        prop_assert!(!free.is_empty(), "a cycle");
        let step = free[choices.next().map_or(0, |index| index.index(free.len()))];
        let change = &changes[steps[step].change];
        if steps[step].phase == Phase::Destroy || change.action == Action::Delete {
            live_state.take_away(&change.key);
        } else {
            live_state.make(topology, change);
        }
        done.insert(step);
        story += &format!("{:?} {}\n", steps[step].phase, change.address);
        refresh(live_state, &story)?;
    }
    Ok(())
}

/// A datacenter of machines with one worker.
fn lab(preserve: bool) -> Topology {
    let worker =
        SketchedWorker { number: 0, writes_ip: true, writes_pod_cidr: false, protect: false };
    let datacenter =
        SketchedDatacenter { number: 1, workers: vec![worker], ..SketchedDatacenter::default() };
    let sketch = Sketch { preserve, datacenters: vec![datacenter], ..Sketch::default() };
    sketch.topology()
}

/// Routers that use SNAT need no return route in AKS's table. The table must be
/// corrected before they stop.
#[test]
fn the_new_path_exists_before_the_old_one_is_removed() {
    let mut live_state = LiveState::of(&lab(false));
    let of_nodes = |key: &ObjectKey| matches!(key, ObjectKey::Azure(id) if id.name() == TABLE);
    for (_, observed) in live_state.objects.iter_mut().filter(|(key, _)| of_nodes(key)) {
        if let Resource::RouteTable(table) = &mut observed.resource {
            table.routes = Pending::Known(BTreeMap::new());
        }
    }
    let topology = lab(true);
    let mut refreshed = live_state.refresh(&topology, &RefreshCase::default());
    let assessed = |refreshed: &Refreshed| {
        let found = assess_in_order(sources(&topology, refreshed));
        let one = |it: &Disruption| (it.pairs, it.during.iter().map(ToString::to_string).collect());
        (found.kept, found.lost, found.disruptions.iter().map(one).collect::<Vec<(_, Vec<_>)>>())
    };
    let hides = "router-host/cluster/lab-router".to_owned();
    let table = format!("route-table/cluster/{TABLE}");
    assert_eq!(assessed(&refreshed), (4, 0, vec![(2, vec![table.clone()])]));

    let waits = assess(sources(&topology, &refreshed)).waits;
    let by_name: Vec<(String, Vec<String>)> = waits
        .iter()
        .map(|(one, others)| (one.to_string(), others.iter().map(ToString::to_string).collect()))
        .collect();
    refreshed.plan.contents.wait_for(waits);
    // The other router still translates sources to its own address, to which AKS
    // has no return route.
    let other = "router-host/dc1/dc1-router".to_owned();
    assert_eq!(by_name, [(hides, vec![table, other])]);
    assert_eq!(assessed(&refreshed), (4, 0, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..config() })]

    #[test]
    fn no_pair_is_lost_in_between_unless_the_plan_said_so(
        (sketch, other) in edits(false), damages in damages(),
        choices in prop::collection::vec(any::<Index>(), 1..100),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let mut end = live_state.clone();
        let _left = end.apply_repeatedly(&topology, &RefreshCase::default());
        let end = reached(&topology, &end.refresh(&topology, &RefreshCase::default()));
        let mut choices = choices.into_iter().cycle();
        for _ in 0..4 {
            let mut refreshed = live_state.refresh(&topology, &RefreshCase::default());
            if refreshed.plan.is_empty() {
                break;
            }
            let Assessment { waits, reachability } = assess(sources(&topology, &refreshed));
            refreshed.plan.contents.wait_for(waits);
            let before = reached(&topology, &refreshed);
            apply_step_by_step(&mut live_state, &topology, &refreshed, &mut choices, |live_state, done| {
                let now = reached(&topology, &live_state.refresh(&topology, &RefreshCase::default()));
                check(&topology, &refreshed, (&before, &now, &end), &reachability, done)
            })?;
        }
    }
}
