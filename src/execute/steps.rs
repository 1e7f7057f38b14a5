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
    /// Those of `waiting` that wait for nothing, by their change's place in the
    /// plan.
    ready: BTreeSet<(usize, StepId)>,
    places: BTreeMap<Address, usize>,
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
        let places = changes.iter().map(|change| change.address.clone()).zip(0..).collect();
        let mut steps = Self {
            waiting: BTreeMap::new(),
            dependants: BTreeMap::new(),
            ready: BTreeSet::new(),
            places,
        };
        let gone = |addresses: &[Address]| -> BTreeSet<StepId> {
            let there = addresses.iter().filter(|address| replaced.contains(address));
            there.map(|address| (address.clone(), Half::TearDown)).collect()
        };
        for change in changes {
            let mut causes = gone(&change.made_after_teardown);
            let present = change.depends_on.iter().filter(|it| steps.places.contains_key(it));
            causes.extend(present.map(|address| (address.clone(), Half::Make)));
            if change.action == Action::Replace {
                let tear_down = (change.address.clone(), Half::TearDown);
                steps.add(tear_down.clone(), gone(&change.torn_down_after));
                causes.insert(tear_down);
            }
            steps.add((change.address.clone(), Half::Make), causes);
        }
        steps
    }

    fn add(&mut self, step: StepId, causes: BTreeSet<StepId>) {
        if causes.is_empty() {
            self.is_ready(step.clone());
        }
        self.waiting.insert(step.clone(), causes.len());
        for cause in causes {
            self.dependants.entry(cause).or_default().push(step.clone());
        }
    }

    fn is_ready(&mut self, step: StepId) {
        let place = self.places.get(&step.0).copied().unwrap_or(usize::MAX);
        self.ready.insert((place, step));
    }

    /// Takes out the first step of the plan that waits for nothing any more:
    /// where not all of them can run at once, deletions so come last.
    pub(super) fn take_next(&mut self) -> Option<StepId> {
        let (_, step) = self.ready.pop_first()?;
        self.waiting.remove(&step);
        Some(step)
    }

    /// Notes that a step ended well.
    pub(super) fn done(&mut self, step: &StepId) {
        for dependant in self.dependants.remove(step).unwrap_or_default() {
            let Some(left) = self.waiting.get_mut(&dependant) else { continue };
            *left -= 1;
            if *left == 0 {
                self.is_ready(dependant);
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

    /// Takes out all that is left, ready or not.
    pub(super) fn take_rest(&mut self) -> Vec<StepId> {
        self.ready.clear();
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
            differences: Vec::new(),
            before: None,
            after: None,
            ownership: None,
            depends_on: depends_on.iter().map(|name| address(name)).collect(),
            torn_down_after: Vec::new(),
            made_after_teardown: Vec::new(),
            because: String::new(),
            follows_from: None,
            interrupts: None,
        }
    }

    fn take_ready(steps: &mut Steps) -> Vec<StepId> {
        std::iter::from_fn(|| steps.take_next()).collect()
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
        assert_eq!(names(&take_ready(&mut steps)), ["a"]);
        assert!(take_ready(&mut steps).is_empty());
        steps.done(&(address("a"), Half::Make));
        assert_eq!(names(&take_ready(&mut steps)), ["b"]);
        steps.done(&(address("b"), Half::Make));
        assert_eq!(names(&take_ready(&mut steps)), ["c"]);
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
        assert_eq!(names(&take_ready(&mut steps)), ["a", "other"]);
        assert_eq!(names(&steps.take_dependants(&(address("a"), Half::Make))), ["b", "c"]);
        steps.done(&(address("other"), Half::Make));
        assert_eq!(names(&take_ready(&mut steps)), ["d"]);
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
            assert_eq!(take_ready(&mut steps), std::slice::from_ref(&step));
            steps.done(&step);
        }
    }

    #[test]
    fn what_is_ready_comes_in_the_order_of_the_plan() {
        let names_in_plan = ["m", "z", "a", "gone"];
        let changes = names_in_plan.map(|name| match name {
            "gone" => change(name, Action::Delete, &[]),
            "a" => change(name, Action::Create, &["z"]),
            _ => change(name, Action::Create, &[]),
        });
        let mut steps = Steps::of(&changes);
        assert_eq!(steps.take_next().map(|step| step.0.name), Some("m".to_owned()));
        let second = steps.take_next().unwrap();
        assert_eq!(second.0.name, "z");
        // What only now is ready stands before the deletion all the same.
        steps.done(&second);
        assert_eq!(names(&take_ready(&mut steps)), ["a", "gone"]);
    }

    #[test]
    fn two_that_change_places_both_go_before_either_comes() {
        let swap = |name, other| {
            let mut change = change(name, Action::Replace, &[]);
            change.made_after_teardown = vec![address(other)];
            change
        };
        let mut steps = Steps::of(&[swap("one", "other"), swap("other", "one")]);
        let gone = take_ready(&mut steps);
        assert_eq!(gone, [(address("one"), Half::TearDown), (address("other"), Half::TearDown)]);
        steps.done(&gone[0]);
        assert_eq!(steps.take_next(), None);
        steps.done(&gone[1]);
        assert_eq!(names(&take_ready(&mut steps)), ["one", "other"]);
    }
}
