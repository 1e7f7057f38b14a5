//! The pairs of endpoints, and how a packet is identified.

use std::fmt;
use std::net::Ipv4Addr;

use super::network_spec::{HOSTS, ip, pod};

/// The source port of every request, and so the destination port of every reply.
pub(crate) const SOURCE_PORT: u16 = 49_152;
/// The destination port of the first pair's request.
const FIRST_PORT: u16 = 20_000;
/// The size of IP and UDP headers.
const HEADERS: usize = 28;
const UDP_HEADER: usize = 8;
/// The block size that WireGuard pads packets to.
const BLOCK: usize = 16;
/// The size of the smallest packet, in blocks: larger than WireGuard's own packets, and than the
/// 576 bytes of a kernel's ICMP error.
const FIRST_BLOCKS: usize = 40;
/// WireGuard's header and authentication tag, and the outer UDP header.
const TUNNEL_HEADERS: usize = 40;

/// An endpoint, which sends and receives requests.
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

/// The first endpoint sends a request to the second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) number: usize,
    pub(crate) from: LabEnd,
    pub(crate) to: LabEnd,
}

/// The address of every host, and of one pod on every node.
pub(crate) fn ends() -> Vec<LabEnd> {
    let nodes = HOSTS.iter().enumerate().flat_map(|(host, description)| {
        let own = LabEnd { host, address: ip(description.address), is_pod: false };
        let pod = description.pods.map(|_| LabEnd { host, address: pod(host), is_pod: true });
        std::iter::once(own).chain(pod)
    });
    nodes.collect()
}

/// All ordered pairs of endpoints.
pub(crate) fn all() -> Vec<Pair> {
    let ends = ends();
    let both = ends.iter().flat_map(|from| ends.iter().map(move |to| (*from, *to)));
    both.filter(|(from, to)| from != to)
        .enumerate()
        .map(|(number, (from, to))| Pair { number, from, to })
        .collect()
}

/// The destination port of a pair's request.
pub(crate) fn port(pair: usize) -> u16 {
    FIRST_PORT + u16::try_from(pair).unwrap()
}

fn blocks(pair: usize, answer: bool) -> usize {
    FIRST_BLOCKS + 2 * pair + usize::from(answer)
}

/// The payload size of a packet. It is unique, so that a packet can be identified when it is
/// encrypted.
pub(crate) fn payload(pair: usize, answer: bool) -> usize {
    blocks(pair, answer) * BLOCK - HEADERS
}

/// The pair of a packet and whether it is the reply, by the length in its UDP header. Other packets
/// have other lengths.
pub(crate) fn of_length(length: u64) -> Option<(usize, bool)> {
    of_size(usize::try_from(length).unwrap() + HEADERS - UDP_HEADER)
}

/// The same for an encrypted packet.
pub(crate) fn of_encrypted(length: u64) -> Option<(usize, bool)> {
    of_size(usize::try_from(length).unwrap().checked_sub(TUNNEL_HEADERS)?)
}

fn of_size(size: usize) -> Option<(usize, bool)> {
    let number = (size / BLOCK).checked_sub(FIRST_BLOCKS)?;
    size.is_multiple_of(BLOCK).then_some((number / 2, number % 2 == 1))
}
