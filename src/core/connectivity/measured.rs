//! Compares measurements between pods with the model.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::discriminant;
use std::net::Ipv4Addr;

use super::{PathModel, addresses};
use crate::dataplane::equivalence::Classes;
use crate::dataplane::{End, HostId, Protocol, RoundTrip, Verdict, trace_round_trip};
use crate::inventory::{GoldpingerPod, Measurement, PingResult};
use crate::resource::Address;

/// The differences between measurements and the model.
#[derive(Debug, Clone, Default)]
pub struct MeasurementComparison {
    /// Pairs that are reached by both.
    pub reached: u64,
    /// Pairs that are dropped by both.
    pub dropped: u64,
    /// Pairs that the model cannot decide, because a fact was not read.
    pub undecided: u64,
    /// Of these, pairs that were not reached.
    pub undecided_failed: u64,
    /// Pairs of known pods without a measurement.
    pub unmeasured: u64,
    /// Pairs of which both say something else.
    pub differences: Vec<Difference>,
    /// Pods whose address belongs to no node, or to another node than theirs.
    pub strangers: Vec<UnknownPod>,
    /// Pods that gave no answer.
    pub silent: Vec<GoldpingerPod>,
    /// Nodes without a pod that could measure.
    pub without_pinger: Vec<HostId>,
}

/// Pairs that were measured alike and that the tables say the other of, for one
/// reason.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The measured result.
    pub measured: PingResult,
    /// One of the pairs.
    pub example: (End, End),
    /// The result by the model.
    pub round_trip: RoundTrip,
    /// How many pairs there are.
    pub pairs: u64,
    /// From and to which sites, by their numbers in the model.
    pub sites: BTreeSet<(usize, usize)>,
    /// The resource that drops the packets by the model.
    pub resource: Option<Address>,
}

/// A pod that the model has no place for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPod {
    /// The address that pings went from or to.
    pub address: Ipv4Addr,
    /// The pod, if the cluster's API shows one with that address.
    pub pod: Option<GoldpingerPod>,
    /// The node that has the address by the model, if it is another one.
    pub taken_for: Option<HostId>,
}

/// Pods in the order in which to ask them: the API server reaches those on
/// AKS's own nodes without the ways that are to be measured.
pub fn by_nearness(model: &PathModel, pods: &mut [GoldpingerPod]) {
    let cluster: BTreeSet<&str> = model
        .sites
        .iter()
        .take(1)
        .flat_map(|site| &site.nodes)
        .map(|id| model.network.name(*id))
        .collect();
    pods.sort_by_key(|pod| (!pod.ready, !cluster.contains(pod.node.as_str()), pod.name.clone()));
}

impl Measurement {
    /// Holds it against the model, pair by pair.
    pub fn compare(&self, model: &PathModel) -> MeasurementComparison {
        let mut comparison = MeasurementComparison::default();
        let positions = self.positions(model, &mut comparison);
        let known: Vec<End> = positions.values().copied().collect();
        let trips = TracedPairs::of(model, known, Protocol::Tcp(self.port));
        let mut groups = Groups::of(model, trips.protocol);
        for ((from, to), measured) in &self.pings {
            let (Some(from), Some(to)) = (positions.get(from), positions.get(to)) else { continue };
            let traced = trips.between(model, *from, *to);
            comparison.add(model, (*from, *to), *measured, &traced, &mut groups);
        }
        comparison.differences.sort_by_key(|it| std::cmp::Reverse(it.pairs));
        comparison.count_unmeasured(self, model, &positions);
        comparison
    }

    /// The ends of all addresses that pings went from or to.
    fn positions(
        &self,
        model: &PathModel,
        into: &mut MeasurementComparison,
    ) -> BTreeMap<Ipv4Addr, End> {
        let pods: BTreeMap<Ipv4Addr, &GoldpingerPod> =
            self.pods.iter().filter_map(|pod| Some((pod.address?, pod))).collect();
        let pinged = self.pings.keys().flat_map(|(from, to)| [*from, *to]);
        let all: BTreeSet<Ipv4Addr> = pinged.chain(self.silent.iter().copied()).collect();
        let mut positions = BTreeMap::new();
        for address in all {
            let pod = pods.get(&address).copied();
            let end = model.network.end(address);
            let at_home = |end: &End| {
                pod.is_none_or(|pod| {
                    pod.node.is_empty() || model.network.name(end.host) == pod.node
                })
            };
            match end.filter(at_home) {
                Some(end) => {
                    positions.insert(address, end);
                }
                None => {
                    let taken_for = end.map(|end| end.host);
                    into.strangers.push(UnknownPod { address, pod: pod.cloned(), taken_for });
                }
            }
        }
        into.silent = self.silent.iter().filter_map(|it| pods.get(it).copied().cloned()).collect();
        positions
    }
}

/// A trip, and whether it ended at another host than the one that it was to
/// reach: where two hosts have pods of one range.
#[derive(Debug, Clone)]
struct TracedPair {
    round_trip: RoundTrip,
    by_another: bool,
}

impl TracedPair {
    fn of(round_trip: RoundTrip, to: End) -> Self {
        let by_another =
            matches!(round_trip.forward.verdict, Verdict::Arrived(host) if host != to.host);
        Self { round_trip, by_another }
    }
}

/// Trips by the classes of their ends.
struct TracedPairs {
    protocol: Protocol,
    class_of: HashMap<End, usize>,
    traced: HashMap<(usize, usize), TracedPair>,
}

