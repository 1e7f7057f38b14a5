//! Changes that are wanted again after they were made.

use std::collections::BTreeMap;

use super::events::Outcome;
use crate::plan::{Action, Change, Plan};
use crate::resource::{Address, Resource};

/// The changes that an apply has made, with the values that they set.
#[derive(Debug, Default)]
pub(super) struct MadeChanges(BTreeMap<Address, (Action, Option<Resource>)>);

impl MadeChanges {
    /// Adds the changes of an iteration that were made and read back.
    pub(super) fn add(&mut self, plan: &Plan, outcomes: &BTreeMap<Address, Outcome>) {
        let is_made = |change: &&Change| outcomes.get(&change.address) == Some(&Outcome::Done);
        for change in plan.changes.iter().filter(is_made) {
            let value = (change.action, change.after.clone());
            self.0.insert(change.address.clone(), value);
        }
    }

    /// A change of the next plan that was made before, to the same value: something
    /// undoes it, and making it again would not end.
    pub(super) fn repeated_in<'a>(&self, plan: &'a Plan) -> Option<&'a Change> {
        plan.changes.iter().find(|change| {
            self.0.get(&change.address).is_some_and(|(action, after)| {
                (*action, after.as_ref()) == (change.action, change.after.as_ref())
            })
        })
    }
}
