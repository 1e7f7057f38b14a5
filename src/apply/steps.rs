//! The steps of a plan and their order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::step_limit::StepLimit;
use crate::plan::{Action, Change, InWave, Phase, Preparation, StepGraph, remaining_seconds};
use crate::resource::Address;

/// The priority of a step: deletions last; then the steps with the longest dependent path;
/// then the order of the plan.
type Urgency = (bool, Reverse<u64>, usize);

/// Names a step.
pub(super) type StepId = (Address, Phase);

/// The steps of an iteration that are not taken out yet.
///
/// Edges are kept from cause to effect, so that the end of a step costs no
/// more than the steps that wait for it.
#[derive(Debug)]
pub(super) struct StepQueue {
    /// How many steps each one still waits for.
    waiting: BTreeMap<StepId, usize>,
    /// The steps that wait for each one.
    dependents: BTreeMap<StepId, Vec<StepId>>,
    /// Steps of `waiting` without unfinished predecessors, by their limit and in order of
    /// priority.
    ready: BTreeMap<StepLimit, BTreeSet<(Urgency, StepId)>>,
    urgency: BTreeMap<StepId, (StepLimit, Urgency)>,
    /// Steps that wait for their wave, beside other predecessors.
    of_wave: BTreeMap<u32, Vec<StepId>>,
}

impl StepQueue {
    /// The steps of changes in the order of the plan, by the plan's graph, and those that
    /// prepare them.
    pub(super) fn of(changes: &[Change], graph: &StepGraph) -> Self {
        let remaining = remaining_seconds(graph, changes);
        let preparation = Preparation::of(changes);
        let mut steps = Self {
            waiting: BTreeMap::new(),
            dependents: BTreeMap::new(),
            ready: BTreeMap::new(),
            urgency: BTreeMap::new(),
            of_wave: BTreeMap::new(),
        };
        let name = |step: &usize| {
            let step = graph.steps().get(*step)?;
            Some((changes.get(step.change)?.address.clone(), step.phase))
        };
        for (number, step) in graph.steps().iter().enumerate() {
            let (Some(id), Some(change)) = (name(&number), changes.get(step.change)) else {
                continue;
            };
            let left = remaining.get(number).copied().unwrap_or_default();
            let urgency = (change.action == Action::Delete, Reverse(left), step.change);
            let limit = |phase| (StepLimit::of(change, phase), urgency);
            let waits = |wave: &InWave| step.phase == Phase::Create || wave.destroy_waits;
            let mut causes: BTreeSet<StepId> =
                graph.causes(number).iter().filter_map(name).collect();
            let prepared = preparation.wave(change).filter(|_| step.phase == Phase::Create);
            if let Some(wave) = prepared {
                let ahead = (change.address.clone(), Phase::Prepare);
                steps.urgency.insert(ahead.clone(), limit(Phase::Prepare));
                steps.add(ahead.clone(), causes.clone(), Some(wave));
                causes.insert(ahead);
            }
            steps.urgency.insert(id.clone(), limit(step.phase));
            steps.add(id, causes, change.wave.filter(waits).map(|wave| wave.number));
        }
        steps
    }

    fn add(&mut self, step: StepId, causes: BTreeSet<StepId>, wave: Option<u32>) {
        // The first wave has no wave to wait for.
        let later = wave.filter(|number| *number > 1);
        if let Some(number) = later {
            self.of_wave.entry(number).or_default().push(step.clone());
        } else if causes.is_empty() {
            self.is_ready(step.clone());
        }
        self.waiting.insert(step.clone(), causes.len() + usize::from(later.is_some()));
        for cause in causes {
            self.dependents.entry(cause).or_default().push(step.clone());
        }
    }

    fn is_ready(&mut self, step: StepId) {
        let Some((limit, urgency)) = self.urgency.get(&step).copied() else { return };
        self.ready.entry(limit).or_default().insert((urgency, step));
    }

    /// Takes the most urgent ready step whose limit has room for it.
    pub(super) fn take_next(&mut self, has_room: impl Fn(StepLimit) -> bool) -> Option<StepId> {
        let free = self.ready.iter().filter(|(limit, _)| has_room(**limit));
        let (first, limit) =
            free.filter_map(|(limit, steps)| Some((steps.first()?, *limit))).min()?;
        let (_, step) = first.clone();
        let taken = self.urgency.get(&step).map(|(_, urgency)| (*urgency, step.clone()));
        if let (Some(taken), Some(ready)) = (taken, self.ready.get_mut(&limit)) {
            ready.remove(&taken);
        }
        self.waiting.remove(&step);
        Some(step)
    }

    /// Notes that a step ended well.
    pub(super) fn done(&mut self, step: &StepId) {
        let dependents = self.dependents.remove(step).unwrap_or_default();
        self.release(dependents);
    }

