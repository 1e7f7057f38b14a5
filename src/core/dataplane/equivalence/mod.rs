//! Ends that every table treats alike.
//!
//! Walking each pair of a thousand nodes would take a million walks. Nearly all
//! of them go the same way: two workers of one datacenter differ only in that
//! routes to one lead to the one and routes to the other to the other. Ends
//! that get the same answers from all tables, with "to the end's own host" as
//! one and the same answer, are walked once for all.
//!
//! No table is asked about each end. With the ends in the order of their
//! addresses a prefix is a run of them, and a table changes its answer only at
//! the ends of runs, seldom even there: to the next worker's pods it leads as to
//! the last one's, to their own host. So the work grows with the entries of all
//! tables, and not with ends times tables.

mod endpoints;
mod fingerprint;
mod kernel_shape;
mod partition;
mod queries;
mod refine;

use super::host::HostId;
use super::network::{End, Network};
use super::packet::Protocol;
use super::round_trip::{RoundTrip, trace_round_trip};
use fingerprint::Numbers;
use foldhash::{HashMap, HashMapExt};
use partition::Partition;
pub(crate) use refine::{Refinement, Refiner};

/// Ends in classes of equal treatment.
#[derive(Debug, Clone)]
pub struct Classes {
    ends: Vec<End>,
    class_of: Vec<usize>,
    members: Vec<Vec<usize>>,
    /// How many pairs two classes have that are on one host.
    on_one_host: HashMap<(usize, usize), u64>,
}

/// The trip from one class to another, which represents all their pairs.
#[derive(Debug, Clone)]
pub struct ClassRoundTrip {
    /// The number of the class of the asking ends.
    pub from: usize,
    /// The number of the class of the asked ones.
    pub to: usize,
    /// The number of represented pairs: all but those on one host.
    pub pairs: u64,
    /// The ends that were walked for all.
    pub example: (End, End),
    /// The trace.
    pub round_trip: RoundTrip,
}

impl Classes {
    /// Sorts ends into classes, which are numbered as their first ends stand.
    pub fn of(network: &Network, ends: Vec<End>) -> Self {
        let class_of = Partition::new(network, &ends).classes();
        Self::with(ends, class_of)
    }

    /// Divides several sets of ends into classes of their own, with one pass over the
    /// tables. The classes of a set may be finer than without the others.
    pub(crate) fn of_sets<const N: usize>(network: &Network, sets: [Vec<End>; N]) -> [Self; N] {
        let all: Vec<End> = sets.iter().flatten().copied().collect();
        let mut class_of = Partition::new(network, &all).classes().into_iter();
        sets.map(|ends| {
            let mut numbers = Numbers::new();
            let own = class_of.by_ref().take(ends.len());
            let own = own.map(|class| numbers.of(class) as usize).collect();
            Self::with(ends, own)
        })
    }

    fn with(ends: Vec<End>, class_of: Vec<usize>) -> Self {
        let count = class_of.iter().max().map_or(0, |last| last + 1);
        let mut members = vec![Vec::new(); count];
        for (number, class) in class_of.iter().enumerate() {
            if let Some(members) = members.get_mut(*class) {
                members.push(number);
            }
        }
        let hosts = ends.iter().map(|end| end.host);
        let mut of_hosts: Vec<(HostId, usize)> = hosts.zip(class_of.iter().copied()).collect();
        of_hosts.sort_unstable();
        let mut on_one_host = HashMap::new();
        for host in of_hosts.chunk_by(|one, next| one.0 == next.0) {
            let classes = || host.chunk_by(|one, next| one == next);
            for from in classes() {
                for to in classes() {
                    let pairs = (from.len() * to.len()) as u64;
                    *on_one_host.entry((from[0].1, to[0].1)).or_default() += pairs;
                }
            }
        }
        Self { ends, class_of, members, on_one_host }
    }

    /// How many classes there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are no ends.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The ends in the order that they were given.
    pub fn ends(&self) -> &[End] {
        &self.ends
    }

    /// The number of the class of the end of that number.
    pub fn class_of(&self, end: usize) -> usize {
        self.class_of[end]
    }

    /// The ends of a class.
    pub fn members(&self, class: usize) -> impl Iterator<Item = End> + '_ {
        self.members.get(class).into_iter().flatten().map(|end| self.ends[*end])
    }

    /// One trip for each pair of classes that has a pair of hosts.
    pub fn trips<'a>(
        &'a self,
        network: &'a Network,
        protocol: Protocol,
    ) -> impl Iterator<Item = ClassRoundTrip> + 'a {
        self.examples().map(move |((from, to), example)| {
            let pairs = self.pairs(from, to);
            let round_trip = trace_round_trip(network, example.0, example.1.address, protocol);
            ClassRoundTrip { from, to, pairs, example, round_trip }
        })
    }

    /// The pairs of classes that have a pair of hosts, with the ends of one.
    pub(crate) fn examples(&self) -> impl Iterator<Item = ((usize, usize), (End, End))> + '_ {
        let classes = 0..self.len();
        classes.clone().flat_map(move |from| {
            let to = classes.clone();
            to.filter_map(move |to| Some(((from, to), self.example(from, to)?)))
        })
    }

    /// Two ends of two classes that are on two hosts.
    fn example(&self, from: usize, to: usize) -> Option<(End, End)> {
        let (source, destination) = (self.members(from).next()?, self.members(to).next()?);
        if source.host != destination.host {
            return Some((source, destination));
        }
        let elsewhere = |class| self.members(class).find(|end| end.host != source.host);
        elsewhere(to)
            .map(|other| (source, other))
            .or_else(|| elsewhere(from).map(|other| (other, destination)))
    }

    fn pairs(&self, from: usize, to: usize) -> u64 {
        let count =
            |class: usize| self.members.get(class).map_or(0, |members| members.len() as u64);
        count(from) * count(to) - self.on_one_host.get(&(from, to)).copied().unwrap_or_default()
    }
}
