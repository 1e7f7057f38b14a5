//! Updates in a later iteration of the same apply: another change must determine their values
//! first.

use super::decision::{ResourceDecision, ResourceDecisions};
use super::{Action, Deferred};
use crate::resource::Address;

/// Why resources are updated once more.
pub(super) struct FollowUp {
    /// The resources that they wait for.
    pub(super) waits_for: Vec<Address>,
    /// The rule that requires it.
    pub(super) planned_because_of: &'static str,
    /// Whether it depends on the result of the other changes that there is an update.
    pub(super) is_conditional: bool,
}

/// Updates of resources that this plan changes already: the same apply changes them again.
#[derive(Debug, Default)]
pub(super) struct FollowUps(Vec<Deferred>);

impl FollowUps {
    /// Defers an update of a resource. Resources that are blocked or deleted get none.
    pub(super) fn add(
        &mut self,
        address: &Address,
        follow_up: &FollowUp,
        decisions: &mut ResourceDecisions,
    ) {
        let deferred = || Deferred {
            waits_for: follow_up.waits_for.clone(),
            is_conditional: follow_up.is_conditional,
            ..Deferred::new(address.clone(), Action::Update, follow_up.planned_because_of)
        };
        match decisions.get(address) {
            Some(ResourceDecision::Unchanged) => {
                decisions.insert(address.clone(), deferred().into());
            }
            // A possible second change of what changes anyway is not listed.
            _ if follow_up.is_conditional => {}
            Some(ResourceDecision::Change(change)) if change.action != Action::Delete => {
                self.0.push(deferred());
            }
            Some(ResourceDecision::Deferred(other)) if other.is_follow_up() => {
                self.0.push(deferred());
            }
            _ => {}
        }
    }

    /// Defers a change whose values are known.
    pub(super) fn add_known(&mut self, deferred: Deferred, decisions: &mut ResourceDecisions) {
        match decisions.get(&deferred.address) {
            None | Some(ResourceDecision::Unchanged) => {
                decisions.insert(deferred.address.clone(), deferred.into());
            }
            Some(ResourceDecision::Change(change)) if change.action == Action::Delete => {}
            Some(ResourceDecision::Change(_) | ResourceDecision::Deferred(_)) => {
                self.0.push(deferred);
            }
            Some(ResourceDecision::Blocked(_) | ResourceDecision::Unreadable(_)) => {}
        }
    }

    /// The deferred resources of a plan with these, in the order of their addresses.
    pub(super) fn add_to(self, deferred: &mut Vec<Deferred>) {
        deferred.extend(self.0);
        deferred.sort_by(|one, other| one.address.cmp(&other.address));
    }
}
