//! Changes that need no approval, over random topologies, edits and drifts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::damage::{damages, strike};
use super::laws::{config, edits};
use super::live_state::{LiveState, RefreshCase};
use super::summary;
use crate::desired::tests::generate::no_facts;
use crate::inventory::{Inventory, Observed};
use crate::plan::unattended::{ApprovedChanges, Selection, divide};
use crate::plan::{Action, ApprovalReason, Plan};
use crate::resource::azure::Subnet;
use crate::resource::settings::AutoApply;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource};
use crate::topology::model::Topology;

/// The part of the plan that needs no approval.
fn limited(plan: &Plan, selection: &Selection) -> Plan {
    let mut limited = plan.clone();
    limited.contents.changes.retain(|change| selection.changes.contains(&change.address));
    limited
}

/// The objects that differ between two states.
fn touched<'a>(
    before: &'a LiveState,
    after: &'a LiveState,
) -> Vec<(&'a ObjectKey, Option<&'a Observed>, Option<&'a Observed>)> {
    let keys: BTreeSet<&ObjectKey> = before.objects.keys().chain(after.objects.keys()).collect();
    let both = keys.into_iter().map(|key| (key, before.objects.get(key), after.objects.get(key)));
    both.filter(|(_, before, after)| before != after).collect()
}

/// The prefixes that a table, a device or a router serves.
fn serves(resource: &Resource) -> BTreeSet<ipnet::Ipv4Net> {
    let known = match resource {
        Resource::RouteTable(it) => it.routes.known().map(|it| it.keys().copied().collect()),
        Resource::ApprovedRoutes(it) | Resource::AdvertisedRoutes(it) => {
            it.prefixes.known().cloned()
        }
        _ => None,
    };
    known.unwrap_or_default()
}

/// No change is left without one that it waits for, and each one is on one side.
fn is_closed(plan: &Plan, selection: &Selection) -> Result<(), TestCaseError> {
    let planned: BTreeSet<&Address> = plan.changes.iter().map(|it| &it.address).collect();
    let awaiting: BTreeSet<&Address> = selection.awaiting.iter().map(|it| &it.address).collect();
    let deferred = plan.deferred.iter().map(|it| &it.address);
    for address in planned.iter().copied().chain(deferred) {
        let is_made = selection.changes.contains(address) || selection.deferred.contains(address);
        prop_assert!(is_made || awaiting.contains(address), "{address} is on no side");
    }
    for change in plan.changes.iter().filter(|it| selection.changes.contains(&it.address)) {
        for on in change.depends_on.iter().filter(|it| planned.contains(it)) {
            prop_assert!(selection.changes.contains(on), "{} waits for {on}", change.address);
        }
    }
    Ok(())
}

/// A plan, its changes that need no approval, and the live state after them.
struct Unattended {
    plan: Plan,
    selection: Selection,
    after: LiveState,
}

impl Unattended {
    fn of(live_state: &LiveState, topology: &Topology, permitted: AutoApply) -> Self {
        let plan = live_state.refresh(topology, &RefreshCase::default()).plan;
        let (plan, selection) = divide(permitted, &ApprovedChanges::default(), plan);
        let mut after = live_state.clone();
        after.execute(topology, &limited(&plan, &selection));
        Self { plan, selection, after }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn routes_touch_nothing_but_routes((sketch, other) in edits(true), damages in damages()) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let Unattended { plan, selection, after } =
            Unattended::of(&live_state, &topology, AutoApply::Routes);
        is_closed(&plan, &selection)?;
        for (key, was, is) in touched(&live_state, &after) {
            let context = || format!("{key:?}\n{was:?}\n{is:?}\n{}", summary(&plan));
            let Some(is) = is else {
                prop_assert!(false, "it is deleted: {}", context());
                continue;
            };
            let kind = is.resource.kind();
            match (was.map(|it| &it.resource), &is.resource) {
                (None, _) => prop_assert!(
                    matches!(kind, Kind::RouteTableAssociation | Kind::AdvertisedRoutes
                        | Kind::ApprovedRoutes | Kind::CiliumNode),
                    "it is created: {}", context()
                ),
                (Some(Resource::Worker(was)), Resource::Worker(is)) => {
                    let mut allowed = was.clone();
                    allowed.pod_cidr = is.pod_cidr;
                    allowed.labels.clone_from(&is.labels);
                    allowed.routes.clone_from(&is.routes);
                    allowed.host = is.host.clone();
                    prop_assert_eq!(&allowed, is, "more than the Node changes: {}", context());
                }
                (Some(Resource::Subnet(was)), Resource::Subnet(is)) => {
                    let allowed = Subnet { route_table: is.route_table.clone(), ..was.clone() };
                    prop_assert_eq!(&allowed, is, "more than the table changes: {}", context());
                }
                (Some(was), is) => {
                    prop_assert!(
                        matches!(kind, Kind::RouteTable | Kind::RouterHost | Kind::Server
                            | Kind::RouteTableAssociation | Kind::AdvertisedRoutes
                            | Kind::ApprovedRoutes | Kind::CiliumNode),
                        "it is changed: {}", context()
                    );
                    let loses_record = was.protected_by().is_some()
                        && was.protected_by() != is.protected_by();
                    prop_assert!(!loses_record, "it loses its protection: {}", context());
                }
            }
        }
    }

