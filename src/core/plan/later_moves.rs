//! Workers that get places which others leave first: their changes follow in later iterations of
//! the same apply, and are shown and approved with the first plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::diff::{self, ObjectDiff};
use super::follow_ups::FollowUps;
use super::new_places::WITHDRAWAL;
use super::{Action, Blocked, Deferred, Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet, LaterIteration};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind};

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
    let moves = |decision: Option<&ResourceDecision>| {
        matches!(decision, Some(ResourceDecision::Change(_) | ResourceDecision::Deferred(_)))
    };
    let iterations = input.desired.later_iterations();
    for (number, iteration) in iterations.iter().enumerate() {
        // Workers whose moves are blocked keep their places, and those that wait for them too.
        if !iteration.after.iter().any(|worker| moves(decisions.get(worker))) {
            return block(input, &iterations[number..], decisions);
        }
        for deferred in deferred_in(input, iteration) {
            follow_ups.add_known(deferred, decisions);
        }
    }
}

/// Blocks the workers that wait until blocked ones have moved.
fn block(input: Comparison<'_>, iterations: &[LaterIteration], decisions: &mut ResourceDecisions) {
    let after = iterations.iter().flat_map(|iteration| &iteration.after);
    let mut blocked = after.filter_map(|worker| match decisions.get(worker) {
        Some(ResourceDecision::Blocked(blocked)) => Some((worker, blocked.failure.clone())),
        _ => None,
    });
    let Some((cause, failure)) = blocked.next() else { return };
    let waiting = iterations.iter().flat_map(|iteration| deferred_in(input, iteration));
    let waiting =
        waiting.filter(|it| it.address.kind == Kind::Worker && it.action != Action::Update);
    for Deferred { address, action, fields, planned_because_of, .. } in waiting {
        if matches!(decisions.get(&address), None | Some(ResourceDecision::Unchanged)) {
            let failure = failure
                .clone()
                .within(format!("{address} waits for a place that {cause} does not leave"));
            let caused_by = Some(cause.clone());
            let blocked =
                Blocked { address, action, fields, failure, caused_by, planned_because_of };
            decisions.insert(blocked.address.clone(), blocked.into());
        }
    }
}

fn deferred_in(input: Comparison<'_>, iteration: &LaterIteration) -> Vec<Deferred> {
    let changed =
        iteration.changed.iter().map(|(before, after)| change(before.as_ref(), after, iteration));
    let mut all: Vec<Deferred> = changed.collect();
    let mut replaced: BTreeSet<Address> =
        all.iter().filter(|it| it.action == Action::Replace).map(|it| it.address.clone()).collect();
    for container in replaced.clone() {
        replace_contents(input, &container, iteration, &mut replaced, &mut all);
    }
    all
}

/// Adds the replacements of the contents of a replaced resource.
fn replace_contents(
    input: Comparison<'_>,
    container: &Address,
    iteration: &LaterIteration,
    replaced: &mut BTreeSet<Address>,
    all: &mut Vec<Deferred>,
) {
    let contents = input.desired.iter().filter(|it| it.contained_in.contains(container));
    for resource in contents {
        if !replaced.insert(resource.address.clone()) {
            continue;
        }
        match all.iter_mut().find(|it| it.address == resource.address) {
            Some(deferred) => deferred.action = Action::Replace,
            None => all.push(Deferred {
                waits_for: iteration.after.clone(),
                ..Deferred::new(
                    resource.address.clone(),
                    Action::Replace,
                    resource.planned_because_of.clone(),
                )
            }),
        }
        replace_contents(input, &resource.address, iteration, replaced, all);
    }
}

fn change(
    before: Option<&Arc<DesiredResource>>,
    after: &DesiredResource,
    iteration: &LaterIteration,
) -> Deferred {
    let (action, fields) = match before {
        None => (Action::Create, diff::whole(&after.resource, ObjectDiff::Created)),
        Some(before) => {
            let fields = diff::between(&before.resource, &after.resource);
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
