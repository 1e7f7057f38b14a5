//! The changes between live and desired state: [`plan_changes`] is the table of
//! contents.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::address_exchanges;
use super::adoption;
use super::arrivals::await_arrivals;
use super::blocked_moves;
use super::consequences;
use super::cost::{Cost, joins_of_deferred};
use super::decision::{Comparison, ResourceDecision, ResourceDecisions, change, deferred};
use super::deferred_replacements;
use super::dependencies;
use super::diff::{self, FieldChange};
use super::follow_ups::FollowUps;
use super::foreign_tables;
use super::held_back;
use super::held_prefixes;
use super::hidden_contents;
use super::kept_routers;
use super::later_moves;
use super::new_places;
use super::node_pools;
use super::orphans;
use super::predecessors;
use super::profile_settings;
use super::propagation;
use super::protected_departures;
use super::protection::{self, Retained};
use super::replacement;
use super::restored_routers;
use super::rollout;
use super::router_addresses;
use super::site_kind;
use super::step_graph::StepGraph;
use super::unreachable_departures;
use super::unread_nodes;
use super::unread_parts;
use super::versions;
use super::worker_request;
use super::{Action, Blocked, PlanContents};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Observed};
use crate::resource::{Address, Kind, ObjectKey, Resource};

/// Compares desired and live state. The effect on reachability is computed later.
pub(super) fn plan_changes(input: Comparison<'_>) -> PlanContents {
    let mut decisions = compare_each(input);
    router_addresses::block(input, &mut decisions);
    let mut retained = protection::protect(input, &mut decisions);
    replacement::refuse(input, &mut decisions);
    worker_request::repave(input, &mut decisions);
    propagation::replace_creators(input, &mut decisions);
    propagation::defer_containers(input, &mut decisions);
    address_exchanges::refuse(input, &mut decisions);
    propagation::replace_dependents(input, &mut decisions);
    deferred_replacements::defer(input, &mut decisions);
    orphans::delete(input, &mut decisions);
    foreign_tables::keep_used_routes(input, &mut decisions);
    retained.extend(hidden_contents::block(input, &mut decisions));
    site_kind::refuse(input, &mut decisions);
    retained.extend(protection::protect(input, &mut decisions));
    replacement::refuse_deletions(input, &mut decisions);
    retained.extend(unread_parts::block(input, &mut decisions));
    retained.extend(unread_nodes::block(input, &mut decisions));
    unreachable_departures::block(input, &mut decisions);
    protected_departures::block(input, &mut decisions);
    block_consequences(input, retained, &mut decisions);
    // The association that gives the subnet another table may be blocked by now.
    foreign_tables::keep_used_routes(input, &mut decisions);
    restored_routers::defer_blocked(&mut decisions);
    protection::retain_shared_containers(input, &mut decisions);
    node_pools::defer_deletions(&mut decisions);
    let mut follow_ups = FollowUps::default();
    node_pools::defer_routes(input, &mut decisions, &mut follow_ups);
    new_places::defer_withdrawals(input, &mut decisions, &mut follow_ups);
    later_moves::defer(input, &mut decisions, &mut follow_ups);
    restored_routers::defer_hosts(input, &mut decisions);
    worker_request::reboot(input, &mut decisions);
    dependencies::add(input, &mut decisions);
    consequences::mark(input, &mut decisions);
    profile_settings::name(input, &mut decisions);
    worker_request::restrict(input, &mut decisions);
    // A request for workers does nothing else.
    let follow_ups = if input.worker_request.is_some() { FollowUps::default() } else { follow_ups };
    assemble(input, decisions, follow_ups)
}

/// Blocks changes that other blocked changes make impossible or unsafe.
fn block_consequences(
    input: Comparison<'_>,
    mut retained: Vec<Retained>,
    decisions: &mut ResourceDecisions,
) {
    loop {
        let before = blocked_count(decisions);
        held_back::block_costly_changes(input, decisions);
        propagation::block_dependents(input, decisions);
        blocked_moves::block(input, decisions);
        held_prefixes::block(input, decisions);
        predecessors::retain(input, &mut retained, decisions);
        kept_routers::keep_router_parts(decisions);
        kept_routers::keep_records(decisions);
        protection::retain_references(input, &retained, decisions);
        if blocked_count(decisions) == before {
            break;
        }
    }
}

fn blocked_count(decisions: &ResourceDecisions) -> usize {
    decisions.values().filter(|it| matches!(it, ResourceDecision::Blocked(_))).count()
}

fn compare_each(input: Comparison<'_>) -> ResourceDecisions {
    input.desired.iter().map(|desired| (desired.address.clone(), compare(input, desired))).collect()
}

