use std::collections::BTreeSet;

use crate::plan::{Action, Change, OmittedChange, Plan};
use crate::resource::{Address, Kind};

/// The changes and permissions that the user approved.
#[derive(Debug, Default)]
pub(super) struct Approved {
    actions: BTreeSet<(Address, Action)>,
    /// A deferred association represents all subnets that are found later.
    kinds_waiting: BTreeSet<Kind>,
}

impl Approved {
    /// Adds the changes that a plan shows and that the user has approved.
    pub(super) fn add(&mut self, plan: &Plan) {
        let changes = plan.changes.iter().map(|change| (change.address.clone(), change.action));
        self.actions.extend(changes);
        // A deferred resource may exist already, as the device of a router whose
        // VM is replaced.
        let deferred = plan.deferred.iter().flat_map(|deferred| {
            let actions = [Action::Create, Action::Update, Action::Replace];
            // Deferred deletions and adoptions were shown, and so approved.
            let named = [Action::Delete, Action::Adopt].into_iter();
            let named = named.filter(|action| *action == deferred.action);
            let actions = actions.into_iter().chain(named);
            actions.map(|action| (deferred.address.clone(), action))
        });
        self.actions.extend(deferred);
        self.kinds_waiting.extend(plan.deferred.iter().map(|deferred| deferred.address.kind));
    }

    /// Whether the change was approved, completes an approved one, or only waits.
    fn includes(&self, change: &Change) -> bool {
        self.implies(&change.address, change.action) || awaits_readiness(change)
    }

    /// Whether an action was approved, or completes an approved one: a created resource may
    /// lack a field, and a resource that was deleted to be replaced is created.
    fn implies(&self, address: &Address, action: Action) -> bool {
        let implied_by: &[Action] = match action {
            Action::Create => &[Action::Create, Action::Replace],
            Action::Update => &[Action::Update, Action::Create, Action::Replace, Action::Adopt],
            Action::Delete => &[Action::Delete],
            Action::Replace => &[Action::Replace],
            Action::Adopt => &[Action::Adopt],
            Action::Reboot => &[Action::Reboot],
        };
        implied_by.iter().any(|action| self.actions.contains(&(address.clone(), *action)))
    }

    /// Whether a change was approved. A deferred association represents all subnets that are
    /// found later.
    pub(super) fn permits(&self, change: &Change) -> bool {
        let is_awaited_association = change.address.kind == Kind::RouteTableAssociation
            && self.kinds_waiting.contains(&change.address.kind);
        self.includes(change) || is_awaited_association
    }

    /// The omitted changes of a plan that were approved: they depend on changes that were not.
    pub(super) fn left_out<'a>(&self, omitted: &'a [OmittedChange]) -> Vec<&'a Address> {
        let is_approved = |change: &&OmittedChange| self.implies(&change.address, change.action);
        omitted.iter().filter(is_approved).map(|change| &change.address).collect()
    }

    /// Whether every change of a plan was approved.
    pub(super) fn covers(&self, plan: &Plan) -> bool {
        self.unapproved(plan).next().is_none()
    }

    /// The changes of a plan that were not approved.
    pub(super) fn unapproved<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Change> {
        plan.changes.iter().filter(|change| !self.permits(change))
    }
}

/// Whether a change only waits until a worker is Ready again, as one that is not while its
/// router is replaced.
fn awaits_readiness(change: &Change) -> bool {
    let mut fields = change.differences.iter().map(|field| &field.path.0[..]);
    change.address.kind == Kind::Worker
        && change.action == Action::Update
        && !change.differences.is_empty()
        && fields.all(|path| path == ["ready"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn omitted(address: &str, action: Action) -> OmittedChange {
        OmittedChange { address: address.parse().unwrap(), action }
    }

    /// A replaced resource that is deleted already is created, and a created one is completed.
    #[test]
    fn omitted_changes_that_complete_approved_ones_are_named() {
        let approved = [("worker/dc/a", Action::Replace), ("worker/dc/b", Action::Create)];
        let actions = approved.map(|(address, action)| (address.parse().unwrap(), action));
        let approved = Approved { actions: actions.into(), ..Approved::default() };
        let omitted = [
            omitted("worker/dc/a", Action::Create),
            omitted("worker/dc/b", Action::Update),
            omitted("worker/dc/b", Action::Replace),
            omitted("worker/dc/c", Action::Create),
        ];
        let named = approved.left_out(&omitted).into_iter().map(ToString::to_string);
        assert_eq!(named.collect::<Vec<_>>(), ["worker/dc/a", "worker/dc/b"]);
    }
}