impl TracedPairs {
    fn of(model: &PathModel, ends: Vec<End>, protocol: Protocol) -> Self {
        let classes = Classes::of(&model.network, ends);
        let numbered = classes.ends().iter().enumerate();
        let class_of = numbered.map(|(at, end)| (*end, classes.class_of(at))).collect();
        let trips = classes.trips(&model.network, protocol);
        let traced =
            trips.map(|it| ((it.from, it.to), TracedPair::of(it.round_trip, it.example.1)));
        let traced = traced.collect();
        Self { protocol, class_of, traced }
    }

    fn between(&self, model: &PathModel, from: End, to: End) -> Cow<'_, TracedPair> {
        let class = |end: End| self.class_of.get(&end).copied().unwrap_or_default();
        let traced = self.traced.get(&(class(from), class(to)));
        match traced.filter(|_| from.host != to.host) {
            Some(traced) => Cow::Borrowed(traced),
            // The trip of a class represents pairs on two hosts only.
            None => {
                let round_trip = trace_round_trip(&model.network, from, to.address, self.protocol);
                Cow::Owned(TracedPair::of(round_trip, to))
            }
        }
    }
}

/// Differences while they are put together.
#[derive(Debug)]
struct Groups {
    /// The protocol of the measurement.
    protocol: Protocol,
    /// The number of each node's site.
    site_of: HashMap<HostId, usize>,
    /// The index of each reason's difference in the list.
    positions: HashMap<String, usize>,
}

impl Groups {
    fn of(model: &PathModel, protocol: Protocol) -> Self {
        let numbered = model.sites.iter().enumerate();
        let site_of = numbered
            .flat_map(|(at, site)| site.nodes.iter().map(move |node| (*node, at)))
            .collect();
        Self { protocol, site_of, positions: HashMap::new() }
    }
}

impl MeasurementComparison {
    /// Whether a measurement shows a failure.
    pub fn is_broken(&self) -> bool {
        self.dropped > 0 || self.undecided_failed > 0 || !self.differences.is_empty()
    }

    /// Whether a result is unknown.
    pub fn has_gaps(&self) -> bool {
        self.undecided + self.unmeasured > 0
            || !self.strangers.is_empty()
            || !self.silent.is_empty()
            || !self.without_pinger.is_empty()
            || self.reached == 0
    }

    fn add(
        &mut self,
        model: &PathModel,
        pair: (End, End),
        measured: PingResult,
        traced: &TracedPair,
        groups: &mut Groups,
    ) {
        match (measured, traced.round_trip.broken()) {
            (PingResult::Failed(_), None) if traced.by_another => self.dropped += 1,
            (PingResult::Reached, None) if !traced.by_another => self.reached += 1,
            (PingResult::Failed(_), Some((_, Verdict::Dropped(_)))) => self.dropped += 1,
            (_, Some((_, Verdict::Unknown { .. } | Verdict::Exited(_) | Verdict::Arrived(_)))) => {
                self.undecided += 1;
                self.undecided_failed += u64::from(measured != PingResult::Reached);
            }
            (PingResult::Reached, None | Some((_, Verdict::Dropped(_))))
            | (PingResult::Failed(_), None) => {
                self.differ(model, pair, measured, &traced.round_trip, groups);
            }
        }
    }

    fn differ(
        &mut self,
        model: &PathModel,
        pair: (End, End),
        measured: PingResult,
        found: &RoundTrip,
        groups: &mut Groups,
    ) {
        let site = |end: End| groups.site_of.get(&end.host).copied().unwrap_or_default();
        let sites = (site(pair.0), site(pair.1));
        let resource =
            found.broken().and_then(|(_, verdict)| addresses(model, verdict).into_iter().next());
        let key = match found.broken() {
            Some((_, Verdict::Dropped(drop))) => {
                format!("{:?} {:?}", discriminant(&drop.cause), drop.provenance.first())
            }
            // Such pairs differ in their sites only, and in no fact.
            _ => format!("{measured:?} {sites:?}"),
        };
        let at = *groups.positions.entry(key).or_insert(self.differences.len());
        if let Some(known) = self.differences.get_mut(at) {
            known.pairs += 1;
            known.sites.insert(sites);
            return;
        }
        self.differences.push(Difference {
            measured,
            example: pair,
            // The representative of the class may have been traced to another member of it.
            round_trip: trace_round_trip(&model.network, pair.0, pair.1.address, groups.protocol),
            pairs: 1,
            sites: BTreeSet::from([sites]),
            resource,
        });
    }

    /// Pairs of known pods without a ping, and nodes without a pod.
    fn count_unmeasured(
        &mut self,
        measurement: &Measurement,
        model: &PathModel,
        positions: &BTreeMap<Ipv4Addr, End>,
    ) {
        let pairs = (positions.len() as u64).pow(2);
        let known = |(from, to): &&(Ipv4Addr, Ipv4Addr)| {
            positions.contains_key(from) && positions.contains_key(to)
        };
        let measured = measurement.pings.keys().filter(known).count() as u64;
        self.unmeasured = pairs - measured;
        let there: BTreeSet<HostId> = positions.values().map(|end| end.host).collect();
        let nodes = model.sites.iter().flat_map(|site| &site.nodes);
        self.without_pinger = nodes.filter(|id| !there.contains(id)).copied().collect();
    }
}
