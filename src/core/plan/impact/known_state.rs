//! A state whose pairs are known, and the differences of states near it.
//!
//! Nodes are examined by equivalence class: the classes of the known state are split by the
//! entries of differing tables for their nodes, and each differing node is examined alone.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::passed_elements::{Element, Traced, differing, passed_by};
use super::retained_pairs::{Members, RetainedPairs};
use crate::connectivity::snapshot::{Class, Nodes, end_of, ends};
use crate::connectivity::{IncrementalModel, ObjectValue, PROTOCOL, PathModel, Watched, addresses};
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::equivalence::{Classes, Refinement, Refiner};
use crate::dataplane::{End, HostId, trace_round_trip};
use crate::resource::{Address, Site};

/// With more nodes than this that differ by themselves, finding the classes of
/// the whole network again costs less than tracing each node's pairs.
const MAX_SINGLE_NODES: usize = 48;

/// Pairs that are cut in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LostPairs {
    /// The nodes of one of them, by place.
    pub(super) example: (usize, usize),
    /// How many.
    pub(super) pairs: u64,
    /// The resource that drops the packets.
    pub(super) obstacle: Option<Address>,
}

/// Some of the nodes of a group that are still alike.
#[derive(Clone, Copy)]
struct Part {
    group: usize,
    count: u64,
    first: usize,
    second: Option<usize>,
}

impl Part {
    fn of(group: usize, mut nodes: impl Iterator<Item = usize>) -> Option<Self> {
        let (first, second) = (nodes.next()?, nodes.next());
        let count = 1 + u64::from(second.is_some()) + nodes.count() as u64;
        Some(Self { group, count, first, second })
    }
}

/// The pairs of two parts, and one of them.
fn pairs(from: &Part, to: &Part) -> Option<(u64, (usize, usize))> {
    if from.first == to.first {
        return Some((from.count * (from.count - 1), (from.first, from.second?)));
    }
    Some((from.count * to.count, (from.first, to.first)))
}

/// Whether a network cuts a pair of nodes, and the resource that drops its packets.
fn dropped(model: &PathModel, from: Option<End>, to: Option<End>) -> Option<Option<Address>> {
    let (Some(from), Some(to)) = (from, to) else { return Some(None) };
    let round_trip = trace_round_trip(&model.network, from, to.address, PROTOCOL);
    let (_, verdict) = round_trip.broken()?;
    Some(addresses(model, verdict).into_iter().next())
}

/// A state that other states are described relative to.
pub(super) struct Known<'a> {
    pub(super) model: IncrementalModel<'a>,
    pub(super) is_cluster_lost: bool,
    /// The host of each node.
    hosts: Vec<Option<HostId>>,
    node_of: HashMap<HostId, usize>,
    refiner: Refiner,
    groups: Vec<Members>,
    group_of: Vec<usize>,
    /// Pairs of groups that the plan keeps and that are not reached here.
    broken: Vec<(usize, usize)>,
    /// Reached pairs by the elements that their packets pass.
    passing: HashMap<Element, Vec<(usize, usize)>>,
    kept: HashSet<(usize, usize)>,
    /// The elements that kept pairs depend on.
    watched: Watched,
}

impl<'a> Known<'a> {
    /// Traces every pair of classes that the plan keeps, unless its trip is among those
    /// that were traced in this state. The classes are those of the nodes in this state.
    pub(super) fn new(
        model: IncrementalModel<'a>,
        is_cluster_lost: bool,
        classes: &[Class],
        nodes: &Nodes,
        kept: &RetainedPairs<'_>,
        traced: Traced,
    ) -> Self {
        let found = ends(model.model(), nodes);
        let all: Vec<End> = found.iter().flatten().copied().collect();
        let refiner = Refiner::new(&model.model().network, &all);
        let hosts = hosts(model.model(), nodes);
        let by_host = hosts.iter().enumerate().filter_map(|(node, host)| Some(((*host)?, node)));
        let mut node_of = HashMap::with_capacity(hosts.len());
        node_of.extend(by_host);
        let sites: Vec<Site> = nodes.values().cloned().collect();
        let groups = kept.groups(classes, &sites);
        let mut group_of = vec![0; hosts.len()];
        for (group, members) in groups.iter().enumerate() {
            members.iter().for_each(|node| group_of[*node] = group);
        }
        let mut known = Self {
            model,
            is_cluster_lost,
            hosts,
            node_of,
            refiner,
            groups,
            group_of,
            broken: Vec::new(),
            passing: HashMap::new(),
            kept: HashSet::new(),
            watched: Watched::default(),
        };
        known.trace(&found, kept, traced);
        known.watch();
        known
    }

