//! Workers that get places which others leave first: their changes follow in later iterations of
//! the same apply, and are shown and approved with the first plan.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};

use super::address_exchanges::{self, Refused};
use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::diff::{self, ObjectDiff};
use super::follow_ups::FollowUps;
use super::new_places::{WITHDRAWAL, withdrawal};
use super::{Action, Blocked, Deferred, Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet, LaterIteration};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::{Address, Kind, Resource};

/// Says that iterations follow whose changes the plan does not show.
pub(super) fn unknown_iterations(desired: &DesiredSet) -> Option<Finding> {
    let message = format!(
        "workers take over pod CIDRs in more iterations than can be computed: the changes of {} \
         later ones are shown, and those of the further ones are not",
        desired.later_iterations().len()
    );
    let remedy = "apply the plan; the further changes are planned then, and may need another \
                  approval";
    let failure = Failure::new(Code::AddressExchange, message, remedy);
    let warning = || Finding::new(FindingSeverity::Warning, failure);
    desired.has_unknown_iterations().then(warning)
}

/// Defers the changes of later iterations.
pub(super) fn defer(
    input: Comparison<'_>,
    decisions: &mut ResourceDecisions,
    follow_ups: &mut FollowUps,
) {
    let iterations = input.desired.later_iterations();
    if iterations.is_empty() {
        return;
    }
    let contents = Contents::of(input);
    for (number, iteration) in iterations.iter().enumerate() {
        // Workers whose moves are blocked keep their places, and those that wait for them too.
        if !iteration.after.iter().any(|worker| moves(decisions.get(worker))) {
            return block(&contents, &iterations[number..], decisions);
        }
        let reasons = address_exchanges::refused_later(input, iteration);
        let deferred = contents.deferred_in(iteration);
        let (refused, rest): (Vec<Deferred>, Vec<Deferred>) = deferred
            .into_iter()
            .partition(|it| address_exchanges::refusal(&reasons, &it.address).is_some());
        let is_move = |it: &Deferred| it.address.kind == Kind::Worker;
        let moves_others = refused.is_empty() || rest.iter().any(is_move);
        refuse(refused, &reasons, decisions);
        if moves_others {
            rest.into_iter().for_each(|deferred| follow_ups.add_known(deferred, decisions));
        }
    }
}

fn moves(decision: Option<&ResourceDecision>) -> bool {
    matches!(decision, Some(ResourceDecision::Change(_) | ResourceDecision::Deferred(_)))
}

/// Blocks workers of a later iteration.
fn refuse(refused: Vec<Deferred>, reasons: &Refused, decisions: &mut ResourceDecisions) {
    for deferred in refused.into_iter().filter(|it| it.action != Action::Update) {
        let Some((worker, failure)) = address_exchanges::refusal(reasons, &deferred.address) else {
            continue;
        };
        // What changes before is not made either, as in an exchange of the first iteration.
        if moves(decisions.get(&deferred.address)) {
            decisions.remove(&deferred.address);
        }
        let cause = (deferred.address != *worker).then(|| worker.clone());
        block_deferred(deferred, failure.clone(), cause, decisions);
    }
}

/// Blocks the workers that wait until blocked ones have moved.
fn block(
    contents: &Contents<'_>,
    iterations: &[LaterIteration],
    decisions: &mut ResourceDecisions,
) {
    let after = iterations.iter().flat_map(|iteration| &iteration.after);
    let mut blocked = after.filter_map(|worker| match decisions.get(worker) {
        Some(ResourceDecision::Blocked(blocked)) => Some((worker, blocked.failure.clone())),
        _ => None,
    });
    let Some((cause, failure)) = blocked.next() else { return };
    let waiting = iterations.iter().flat_map(|iteration| contents.deferred_in(iteration));
    let waiting =
        waiting.filter(|it| it.address.kind == Kind::Worker && it.action != Action::Update);
    for deferred in waiting {
        let waits = format!("{} waits for a place that {cause} does not leave", deferred.address);
        block_deferred(deferred, failure.clone().within(waits), Some(cause.clone()), decisions);
    }
}

fn block_deferred(
    deferred: Deferred,
    failure: Failure,
    caused_by: Option<Address>,
    decisions: &mut ResourceDecisions,
) {
    let Deferred { address, action, fields, planned_because_of, .. } = deferred;
    if matches!(decisions.get(&address), None | Some(ResourceDecision::Unchanged)) {
        let blocked = Blocked { address, action, fields, failure, caused_by, planned_because_of };
        decisions.insert(blocked.address.clone(), blocked.into());
    }
}

/// The resources of the topology by their containers.
struct Contents<'a> {
    by_container: HashMap<&'a Address, Vec<&'a DesiredResource>>,
    inventory: &'a Inventory,
}

impl<'a> Contents<'a> {
    fn of(input: Comparison<'a>) -> Self {
        let mut contents: HashMap<&Address, Vec<&DesiredResource>> = HashMap::new();
        for desired in input.desired.iter() {
            for container in &desired.contained_in {
                contents.entry(container).or_default().push(desired);
            }
        }
        Self { by_container: contents, inventory: input.inventory }
    }

    /// The changes of an iteration, with the contents of what it replaces.
    fn deferred_in(&self, iteration: &LaterIteration) -> Vec<Deferred> {
        let changed = iteration.changed.iter();
        let changed = changed.map(|(before, after)| {
            let before = address_exchanges::value_before(self.inventory, before.as_ref(), after);
            change(before, after, iteration)
        });
        let mut all: BTreeMap<Address, Deferred> =
            changed.map(|it| (it.address.clone(), it)).collect();
        let withdrawn = iteration.withdrawn.iter();
        all.extend(withdrawn.map(|it| (it.clone(), withdrawal(it, &iteration.after))));
        let replaced = all.values().filter(|it| it.action == Action::Replace);
        let mut open: Vec<Address> = replaced.map(|it| it.address.clone()).collect();
        let mut replaced: BTreeSet<Address> = open.iter().cloned().collect();
        while let Some(container) = open.pop() {
            for resource in self.by_container.get(&container).into_iter().flatten() {
                let address = &resource.address;
                if !replaced.insert(address.clone()) {
                    continue;
                }
                let reason = &resource.planned_because_of;
                let new = || Deferred {
                    waits_for: iteration.after.clone(),
                    ..Deferred::new(address.clone(), Action::Replace, reason.clone())
                };
                all.entry(address.clone()).or_insert_with(new).action = Action::Replace;
                open.push(address.clone());
            }
        }
        all.into_values().collect()
    }
}

fn change(
    before: Option<&Resource>,
    after: &DesiredResource,
    iteration: &LaterIteration,
) -> Deferred {
    let (action, fields) = match before {
        None => (Action::Create, diff::whole(&after.resource, ObjectDiff::Created)),
        Some(before) => {
            let fields = diff::between(before, &after.resource);
            match fields.iter().any(|field| field.forces_replacement) {
                true => (Action::Replace, fields),
                // Its values in between are those of one iteration only.
                false => (Action::Update, Vec::new()),
            }
        }
    };
    let reason = match action {
        Action::Update => WITHDRAWAL,
        _ => &after.planned_because_of,
    };
    Deferred {
        waits_for: iteration.after.clone(),
        fields,
        ..Deferred::new(after.address.clone(), action, reason)
    }
}
