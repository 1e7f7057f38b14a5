//! Who is not reached for a time while a plan is carried out.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::intermediate_states::{Order, Unit, on_paths};
use crate::connectivity::snapshot::{Nodes, PairStatus, Snapshot};
use crate::connectivity::{IntermediateState, Progress, Sources, path_model};
use crate::plan::cost::time_of;
use crate::plan::{Action, Change};
use crate::resource::{Address, Kind, Side};

/// How many names stand in one sentence.
const MAX_NAMED: usize = 3;

/// Pairs that are reached before the plan, are not lost with it, and are not
/// reached for a time in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disruption {
    /// How many at one time, at the most.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// From which side to which, and how many.
    pub between: Vec<Between>,
    /// The changes that it comes from.
    pub during: Vec<Address>,
    /// How long, by the usual time of what is done meanwhile.
    pub seconds: u64,
}

impl Disruption {
    /// In words, as a plan's reader is told.
    pub(super) fn told(&self) -> String {
        let time = match self.seconds {
            0..=90 => format!("about {} s", self.seconds),
            seconds => format!("about {} min", seconds.div_ceil(60)),
        };
        let word = if self.pairs == 1 { "pair" } else { "pairs" };
        let sides: BTreeSet<String> = self.between.iter().map(Between::sides).collect();
        let during: Vec<String> = self.during.iter().map(ToString::to_string).collect();
        let (from, to) = &self.example;
        format!(
            "disrupts {} {word} for {time} ({}), for example {from} to {to}, because of {}",
            self.pairs,
            listed(sides.into_iter().collect()),
            listed(during),
        )
    }
}

impl Between {
    /// The sides, whichever of them asks.
    fn sides(&self) -> String {
        let (one, other) = (self.from.to_string(), self.to.to_string());
        if one == other {
            return format!("within {one}");
        }
        format!("{} - {}", (&one).min(&other), (&one).max(&other))
    }
}

/// The first few of a list, and how many more.
fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// How many pairs of two sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The side that asks.
    pub from: Side,
    /// The side that is asked.
    pub to: Side,
    /// How many pairs.
    pub pairs: u64,
}

/// Looks at the moments in between. `nodes` are those of `before` and `after`.
pub(super) fn disruptions(
    sources: Sources<'_>,
    nodes: &Nodes,
    before: &Snapshot,
    after: &Snapshot,
) -> Vec<Disruption> {
    let changes = &sources.plan.changes;
    if changes.is_empty() || !keeps_any(before, after) {
        return Vec::new();
    }
    let order = Order::of(changes);
    let mut seen = BTreeSet::new();
    let mut found = Found { changes, by_cause: BTreeMap::new() };
    let mut look = |progress: Progress, unit: &Unit, cause: &Address| {
        if seen.insert(on_paths(&progress)) {
            let model = path_model(sources, &IntermediateState::Between(progress));
            found.note([before, &Snapshot::of(model, nodes), after], unit, cause);
        }
    };
    for unit in order.units(nodes.len()) {
        let Some(change) = unit.first().and_then(|place| changes.get(*place)) else { continue };
        for progress in order.intermediate_states(&unit) {
            look(progress, &unit, &change.address);
        }
    }
    // What is deferred comes only after all of this.
    if let Some(deferred) = sources.plan.deferred.first() {
        look(order.progress(&order.all()), &Unit::new(), &deferred.address);
    }
    found.finish()
}

/// Whether a pair is reached before a plan, and not said to be lost with it.
pub(super) fn is_kept(before: PairStatus, after: PairStatus) -> bool {
    before == PairStatus::Reached && after != PairStatus::Dropped
}

/// Whether there is anything that can be interrupted.
pub(super) fn keeps_any(before: &Snapshot, after: &Snapshot) -> bool {
    let mut any = false;
    Snapshot::pairs_alike([before, after], |[from, to], _| {
        any |= is_kept(before.fares(from[0], to[0]), after.fares(from[1], to[1]));
    });
    any
}

