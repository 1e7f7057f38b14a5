//! Propagates a decision about one resource to others.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions, change};
use super::dependencies::references;
use super::{Action, Blocked, Deferred, restored_routers, versions};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::resource::{Address, ArmId, Kind, ObjectKey};

/// Replaces a resource whose creation yields another, missing one. For example, a router's
/// device appears only when its machine boots with a fresh auth key.
pub(super) fn replace_creators(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    for desired in input.desired.iter() {
        let Some(creator) = &desired.created_by else { continue };
        let absent = matches!(
            decisions.get(&desired.address),
            Some(ResourceDecision::Change(change)) if change.action == Action::Create
        );
        let creator_stays = match decisions.get(creator) {
            Some(ResourceDecision::Unchanged) => true,
            Some(ResourceDecision::Change(change)) => change.action == Action::Update,
            _ => false,
        };
        let is_booting = input
            .desired
            .get(creator)
            .and_then(|creator| creator.key.as_ref())
            .is_some_and(|key| input.inventory.recently_created.contains(key));
        if absent && creator_stays && !is_booting {
            replace(input, creator, decisions);
            explain(creator, &desired.address, decisions);
        }
    }
}

/// Says why a machine that does not differ is replaced.
fn explain(creator: &Address, missing: &Address, decisions: &mut ResourceDecisions) {
    if let Some(ResourceDecision::Change(change)) = decisions.get_mut(creator) {
        change.planned_because_of = format!(
            "{missing} is missing: a machine joins the tailnet only at its first boot, with an \
             auth key that can be used once"
        );
    }
}

/// Defers the replacement of a container while a resource in it is deferred, because that
/// resource could not be created in the new container. A container that the deferred
/// resource waits for is replaced all the same.
pub(super) fn defer_containers(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let mut waiting = Vec::new();
    for (address, decision) in decisions.iter() {
        let ResourceDecision::Deferred(deferred) = decision else { continue };
        if deferred.action == Action::Create {
            continue;
        }
        let containers = containers(input, address).into_iter().filter(|container| {
            let inside = |awaited: &Address| {
                awaited == container || self::containers(input, awaited).contains(container)
            };
            is_replaced(decisions.get(container)) && !deferred.waits_for.iter().any(inside)
        });
        waiting.extend(containers.map(|container| (container, deferred.waits_for.clone())));
    }
    for (container, waits_for) in waiting {
        if let Some(ResourceDecision::Change(change)) = decisions.get(&container) {
            let fields = change.fields().into_owned();
            let reason = &change.planned_because_of;
            let deferred = Deferred::new(container.clone(), change.action, reason);
            let deferred = Deferred { waits_for, fields, ..deferred };
            decisions.insert(container, deferred.into());
        }
    }
}

/// The containers of a resource, and theirs.
pub(super) fn containers(input: Comparison<'_>, address: &Address) -> BTreeSet<Address> {
    let mut found = BTreeSet::new();
    let mut open = vec![address.clone()];
    while let Some(address) = open.pop() {
        let Some(desired) = input.desired.get(&address) else { continue };
        let new =
            desired.contained_in.iter().filter(|container| found.insert((*container).clone()));
        open.extend(new.cloned());
    }
    found
}

fn is_replaced(decision: Option<&ResourceDecision>) -> bool {
    matches!(decision, Some(ResourceDecision::Change(change)) if change.action == Action::Replace)
}

/// Replaces the children of a recreated resource and the resources that refer to it: Azure
/// refuses to delete an object that another one refers to.
pub(super) fn replace_dependents(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let mut recreated: Vec<Address> = decisions
        .iter()
        .filter(|(_, decision)| is_recreated(decision))
        .map(|(address, _)| address.clone())
        .collect();
    if recreated.is_empty() {
        return;
    }
    let dependents = Dependents::of(input);
    while let Some(container) = recreated.pop() {
        for dependent in dependents.on(input, &container, decisions) {
            if !decisions.get(&dependent.address).is_some_and(is_recreated) {
                replace(input, &dependent.address, decisions);
                recreated.push(dependent.address.clone());
            }
        }
    }
}