fn compare(input: Comparison<'_>, desired: &DesiredResource) -> ResourceDecision {
    let kind = desired.address.kind;
    let gap = input.inventory.gap_for(kind, desired.key.as_ref());
    // Resources in the cluster's network have no ID without the cluster's facts.
    let of_cluster = || input.inventory.cluster_gap().filter(|_| desired.key.is_none());
    let gap = gap.or_else(of_cluster);
    if let Some(gap) = gap.or_else(|| input.inventory.gap_behind(&desired.address)) {
        return wrong_host(desired, gap).map_or_else(|| gap.into(), ResourceDecision::from);
    }
    let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
    let waits_for = desired.resource.awaits();
    // A value from an unread source stays unknown in this plan.
    if let Some(gap) = waits_for.iter().find_map(|it| unread(input, it)) {
        return gap.into();
    }
    if !waits_for.is_empty() || desired.key.is_none() {
        let later = deferred(desired, observed, waits_for);
        return adoption::deferred(input, desired, observed, later);
    }
    match observed {
        Some(observed) if observed.ownership.is_foreign() => {
            let decision = adoption::foreign(input, desired, observed);
            unless_refused(input, desired, observed, decision)
        }
        Some(observed) if adoption::is_former(observed) => {
            let decision = adoption::former(input, desired, observed);
            unless_refused(input, desired, observed, decision)
        }
        observed if let Some(refused) = versions::refuse(input, desired, observed) => refused,
        None => foreign_tables::refuse(input, desired)
            .unwrap_or_else(|| change(desired, None, Action::Create)),
        Some(observed) => differing(input, desired, observed),
    }
}

/// Blocks changes on a router if a host with another name answers at its address: the
/// topology or the host must be changed first.
fn wrong_host(desired: &DesiredResource, gap: &Gap) -> Option<Blocked> {
    (gap.failure.code == Code::WrongHost).then(|| Blocked {
        address: desired.address.clone(),
        action: Action::Update,
        fields: Vec::new(),
        failure: gap.failure.clone(),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    })
}

/// An adopted object is written as any other, so a version that is refused for an object
/// of ours is refused for it too.
fn unless_refused(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: &Observed,
    decision: ResourceDecision,
) -> ResourceDecision {
    match decision {
        ResourceDecision::Change(_) => {
            versions::refuse(input, desired, Some(observed)).unwrap_or(decision)
        }
        other => other,
    }
}

/// The gap in the source that a pending value would have been read from. A
/// cluster's ranges come from Azure, those of its nodes from the cluster itself.
fn unread<'a>(input: Comparison<'a>, waits_for: &Address) -> Option<&'a Gap> {
    let key = input.desired.get(waits_for).and_then(|desired| desired.key.as_ref());
    let of_nodes = (waits_for.kind == Kind::ManagedCluster)
        .then(|| input.inventory.gap_for(Kind::Worker, None));
    input.inventory.gap_for(waits_for.kind, key).or_else(|| of_nodes.flatten())
}

fn differing(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: &Observed,
) -> ResourceDecision {
    let desired = &*with_record(input, desired, observed);
    let fields = diff::between(&observed.resource, &desired.resource);
    if fields.is_empty() {
        return ResourceDecision::Unchanged;
    }
    let blocked = offline(input, desired, &fields)
        .or_else(|| occupied(input, desired, &fields))
        .or_else(|| node_pools::refuse(desired, &fields));
    if let Some(blocked) = blocked {
        return blocked.into();
    }
    let action = if fields.iter().any(|field| field.forces_replacement) {
        Action::Replace
    } else {
        Action::Update
    };
    change(desired, Some(observed), action)
}

/// A recorded protection stays until its own block lifts it: a block of another name that
/// describes the object now says nothing about it.
fn with_record<'a>(
    input: Comparison<'_>,
    desired: &'a DesiredResource,
    observed: &Observed,
) -> Cow<'a, DesiredResource> {
    let record = observed.resource.protected_by().filter(|it| !input.protected.lifts(it));
    let Some(record) = record.filter(|_| desired.resource.protected_by().is_none()) else {
        return Cow::Borrowed(desired);
    };
    let mut kept = desired.clone();
    kept.resource.record_protection(Some(record.to_owned()));
    Cow::Owned(kept)
}

/// A router that is not connected to the tailnet cannot be changed. An authorization
/// or a key that was taken from it is given back in the tailnet, and may be the reason.
fn offline(
    input: Comparison<'_>,
    desired: &DesiredResource,
    fields: &[FieldChange],
) -> Option<Blocked> {
    let Resource::TailnetDevice(device) = &desired.resource else { return None };
    let differs = |name: &str| fields.iter().any(|field| field.path.0 == [name]);
    if !differs("online") || differs("authorized") || differs("key_expiry_disabled") {
        return None;
    }
    Some(Blocked {
        address: desired.address.clone(),
        action: Action::Update,
        fields: fields.to_vec(),
        failure: Failure::new(
            Code::RouterOffline,
            format!("router {} is not connected to the tailnet", device.hostname),
            format!(
                "start the machine{}, or on it run `systemctl restart tailscaled` and \
                 `tailscale status`; if it is lost, delete the VM and apply: {} is then recreated",
                start_command(input, &desired.address),
                device.hostname
            ),
        ),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    })
}

