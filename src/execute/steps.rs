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

/// The steps of a round that are not taken out yet.
///
/// Edges are kept from cause to effect, so that the end of a step costs no
/// more than the steps that wait for it.
#[derive(Debug)]
pub(super) struct Steps {
    /// How many steps each one still waits for.
    waiting: BTreeMap<StepId, usize>,
    /// The steps that wait for each one.
    dependants: BTreeMap<StepId, Vec<StepId>>,
    /// Those of `waiting` that wait for nothing.
    ready: BTreeSet<StepId>,
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
        let mut steps =
            Self { waiting: BTreeMap::new(), dependants: BTreeMap::new(), ready: BTreeSet::new() };
        for change in changes {
            let mut causes: BTreeSet<StepId> = change
                .depends_on
                .iter()
                .filter(|address| present.contains(address))
                .map(|address| (address.clone(), Half::Make))
                .collect();
            if change.action == Action::Replace {
                let tear_down = (change.address.clone(), Half::TearDown);
                let gone = change
                    .torn_down_after
                    .iter()
                    .filter(|address| replaced.contains(address))
                    .map(|address| (address.clone(), Half::TearDown))
                    .collect();
                steps.add(tear_down.clone(), gone);
                causes.insert(tear_down);
            }
            steps.add((change.address.clone(), Half::Make), causes);
        }
        steps
    }

    fn add(&mut self, step: StepId, causes: BTreeSet<StepId>) {
        if causes.is_empty() {
            self.ready.insert(step.clone());
        }
        self.waiting.insert(step.clone(), causes.len());
        for cause in causes {
            self.dependants.entry(cause).or_default().push(step.clone());
        }
    }

    /// Takes out the steps that wait for nothing any more.
    pub(super) fn take_ready(&mut self) -> Vec<StepId> {
        let ready = std::mem::take(&mut self.ready);
        for step in &ready {
            self.waiting.remove(step);
        }
        ready.into_iter().collect()
    }

    /// Notes that a step ended well.
    pub(super) fn done(&mut self, step: &StepId) {
        for dependant in self.dependants.remove(step).unwrap_or_default() {
            let Some(left) = self.waiting.get_mut(&dependant) else { continue };
            *left -= 1;
            if *left == 0 {
                self.ready.insert(dependant);
            }
        }
    }

    /// Takes out every step that can no longer be begun, because it waits for
    /// this one, directly or not.
    pub(super) fn take_dependants(&mut self, failed: &StepId) -> Vec<StepId> {
        let mut lost = Vec::new();
        let mut causes = vec![failed.clone()];
        while let Some(cause) = causes.pop() {
            for step in self.dependants.remove(&cause).unwrap_or_default() {
                if self.waiting.remove(&step).is_some() {
                    causes.push(step.clone());
                    lost.push(step);
                }
            }
        }
        lost
    }

    /// Takes out all that is left.
    pub(super) fn take_rest(&mut self) -> Vec<StepId> {
        std::mem::take(&mut self.waiting).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Kind, ObjectKey, Side};

    fn address(name: &str) -> Address {
        Address::new(Kind::RouteTable, Side::Cluster, name)
    }

    fn change(name: &str, action: Action, depends_on: &[&str]) -> Change {
        Change {
            address: address(name),
            key: ObjectKey::Host(name.to_owned()),
            action,
            fields: Vec::new(),
            before: None,
            after: None,
            ownership: None,
            depends_on: depends_on.iter().map(|name| address(name)).collect(),
            torn_down_after: Vec::new(),
            because: String::new(),
            follows_from: None,
            interrupts: None,
        }
    }

    fn names(steps: &[StepId]) -> Vec<&str> {
        steps.iter().map(|(address, _)| address.name.as_str()).collect()
    }

    #[test]
    fn a_step_is_ready_once_all_that_it_waits_for_is_done() {
        let create = |name, after: &[&str]| change(name, Action::Create, after);
        let mut steps = Steps::of(&[
            create("a", &[]),
            create("b", &["a", "absent"]),
            create("c", &["a", "b"]),
            create("turn", &["turn"]),
        ]);
        assert_eq!(names(&steps.take_ready()), ["a"]);
        assert!(steps.take_ready().is_empty());
        steps.done(&(address("a"), Half::Make));
        assert_eq!(names(&steps.take_ready()), ["b"]);
        steps.done(&(address("b"), Half::Make));
        assert_eq!(names(&steps.take_ready()), ["c"]);
        assert_eq!(names(&steps.take_rest()), ["turn"], "a cycle is never begun");
    }

    #[test]
    fn what_waits_for_a_failed_step_is_lost_and_nothing_else() {
        let create = |name, after: &[&str]| change(name, Action::Create, after);
        let mut steps = Steps::of(&[
            create("a", &[]),
            create("b", &["a"]),
            create("c", &["b", "other"]),
            create("d", &["other"]),
            create("other", &[]),
        ]);
        assert_eq!(names(&steps.take_ready()), ["a", "other"]);
        assert_eq!(names(&steps.take_dependants(&(address("a"), Half::Make))), ["b", "c"]);
        steps.done(&(address("other"), Half::Make));
        assert_eq!(names(&steps.take_ready()), ["d"]);
        assert!(steps.take_rest().is_empty());
    }

    #[test]
    fn a_replacement_goes_before_it_comes_and_after_what_lives_in_it() {
        let mut home = change("home", Action::Replace, &[]);
        home.torn_down_after = vec![address("resident")];
        let resident = change("resident", Action::Replace, &["home"]);
        let mut steps = Steps::of(&[home, resident]);
        for expected in [
            ("resident", Half::TearDown),
            ("home", Half::TearDown),
            ("home", Half::Make),
            ("resident", Half::Make),
        ] {
            let step = (address(expected.0), expected.1);
            assert_eq!(steps.take_ready(), std::slice::from_ref(&step));
            steps.done(&step);
        }
    }
}
