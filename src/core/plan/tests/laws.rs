//! Properties of planning, over random topologies and live states.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::damage::{damages, nth, strike};
use super::live_state::{LiveState, RefreshCase, is_in};
use super::summary;
use crate::desired::tests::generate::{Sketch, all_facts, sketches};
use crate::desired::{self, DesiredSet, unprotected_blocks};
use crate::inventory::{Inventory, Source};
use crate::plan::decision::Comparison;
use crate::plan::planner::plan_changes;
use crate::plan::{Action, ApplySettings, Change, Plan, PlanContents};
use crate::resource::{Address, Kind, ObjectKey, Ownership, Resource, Site};

/// A topology, and the applied topology before the edit.
pub(super) fn edits(protected: bool) -> impl Strategy<Value = (Sketch, Sketch)> {
    (sketches(protected), sketches(protected)).prop_map(|(sketch, mut other)| {
        // A cluster is made by stargate or it is not.
        other.existing_cluster = sketch.existing_cluster;
        other.protect_cluster &= !sketch.existing_cluster;
        (sketch, other)
    })
}

/// Whether the resource has an ownership mark that it can lose.
fn can_be_foreign(resource: &Resource) -> bool {
    !matches!(
        resource.kind(),
        Kind::Subnet
            | Kind::RouteTableAssociation
            | Kind::TailnetDevice
            | Kind::AdvertisedRoutes
            | Kind::ApprovedRoutes
            | Kind::RouterHost
            | Kind::CiliumNode
    )
}

fn by_address(plan: &Plan) -> BTreeMap<&Address, &Change> {
    plan.changes.iter().map(|change| (&change.address, change)).collect()
}

/// The halves of all changes, each with those that it waits for.
fn phases(plan: &Plan) -> BTreeMap<(&Address, bool), Vec<(&Address, bool)>> {
    let changes = by_address(plan);
    let removed = |addresses: &'_ [Address]| -> Vec<(&Address, bool)> {
        let there = addresses.iter().filter_map(|it| changes.get_key_value(it));
        let there = there.filter(|(_, change)| change.action == Action::Replace);
        there.map(|(address, _)| (*address, false)).collect()
    };
    let ended = |addresses: &'_ [Address]| -> Vec<(&Address, bool)> {
        let there = addresses.iter().filter_map(|it| changes.get_key_value(it));
        there.map(|(address, change)| (*address, change.action != Action::Replace)).collect()
    };
    let mut phases = BTreeMap::new();
    for change in &plan.changes {
        let there = change.depends_on.iter().filter_map(|it| changes.get_key_value(it));
        let mut causes: Vec<(&Address, bool)> = there.map(|(it, _)| (*it, true)).collect();
        causes.extend(removed(&change.create_after_destroy_of));
        if change.action == Action::Replace {
            phases.insert((&change.address, false), ended(&change.destroy_after));
            causes.push((&change.address, false));
        }
        phases.insert((&change.address, true), causes);
    }
    phases
}

fn order_holds(plan: &Plan) -> Result<(), TestCaseError> {
    let mut before = BTreeSet::new();
    for change in &plan.changes {
        for cause in &change.depends_on {
            prop_assert!(
                before.contains(cause),
                "{} before {cause}:\n{}",
                change.address,
                summary(plan)
            );
        }
        prop_assert!(before.insert(&change.address), "{} twice", change.address);
        let action = |other: &Address| by_address(plan).get(other).map(|it| it.action);
        for other in &change.create_after_destroy_of {
            let replaced = action(other) == Some(Action::Replace);
            prop_assert!(replaced, "{} waits for the end of {other}", change.address);
        }
        for other in &change.destroy_after {
            let ends = matches!(action(other), Some(Action::Replace | Action::Delete));
            // A worker is drained once paths lead to its new place.
            let prepares = change.address.kind == Kind::Worker
                && matches!(action(other), Some(Action::Create | Action::Update));
            prop_assert!(ends || prepares, "{} waits for the end of {other}", change.address);
        }
    }
    let mut phases = phases(plan);
    while !phases.is_empty() {
        let free: Vec<_> = phases
            .iter()
            .filter(|(_, causes)| causes.iter().all(|cause| !phases.contains_key(cause)))
            .map(|(phase, _)| *phase)
            .collect();
        prop_assert!(!free.is_empty(), "a cycle: {phases:#?}");
        free.iter().for_each(|phase| drop(phases.remove(phase)));
    }
    Ok(())
}