    fn trace(&mut self, ends: &[Option<End>], kept: &RetainedPairs<'_>, mut traced: Traced) {
        let parts: Vec<Part> = (0..self.groups.len()).filter_map(|it| self.whole(it)).collect();
        let network = &self.model.model().network;
        for from in &parts {
            for to in &parts {
                let Some((_, (source, destination))) = pairs(from, to) else { continue };
                if !kept.holds(source, destination) {
                    continue;
                }
                let pair = (from.group, to.group);
                self.kept.insert(pair);
                let (Some(source), Some(destination)) = (ends[source], ends[destination]) else {
                    self.broken.push(pair);
                    continue;
                };
                let passed = traced.passed.remove(&(source, destination));
                match passed.or_else(|| passed_by(network, source, destination)) {
                    Some(passed) => passed.iter().for_each(|element| {
                        self.passing.entry(*element).or_default().push(pair);
                    }),
                    None => self.broken.push(pair),
                }
            }
        }
    }

    /// Records the elements that kept pairs depend on.
    fn watch(&mut self) {
        let (mut hosts, mut segments) = (BTreeSet::new(), BTreeSet::new());
        for element in self.passing.keys() {
            match element {
                Element::Host(id) | Element::Member(id) => hosts.insert(*id),
                Element::Segment(id) | Element::Subnet(id, _) => segments.insert(*id),
            };
        }
        // A class is traced for all of its nodes.
        let kept: BTreeSet<usize> = self.kept.iter().flat_map(|pair| [pair.0, pair.1]).collect();
        let nodes = kept.iter().filter_map(|group| self.groups.get(*group)).flatten();
        hosts.extend(nodes.filter_map(|node| self.hosts.get(*node).copied().flatten()));
        self.watched = self.model.watch(&hosts, &segments);
    }

    /// All nodes of a group, without reading each.
    fn whole(&self, group: usize) -> Option<Part> {
        let members = self.groups.get(group)?;
        let (first, second) = (*members.first()?, members.get(1).copied());
        Some(Part { group, count: members.len() as u64, first, second })
    }

    /// Whether objects with other values may cut a pair that is reached here, or
    /// restore a pair that is not.
    pub(super) fn may_differ(&self, objects: impl IntoIterator<Item = usize>) -> bool {
        self.has_broken() || self.model.touches(objects, &self.watched)
    }

