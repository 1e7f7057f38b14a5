//! Who asks whom, and how a packet shows to which pair it belongs.

use std::fmt;
use std::net::Ipv4Addr;

use super::world::{HOSTS, ip, pod};

/// What every request is sent from, and so what every answer goes to.
pub(crate) const ASKING_PORT: u16 = 49_152;
/// The port that the first pair's request goes to.
const FIRST_PORT: u16 = 20_000;
/// Addresses and ports around what a packet carries.
const HEADERS: usize = 28;
const UDP_HEADER: usize = 8;
/// What WireGuard fills packets up to.
const BLOCK: usize = 16;
/// The smallest packet: larger than what WireGuard sends for itself, and than the
/// 576 bytes by which a kernel tells of a packet that it dropped.
const FIRST_BLOCKS: usize = 40;
/// The tunnel's own header and seal, and UDP's header around them.
const TUNNEL_HEADERS: usize = 40;

/// Somebody who asks and is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LabEnd {
    pub(crate) host: usize,
    pub(crate) address: Ipv4Addr,
    pub(crate) is_pod: bool,
}

impl fmt::Display for LabEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.is_pod { "a pod of " } else { "" };
        write!(f, "{} ({of}{})", self.address, HOSTS[self.host].name)
    }
}

/// One asks the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) number: usize,
    pub(crate) from: LabEnd,
    pub(crate) to: LabEnd,
}

/// Every host's own address, and a pod's on every node.
pub(crate) fn ends() -> Vec<LabEnd> {
    let nodes = HOSTS.iter().enumerate().flat_map(|(host, description)| {
        let own = LabEnd { host, address: ip(description.address), is_pod: false };
        let pod = description.pods.map(|_| LabEnd { host, address: pod(host), is_pod: true });
        std::iter::once(own).chain(pod)
    });
    nodes.collect()
}

/// All ordered pairs of ends.
pub(crate) fn all() -> Vec<Pair> {
    let ends = ends();
    let both = ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to)));
    both.filter(|(from, to)| from != to)
        .enumerate()
        .map(|(number, (from, to))| Pair { number, from, to })
        .collect()
}

/// The port that a pair's request goes to.
pub(crate) fn port(pair: usize) -> u16 {
    FIRST_PORT + u16::try_from(pair).unwrap()
}

fn blocks(pair: usize, answer: bool) -> usize {
    FIRST_BLOCKS + 2 * pair + usize::from(answer)
}

/// How much a packet carries. It is different for each, so that a packet is still
/// known when it is sealed.
pub(crate) fn payload(pair: usize, answer: bool) -> usize {
    blocks(pair, answer) * BLOCK - HEADERS
}

/// The pair of a packet by what its UDP header says of its length, and whether it
/// is the answer. What is of no pair has other lengths.
pub(crate) fn of_length(length: u64) -> Option<(usize, bool)> {
    of_size(usize::try_from(length).unwrap() + HEADERS - UDP_HEADER)
}

/// Likewise, of a sealed packet.
pub(crate) fn of_sealed(length: u64) -> Option<(usize, bool)> {
    of_size(usize::try_from(length).unwrap().checked_sub(TUNNEL_HEADERS)?)
}

fn of_size(size: usize) -> Option<(usize, bool)> {
    let number = (size / BLOCK).checked_sub(FIRST_BLOCKS)?;
    size.is_multiple_of(BLOCK).then_some((number / 2, number % 2 == 1))
}
