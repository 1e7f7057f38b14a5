//! Who asks whom, and how a packet shows to which pair it belongs.

use std::net::Ipv4Addr;

use super::world::{HOSTS, ip, pod};

/// What every request is sent from, and so what every answer goes to.
pub(crate) const ASKING_PORT: u16 = 49_152;
/// The port that the first pair's request goes to.
pub(crate) const FIRST_PORT: u16 = 20_000;
/// The last port that a pair may have.
pub(crate) const LAST_PORT: u16 = 29_999;
/// Addresses and ports around what a packet carries.
const HEADERS: usize = 28;
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

/// One asks the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) number: usize,
    pub(crate) from: LabEnd,
    pub(crate) to: LabEnd,
}

/// Every host's own address, and a pod's on every node.
fn ends() -> Vec<LabEnd> {
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

/// The pair whose request goes to a port.
pub(crate) fn of_port(port: u64) -> usize {
    usize::try_from(port - u64::from(FIRST_PORT)).unwrap()
}

fn blocks(pair: usize, answer: bool) -> usize {
    FIRST_BLOCKS + 2 * pair + usize::from(answer)
}

/// How much a packet carries. It is different for each, so that a packet is still
/// known when it is sealed.
pub(crate) fn payload(pair: usize, answer: bool) -> usize {
    blocks(pair, answer) * BLOCK - HEADERS
}

/// The pair of a sealed packet, and whether it is the answer.
pub(crate) fn of_sealed(length: u64) -> Option<(usize, bool)> {
    let inner = usize::try_from(length).unwrap().checked_sub(TUNNEL_HEADERS)?;
    let number = (inner / BLOCK).checked_sub(FIRST_BLOCKS)?;
    Some((number / 2, number % 2 == 1))
}