/// What was found, by the change that it comes from.
struct Found<'a> {
    changes: &'a [Change],
    by_cause: BTreeMap<Address, Cut>,
}

/// What changes are told of together: their kind and side, and what is done.
type Sort = (Kind, Side, Option<Action>);

/// What one change interrupts.
#[derive(Default)]
struct Cut {
    example: Option<(String, String)>,
    between: BTreeMap<(Side, Side), u64>,
    /// The changes that are made meanwhile, by their places.
    during: BTreeSet<usize>,
}

impl Found<'_> {
    /// Blames the change of the resource whose fact stands against a pair, or
    /// else the one that the moment is about.
    fn note(&mut self, [before, now, after]: [&Snapshot; 3], unit: &Unit, about: &Address) {
        let mut cuts: BTreeMap<Address, Cut> = BTreeMap::new();
        Snapshot::sites_alike(
            [before, now, after],
            |[from, to], [asking, worker_request], pairs| {
                let kept = is_kept(before.fares(from[0], to[0]), after.fares(from[2], to[2]));
                if !kept || now.fares(from[1], to[1]) == PairStatus::Reached {
                    return;
                }
                let obstacle = now.obstacle(from[1], to[1]).and_then(|(_, resource)| resource);
                let cause = obstacle.and_then(|it| self.root(&it)).or_else(|| self.root(about));
                let cut = cuts.entry(cause.unwrap_or_else(|| about.clone())).or_default();
                *cut.between.entry((asking.clone(), worker_request.clone())).or_default() += pairs;
                cut.example = cut.example.take().or_else(|| before.example(from[0], to[0]));
            },
        );
        for (cause, cut) in cuts {
            let known = self.by_cause.entry(cause).or_default();
            known.example = known.example.take().or(cut.example);
            known.during.extend(unit);
            for (cell, pairs) in cut.between {
                let most = known.between.entry(cell).or_default();
                *most = pairs.max(*most);
            }
        }
    }

    fn change(&self, address: &Address) -> Option<&Change> {
        self.changes.iter().find(|change| change.address == *address)
    }

    /// The change that a change only follows from, if there is one.
    fn root(&self, address: &Address) -> Option<Address> {
        let mut at = self.change(address)?;
        // No chain is longer than the plan.
        for _ in 0..self.changes.len() {
            match at.caused_by.as_ref().and_then(|cause| self.change(cause)) {
                Some(cause) => at = cause,
                None => break,
            }
        }
        Some(at.address.clone())
    }

    /// What changes of one kind and side interrupt stands together.
    fn finish(mut self) -> Vec<Disruption> {
        let mut alike: BTreeMap<Sort, (Vec<Address>, Cut)> = BTreeMap::new();
        for (cause, cut) in std::mem::take(&mut self.by_cause) {
            let action = self.change(&cause).map(|change| change.action);
            let (causes, known) =
                alike.entry((cause.kind, cause.side.clone(), action)).or_default();
            causes.push(cause);
            known.during.extend(&cut.during);
            known.example = known.example.take().or(cut.example);
            for (cell, pairs) in cut.between {
                *known.between.entry(cell).or_default() += pairs;
            }
        }
        let mut found: Vec<Disruption> =
            alike.into_values().filter_map(|(during, cut)| self.told(during, cut)).collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.pairs));
        found
    }

    fn told(&self, during: Vec<Address>, cut: Cut) -> Option<Disruption> {
        let disruption = cut.during.iter().filter_map(|place| self.changes.get(*place));
        let cell = |((from, to), pairs)| Between { from, to, pairs };
        Some(Disruption {
            pairs: cut.between.values().sum(),
            example: cut.example?,
            between: cut.between.into_iter().map(cell).collect(),
            during,
            seconds: time_of(disruption),
        })
    }
}