/// An inventory that equals the desired state.
fn exactly(desired: &DesiredSet) -> Inventory {
    let mut inventory = Inventory::default();
    for resource in desired.iter() {
        let site = (&resource.address.site).into();
        let key = resource.key.clone().unwrap();
        inventory.note(key, resource.resource.clone(), Ownership::Ours { site });
    }
    inventory
}

/// The comparison of two states without options and without findings.
pub(super) fn compare(desired: &DesiredSet, inventory: &Inventory) -> PlanContents {
    plan_changes(Comparison {
        settings: &ApplySettings::default(),
        desired,
        inventory,
        findings: &[],
        adopt: &BTreeSet::new(),
        replace: &BTreeSet::new(),
        protected: &desired.protected(),
        rollout: &crate::topology::model::RolloutSettings::default(),
        worker_request: None,
        departed: &BTreeMap::new(),
        present_routers: &BTreeMap::new(),
        nodes: &[],
        requested_versions: &super::case::versions(),
        control_plane: None,
        refused_upgrade: None,
        misplaced_routers: &BTreeMap::new(),
        requests: &BTreeMap::new(),
    })
}

fn plan_of(desired: &DesiredSet, inventory: &Inventory) -> Plan {
    compare(desired, inventory).into()
}

/// The same inventory, noted in another order.
fn backwards(inventory: &Inventory) -> Inventory {
    let mut other = Inventory::default();
    let objects: Vec<_> = inventory.iter().collect();
    for (key, observed) in objects.into_iter().rev() {
        other.note(key.clone(), observed.resource.clone(), observed.ownership.clone());
    }
    other.recently_created.clone_from(&inventory.recently_created);
    other.foreign_contents.clone_from(&inventory.foreign_contents);
    other
}

fn sources(sketch: &Sketch) -> Vec<BTreeSet<Source>> {
    let host = sketch.datacenters.first().map(|it| format!("dc{}-router", it.number));
    vec![
        // Without Azure the cluster is not found.
        BTreeSet::from([Source::Azure, Source::Kubernetes]),
        BTreeSet::from([Source::Kubernetes]),
        BTreeSet::from([Source::Tailscale]),
        host.into_iter().map(Source::Host).collect(),
    ]
}

/// Each case makes many plans: few cases by default, scaled by how much
/// `PROPTEST_CASES` exceeds the usual number.
pub(super) fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(16), max_shrink_iters: 2_000, ..usual }
}

