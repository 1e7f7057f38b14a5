//! What a plan does to who reaches whom.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{Moment, PROTOCOL, PathModel, Sources, addresses, path_model, usual};
use crate::reach::classes::{ClassTrip, Classes};
use crate::reach::{End, HostId, Verdict};
use crate::resource::Address;

/// How many pairs of nodes' pods fare how before and after a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachability {
    /// Reached before and after.
    pub kept: u64,
    /// Reached only after.
    pub gained: u64,
    /// Reached only before.
    pub lost: u64,
    /// Reached neither before nor after.
    pub broken: u64,
    /// A fact is missing, or is to come, before or after.
    pub unknown: u64,
    /// Why pairs are lost.
    pub losses: Vec<Loss>,
    /// Whether somebody said that pairs may be lost.
    pub loss_allowed: bool,
}

/// Pairs that are lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// The resource whose fact will drop their packets.
    pub resource: Option<Address>,
}

impl Reachability {
    /// How many pairs there are.
    pub fn pairs(&self) -> u64 {
        self.kept + self.gained + self.lost + self.broken + self.unknown
    }

    /// Whether pairs are lost that nobody said may be.
    pub fn is_refused(&self) -> bool {
        self.lost > 0 && !self.loss_allowed
    }
}

/// How a pair fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fares {
    Reached,
    Dropped,
    Unknown,
}

/// The classes of a moment, and how each pair of them fares.
struct Side {
    model: PathModel,
    classes: Classes,
    trips: HashMap<(usize, usize), ClassTrip>,
}

impl Side {
    fn of(model: PathModel, ends: Vec<End>) -> Self {
        let classes = Classes::of(&model.network, ends);
        let trips = classes.trips(&model.network, PROTOCOL);
        let trips = trips.into_iter().map(|trip| ((trip.from, trip.to), trip)).collect();
        Self { model, classes, trips }
    }

    fn fares(&self, from: usize, to: usize) -> Fares {
        match self.trips.get(&(from, to)).map(|trip| trip.trip.broken()) {
            Some(None) => Fares::Reached,
            Some(Some((_, Verdict::Dropped(_)))) => Fares::Dropped,
            Some(Some(_)) | None => Fares::Unknown,
        }
    }

    fn loss(&self, from: usize, to: usize, pairs: u64) -> Option<Loss> {
        let trip = self.trips.get(&(from, to))?;
        let (_, verdict) = trip.trip.broken()?;
        let name = |end: End| self.model.network.name(end.host).to_owned();
        Some(Loss {
            pairs,
            example: (name(trip.example.0), name(trip.example.1)),
            resource: addresses(&self.model, verdict).into_iter().next(),
        })
    }
}

/// Walks between the pods of all nodes, before and after the plan. Nodes that
/// come or go with it, and those whose pods nobody could read of, are left out.
pub fn reachability(sources: Sources<'_>) -> Reachability {
    let before = path_model(sources, &Moment::Observed);
    let after = path_model(sources, &Moment::Planned);
    let ends_after: BTreeMap<String, End> =
        pods(&after).map(|(id, end)| (after.network.name(id).to_owned(), end)).collect();
    let of_both = pods(&before)
        .filter_map(|(id, end)| Some((end, *ends_after.get(before.network.name(id))?)));
    let (ends_before, ends_after): (Vec<End>, Vec<End>) = of_both.unzip();
    compare(&Side::of(before, ends_before), &Side::of(after, ends_after))
}

/// An end for the pods of each node.
fn pods(model: &PathModel) -> impl Iterator<Item = (HostId, End)> {
    let nodes = model.sites.iter().flat_map(|site| &site.nodes);
    nodes.filter_map(|id| {
        let range = model.network.host(*id)?.pods.read().ok()?.range()?;
        Some((*id, End { host: *id, address: usual(&range) }))
    })
}

/// Nodes that are alike before and alike after are counted, not walked.
fn compare(before: &Side, after: &Side) -> Reachability {
    let mut alike: BTreeMap<(usize, usize), u64> = BTreeMap::new();
    for end in 0..before.classes.ends().len() {
        let classes = (before.classes.class_of(end), after.classes.class_of(end));
        *alike.entry(classes).or_default() += 1;
    }
    let mut found = Reachability::default();
    let mut losses: BTreeMap<Option<Address>, Loss> = BTreeMap::new();
    for (from, asking) in &alike {
        for (to, asked) in &alike {
            let same = if from == to { *asking } else { 0 };
            let pairs = asking * asked - same;
            if pairs == 0 {
                continue;
            }
            match (before.fares(from.0, to.0), after.fares(from.1, to.1)) {
                (Fares::Unknown, _) | (_, Fares::Unknown) => found.unknown += pairs,
                (Fares::Reached, Fares::Reached) => found.kept += pairs,
                (Fares::Dropped, Fares::Reached) => found.gained += pairs,
                (Fares::Dropped, Fares::Dropped) => found.broken += pairs,
                (Fares::Reached, Fares::Dropped) => {
                    found.lost += pairs;
                    if let Some(loss) = after.loss(from.1, to.1, pairs) {
                        let known = losses.entry(loss.resource.clone());
                        known.and_modify(|known| known.pairs += pairs).or_insert(loss);
                    }
                }
            }
        }
    }
    found.losses = losses.into_values().collect();
    found
}
