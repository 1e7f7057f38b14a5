//! The steps of a plan and their order.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Action, Change};
use crate::resource::Address;

/// Which part of a change a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Half {
    /// A replacement's deletion.
    TearDown,
    /// Everything else.
    Make,
}

/// Names a step.
pub(super) type StepId = (Address, Half);

/// The steps of a round, each with the steps that it waits for.
#[derive(Debug)]
pub(super) struct Steps {
    waits_for: BTreeMap<StepId, BTreeSet<StepId>>,
}

impl Steps {
    /// A replacement is two steps: it goes when what lives in it is gone, and
    /// comes when what it depends on is there.
    pub(super) fn of(changes: &[Change]) -> Self {
        let replaced: BTreeSet<&Address> = changes
            .iter()
            .filter(|change| change.action == Action::Replace)
            .map(|change| &change.address)
            .collect();
        let present: BTreeSet<&Address> = changes.iter().map(|change| &change.address).collect();
        let mut waits_for: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
        for change in changes {
            let made: BTreeSet<StepId> = change
                .depends_on
                .iter()
                .filter(|address| present.contains(address))
                .map(|address| (address.clone(), Half::Make))
                .collect();
            let make = (change.address.clone(), Half::Make);
            waits_for.insert(make.clone(), made);
            if change.action == Action::Replace {
                let tear_down = (change.address.clone(), Half::TearDown);
                let gone = change
                    .torn_down_after
                    .iter()
                    .filter(|address| replaced.contains(address))
                    .map(|address| (address.clone(), Half::TearDown))
                    .collect();
                waits_for.insert(tear_down.clone(), gone);
                waits_for.entry(make).or_default().insert(tear_down);
            }
        }
        Self { waits_for }
    }

    /// Takes out the steps that wait for nothing any more.
    pub(super) fn take_ready(&mut self) -> Vec<StepId> {
        let ready: Vec<StepId> = self
            .waits_for
            .iter()
            .filter(|(_, waits_for)| waits_for.is_empty())
            .map(|(step, _)| step.clone())
            .collect();
        for step in &ready {
            self.waits_for.remove(step);
        }
        ready
    }

    /// Notes that a step ended well.
    pub(super) fn done(&mut self, step: &StepId) {
        for waits_for in self.waits_for.values_mut() {
            waits_for.remove(step);
        }
    }

    /// Takes out every step that can no longer be begun, because it waits for
    /// this one, directly or not.
    pub(super) fn take_dependants(&mut self, failed: &StepId) -> Vec<StepId> {
        let mut lost = Vec::new();
        let mut causes = vec![failed.clone()];
        while let Some(cause) = causes.pop() {
            let hit: Vec<StepId> = self
                .waits_for
                .iter()
                .filter(|(_, waits_for)| waits_for.contains(&cause))
                .map(|(step, _)| step.clone())
                .collect();
            for step in hit {
                self.waits_for.remove(&step);
                causes.push(step.clone());
                lost.push(step);
            }
        }
        lost
    }

    /// Takes out all that is left.
    pub(super) fn take_rest(&mut self) -> Vec<StepId> {
        std::mem::take(&mut self.waits_for).into_keys().collect()
    }
}
