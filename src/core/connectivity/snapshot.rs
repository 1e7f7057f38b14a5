//! The reachability of pairs of nodes in one state.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};

use super::{PathModel, addresses, usual};
use crate::dataplane::equivalence::Classes;
use crate::dataplane::host::Pods;
use crate::dataplane::{End, HostId, RoundTrip, Verdict};
use crate::resource::{Address, Site};

/// Whether a pair of nodes' pods reach each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairStatus {
    /// Request and answer arrive.
    Reached,
    /// Dropped on the way there or back.
    Dropped,
    /// A fact that it depends on is missing.
    Unknown,
}

impl PairStatus {
    /// The status of the pair of a round trip.
    pub(crate) fn of(round_trip: &RoundTrip) -> Self {
        match round_trip.broken() {
            None => Self::Reached,
            Some((_, Verdict::Dropped(_))) => Self::Dropped,
            Some(_) => Self::Unknown,
        }
    }
}

/// The equivalence class of a node: all tables treat its members alike. A node with an
/// unknown pod CIDR has none.
pub(crate) type Class = Option<usize>;

/// The classes of nodes in one state, and whether each pair of classes is reached.
pub(crate) struct Snapshot {
    /// By the place of each node.
    class_of: Vec<Class>,
    site_of: Vec<Site>,
    trips: HashMap<(usize, usize), ClassPair>,
}

/// The known status of pairs between two classes.
struct ClassPair {
    example: (End, End),
    /// The trip, unless it is reached: nothing is said about those, and they
    /// would take memory for each pair of classes.
    broken: Option<RoundTrip>,
}

impl ClassPair {
    fn of(example: (End, End), round_trip: Option<RoundTrip>) -> Self {
        Self { example, broken: round_trip.filter(|round_trip| !round_trip.reached()) }
    }
}

/// Pairs that are alike in two states.
pub(crate) struct PairsAlike<'a, M> {
    /// The classes of source and destination, in each of the states.
    pub(crate) classes: [[Class; 2]; 2],
    /// The sites of source and destination.
    pub(crate) sites: [&'a Site; 2],
    /// The marks of source and destination.
    pub(crate) marks: [M; 2],
    /// How many.
    pub(crate) pairs: u64,
    /// The nodes of one of them, by place.
    pub(crate) example: (usize, usize),
}

/// Nodes by name, with the site of each.
pub(crate) type Nodes = BTreeMap<String, Site>;

impl Snapshot {
    /// The nodes with known pod CIDRs before and after, and nodes that have pods before and
    /// stay with a pod CIDR that is not known yet.
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
        both.map(|(name, (site, _))| (name.to_owned(), site.clone())).collect()
    }

    /// The pairs of classes of these nodes' pods, by one round trip for each: `trace`
    /// returns that of a pair, or `None` if the pair is known to be reached.
    pub(crate) fn of_traced(
        model: &PathModel,
        nodes: &Nodes,
        mut trace: impl FnMut((End, End)) -> Option<RoundTrip>,
    ) -> Self {
        let found = ends(model, nodes);
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
        let trips = classes
            .examples()
            .map(|(pair, example)| (pair, ClassPair::of(example, trace(example))))
            .collect();
        Self { class_of, site_of: nodes.values().cloned().collect(), trips }
    }

    /// Whether the pairs of two classes are reached.
    pub(crate) fn status(&self, from: Class, to: Class) -> PairStatus {
        let (Some(from), Some(to)) = (from, to) else { return PairStatus::Unknown };
        let Some(pair) = self.trips.get(&(from, to)) else { return PairStatus::Unknown };
        pair.broken.as_ref().map_or(PairStatus::Reached, PairStatus::of)
    }

    /// The class of each node, by its place.
    pub(crate) fn classes(&self) -> &[Class] {
        &self.class_of
    }

    /// The nodes of a pair of these classes.
    fn example(&self, model: &PathModel, from: Class, to: Class) -> Option<(String, String)> {
        let (source, destination) = self.trips.get(&(from?, to?))?.example;
        let name = |end: End| model.network.name(end.host).to_owned();
        Some((name(source), name(destination)))
    }

    /// The nodes of a pair that is not reached, and the resource that drops its packets.
    pub(crate) fn obstacle(
        &self,
        model: &PathModel,
        from: Class,
        to: Class,
    ) -> Option<((String, String), Option<Address>)> {
        let (_, verdict) = self.trips.get(&(from?, to?))?.broken.as_ref()?.broken()?;
        let resource = addresses(model, verdict).into_iter().next();
        Some((self.example(model, from, to)?, resource))
    }

    /// Calls for each two classes of pairs that are alike in both states, with how
    /// many pairs there are. The states are of the same nodes.
    pub(crate) fn pairs_alike(states: [&Self; 2], mut found: impl FnMut([[Class; 2]; 2], u64)) {
        let marks = vec![(); states[0].site_of.len()];
        Self::pairs_alike_by(states, &marks, |alike| found(alike.classes, alike.pairs));
    }

    /// The same, where nodes are alike only if they have the same mark.
    pub(crate) fn pairs_alike_by<M: Copy + Ord>(
        states: [&Self; 2],
        marks: &[M],
        mut found: impl FnMut(PairsAlike<'_, M>),
    ) {
        let mut alike: BTreeMap<([Class; 2], &Site, M), Vec<usize>> = BTreeMap::new();
        for ((node, site), mark) in states[0].site_of.iter().enumerate().zip(marks) {
            let classes = states.map(|state| state.class_of.get(node).copied().flatten());
            alike.entry((classes, site, *mark)).or_default().push(node);
        }
        for (from, sources) in &alike {
            for (to, destinations) in &alike {
                let itself = if from == to { sources.len() } else { 0 };
                let pairs = (sources.len() * destinations.len() - itself) as u64;
                let example = (sources.first().copied(), destinations.last().copied());
                let (Some(source), Some(destination)) = example else { continue };
                if pairs > 0 {
                    found(PairsAlike {
                        classes: [from.0, to.0],
                        sites: [from.1, to.1],
                        marks: [from.2, to.2],
                        pairs,
                        example: (source, destination),
                    });
                }
            }
        }
    }
}

/// An end for the pods of each of these nodes, where their range is known.
pub(crate) fn ends(model: &PathModel, nodes: &Nodes) -> Vec<Option<End>> {
    let mut known: HashMap<&str, End> = HashMap::with_capacity(nodes.len());
    known.extend(pods(model).map(|(name, (_, end))| (name, end)));
    nodes.keys().map(|name| known.get(name.as_str()).copied()).collect()
}

/// An end for the pods of a host, where their range is known.
pub(crate) fn end_of(model: &PathModel, host: HostId) -> Option<End> {
    let range = model.network.host(host)?.pods.read().ok()?.range()?;
    Some(End { host, address: usual(&range) })
}

/// An end for the pods of each node, and the node's side.
fn pods(model: &PathModel) -> impl Iterator<Item = (&str, (&Site, End))> {
    let nodes = model
        .sites
        .iter()
        .flat_map(|site| site.nodes.iter().map(move |node: &HostId| (&site.site, *node)));
    nodes.filter_map(|(site, host)| Some((model.network.name(host), (site, end_of(model, host)?))))
}