/// Existing resources by the resources that they depend on.
pub(super) struct Dependents<'a> {
    contained: HashMap<&'a Address, Vec<&'a DesiredResource>>,
    referencing: HashMap<&'a ArmId, Vec<&'a DesiredResource>>,
}

impl<'a> Dependents<'a> {
    pub(super) fn of(input: Comparison<'a>) -> Self {
        let mut dependents = Self { contained: HashMap::new(), referencing: HashMap::new() };
        for desired in input.desired.iter() {
            let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
            if observed.is_some() || is_host_unread(input, desired) {
                for container in &desired.contained_in {
                    dependents.contained.entry(container).or_default().push(desired);
                }
            }
            for id in observed.into_iter().flat_map(|observed| references(&observed.resource)) {
                dependents.referencing.entry(id).or_default().push(desired);
            }
        }
        dependents
    }

    /// The existing contents of a resource.
    pub(super) fn contained(
        &self,
        container: &Address,
    ) -> impl Iterator<Item = &'a DesiredResource> + use<'a> {
        self.contained.get(container).cloned().unwrap_or_default().into_iter()
    }

    /// Everything that exists in a resource or refers to it, and everything in that.
    pub(super) fn contents(&self, input: Comparison<'_>, address: &Address) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        let mut open = vec![address.clone()];
        while let Some(container) = open.pop() {
            let key = input.desired.get(&container).and_then(|desired| desired.key.as_ref());
            let referencing = match key {
                Some(ObjectKey::Azure(id)) => self.referencing.get(id),
                _ => None,
            };
            let all = self.contained.get(&container).into_iter().chain(referencing).flatten();
            let new = all.filter(|it| it.address != *address && found.insert(it.address.clone()));
            open.extend(new.map(|dependent| dependent.address.clone()));
        }
        found
    }

    fn on(
        &self,
        input: Comparison<'_>,
        container: &Address,
        decisions: &ResourceDecisions,
    ) -> impl Iterator<Item = &'a DesiredResource> + use<'a> {
        let mut found = self.contained.get(container).cloned().unwrap_or_default();
        let goes = matches!(
            decisions.get(container),
            Some(ResourceDecision::Change(change)) if change.action == Action::Replace
        );
        if let Some(ObjectKey::Azure(id)) =
            input.desired.get(container).and_then(|it| it.key.as_ref())
            && goes
        {
            found.extend(self.referencing.get(id).into_iter().flatten().copied());
        }
        found.into_iter()
    }
}

fn is_recreated(decision: &ResourceDecision) -> bool {
    matches!(
        decision,
        ResourceDecision::Change(change) if matches!(change.action, Action::Create | Action::Replace)
    )
}

fn replace(input: Comparison<'_>, address: &Address, decisions: &mut ResourceDecisions) {
    let Some(desired) = input.desired.get(address) else { return };
    let held = match decisions.get(address) {
        Some(ResourceDecision::Blocked(_) | ResourceDecision::Deferred(_)) => true,
        Some(ResourceDecision::Unreadable(_)) => {
            !is_host_unread(input, desired) || !is_machine_recreated(address, decisions)
        }
        _ => false,
    };
    if held {
        // A device that is offline is replaced with its machine after all.
        let offline = matches!(
            decisions.get(address),
            Some(ResourceDecision::Blocked(blocked)) if blocked.failure.code == Code::RouterOffline
        );
        if !offline {
            return;
        }
    }
    let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
    let action = if observed.is_some() { Action::Replace } else { Action::Create };
    decisions.insert(address.clone(), change(desired, observed, action));
}

/// Whether the machine that a resource is on is created, for the first time or again.
fn is_machine_recreated(address: &Address, decisions: &ResourceDecisions) -> bool {
    let Address { site, name, .. } = address.clone();
    let machine = Address { kind: Kind::VirtualMachine, site, name };
    decisions.get(&machine).is_some_and(is_recreated)
}