    #[test]
    fn machines_whose_deletion_awaits_approval_keep_their_routes(
        (sketch, other) in edits(false), permits_all in any::<bool>(),
    ) {
        let permitted = if permits_all { AutoApply::All } else { AutoApply::Routes };
        let topology = sketch.topology();
        let live_state = LiveState::of(&other.topology());
        let Unattended { plan, selection, after } = Unattended::of(&live_state, &topology, permitted);
        let leaving = plan.changes.iter().filter(|it| it.action == Action::Delete);
        for change in leaving {
            let Some(Resource::Worker(worker)) = &change.before else { continue };
            prop_assert!(!selection.changes.contains(&change.address), "{}", change.address);
            for (key, observed) in &live_state.objects {
                let served = serves(&observed.resource);
                let matching = served.iter().filter(|it| it.contains(&worker.pod_cidr));
                let Some(longest) = matching.max_by_key(|it| it.prefix_len()) else { continue };
                let still = after.objects.get(key).map(|it| serves(&it.resource));
                prop_assert!(
                    still.is_some_and(|it| it.contains(longest)),
                    "{key:?} loses {longest}:\n{}", summary(&plan)
                );
            }
        }
    }

    #[test]
    fn workers_whose_join_awaits_approval_get_no_routes_before(
        (sketch, other) in edits(true), permits_all in any::<bool>(),
    ) {
        let permitted = if permits_all { AutoApply::All } else { AutoApply::Routes };
        let topology = sketch.topology();
        let live_state = LiveState::of(&other.topology());
        let Unattended { plan, selection, after } = Unattended::of(&live_state, &topology, permitted);
        let joins = plan.changes.iter().filter(|it| it.action == Action::Create);
        for change in joins.filter(|it| !selection.changes.contains(&it.address)) {
            let Some(Resource::Worker(worker)) = &change.after else { continue };
            for (key, observed) in &after.objects {
                let before = live_state.objects.get(key).map(|it| serves(&it.resource));
                prop_assert!(
                    !serves(&observed.resource).contains(&worker.pod_cidr)
                        || before.is_none_or(|it| it.contains(&worker.pod_cidr)),
                    "{key:?} gets {}:\n{}", worker.pod_cidr, summary(&plan)
                );
            }
        }
    }