/// Whether a change configures a router whose machine the plan creates: the state of the
/// old machine does not matter, so it need not answer.
fn is_on_new_machine(change: &Change, plan: &Plan) -> bool {
    let Address { kind, site, name } = change.address.clone();
    let machine = Address { kind: Kind::VirtualMachine, site, name };
    let is_made = |it: &&Change| matches!(it.action, Action::Create | Action::Replace);
    kind == Kind::RouterHost
        && matches!(change.action, Action::Create | Action::Replace)
        && plan.changes.iter().filter(is_made).any(|it| it.address == machine)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn matching_state_needs_no_changes(sketch in sketches(true)) {
        let topology = sketch.topology();
        let desired = desired::build(&topology, &all_facts(&topology)).unwrap();
        let keys: BTreeSet<_> = desired.iter().map(|resource| resource.key.as_ref()).collect();
        prop_assert_eq!(keys.len(), desired.len(), "two resources stand in one place");
        let plan = plan_of(&desired, &exactly(&desired));
        prop_assert!(plan.is_empty(), "{}", summary(&plan));
        prop_assert_eq!(plan.unchanged, desired.len());
    }

    #[test]
    fn the_same_input_makes_the_same_plan(
        (sketch, other) in edits(true), damages in damages(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let refreshed = live_state.refresh(&topology, &RefreshCase::default());
        let again = live_state.refresh(&topology, &RefreshCase::default());
        prop_assert_eq!(&refreshed.plan, &again.plan);
        let once = plan_of(&refreshed.whole, &refreshed.inventory);
        let mut desired = DesiredSet::default();
        let all: Vec<_> = refreshed.whole.iter().cloned().collect();
        all.into_iter().rev().for_each(|resource| desired.add(resource));
        let sites = topology.datacenters.iter().filter(|it| it.protect);
        let sites = sites.map(|it| Site::Datacenter(it.name.clone()));
        let cluster = topology.cluster.protect.then_some(Site::Cluster);
        sites.chain(cluster).for_each(|site| desired.protect_site(&site, |_| false));
        desired.note_unprotected(unprotected_blocks(&topology));
        prop_assert_eq!(once, plan_of(&desired, &backwards(&refreshed.inventory)));
    }

    #[test]
    fn dependencies_precede_dependents_without_cycles(
        (sketch, other) in edits(true), damages in damages(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        order_holds(&live_state.refresh(&topology, &RefreshCase::default()).plan)?;
        let destroying = RefreshCase { destroying: true, ..RefreshCase::default() };
        order_holds(&live_state.refresh(&topology, &destroying).plan)?;
    }

    #[test]
    fn applied_plans_converge(
        (sketch, other) in edits(false), damages in damages(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let left = live_state.apply_repeatedly(&topology, &RefreshCase::default());
        prop_assert!(left.is_empty(), "it does not end:\n{}", summary(&left));
        let refreshed = live_state.refresh(&topology, &RefreshCase::default());
        let desired: BTreeSet<_> =
            refreshed.whole.iter().filter_map(|resource| resource.key.as_ref()).collect();
        let left: Vec<_> = live_state.ours().into_iter().filter(|key| !desired.contains(key)).collect();
        prop_assert!(left.is_empty(), "left over: {left:#?}");
    }

    #[test]
    fn all_owned_objects_can_be_destroyed(sketch in sketches(false), damages in damages()) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&topology);
        strike(&mut live_state, &damages);
        let destroying = RefreshCase { destroying: true, ..RefreshCase::default() };
        let left = live_state.apply_repeatedly(&topology, &destroying);
        prop_assert!(left.is_empty(), "it does not end:\n{}", summary(&left));
        prop_assert_eq!(live_state.ours(), BTreeSet::new());
    }

    #[test]
    fn foreign_objects_are_not_changed(
        (sketch, other) in edits(true),
        damages in damages(),
        strangers in prop::collection::vec(any::<Index>(), 1..5),
        destroying in any::<bool>(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        for index in strangers {
            if let Some(key) = nth(&live_state, index, can_be_foreign) {
                live_state.objects.get_mut(&key).unwrap().ownership = Ownership::Foreign;
            }
        }
        let case = RefreshCase { destroying, ..RefreshCase::default() };
        let refreshed = live_state.refresh(&topology, &case);
        for change in &refreshed.plan.changes {
            let now = live_state.objects.get(&change.key).map(|observed| &observed.ownership);
            prop_assert_ne!(now, Some(&Ownership::Foreign), "{}", change.address);
        }
        order_holds(&refreshed.plan)?;
        // AKS takes its own group and all that runs in the cluster along.
        let ends = |change: &&Change| matches!(change.action, Action::Delete | Action::Replace);
        let of_cluster = |change: &&Change| change.address.kind == Kind::ManagedCluster;
        let mut after = live_state.clone();
        after.execute(&topology, &refreshed.plan);
        if refreshed.plan.changes.iter().filter(ends).any(|change| of_cluster(&change)) {
            return Ok(());
        }
        for (key, observed) in &live_state.objects {
            if observed.ownership.is_foreign() {
                prop_assert_eq!(after.objects.get(key), Some(observed), "{}", summary(&refreshed.plan));
            }
        }
    }

    #[test]
    fn adopted_objects_are_kept(
        sketch in sketches(false), strangers in prop::collection::vec(any::<Index>(), 1..5),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&topology);
        let keys: BTreeSet<ObjectKey> =
            strangers.into_iter().filter_map(|index| nth(&live_state, index, can_be_foreign)).collect();
        for key in &keys {
            live_state.objects.get_mut(key).unwrap().ownership = Ownership::Foreign;
        }
        let whole = live_state.refresh(&topology, &RefreshCase::default()).whole;
        let adopt = whole.iter().filter(|it| it.key.as_ref().is_some_and(|key| keys.contains(key)));
        let adopt = adopt.map(|resource| resource.address.clone()).collect();
        let plan = live_state.refresh(&topology, &RefreshCase { adopt, ..RefreshCase::default() }).plan;
        prop_assert_eq!(plan.count(Action::Adopt), keys.len(), "{}", summary(&plan));
        prop_assert_eq!(plan.changes.len(), keys.len(), "{}", summary(&plan));
        live_state.execute(&topology, &plan);
        let plan = live_state.refresh(&topology, &RefreshCase::default()).plan;
        prop_assert!(plan.is_empty(), "{}", summary(&plan));
    }

    #[test]
    fn unread_sources_are_not_changed(
        (sketch, other) in edits(true),
        damages in damages(),
        partly in any::<bool>(),
        destroying in any::<bool>(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        for gaps in sources(&sketch) {
            let case = RefreshCase { gaps, partly, destroying, ..RefreshCase::default() };
            let refreshed = live_state.refresh(&topology, &case);
            for change in &refreshed.plan.changes {
                if is_on_new_machine(change, &refreshed.plan) {
                    continue;
                }
                let gap = refreshed.inventory.gap_for(change.address.kind, Some(&change.key));
                prop_assert_eq!(gap, None, "{:?} {}", change.action, change.address);
            }
            prop_assert_eq!(refreshed.plan.gaps.len(), case.gaps.len());
        }
    }

    #[test]
    fn protected_resources_are_never_destroyed(
        (sketch, other) in edits(true), damages in damages(),
        destroying in any::<bool>(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let case = RefreshCase { destroying, ..RefreshCase::default() };
        let refreshed = live_state.refresh(&topology, &case);
        let protected = refreshed.whole.protected();
        for change in &refreshed.plan.changes {
            let ends = matches!(change.action, Action::Delete | Action::Replace);
            prop_assert!(!(ends && protected.contains(&change.address)), "{}", change.address);
        }
        let mut after = live_state.clone();
        after.execute(&topology, &refreshed.plan);
        for address in protected.addresses() {
            let Some(key) = refreshed.whole.get(address).and_then(|it| it.key.as_ref()) else {
                continue;
            };
            let was = live_state.objects.contains_key(key);
            prop_assert!(!was || after.objects.contains_key(key), "{address} is gone");
        }
    }

    #[test]
    fn dependencies_of_kept_resources_are_not_deleted(
        (sketch, other) in edits(true), damages in damages(),
        destroying in any::<bool>(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let case = RefreshCase { destroying, ..RefreshCase::default() };
        let refreshed = live_state.refresh(&topology, &case);
        let touched: BTreeSet<&ObjectKey> =
            refreshed.plan.changes.iter().map(|change| &change.key).collect();
        let ends = |change: &&Change| matches!(change.action, Action::Delete | Action::Replace);
        for change in refreshed.plan.changes.iter().filter(ends) {
            let ObjectKey::Azure(id) = &change.key else { continue };
            for (key, observed) in live_state.objects.iter().filter(|(key, _)| !touched.contains(key)) {
                let points =
                    crate::plan::dependencies::references(&observed.resource).contains(&id);
                prop_assert!(!points, "{} goes and {key:?} points at it:\n{}", change.address, summary(&refreshed.plan));
                // AKS deletes the pools of a cluster with it.
                let cluster = change.address.kind == Kind::ManagedCluster
                    || matches!(observed.resource, Resource::NodePool(_));
                prop_assert!(cluster || !is_in(key, &change.key), "{key:?} is in {}:\n{}", change.address, summary(&refreshed.plan));
            }
        }
    }
}