/// Whether only the host of a resource could not be read. If its machine is recreated, the
/// state of the old host does not matter.
fn is_host_unread(input: Comparison<'_>, desired: &DesiredResource) -> bool {
    let gap = input.inventory.gap_for(desired.address.kind, desired.key.as_ref());
    matches!(gap.map(|gap| &gap.source), Some(Source::Host(name)) if desired.address.name == name.as_str())
}

/// Blocks or defers a change while a resource that it depends on is hidden,
/// deferred or blocked.
pub(super) fn block_dependents(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let mut held: Vec<Address> = decisions
        .iter()
        .filter(|(_, decision)| {
            !matches!(decision, ResourceDecision::Unchanged | ResourceDecision::Change(_))
        })
        .map(|(address, _)| address.clone())
        .collect();
    if held.is_empty() {
        return;
    }
    let mut dependents: HashMap<&Address, Vec<&DesiredResource>> = HashMap::new();
    for desired in input.desired.iter() {
        for dependency in &desired.depends_on {
            dependents.entry(dependency).or_default().push(desired);
        }
    }
    while let Some(address) = held.pop() {
        let Some(waiting) = dependents.get(&address) else { continue };
        let Some(reason) = decisions.get(&address).cloned() else { continue };
        for dependent in waiting {
            let Some(ResourceDecision::Change(change)) = decisions.get(&dependent.address) else {
                continue;
            };
            let device = restored_routers::device_of(&address, &reason, decisions);
            let later = device.and_then(|device| restored_routers::until_restored(device, change));
            let decision = later.or_else(|| decision_for_dependent(&address, &reason, change));
            if let Some(decision) = decision {
                decisions.insert(dependent.address.clone(), decision);
                held.push(dependent.address.clone());
            }
        }
    }
}

/// Whether SSH to a worker passes through the router's host.
fn is_reached_through(router: &Address, worker: &Address) -> bool {
    router.kind == Kind::RouterHost && worker.kind == Kind::Worker
}

fn decision_for_dependent(
    on: &Address,
    reason: &ResourceDecision,
    change: &super::Change,
) -> Option<ResourceDecision> {
    let blocked = |failure: Failure| {
        Some(ResourceDecision::from(Blocked {
            address: change.address.clone(),
            action: change.action,
            fields: change.fields().into_owned(),
            failure,
            caused_by: Some(on.clone()),
            planned_because_of: change.planned_because_of.clone(),
        }))
    };
    match reason {
        ResourceDecision::Unchanged | ResourceDecision::Change(_) => None,
        // The object itself was read. An update that only needs the dependency's
        // name may go on; a creation may not, nor work on a worker's host, which is
        // reached through its router.
        ResourceDecision::Unreadable(gap) => match change.action {
            Action::Update if !is_reached_through(on, &change.address) => None,
            _ => {
                let reason = format!("it depends on {on}, and {} could not be read", gap.subject());
                blocked(gap.failure.clone().within(reason))
            }
        },
        // A resource that would be created in a container that is replaced later waits too.
        ResourceDecision::Deferred(deferred)
            if deferred.action == Action::Create
                || (deferred.action == Action::Replace
                    && matches!(change.action, Action::Create | Action::Replace)) =>
        {
            let reason = &change.planned_because_of;
            Some(ResourceDecision::from(Deferred {
                waits_for: vec![on.clone()],
                fields: change.fields().into_owned(),
                ..Deferred::new(change.address.clone(), change.action, reason)
            }))
        }
        ResourceDecision::Deferred(_) => None,
        ResourceDecision::Blocked(held)
            if held.address.kind == Kind::ManagedCluster
                && versions::keeps_version(held.failure.code) =>
        {
            None
        }
        ResourceDecision::Blocked(held) => {
            if held.failure.code == Code::NotOwned
                && change.address.kind != Kind::VirtualMachine
                && change.action == Action::Update
            {
                // The object exists, although the topology does not own it: a resource that
                // only refers to it can be updated.
                return None;
            }
            blocked(Failure::new(
                held.failure.code,
                format!("it depends on {on}, which is blocked"),
                format!("follow the help for {on} first"),
            ))
        }
    }
}