    /// Whether a pair that the plan keeps is not reached here.
    pub(super) fn has_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Replaces the values of objects. If the elements that kept pairs pass stay the same,
    /// nothing else is rebuilt; otherwise everything is, because the packets may take any
    /// other path.
    pub(super) fn change(&mut self, values: &[(usize, ObjectValue<'a>)]) -> NetworkDifference {
        if self.broken.is_empty() {
            let difference = self.model.change(values, Some(&self.watched));
            if difference == NetworkDifference::default() {
                return difference;
            }
            self.model.roll_back();
        }
        self.model.change(values, None)
    }

    fn end(&self, node: usize) -> Option<End> {
        end_of(self.model.model(), (*self.hosts.get(node)?)?)
    }

    /// The pairs that are cut in the current network, given its difference from the
    /// known one; `None` if too much differs.
    pub(super) fn dropped_pairs(&self, difference: &NetworkDifference) -> Option<Vec<LostPairs>> {
        if difference.addresses_overlap {
            return None;
        }
        let network = &self.model.model().network;
        let refinement = self.refiner.refine(network, difference);
        let hosts = difference.hosts.iter().chain(&refinement.singled_out);
        let single: BTreeSet<usize> =
            hosts.filter_map(|host| self.node_of.get(host).copied()).collect();
        if single.len() > MAX_SINGLE_NODES {
            return None;
        }
        let mut dropped_pairs = Vec::new();
        let mut examine = |from: &Part, to: &Part| {
            if !self.kept.contains(&(from.group, to.group)) {
                return;
            }
            let Some((pairs, example)) = pairs(from, to).filter(|(pairs, _)| *pairs > 0) else {
                return;
            };
            let ends = (self.end(example.0), self.end(example.1));
            if let Some(obstacle) = dropped(self.model.model(), ends.0, ends.1) {
                dropped_pairs.push(LostPairs { example, pairs, obstacle });
            }
        };
        let affected = self.affected(difference);
        let of_affected = || affected.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let groups =
            if single.is_empty() { of_affected() } else { (0..self.groups.len()).collect() };
        let parts = self.parts(&groups, &refinement, &single);
        let alone: Vec<Part> = single
            .iter()
            .filter_map(|it| Part::of(self.group_of[*it], [*it].into_iter()))
            .collect();
        for (from, to) in &affected {
            for from in &parts[from] {
                parts[to].iter().for_each(|to| examine(from, to));
            }
        }
        for one in &alone {
            for other in parts.values().flatten() {
                examine(one, other);
                examine(other, one);
            }
            alone.iter().for_each(|other| examine(one, other));
        }
        Some(dropped_pairs)
    }

    /// Pairs of groups whose packets pass a differing element, and pairs that are not
    /// reached in the known state.
    fn affected(&self, difference: &NetworkDifference) -> BTreeSet<(usize, usize)> {
        let passing =
            differing(difference).filter_map(|element| self.passing.get(&element)).flatten();
        passing.chain(&self.broken).copied().collect()
    }

    /// Splits these groups into parts that are still equivalent, without single nodes.
    fn parts(
        &self,
        groups: &BTreeSet<usize>,
        refinement: &Refinement<'_>,
        single: &BTreeSet<usize>,
    ) -> BTreeMap<usize, Vec<Part>> {
        let network = &self.model.model().network;
        let with_single: BTreeSet<usize> = single.iter().map(|node| self.group_of[*node]).collect();
        let of_group = |group: usize, members: &Members| -> Vec<Part> {
            let alike = members.iter().copied().filter(|node| !single.contains(node));
            if !refinement.distinguishes() {
                let is_whole = !with_single.contains(&group);
                let part = if is_whole { self.whole(group) } else { Part::of(group, alike) };
                return part.into_iter().collect();
            }
            let mut by_aspect: BTreeMap<_, Members> = BTreeMap::new();
            for node in alike {
                let aspect = self.end(node).map(|end| refinement.aspect(network, end));
                by_aspect.entry(aspect).or_default().push(node);
            }
            by_aspect.into_values().filter_map(|nodes| Part::of(group, nodes.into_iter())).collect()
        };
        groups.iter().map(|group| (*group, of_group(*group, &self.groups[*group]))).collect()
    }
}

/// The host of each node.
fn hosts(model: &PathModel, nodes: &Nodes) -> Vec<Option<HostId>> {
    let all = model.sites.iter().flat_map(|site| &site.nodes);
    let mut by_name: HashMap<&str, HostId> = HashMap::with_capacity(nodes.len());
    by_name.extend(all.map(|host| (model.network.name(*host), *host)));
    nodes.keys().map(|name| by_name.get(name.as_str()).copied()).collect()
}

/// The pairs that a plan keeps and that are cut in a network, all of them traced.
pub(super) fn dropped_pairs_of(
    model: &PathModel,
    nodes: &Nodes,
    kept: &RetainedPairs<'_>,
) -> Vec<LostPairs> {
    let found = ends(model, nodes);
    let classes = classes(model, &found);
    let sites: Vec<Site> = nodes.values().cloned().collect();
    let groups = kept.groups(&classes, &sites);
    let parts = groups.iter().enumerate().map(|(it, nodes)| Part::of(it, nodes.iter().copied()));
    let parts: Vec<Part> = parts.flatten().collect();
    let mut dropped_pairs = Vec::new();
    for from in &parts {
        for to in &parts {
            let Some((pairs, example)) = pairs(from, to).filter(|(pairs, _)| *pairs > 0) else {
                continue;
            };
            if !kept.holds(example.0, example.1) {
                continue;
            }
            if let Some(obstacle) = dropped(model, found[example.0], found[example.1]) {
                dropped_pairs.push(LostPairs { example, pairs, obstacle });
            }
        }
    }
    dropped_pairs
}

/// The class of each node, by its end.
pub(super) fn classes(model: &PathModel, ends: &[Option<End>]) -> Vec<Class> {
    let classes = Classes::of(&model.network, ends.iter().flatten().copied().collect());
    let mut number = 0;
    let class = |end: &Option<End>| {
        end.map(|_| {
            number += 1;
            classes.class_of(number - 1)
        })
    };
    ends.iter().map(class).collect()
}
