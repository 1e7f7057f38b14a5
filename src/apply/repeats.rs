//! Changes that are planned again after they were made.

use std::collections::BTreeMap;

use super::events::Outcome;
use crate::plan::{Action, Change, FieldChange, Plan};
use crate::resource::{Address, Resource};

/// The changes that an apply has made, with the values and the fields that they set.
#[derive(Debug, Default)]
pub(super) struct AppliedChanges(BTreeMap<Address, AppliedChange>);

#[derive(Debug)]
struct AppliedChange {
    action: Action,
    after: Option<Resource>,
    differences: Vec<FieldChange>,
}

impl AppliedChanges {
    /// Adds the changes of an iteration that were made and read back.
    pub(super) fn add(&mut self, plan: &Plan, outcomes: &BTreeMap<Address, Outcome>) {
        let is_made = |change: &&Change| outcomes.get(&change.address) == Some(&Outcome::Done);
        for change in plan.changes.iter().filter(is_made) {
            let Change { action, after, differences, .. } = change;
            let (after, differences) = (after.clone(), differences.clone());
            let applied = AppliedChange { action: *action, after, differences };
            self.0.insert(change.address.clone(), applied);
        }
    }

    /// A change of the next plan that was made before, of the same fields to the same
    /// value: something undoes it, and making it again would not end.
    pub(super) fn repeated_in<'a>(&self, plan: &'a Plan) -> Option<&'a Change> {
        plan.changes.iter().find(|change| {
            let applied = self.0.get(&change.address);
            applied.is_some_and(|applied| applied.is_repeated_by(change))
        })
    }
}

impl AppliedChange {
    /// A transient state, such as a worker that is not Ready, may recur.
    fn is_repeated_by(&self, change: &Change) -> bool {
        let paths = |fields: &[FieldChange]| -> Vec<_> {
            let lasting = fields.iter().filter(|field| !field.is_transient());
            lasting.map(|field| field.path.clone()).collect()
        };
        let fields = paths(&change.differences);
        let is_transient = fields.is_empty() && !change.differences.is_empty();
        !is_transient
            && (self.action, self.after.as_ref()) == (change.action, change.after.as_ref())
            && paths(&self.differences) == fields
    }
}
