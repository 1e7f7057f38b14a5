//! What follows from a verdict for other resources.

use std::collections::{BTreeMap, BTreeSet};

use super::dependencies::references;
use super::planner::{Comparison, ResourceDecision, ResourceDecisions, change};
use super::{Action, Blocked, Deferred};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, ArmId, Kind, ObjectKey};

/// A resource that comes with another one and is missing can only be had by
/// making the other one anew: a router whose auth key lapsed unused is one.
pub(super) fn replace_what_brings_the_absent(
    input: Comparison<'_>,
    verdicts: &mut ResourceDecisions,
) {
    for desired in input.desired.iter() {
        let Some(bringer) = &desired.created_by else { continue };
        let absent = matches!(
            verdicts.get(&desired.address),
            Some(ResourceDecision::Change(change)) if change.action == Action::Create
        );
        let bringer_stays = match verdicts.get(bringer) {
            Some(ResourceDecision::Unchanged) => true,
            Some(ResourceDecision::Change(change)) => change.action == Action::Update,
            _ => false,
        };
        let on_its_way = input
            .desired
            .get(bringer)
            .and_then(|bringer| bringer.key.as_ref())
            .is_some_and(|key| input.inventory.recently_created.contains(key));
        if absent && bringer_stays && !on_its_way {
            replace(input, bringer, verdicts);
        }
    }
}

/// What can be spelt out only later cannot be made anew with what it lives in.
/// So that its home goes when all of it can come again, the home waits too, unless
/// that is what is waited for.
pub(super) fn keep_the_homes_of_the_deferred(
    input: Comparison<'_>,
    verdicts: &mut ResourceDecisions,
) {
    let mut waiting = Vec::new();
    for (address, verdict) in verdicts.iter() {
        let ResourceDecision::Deferred(deferred) = verdict else { continue };
        if deferred.action == Action::Create {
            continue;
        }
        let homes = homes(input, address).into_iter().filter(|home| {
            let inside =
                |awaited: &Address| awaited == home || self::homes(input, awaited).contains(home);
            is_replaced(verdicts.get(home)) && !deferred.waits_for.iter().any(inside)
        });
        waiting.extend(homes.map(|home| (home, deferred.waits_for.clone())));
    }
    for (home, waits_for) in waiting {
        if let Some(ResourceDecision::Change(change)) = verdicts.get(&home) {
            let deferred = Deferred {
                address: home.clone(),
                action: change.action,
                waits_for,
                fields: change.fields().into_owned(),
                planned_because_of: change.planned_because_of.clone(),
            };
            verdicts.insert(home, ResourceDecision::Deferred(deferred));
        }
    }
}

/// What a resource lives in, and what that lives in.
fn homes(input: Comparison<'_>, address: &Address) -> BTreeSet<Address> {
    let mut found = BTreeSet::new();
    let mut open = vec![address.clone()];
    while let Some(address) = open.pop() {
        let Some(desired) = input.desired.get(&address) else { continue };
        let new = desired.contained_in.iter().filter(|home| found.insert((*home).clone()));
        open.extend(new.cloned());
    }
    found
}

fn is_replaced(verdict: Option<&ResourceDecision>) -> bool {
    matches!(verdict, Some(ResourceDecision::Change(change)) if change.action == Action::Replace)
}

/// What lives in something that is made anew is made anew with it, and so is
/// what points at it: Azure deletes nothing that is pointed at.
pub(super) fn replace_what_rests_on_the_replaced(
    input: Comparison<'_>,
    verdicts: &mut ResourceDecisions,
) {
    let mut anew: Vec<Address> = verdicts
        .iter()
        .filter(|(_, verdict)| is_made_anew(verdict))
        .map(|(address, _)| address.clone())
        .collect();
    if anew.is_empty() {
        return;
    }
    let resting = Resting::of(input);
    while let Some(home) = anew.pop() {
        for resident in resting.on(input, &home, verdicts) {
            if !verdicts.get(&resident.address).is_some_and(is_made_anew) {
                replace(input, &resident.address, verdicts);
                anew.push(resident.address.clone());
            }
        }
    }
}

/// Which resources that are there need another one to stay.
struct Resting<'a> {
    living_in: BTreeMap<&'a Address, Vec<&'a DesiredResource>>,
    pointing_at: BTreeMap<&'a ArmId, Vec<&'a DesiredResource>>,
}

impl<'a> Resting<'a> {
    fn of(input: Comparison<'a>) -> Self {
        let mut resting = Self { living_in: BTreeMap::new(), pointing_at: BTreeMap::new() };
        for desired in input.desired.iter() {
            let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
            let Some(observed) = observed else { continue };
            for home in &desired.contained_in {
                resting.living_in.entry(home).or_default().push(desired);
            }
            for id in references(&observed.resource) {
                resting.pointing_at.entry(id).or_default().push(desired);
            }
        }
        resting
    }