    #[test]
    fn everything_ends_no_machine((sketch, other) in edits(true), damages in damages()) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let Unattended { plan, selection, after } =
            Unattended::of(&live_state, &topology, AutoApply::All);
        is_closed(&plan, &selection)?;
        for (key, was, is) in touched(&live_state, &after) {
            let Some(was) = was else { continue };
            let is_machine = matches!(was.resource.kind(), Kind::ManagedCluster | Kind::NodePool
                | Kind::VirtualMachine | Kind::Worker | Kind::ResourceGroup | Kind::TailnetDevice);
            prop_assert!(!is_machine || is.is_some(), "{key:?} is gone:\n{}", summary(&plan));
        }
        for change in plan.changes.iter().filter(|it| selection.changes.contains(&it.address)) {
            let replaces = change.action == Action::Replace;
            let is_machine = matches!(change.address.kind,
                Kind::ManagedCluster | Kind::NodePool | Kind::VirtualMachine | Kind::Worker);
            prop_assert!(!(replaces && is_machine), "{} is replaced", change.address);
        }
    }

    #[test]
    fn nothing_is_changed_where_nothing_is_permitted(
        (sketch, other) in edits(true), damages in damages(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&other.topology());
        strike(&mut live_state, &damages);
        let plan = live_state.refresh(&topology, &RefreshCase::default()).plan;
        let (plan, selection) = divide(AutoApply::None, &ApprovedChanges::default(), plan);
        prop_assert!(selection.changes.is_empty() && selection.deferred.is_empty());
        prop_assert!(selection.awaiting.iter().all(|it| it.reason == ApprovalReason::ReportOnly));
        // A resource that is changed in several iterations waits once.
        let changes = plan.changes.iter().map(|it| (&it.address, it.action));
        let deferred = plan.deferred.iter().map(|it| (&it.address, it.action));
        let all: BTreeSet<_> = changes.chain(deferred).collect();
        prop_assert_eq!(selection.awaiting.len(), all.len());
    }

    /// After the approval of all waiting changes none waits, in any order of the changes.
    #[test]
    fn approved_changes_do_not_wait(
        (sketch, other) in edits(true),
        permitted in prop::sample::select(vec![AutoApply::None, AutoApply::Routes, AutoApply::All]),
    ) {
        let topology = sketch.topology();
        let live_state = LiveState::of(&other.topology());
        let plan = live_state.refresh(&topology, &RefreshCase::default()).plan;
        let waiting = |mut plan: Plan| {
            let none = ApprovedChanges::default();
            let (divided, selection) = divide(permitted, &none, plan.clone());
            plan = divided;
            plan.contents.awaiting_approval = selection.awaiting;
            plan
        };
        let mut reversed = plan.clone();
        reversed.contents.changes.reverse();
        let first = waiting(plan.clone());
        prop_assert_eq!(first.approval_digest(), waiting(reversed).approval_digest());
        let approved = ApprovedChanges::all_of(&first);
        let (_, selection) = divide(permitted, &approved, plan);
        prop_assert!(selection.awaiting.is_empty(), "{:#?}", selection.awaiting);
    }
}

/// A plan from which all changes are removed describes live state and has no cost.
#[test]
fn a_plan_without_its_changes_announces_none_of_their_consequences() {
    use crate::plan::cost::Cost;
    use crate::plan::impact::Reachability;
    let topology = super::preflight::topology();
    let desired = crate::desired::build(&topology, &no_facts()).unwrap();
    let mut plan: Plan = super::laws::compare(&desired, &Inventory::default()).into();
    assert!(!plan.changes.is_empty());
    plan.contents.reachability =
        Reachability { kept: 4, gained: 3, lost: 2, removed: 1, broken: 5, ..Default::default() };
    plan.contents.cost.seconds = 90;
    let held = plan.awaiting_approval_of_all(&ApprovalReason::TooManyRemovals);
    let found = &held.reachability;
    assert_eq!((found.kept, found.gained, found.lost, found.removed), (7, 0, 0, 0), "{found:?}");
    assert_eq!(found.broken, 8, "{found:?}");
    assert!(!found.is_refused());
    let requests = held.cost.requests.clone();
    assert_eq!(held.cost, Cost { requests, ..Cost::default() });
    assert_eq!(held.rollout, None);
}

/// A security team may have put it there to isolate a machine.
#[test]
fn a_security_group_of_others_stays_on_its_interface_without_approval() {
    let topology = super::sight::small().topology();
    let mut live_state = LiveState::of(&topology);
    let interface = live_state.objects.values_mut().find_map(|it| match &mut it.resource {
        Resource::NetworkInterface(interface) => Some(interface),
        _ => None,
    });
    let group = ArmId::resource_group("sub", "security")
        .in_group(Kind::NetworkSecurityGroup.arm_type(), "isolated");
    interface.unwrap().network_security_group = Some(group);
    let unattended = Unattended::of(&live_state, &topology, AutoApply::All);
    let awaiting: Vec<_> =
        unattended.selection.awaiting.iter().map(|it| (it.address.kind, &it.reason)).collect();
    let reason = ApprovalReason::RemovesSecurityGroup;
    assert_eq!(awaiting, [(Kind::NetworkInterface, &reason)]);
    let interrupted = unattended.plan.changes[0].interrupts.as_deref().unwrap();
    assert!(interrupted.starts_with("security group isolated no longer filters"), "{interrupted}");
}