    /// Lets a wave begin, and those before it that were over before their turn.
    pub(super) fn begin_wave(&mut self, wave: u32) {
        let later = self.of_wave.split_off(&(wave + 1));
        let begun = std::mem::replace(&mut self.of_wave, later);
        begun.into_values().for_each(|steps| self.release(steps));
    }

    fn release(&mut self, steps: Vec<StepId>) {
        for dependent in steps {
            let Some(left) = self.waiting.get_mut(&dependent) else { continue };
            *left -= 1;
            if *left == 0 {
                self.is_ready(dependent);
            }
        }
    }

    /// Takes out every step that can no longer be begun, because it waits for
    /// this one, directly or not.
    pub(super) fn take_dependents(&mut self, failed: &StepId) -> Vec<StepId> {
        let mut lost = Vec::new();
        let mut causes = vec![failed.clone()];
        while let Some(cause) = causes.pop() {
            for step in self.dependents.remove(&cause).unwrap_or_default() {
                if self.waiting.remove(&step).is_some() {
                    causes.push(step.clone());
                    lost.push(step);
                }
            }
        }
        lost
    }

    /// Takes out the steps of changes, ready or not.
    pub(super) fn take_where(&mut self, is_one: impl Fn(&Address) -> bool) -> Vec<StepId> {
        let taken: Vec<StepId> =
            self.waiting.keys().filter(|(address, _)| is_one(address)).cloned().collect();
        for step in &taken {
            self.waiting.remove(step);
        }
        for ready in self.ready.values_mut() {
            ready.retain(|(_, step)| self.waiting.contains_key(step));
        }
        taken
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
    use crate::resource::{Api, Kind, ObjectKey, Site};

    fn address(name: &str) -> Address {
        Address::new(Kind::RouteTable, Site::Cluster, name)
    }

    fn change(name: &str, action: Action, depends_on: &[&str]) -> Change {
        let mut change = Change::new(address(name), ObjectKey::Host(name.to_owned()), action, "");
        change.depends_on = depends_on.iter().map(|name| address(name)).collect();
        change
    }

    fn steps_of(changes: &[Change]) -> StepQueue {
        StepQueue::of(changes, &StepGraph::of(changes))
    }

    fn take_ready(steps: &mut StepQueue) -> Vec<StepId> {
        std::iter::from_fn(|| steps.take_next(|_| true)).collect()
    }

    fn names(steps: &[StepId]) -> Vec<&str> {
        steps.iter().map(|(address, _)| address.name.as_str()).collect()
    }

    #[test]
    fn a_step_is_ready_once_its_dependencies_are_done() {
        let create = |name, after: &[&str]| change(name, Action::Create, after);
        let mut steps = steps_of(&[
            create("a", &[]),
            create("b", &["a", "absent"]),
            create("c", &["a", "b"]),
            create("turn", &["turn"]),
        ]);
        assert_eq!(names(&take_ready(&mut steps)), ["a"]);
        assert!(take_ready(&mut steps).is_empty());
        steps.done(&(address("a"), Phase::Create));
        assert_eq!(names(&take_ready(&mut steps)), ["b"]);
        steps.done(&(address("b"), Phase::Create));
        assert_eq!(names(&take_ready(&mut steps)), ["c"]);
        assert_eq!(names(&steps.take_rest()), ["turn"], "a cycle is never started");
    }

    #[test]
    fn only_dependents_of_a_failed_step_are_skipped() {
        let create = |name, after: &[&str]| change(name, Action::Create, after);
        let mut steps = steps_of(&[
            create("a", &[]),
            create("b", &["a"]),
            create("c", &["b", "other"]),
            create("d", &["other"]),
            create("other", &[]),
        ]);
        assert_eq!(names(&take_ready(&mut steps)), ["a", "other"]);
        assert_eq!(names(&steps.take_dependents(&(address("a"), Phase::Create))), ["b", "c"]);
        steps.done(&(address("other"), Phase::Create));
        assert_eq!(names(&take_ready(&mut steps)), ["d"]);
        assert!(steps.take_rest().is_empty());
    }

    #[test]
    fn a_replacement_is_destroyed_after_its_contents_and_then_created() {
        let mut home = change("home", Action::Replace, &[]);
        home.destroy_after = vec![address("resident")];
        let resident = change("resident", Action::Replace, &["home"]);
        let mut steps = steps_of(&[home, resident]);
        for expected in [
            ("resident", Phase::Destroy),
            ("home", Phase::Destroy),
            ("home", Phase::Create),
            ("resident", Phase::Create),
        ] {
            let step = (address(expected.0), expected.1);
            assert_eq!(take_ready(&mut steps), std::slice::from_ref(&step));
            steps.done(&step);
        }
    }

    #[test]
    fn the_longest_chain_starts_first_and_deletions_last() {
        let names_in_plan = ["m", "z", "a", "gone"];
        let changes = names_in_plan.map(|name| match name {
            "gone" => change(name, Action::Delete, &[]),
            "a" => change(name, Action::Create, &["z"]),
            _ => change(name, Action::Create, &[]),
        });
        let mut steps = steps_of(&changes);
        let first = steps.take_next(|_| true).unwrap();
        assert_eq!(first.0.name, "z", "another step waits for it");
        assert_eq!(steps.take_next(|_| true).map(|step| step.0.name), Some("m".into()));
        // A step that becomes ready later precedes the deletion all the same.
        steps.done(&first);
        assert_eq!(names(&take_ready(&mut steps)), ["a", "gone"]);
    }

    #[test]
    fn predecessors_of_the_canary_start_first() {
        // A join takes longer than the creation of a machine.
        let worker = |name: &str, number| {
            let mut change = change(name, Action::Create, &[&format!("{name}-machine")]);
            change.address.kind = Kind::NatGateway;
            let is_canary = number == 1;
            change.wave = Some(InWave { number, destroy_waits: true, is_canary });
            change
        };
        let machine = |name: &str| change(&format!("{name}-machine"), Action::Create, &[]);
        let mut steps = steps_of(&[
            machine("a"),
            machine("b"),
            machine("canary"),
            worker("canary", 1),
            worker("a", 2),
            worker("b", 3),
        ]);
        let first = steps.take_next(|_| true).unwrap();
        assert_eq!(first.0.name, "canary-machine");
        steps.done(&first);
        assert_eq!(steps.take_next(|_| true).map(|it| it.0.name), Some("canary".into()));
    }

    #[test]
    fn a_full_api_holds_back_no_other() {
        let worker = Address::new(Kind::Worker, Site::Cluster, "w");
        let key = ObjectKey::Host("w".to_owned());
        let worker = Change::new(worker, key, Action::Create, "");
        let mut steps = steps_of(&[change("table", Action::Create, &[]), worker]);
        let next = steps.take_next(|limit| limit != StepLimit::Api(Api::Azure));
        assert_eq!(next.map(|step| step.0.name), Some("w".into()));
        assert_eq!(steps.take_next(|limit| limit != StepLimit::Api(Api::Azure)), None);
        assert_eq!(names(&take_ready(&mut steps)), ["table"]);
    }

    #[test]
    fn swapped_resources_are_both_destroyed_before_creation() {
        let swap = |name, other| {
            let mut change = change(name, Action::Replace, &[]);
            change.create_after_destroy_of = vec![address(other)];
            change
        };
        let mut steps = steps_of(&[swap("one", "other"), swap("other", "one")]);
        let removed = take_ready(&mut steps);
        assert_eq!(removed, [(address("one"), Phase::Destroy), (address("other"), Phase::Destroy)]);
        steps.done(&removed[0]);
        assert_eq!(steps.take_next(|_| true), None);
        steps.done(&removed[1]);
        assert_eq!(names(&take_ready(&mut steps)), ["one", "other"]);
    }

    #[test]
    fn a_wave_waits_for_the_previous_wave_and_its_dependencies() {
        let in_wave = |name, after: &[&str], number| {
            let mut change = change(name, Action::Create, after);
            change.wave = Some(InWave { number, destroy_waits: true, is_canary: false });
            change
        };
        let mut steps = steps_of(&[
            change("vm", Action::Create, &[]),
            in_wave("first", &[], 1),
            in_wave("second", &["vm"], 2),
            in_wave("third", &[], 3),
            change("free", Action::Create, &[]),
        ]);
        assert_eq!(names(&take_ready(&mut steps)), ["vm", "first", "free"]);
        steps.begin_wave(2);
        assert_eq!(names(&take_ready(&mut steps)), Vec::<&str>::new(), "the VM is not there");
        steps.done(&(address("vm"), Phase::Create));
        assert_eq!(names(&take_ready(&mut steps)), ["second"]);
        assert_eq!(names(&steps.take_where(|it| it.name == "third")), ["third"]);
        assert!(steps.take_rest().is_empty());
    }

    #[test]
    fn a_replaced_worker_is_kept_until_its_wave() {
        let replaced = |destroy_waits| {
            let mut change = change("w", Action::Replace, &[]);
            change.wave = Some(InWave { number: 2, destroy_waits, is_canary: false });
            let mut steps = steps_of(&[change]);
            let before = take_ready(&mut steps);
            before.iter().for_each(|step| steps.done(step));
            steps.begin_wave(2);
            (before.len(), take_ready(&mut steps))
        };
        assert_eq!(replaced(true), (0, vec![(address("w"), Phase::Destroy)]));
        assert_eq!(replaced(false), (1, vec![(address("w"), Phase::Create)]));
    }
}
