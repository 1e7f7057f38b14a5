//! Changes that a plan needs beyond those that are made.

use super::{Action, Plan};
use crate::resource::Address;

/// A change that the topology asks for and that the plan at hand does not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmittedChange {
    /// The resource.
    pub address: Address,
    /// The action of the omitted change.
    pub action: Action,
}

impl OmittedChange {
    /// All changes of a plan, deferred ones included.
    pub fn all(plan: &Plan) -> Vec<Self> {
        let changes = plan.changes.iter().map(|change| (&change.address, change.action));
        let deferred = plan.deferred.iter().map(|deferred| (&deferred.address, deferred.action));
        let one = |(address, action): (&Address, Action)| Self { address: address.clone(), action };
        changes.chain(deferred).map(one).collect()
    }

    /// The changes among `changes` that a plan does not contain.
    pub fn not_in(mut changes: Vec<Self>, plan: &Plan) -> Vec<Self> {
        let kept = Self::all(plan);
        changes.retain(|change| !kept.contains(change));
        changes
    }

    /// The change in words, such as `route-table/dc1/a updated`.
    pub fn text(&self) -> String {
        format!("{} {}", self.address, self.action.participle())
    }
}