    fn on(
        &self,
        input: Comparison<'_>,
        home: &Address,
        verdicts: &ResourceDecisions,
    ) -> impl Iterator<Item = &'a DesiredResource> + use<'a> {
        let mut found = self.living_in.get(home).cloned().unwrap_or_default();
        let goes = matches!(
            verdicts.get(home),
            Some(ResourceDecision::Change(change)) if change.action == Action::Replace
        );
        if let Some(ObjectKey::Azure(id)) = input.desired.get(home).and_then(|it| it.key.as_ref())
            && goes
        {
            found.extend(self.pointing_at.get(id).into_iter().flatten().copied());
        }
        found.into_iter()
    }
}

fn is_made_anew(verdict: &ResourceDecision) -> bool {
    matches!(
        verdict,
        ResourceDecision::Change(change) if matches!(change.action, Action::Create | Action::Replace)
    )
}

fn replace(input: Comparison<'_>, address: &Address, verdicts: &mut ResourceDecisions) {
    let Some(desired) = input.desired.get(address) else { return };
    let held = verdicts.get(address).is_some_and(|verdict| {
        matches!(
            verdict,
            ResourceDecision::Blocked(_)
                | ResourceDecision::Deferred(_)
                | ResourceDecision::Hidden(_)
        )
    });
    if held {
        // A device that is offline is replaced with its machine after all.
        let offline = matches!(
            verdicts.get(address),
            Some(ResourceDecision::Blocked(blocked)) if blocked.failure.code == Code::RouterOffline
        );
        if !offline {
            return;
        }
    }
    let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
    verdicts.insert(address.clone(), change(desired, observed, Action::Replace));
}

/// A change waits while what it depends on is hidden, deferred or blocked.
pub(super) fn hold_back_what_depends_on_the_held_back(
    input: Comparison<'_>,
    verdicts: &mut ResourceDecisions,
) {
    let mut held: Vec<Address> = verdicts
        .iter()
        .filter(|(_, verdict)| {
            !matches!(verdict, ResourceDecision::Unchanged | ResourceDecision::Change(_))
        })
        .map(|(address, _)| address.clone())
        .collect();
    if held.is_empty() {
        return;
    }
    let mut dependants: BTreeMap<&Address, Vec<&DesiredResource>> = BTreeMap::new();
    for desired in input.desired.iter() {
        for dependency in &desired.depends_on {
            dependants.entry(dependency).or_default().push(desired);
        }
    }
    while let Some(address) = held.pop() {
        let Some(waiting) = dependants.get(&address) else { continue };
        let Some(reason) = verdicts.get(&address).cloned() else { continue };
        for dependant in waiting {
            let Some(ResourceDecision::Change(change)) = verdicts.get(&dependant.address) else {
                continue;
            };
            if let Some(verdict) = hold_back(&address, &reason, change) {
                verdicts.insert(dependant.address.clone(), verdict);
                held.push(dependant.address.clone());
            }
        }
    }
}

fn hold_back(
    on: &Address,
    reason: &ResourceDecision,
    change: &super::Change,
) -> Option<ResourceDecision> {
    let blocked = |failure: Failure| {
        Some(ResourceDecision::Blocked(Blocked {
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
        // What exists was observed when its neighbour was not: an update that
        // only reads the neighbour's name may go on, a creation may not.
        ResourceDecision::Hidden(gap) => match change.action {
            Action::Update => None,
            _ => {
                let reason = format!("it depends on {on}, and {} could not be read", gap.source);
                blocked(gap.failure.clone().within(reason))
            }
        },
        // What would only be made in something that is made anew later waits too.
        ResourceDecision::Deferred(deferred)
            if deferred.action == Action::Create
                || (deferred.action == Action::Replace
                    && matches!(change.action, Action::Create | Action::Replace)) =>
        {
            Some(ResourceDecision::Deferred(Deferred {
                address: change.address.clone(),
                action: change.action,
                waits_for: vec![on.clone()],
                fields: change.fields().into_owned(),
                planned_because_of: change.planned_because_of.clone(),
            }))
        }
        ResourceDecision::Deferred(_) => None,
        ResourceDecision::Blocked(held) => {
            if held.failure.code == Code::WithoutMark
                && change.address.kind != Kind::VirtualMachine
                && change.action == Action::Update
            {
                // The object is there, whoever's it is: what only points at it
                // can be mended.
                return None;
            }
            blocked(Failure::new(
                held.failure.code,
                format!("it depends on {on}, which is blocked"),
                format!("settle {on} first"),
            ))
        }
    }
}
