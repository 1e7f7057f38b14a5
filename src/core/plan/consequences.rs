//! Changes that only follow from others of the same plan.

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::dependencies::references;
use super::{Action, Change};
use crate::resource::{Address, ArmId, ObjectKey};

/// Marks a change that only follows from another one of this plan.
pub(super) fn mark(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let causes: Vec<Option<Address>> = decisions
        .iter()
        .map(|(address, decision)| match decision {
            ResourceDecision::Change(change) => cause(input, decisions, address, change),
            _ => None,
        })
        .collect();
    for (decision, cause) in decisions.values_mut().zip(causes) {
        if let (ResourceDecision::Change(change), Some(cause)) = (decision, cause) {
            change.caused_by = Some(cause);
        }
    }
}

/// The created or replaced resource that contains the changed one, if any; otherwise, for a
/// replacement, a replaced resource that it refers to.
fn cause(
    input: Comparison<'_>,
    decisions: &ResourceDecisions,
    address: &Address,
    change: &Change,
) -> Option<Address> {
    let desired = input.desired.get(address)?;
    let action = |address: &Address| match decisions.get(address) {
        Some(ResourceDecision::Change(change)) => Some(change.action),
        _ => None,
    };
    let is_created =
        |home: &&Address| matches!(action(home), Some(Action::Create | Action::Replace));
    if let Some(home) = desired.contained_in.iter().find(is_created) {
        return Some(home.clone());
    }
    let forced = change.differences.iter().any(|field| field.forces_replacement);
    if change.action != Action::Replace || forced {
        return None;
    }
    let pointed_at: Vec<&ArmId> = change.before.iter().flat_map(references).collect();
    let is_pointed_at = |address: &Address| match input.desired.get(address)?.key.as_ref()? {
        ObjectKey::Azure(id) => pointed_at.contains(&id).then_some(()),
        _ => None,
    };
    let mut replaced = desired.depends_on.iter().filter(|it| action(it) == Some(Action::Replace));
    replaced.find(|address| is_pointed_at(address).is_some()).cloned()
}
