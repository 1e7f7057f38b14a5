//! Holds back changes that wait for changes that are not made.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::dependencies;
use super::held_back::held_back_until;
use super::withdrawal::{cuts_off, may_withdraw};
use super::{Action, Change};
use crate::diagnostics::{Code, Failure};
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, Resource};

/// Blocks all that an apply would skip because these removals are not made, and all that
/// would cut off the workers that stay with them. The removals themselves, each with its
/// reason, are left as they are.
pub(super) fn block_waiting(
    input: Comparison<'_>,
    removals: &BTreeSet<Address>,
    reasons: &BTreeMap<Address, Failure>,
    decisions: &mut ResourceDecisions,
) {
    if removals.is_empty() {
        return;
    }
    for (address, cause) in causes(input, removals, reasons, decisions) {
        let Some(waiting) = change(decisions, &address) else { continue };
        let code = reasons.get(&cause).map_or(Code::RouterOffline, |failure| failure.code);
        let blocked = held_back_until(waiting, &cause, code);
        decisions.insert(address, blocked.into());
    }
}

/// The changes that are held back, each with the removal that it waits for.
fn causes(
    input: Comparison<'_>,
    removals: &BTreeSet<Address>,
    reasons: &BTreeMap<Address, Failure>,
    decisions: &ResourceDecisions,
) -> BTreeMap<Address, Address> {
    let mut causes = cutting_off(removals, decisions);
    let waiting = waiting_for(input, decisions);
    let itself = |address: &Address| (address.clone(), address.clone());
    let mut open: Vec<(Address, Address)> = removals.iter().map(itself).collect();
    open.extend(causes.clone());
    while let Some((address, cause)) = open.pop() {
        for dependent in waiting.get(&address).into_iter().flatten() {
            let is_known = reasons.contains_key(dependent) || causes.contains_key(dependent);
            // Disconnection of a worker that stays is detected elsewhere; other changes may
            // proceed.
            let only_follows = removals.contains(&address)
                && change(decisions, dependent).is_some_and(may_withdraw);
            if !is_known && !only_follows {
                causes.insert(dependent.clone(), cause.clone());
                open.push((dependent.clone(), cause.clone()));
            }
        }
    }
    causes
}

/// The changes that wait for each one.
fn waiting_for(
    input: Comparison<'_>,
    decisions: &ResourceDecisions,
) -> BTreeMap<Address, Vec<Address>> {
    let mut waiting: BTreeMap<Address, Vec<Address>> = BTreeMap::new();
    for (address, before) in dependencies::before_each(input, decisions) {
        for cause in before {
            waiting.entry(cause).or_default().push(address.clone());
        }
    }
    waiting
}

/// The updates that cut off workers that stay, each with the first of them.
fn cutting_off(
    removals: &BTreeSet<Address>,
    decisions: &ResourceDecisions,
) -> BTreeMap<Address, Address> {
    let staying: Vec<(&Address, &JoinedWorker)> =
        removals.iter().filter_map(|it| Some((it, worker(change(decisions, it)?)?))).collect();
    let updates = decisions.iter().filter_map(|(address, decision)| match decision {
        ResourceDecision::Change(change) if change.action == Action::Update => {
            Some((address, change))
        }
        _ => None,
    });
    let found = updates.filter_map(|(address, update)| {
        let (cause, _) = staying.iter().find(|(_, worker)| cuts_off(update, worker))?;
        Some((address.clone(), (*cause).clone()))
    });
    found.collect()
}

fn worker(change: &Change) -> Option<&JoinedWorker> {
    match &change.before {
        Some(Resource::Worker(worker)) => Some(worker),
        _ => None,
    }
}

fn change<'a>(decisions: &'a ResourceDecisions, address: &Address) -> Option<&'a Change> {
    match decisions.get(address) {
        Some(ResourceDecision::Change(change)) => Some(change),
        _ => None,
    }
}
