//! How all pairs of nodes fare at one moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{PROTOCOL, PathModel, addresses, usual};
use crate::dataplane::equivalence::{ClassRoundTrip, Classes};
use crate::dataplane::host::Pods;
use crate::dataplane::{End, HostId, RoundTrip, Verdict};
use crate::resource::{Address, Side};

/// How a pair fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairStatus {
    /// Reached, and answered.
    Reached,
    /// Dropped on the way there or back.
    Dropped,
    /// A fact that it depends on is missing.
    Unknown,
}

/// Nodes that are treated alike at a moment; those without pods are alike, too.
type Class = Option<usize>;

/// A moment: its classes of nodes, and how each pair of them fares.
pub(crate) struct Snapshot {
    model: PathModel,
    /// By the place of each node.
    class_of: Vec<Class>,
    side_of: Vec<Side>,
    trips: HashMap<(usize, usize), Way>,
}

/// The way between two classes.
struct Way {
    example: (End, End),
    /// The trip, unless all is well with it: that is told of nowhere, and would
    /// take room for each pair of classes.
    broken: Option<RoundTrip>,
}

impl Way {
    fn of(found: ClassRoundTrip) -> Self {
        let ClassRoundTrip { example, round_trip: trip, .. } = found;
        Self { example, broken: Some(trip).filter(|trip| !trip.reached()) }
    }
}

/// Nodes by name, with the side of each.
pub(crate) type Nodes = BTreeMap<String, Side>;

impl Snapshot {
    /// The nodes that have a range of pods before and after, and those that have
    /// pods before and stay, though nobody knows with which range.
    pub(crate) fn nodes_of_both(before: &PathModel, after: &PathModel) -> Nodes {
        let nodes = after.sites.iter().flat_map(|site| &site.nodes);
        let there: BTreeSet<&str> = nodes.map(|host| after.network.name(*host)).collect();
        let with_range: BTreeSet<&str> = pods(after).map(|(name, _)| name).collect();
        let has_pods = |end: End| {
            let host = before.network.host(end.host);
            host.is_some_and(|host| matches!(host.pods.read(), Ok(Pods::Range(_))))
        };
        let both = pods(before).filter(|(name, (_, end))| {
            with_range.contains(name) || there.contains(name) && has_pods(*end)
        });
        both.map(|(name, (side, _))| (name.to_owned(), side.clone())).collect()
    }

    /// Walks between an end for the pods of each node.
    pub(crate) fn of(model: PathModel, nodes: &Nodes) -> Self {
        let known: HashMap<&str, End> = pods(&model).map(|(name, (_, end))| (name, end)).collect();
        let found: Vec<Option<End>> =
            nodes.keys().map(|name| known.get(name.as_str()).copied()).collect();
        let classes = Classes::of(&model.network, found.iter().flatten().copied().collect());
        let mut number = 0;
        let class_of = found
            .iter()
            .map(|end| {
                end.map(|_| {
                    number += 1;
                    classes.class_of(number - 1)
                })
            })
            .collect();
        let trips = classes.trips(&model.network, PROTOCOL);
        let trips = trips.map(|trip| ((trip.from, trip.to), Way::of(trip))).collect();
        Self { class_of, side_of: nodes.values().cloned().collect(), trips, model }
    }

    pub(crate) fn fares(&self, from: Class, to: Class) -> PairStatus {
        let (Some(from), Some(to)) = (from, to) else { return PairStatus::Unknown };
        let Some(way) = self.trips.get(&(from, to)) else { return PairStatus::Unknown };
        match way.broken.as_ref().and_then(|trip| trip.broken()) {
            None => PairStatus::Reached,
            Some((_, Verdict::Dropped(_))) => PairStatus::Dropped,
            Some(_) => PairStatus::Unknown,
        }
    }

    /// The nodes of a pair of these classes.
    pub(crate) fn example(&self, from: Class, to: Class) -> Option<(String, String)> {
        let (asking, asked) = self.trips.get(&(from?, to?))?.example;
        let name = |end: End| self.model.network.name(end.host).to_owned();
        Some((name(asking), name(asked)))
    }

    /// The nodes of a pair that is not reached, and the resource whose fact
    /// stands against it.
    pub(crate) fn obstacle(
        &self,
        from: Class,
        to: Class,
    ) -> Option<((String, String), Option<Address>)> {
        let (_, verdict) = self.trips.get(&(from?, to?))?.broken.as_ref()?.broken()?;
        let resource = addresses(&self.model, verdict).into_iter().next();
        Some((self.example(from, to)?, resource))
    }

    /// Calls for each two classes of pairs that are alike at all of these
    /// moments, with how many pairs there are. The moments are of the same nodes.
    pub(crate) fn pairs_alike<const N: usize>(
        intermediate_states: [&Self; N],
        mut found: impl FnMut([[Class; N]; 2], u64),
    ) {
        Self::sites_alike(intermediate_states, |pair, _, pairs| found(pair, pairs));
    }

    /// The same, for each pair of sides by itself.
    pub(crate) fn sites_alike<'a, const N: usize>(
        intermediate_states: [&'a Self; N],
        mut found: impl FnMut([[Class; N]; 2], [&'a Side; 2], u64),
    ) {
        let mut alike: BTreeMap<([Class; N], &Side), u64> = BTreeMap::new();
        let sides = intermediate_states.first().map(|first| &first.side_of);
        for (node, side) in sides.into_iter().flatten().enumerate() {
            let classes =
                intermediate_states.map(|moment| moment.class_of.get(node).copied().flatten());
            *alike.entry((classes, side)).or_default() += 1;
        }
        for ((from, from_side), asking) in &alike {
            for ((to, to_side), asked) in &alike {
                let itself = if (from, from_side) == (to, to_side) { *asking } else { 0 };
                let pairs = asking * asked - itself;
                if pairs > 0 {
                    found([*from, *to], [from_side, to_side], pairs);
                }
            }
        }
    }
}

/// An end for the pods of each node, and the node's side.
fn pods(model: &PathModel) -> impl Iterator<Item = (&str, (&Side, End))> {
    let nodes = model
        .sites
        .iter()
        .flat_map(|site| site.nodes.iter().map(move |node: &HostId| (&site.side, *node)));
    nodes.filter_map(|(side, host)| {
        let range = model.network.host(host)?.pods.read().ok()?.range()?;
        let end = End { host, address: usual(&range) };
        Some((model.network.name(host), (side, end)))
    })
}
