//! The addresses that are asked about, in their order.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::ops::Range;

use foldhash::{HashMap, HashMapExt};

use ipnet::Ipv4Net;

use crate::dataplane::network::{End, Network};
use crate::dataplane::table::PrefixTable;

/// Ends, and the hosts' own addresses: where a source was hidden, the answer
/// goes to one of these. A prefix holds a run of them.
#[derive(Debug)]
pub(super) struct Endpoints {
    /// By address.
    all: Vec<End>,
    /// By the address of a port: where the subjects of the port's host stand,
    /// and the number of the port there.
    of_ports: HashMap<Ipv4Addr, Vec<(usize, usize)>>,
    /// The results of [`Self::within`]: every router has a route for the same prefixes.
    ranges: RefCell<HashMap<Ipv4Net, Range<usize>>>,
}

impl Endpoints {
    pub(super) fn new(network: &Network, ends: &[End]) -> Self {
        let mut all = ends.to_vec();
        for (id, host) in network.hosts() {
            all.extend(host.ports.iter().map(|port| End { host: id, address: port.address }));
        }
        for (id, member) in &network.tunnel().members {
            all.extend(member.address.read().map(|address| End { host: *id, address: *address }));
        }
        all.sort_unstable_by_key(by_address);
        all.dedup();
        let hosts = network.hosts().count();
        let mut of_ports: HashMap<Ipv4Addr, Vec<(usize, usize)>> = HashMap::with_capacity(hosts);
        for (position, subject) in all.iter().enumerate() {
            let ports = network.host(subject.host).into_iter().flat_map(|host| &host.ports);
            for (number, port) in ports.enumerate() {
                let known = of_ports.entry(port.address).or_default();
                if known.last().is_none_or(|(last, _)| *last != position) {
                    known.push((position, number));
                }
            }
        }
        Self { all, of_ports, ranges: RefCell::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn position(&self, end: &End) -> Option<usize> {
        self.all.binary_search_by_key(&by_address(end), by_address).ok()
    }

    /// Whether two hosts' subjects have that address.
    pub(super) fn is_shared(&self, address: Ipv4Addr) -> bool {
        let first = self.all.partition_point(|subject| subject.address < address);
        self.all.get(first + 1).is_some_and(|second| second.address == address)
    }

    /// The endpoints at these positions.
    pub(super) fn at(&self, positions: Range<usize>) -> impl Iterator<Item = (usize, &End)> {
        positions.clone().zip(self.all.get(positions).into_iter().flatten())
    }

    /// The positions of the endpoints whose address a prefix contains.
    pub(super) fn within(&self, prefix: &Ipv4Net) -> Range<usize> {
        let mut ranges = self.ranges.borrow_mut();
        ranges.entry(*prefix).or_insert_with(|| self.find(prefix)).clone()
    }

    fn find(&self, prefix: &Ipv4Net) -> Range<usize> {
        let (first, last) = (prefix.network(), prefix.broadcast());
        let begin = self.all.partition_point(|subject| subject.address < first);
        let rest = self.all.get(begin..).unwrap_or_default();
        begin..begin + rest.partition_point(|subject| subject.address <= last)
    }

    /// Positions among these whose own host has a port of that address, with the port's
    /// number.
    pub(super) fn own(&self, port: Ipv4Addr, positions: &Range<usize>) -> &[(usize, usize)] {
        let all = self.of_ports.get(&port).map(Vec::as_slice).unwrap_or_default();
        let before = |limit| all.partition_point(|(position, _)| *position < limit);
        all.get(before(positions.start)..before(positions.end)).unwrap_or_default()
    }

    /// The entry of a table that matches each run of endpoints, in order.
    pub(super) fn runs<'t, T>(&self, table: &'t PrefixTable<T>) -> Vec<EntryRange<'t, T>> {
        let mut runs = Runs { found: Vec::new(), open: Vec::new(), reached: 0 };
        for entry in table.iter() {
            let held = self.within(&entry.0);
            if !held.is_empty() {
                runs.close(held.start);
                runs.open.push((held.end, entry));
            }
        }
        runs.close(self.len());
        runs.found
    }
}

fn by_address(end: &End) -> (Ipv4Addr, usize) {
    (end.address, end.host.0)
}

/// Neighbouring subjects, and the entry with the longest prefix that holds them.
pub(super) type EntryRange<'t, T> = (Range<usize>, Option<(Ipv4Net, &'t T)>);

/// Prefixes nest or are apart, and the wider come first: those that hold the
/// subject at hand are a stack.
struct Runs<'t, T> {
    found: Vec<EntryRange<'t, T>>,
    /// Each with where it ends.
    open: Vec<(usize, (Ipv4Net, &'t T))>,
    reached: usize,
}

impl<'t, T> Runs<'t, T> {
    /// Closes ranges that end before that position, and continues up to it.
    fn close(&mut self, position: usize) {
        while let Some((end, entry)) = self.open.pop_if(|(end, _)| *end <= position) {
            self.up_to(end, Some(entry));
        }
        let answering = self.open.last().map(|(_, entry)| *entry);
        self.up_to(position, answering);
    }

    fn up_to(&mut self, end: usize, entry: Option<(Ipv4Net, &'t T)>) {
        if self.reached < end {
            self.found.push((self.reached..end, entry));
            self.reached = end;
        }
    }
}
