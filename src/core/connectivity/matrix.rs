//! The reachability between sites, and the facts that drop packets.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::{Discriminant, discriminant};

use ipnet::Ipv4Net;

use super::PathModel;
use crate::dataplane::equivalence::{ClassRoundTrip, Classes};
use crate::dataplane::{Cause, End, HostId, Origin, Protocol, RoundTrip, Verdict};
use crate::net::prefix;

/// The protocol of the traced packets: the one that Goldpinger measures.
pub const PROTOCOL: Protocol = Protocol::Tcp(8_080);

/// How many pairs of two sites fare how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Reached, and answered.
    pub reached: u64,
    /// Dropped on the way there or back.
    pub dropped: u64,
    /// A fact that it depends on could not be read.
    pub unknown: u64,
}

/// The addresses of nodes between which packets are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Addresses of pods on the nodes.
    Pods,
    /// Their own.
    Nodes,
}

/// Pairs that the same fact stands against.
#[derive(Debug, Clone)]
pub struct Broken {
    /// One of them.
    pub example: (End, End),
    /// Its status.
    pub round_trip: RoundTrip,
    /// How many pairs of nodes, by the pods on them.
    pub pairs: u64,
    /// How many pairs of nodes, by their own addresses.
    pub node_pairs: u64,
    /// From and to which sites, by their numbers in the model.
    pub sites: BTreeSet<(usize, usize)>,
}

/// Site against site.
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    /// Pairs of nodes, by the pods on them, by the indices of the source and the
    /// destination site.
    pub cells: BTreeMap<(usize, usize), Pairs>,
    /// Pairs of nodes, by their own addresses.
    pub nodes: Pairs,
    /// Dropped pairs by the fact that drops them, the most pairs first.
    pub broken: Vec<Broken>,
    /// Nodes whose pods could not be read.
    pub unread: Vec<(HostId, Origin)>,
}

/// The key of a reason: the cause and the origin of its fact.
type Reason = (Option<Discriminant<Cause>>, Option<Origin>);

impl Matrix {
    /// Traces between pods, and between nodes, of every pair of sites, and within each
    /// site.
    pub fn of(model: &PathModel) -> Self {
        let mut matrix = Self::default();
        let site_of = sites_by_host(model);
        let mut reasons = BTreeMap::new();
        let classes = Classes::of_sets(&model.network, [pod_ends(model), node_ends(model)]);
        for (classes, of) in classes.into_iter().zip([Ends::Pods, Ends::Nodes]) {
            for round_trip in classes.trips(&model.network, PROTOCOL) {
                matrix.add(&classes, (round_trip, of), &site_of, &mut reasons);
            }
        }
        matrix.unread = unread_nodes(model);
        matrix.add_unread(model, &site_of);
        matrix.broken.sort_by_key(|broken| std::cmp::Reverse((broken.pairs, broken.node_pairs)));
        matrix
    }

    /// All cells together: the pairs of pods.
    pub fn total(&self) -> Pairs {
        self.cells.values().fold(Pairs::default(), |sum, cell| Pairs {
            reached: sum.reached + cell.reached,
            dropped: sum.dropped + cell.dropped,
            unknown: sum.unknown + cell.unknown,
        })
    }

    fn add(
        &mut self,
        classes: &Classes,
        (found, ends): (ClassRoundTrip, Ends),
        site_of: &BTreeMap<HostId, usize>,
        reasons: &mut BTreeMap<String, usize>,
    ) {
        // All hosts of a class are on the same segment, and so of one site.
        let site = |end: End| site_of.get(&end.host).copied().unwrap_or_default();
        let place = (site(found.example.0), site(found.example.1));
        debug_assert!(classes.members(found.from).all(|end| site(end) == place.0));
        let cell = match ends {
            Ends::Pods => self.cells.entry(place).or_default(),
            Ends::Nodes => &mut self.nodes,
        };
        match found.round_trip.broken() {
            None => cell.reached += found.pairs,
            Some((_, Verdict::Dropped(_))) => cell.dropped += found.pairs,
            Some(_) => cell.unknown += found.pairs,
        }
        if found.round_trip.reached() {
            return;
        }
        let key = format!("{:?}", reason(&found.round_trip));
        let (pairs, node_pairs) = match ends {
            Ends::Pods => (found.pairs, 0),
            Ends::Nodes => (0, found.pairs),
        };
        let known = reasons.get(&key).and_then(|at| self.broken.get_mut(*at));
        if let Some(broken) = known {
            broken.pairs += pairs;
            broken.node_pairs += node_pairs;
            broken.sites.insert(place);
            return;
        }
        reasons.insert(key, self.broken.len());
        let (example, round_trip) = (found.example, found.round_trip);
        let sites = BTreeSet::from([place]);
        self.broken.push(Broken { example, round_trip, pairs, node_pairs, sites });
    }

