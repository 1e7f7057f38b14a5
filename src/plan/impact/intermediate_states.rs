//! The moments that stand for all orders in which a plan can be carried out.
//!
//! Steps run side by side, so that many orders are possible. For each change,
//! four moments stand for all of them: right after it with no more than what it
//! waits for, right before it with everything else done that does not wait for
//! it, and both of these once more while it is gone, where it is made anew. A
//! property test carries plans out in random orders and finds nothing that was
//! not foretold.

use std::collections::{BTreeMap, BTreeSet};

use crate::connectivity::Progress;
use crate::plan::destroy_create::{HalfStep, Phase, half_steps};
use crate::plan::{Action, Change};
use crate::resource::{Address, DataPlaneRole, Kind};

/// How many nodes may be looked at, over all moments, before changes of one kind
/// are looked at together.
const MAX_WORK: usize = 30_000;

/// Whether packets depend on what is of that kind.
pub(super) fn is_on_paths(kind: Kind) -> bool {
    kind.facts().role != DataPlaneRole::None
}

/// Changes that are looked at together, by their places in the plan.
pub(super) type Unit = Vec<usize>;
/// Half steps, by their places.
pub(super) type Steps = BTreeSet<usize>;

/// The half steps of a plan, and what comes before and behind each.
pub(super) struct Order<'a> {
    changes: &'a [Change],
    steps: Vec<HalfStep>,
    /// Those that wait for each one.
    behind: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    pub(super) fn of(changes: &'a [Change]) -> Self {
        let steps = half_steps(changes);
        let mut behind = vec![Vec::new(); steps.len()];
        for (place, step) in steps.iter().enumerate() {
            for cause in &step.after {
                if let Some(behind) = behind.get_mut(*cause) {
                    behind.push(place);
                }
            }
        }
        Self { changes, steps, behind }
    }

    /// Every change that packets depend on by itself, if there are few nodes
    /// and changes; else those of one kind and side, or of one kind.
    pub(super) fn units(&self, nodes: usize) -> Vec<Unit> {
        let most = (MAX_WORK / nodes.max(1) / 4).max(1);
        let matter = || {
            let places = 0..self.changes.len();
            places
                .filter_map(|place| Some((place, self.changes.get(place)?)))
                .filter(|(_, change)| is_on_paths(change.address.kind))
        };
        if matter().count() <= most {
            return matter().map(|(place, _)| vec![place]).collect();
        }
        let mut by_side: BTreeMap<_, Unit> = BTreeMap::new();
        let mut by_kind: BTreeMap<_, Unit> = BTreeMap::new();
        for (place, change) in matter() {
            let (kind, action) = (change.address.kind, change.action);
            by_side.entry((kind, action, &change.address.side)).or_default().push(place);
            by_kind.entry((kind, action)).or_default().push(place);
        }
        if by_side.len() <= most {
            return by_side.into_values().collect();
        }
        by_kind.into_values().collect()
    }

    pub(super) fn all(&self) -> Steps {
        (0..self.steps.len()).collect()
    }

    /// How far the plan is at the moments that stand for a unit.
    pub(super) fn intermediate_states(&self, unit: &Unit) -> Vec<Progress> {
        let of_half = |phase: Phase| -> Vec<usize> {
            let all = self.steps.iter().enumerate();
            let of_unit =
                all.filter(|(_, step)| step.phase == phase && unit.contains(&step.change));
            of_unit.map(|(place, _)| place).collect()
        };
        let (torn_down, made) = (of_half(Phase::Destroy), of_half(Phase::Create));
        let causes = |place: usize| self.steps.get(place).map_or(&[][..], |step| &step.after);
        let effects = |place: usize| self.behind.get(place).map_or(&[][..], Vec::as_slice);
        let all_but = |steps: Steps| self.all().difference(&steps).copied().collect();
        let first: Vec<usize> = torn_down.iter().chain(&made).copied().collect();
        let mut intermediate_states =
            vec![closure(&made, causes), all_but(closure(&first, effects))];
        if !torn_down.is_empty() {
            intermediate_states
                .extend([closure(&torn_down, causes), all_but(closure(&made, effects))]);
        }
        let mut intermediate_states: Vec<Progress> =
            intermediate_states.iter().map(|done| self.progress(done)).collect();
        let rests = |change: &&Change| change.action == Action::Reboot;
        let resting = unit.iter().filter_map(|place| self.changes.get(*place)).filter(rests);
        let resting: BTreeSet<Address> = resting.map(|change| change.address.clone()).collect();
        if !resting.is_empty() {
            let earlier: Vec<usize> = made.iter().flat_map(|it| causes(*it)).copied().collect();
            let mut progress = self.progress(&closure(&earlier, causes));
            progress.gone.extend(resting);
            intermediate_states.push(progress);
        }
        intermediate_states
    }

    pub(super) fn progress(&self, done: &Steps) -> Progress {
        let mut progress = Progress::default();
        for (place, step) in self.steps.iter().enumerate() {
            let Some(change) = self.changes.get(step.change) else { continue };
            let is_done = done.contains(&place);
            match step.phase {
                Phase::Destroy if is_done => {
                    progress.gone.insert(change.address.clone());
                }
                Phase::Create if is_done => {
                    progress.gone.remove(&change.address);
                    progress.made.insert(change.address.clone());
                }
                _ => {}
            }
        }
        progress
    }

    /// How far the plan is once these are made, and no more than they wait for.
    pub(super) fn right_after(&self, changes: &BTreeSet<usize>) -> Progress {
        let makes = |(_, step): &(usize, &HalfStep)| {
            step.phase == Phase::Create && changes.contains(&step.change)
        };
        let made: Vec<usize> =
            self.steps.iter().enumerate().filter(makes).map(|(place, _)| place).collect();
        self.progress(&closure(&made, |place| {
            self.steps.get(place).map_or(&[][..], |step| &step.after)
        }))
    }

    /// Whether a change waits for another one, directly or not.
    pub(super) fn is_behind(&self, change: usize, other: usize) -> bool {
        let of_other: Vec<usize> = (0..self.steps.len())
            .filter(|place| self.steps.get(*place).is_some_and(|step| step.change == other))
            .collect();
        let effects =
            closure(&of_other, |place| self.behind.get(place).map_or(&[][..], Vec::as_slice));
        effects.iter().any(|place| self.steps.get(*place).is_some_and(|step| step.change == change))
    }
}

/// What of it packets depend on.
pub(super) fn on_paths(progress: &Progress) -> Progress {
    let some = |all: &BTreeSet<Address>| {
        all.iter().filter(|address| is_on_paths(address.kind)).cloned().collect()
    };
    Progress { made: some(&progress.made), gone: some(&progress.gone) }
}

/// What leads to these, or what they lead to, with them.
fn closure<'s>(steps: &[usize], next: impl Fn(usize) -> &'s [usize]) -> Steps {
    let mut found: Steps = steps.iter().copied().collect();
    let mut open = steps.to_vec();
    while let Some(step) = open.pop() {
        open.extend(next(step).iter().copied().filter(|it| found.insert(*it)));
    }
    found
}
