//! The consequences that a reviewer must see first: deletions, interruptions, lost pairs.

use crate::plan::impact::{Loss, Reachability};
use crate::plan::{Action, Plan};
use crate::render::text::counted;

use super::listing::{items, name, names, plain_name, sentence};

/// Resources that are named for each action that takes them away.
const MAX_GOING_AWAY: usize = 20;

/// Bytes of the list of interruptions.
const MAX_INTERRUPTED_SIZE: usize = 6_000;

/// Bytes of the list of lost pairs.
const MAX_LOST_SIZE: usize = 6_000;

/// The consequences of the plan, the worst kind first; empty without any.
pub(super) fn consequences(plan: &Plan) -> String {
    let parts = [
        items(&going_away(plan), "action", usize::MAX),
        items(&interrupted(plan), "interruption", MAX_INTERRUPTED_SIZE),
        items(&lost(&plan.reachability), "loss", MAX_LOST_SIZE),
    ];
    parts.concat()
}

/// The resources that are destroyed, replaced or rebooted, by name.
fn going_away(plan: &Plan) -> Vec<String> {
    let actions = [Action::Delete, Action::Replace, Action::Reboot];
    let line = |action: Action| {
        let changes = plan.changes.iter().map(|change| (change.action, &change.address));
        let deferred = plan.expected().map(|deferred| (deferred.action, &deferred.address));
        let all = changes.chain(deferred).filter(|(other, _)| *other == action);
        let all: Vec<_> = all.map(|(_, address)| address).collect();
        let listed = names(all.iter().copied(), MAX_GOING_AWAY);
        match all.len() {
            0 => None,
            1 => Some(format!("**{}**: {listed}", action.participle())),
            count => Some(format!("**{}** ({count}): {listed}", action.participle())),
        }
    };
    actions.into_iter().filter_map(line).collect()
}

/// Interruptions and the pairs that are unreachable at that time; disruptions of the most
/// pairs first.
fn interrupted(plan: &Plan) -> Vec<String> {
    let disruptions = plan.reachability.disruption_summaries();
    let disruptions = disruptions.iter().map(|text| sentence(text));
    let changes = plan.changes.iter().map(|change| (&change.interrupts, &change.address));
    let deferred = plan.expected().map(|deferred| (&deferred.interrupts, &deferred.address));
    let changes = changes.chain(deferred).filter_map(|(interrupts, address)| {
        let text = sentence(interrupts.as_deref()?);
        Some(format!("**interrupts** {text} ({})", name(&address.to_string())))
    });
    let unexamined = plan.reachability.unexamined.iter().map(|it| sentence(&it.sentence()));
    disruptions.chain(changes).chain(unexamined).collect()
}

/// The pairs that no longer reach each other after the plan.
fn lost(found: &Reachability) -> Vec<String> {
    let refused =
        found.is_refused().then(|| "**refused**: permit the loss with `--allow-loss`".to_owned());
    let lost = found.losses.iter().map(|loss| lost_pairs(loss, "loses", ""));
    let removed =
        found.removals.iter().map(|loss| lost_pairs(loss, "removes", " together with a node"));
    refused.into_iter().chain(lost).chain(removed).collect()
}

fn lost_pairs(loss: &Loss, verb: &str, manner: &str) -> String {
    let (from, to) = (plain_name(&loss.example.0), plain_name(&loss.example.1));
    let resource = loss.resource.as_ref();
    let resource = resource.map(|it| format!(", because of {}", name(&it.to_string())));
    let pairs = counted(loss.pairs, "pair");
    let resource = resource.unwrap_or_default();
    format!("**{verb}** {pairs}{manner}, for example {from} to {to}{resource}")
}