    /// A node whose pods could not be read: the status of its pairs is unknown.
    fn add_unread(&mut self, model: &PathModel, site_of: &BTreeMap<HostId, usize>) {
        let nodes: Vec<HostId> = model.sites.iter().flat_map(|site| site.nodes.clone()).collect();
        let unread: BTreeSet<HostId> = self.unread.iter().map(|(host, _)| *host).collect();
        let site = |host: HostId| site_of.get(&host).copied().unwrap_or_default();
        for from in &unread {
            for to in nodes.iter().filter(|to| *to != from) {
                self.cells.entry((site(*from), site(*to))).or_default().unknown += 1;
                if !unread.contains(to) {
                    self.cells.entry((site(*to), site(*from))).or_default().unknown += 1;
                }
            }
        }
    }
}

fn reason(round_trip: &RoundTrip) -> Reason {
    match round_trip.broken() {
        Some((_, Verdict::Dropped(drop))) => {
            (Some(discriminant(&drop.cause)), drop.provenance.first().copied())
        }
        Some((_, Verdict::Unknown { origin, .. })) => (None, Some(*origin)),
        _ => (None, None),
    }
}

fn sites_by_host(model: &PathModel) -> BTreeMap<HostId, usize> {
    let numbered = model.sites.iter().enumerate();
    numbered.flat_map(|(at, site)| site.nodes.iter().map(move |node| (*node, at))).collect()
}

/// An address of each node's pods; several where some table knows more of the
/// range than its whole.
pub fn pod_ends(model: &PathModel) -> Vec<End> {
    let nodes = model.sites.iter().flat_map(|site| &site.nodes);
    let range_of = |host: &HostId| {
        let pods = model.network.host(*host)?.pods.read().ok()?;
        Some((*host, pods.range()?))
    };
    let ranges: Vec<(HostId, Ipv4Net)> = nodes.filter_map(range_of).collect();
    let widest = ranges.iter().map(|(_, range)| range.prefix_len()).min();
    let prefixes = model.network.prefixes(widest.unwrap_or_default());
    let mut ends = Vec::new();
    for (host, range) in ranges {
        let parts = parts(&prefixes, &range).flat_map(|part| [part.network(), part.broadcast()]);
        let mut addresses: BTreeSet<_> = parts.collect();
        addresses.insert(usual(&range));
        ends.extend(addresses.into_iter().map(|address| End { host, address }));
    }
    ends
}

/// An address that a pod of that range may have.
pub fn usual(range: &Ipv4Net) -> std::net::Ipv4Addr {
    prefix::host(range, 10).unwrap_or_else(|| range.network())
}

/// Prefixes that are a part of a range and not all of it, of sorted ones.
fn parts<'a>(prefixes: &'a [Ipv4Net], range: &Ipv4Net) -> impl Iterator<Item = Ipv4Net> + use<'a> {
    let range = *range;
    let first = prefixes.partition_point(|prefix| *prefix < range);
    let from_there = prefixes.get(first..).unwrap_or_default().iter().copied();
    from_there
        .take_while(move |part| range.contains(part))
        .filter(move |part| part.prefix_len() > range.prefix_len())
}

/// The address of each node.
pub fn node_ends(model: &PathModel) -> Vec<End> {
    let nodes = model.sites.iter().flat_map(|site| &site.nodes);
    let address = |host: &HostId| Some(model.network.host(*host)?.ports.first()?.address);
    nodes.filter_map(|host| Some(End { host: *host, address: address(host)? })).collect()
}

fn unread_nodes(model: &PathModel) -> Vec<(HostId, Origin)> {
    let nodes = model.sites.iter().flat_map(|site| &site.nodes);
    let unread = |host: &HostId| model.network.host(*host)?.pods.read().err();
    nodes.filter_map(|host| Some((*host, unread(host)?.origin))).collect()
}