/// The command that starts the VM of a router, if it is one: it may be stopped or deallocated.
fn start_command(input: Comparison<'_>, router: &Address) -> String {
    let vm = Address::new(Kind::VirtualMachine, router.site.clone(), router.name.clone());
    match input.desired.get(&vm).and_then(|machine| machine.key.as_ref()) {
        Some(ObjectKey::Azure(id)) => format!(
            " with `az vm start --resource-group {} --name {}` if it does not run",
            id.resource_group_name().unwrap_or_default(),
            id.name()
        ),
        _ => String::new(),
    }
}

/// Blocks a router whose routes collide with another program's. That program may
/// need its routes, and would add them again if stargate deleted them.
fn occupied(
    input: Comparison<'_>,
    desired: &DesiredResource,
    fields: &[FieldChange],
) -> Option<Blocked> {
    let Resource::RouterHost(router) = &desired.resource else { return None };
    let theirs = input.inventory.foreign_routes.get(desired.key.as_ref()?)?;
    let routes = router.kernel_routes.known()?.iter();
    let in_the_way: Vec<&str> = routes
        .filter_map(|(prefix, route)| theirs.get(&(*prefix, route.metric())))
        .map(String::as_str)
        .collect();
    let first = in_the_way.first()?.split(' ').next().unwrap_or_default();
    Some(Blocked {
        address: desired.address.clone(),
        action: Action::Update,
        fields: fields.to_vec(),
        failure: Failure::new(
            Code::ForeignKernelRoute,
            format!(
                "{} has foreign routes that conflict with its own: {}",
                router.hostname,
                in_the_way.join("; ")
            ),
            format!(
                "find the program that added them (`ip route show {first}` on the host prints the \
                 protocol), remove them at their source, and apply again"
            ),
        ),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    })
}

fn assemble(
    input: Comparison<'_>,
    decisions: ResourceDecisions,
    follow_ups: FollowUps,
) -> PlanContents {
    let mut plan = PlanContents {
        topology: input.settings.owner.topology.to_string(),
        settings: input.settings.clone(),
        changes: Vec::new(),
        steps: StepGraph::default(),
        deferred: Vec::new(),
        blocked: Vec::new(),
        awaiting_approval: Vec::new(),
        approval_losses: Vec::new(),
        ignored: Vec::new(),
        findings: input.findings.to_vec(),
        gaps: gaps(input, &decisions),
        unchanged: 0,
        rollout: None,
        cost: Cost::default(),
        reachability: Default::default(),
    };
    let is_change = |decision: &&ResourceDecision| matches!(decision, ResourceDecision::Change(_));
    plan.changes.reserve_exact(decisions.values().filter(is_change).count());
    for decision in decisions.into_values() {
        match decision {
            ResourceDecision::Unchanged => plan.unchanged += 1,
            ResourceDecision::Unreadable(_) => {}
            ResourceDecision::Change(change) => plan.changes.push(*change),
            ResourceDecision::Deferred(deferred) => plan.deferred.push(*deferred),
            ResourceDecision::Blocked(blocked) => plan.blocked.push(*blocked),
        }
    }
    follow_ups.add_to(&mut plan.deferred);
    await_arrivals(&mut plan.changes);
    let graph = StepGraph::of(&plan.changes);
    let sizes = rollout::lasting_workers(input);
    plan.rollout =
        rollout::assign(input.rollout, &sizes, input.inventory, &graph, &mut plan.changes);
    plan.steps = graph.sort(&mut plan.changes);
    plan.cost = Cost::of(&plan.changes, &plan.steps, input.requests);
    plan.cost.add_deferred(&plan.deferred, joins_of_deferred(input.rollout.canary, &plan.deferred));
    plan
}

/// A router that is offline explains why its host could not be read.
fn gaps(input: Comparison<'_>, decisions: &ResourceDecisions) -> Vec<Gap> {
    let offline: BTreeSet<&str> = decisions
        .iter()
        .filter(|(address, decision)| {
            address.kind == Kind::TailnetDevice && !matches!(decision, ResourceDecision::Unchanged)
        })
        .map(|(address, _)| address.name.as_str())
        .collect();
    input
        .inventory
        .gaps()
        .cloned()
        .map(|mut gap| {
            if let crate::inventory::Source::Host(name) = &gap.source {
                gap.explained |= offline.contains(name.as_str());
            }
            gap
        })
        .collect()
}
