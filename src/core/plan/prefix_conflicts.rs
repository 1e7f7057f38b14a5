//! Prefixes of the topology that devices of others serve in the tailnet, too.

use ipnet::Ipv4Net;

use super::{Finding, FindingSeverity};
use crate::desired::{Allocation, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::ForeignPeer;
use crate::net::prefix::overlaps;
use crate::topology::model::Topology;

/// A prefix that a router of the topology serves.
struct Served<'a> {
    prefix: Ipv4Net,
    router: &'a str,
}

/// Reports each prefix of another device that overlaps one of a router's, with both
/// owners.
///
/// The more specific prefix wins, on any device, and a router takes its own prefixes
/// from a device that serves a broader one.
pub(super) fn check(
    topology: &Topology,
    facts: &Facts,
    allocation: Option<&Allocation>,
    peers: &[ForeignPeer],
    findings: &mut Vec<Finding>,
) {
    if peers.is_empty() {
        return;
    }
    let served = served(topology, facts, allocation);
    for peer in peers {
        if let Some(finding) = untagged_router(topology, peer, &served) {
            findings.push(finding);
            continue;
        }
        for prefix in &peer.prefixes {
            let taken: Vec<&Served<'_>> =
                served.iter().filter(|served| overlaps(prefix, &served.prefix)).collect();
            findings.extend(conflict(peer, *prefix, &taken));
        }
    }
}

fn served<'a>(
    topology: &'a Topology,
    facts: &Facts,
    allocation: Option<&Allocation>,
) -> Vec<Served<'a>> {
    let router = topology.cluster.router.name.as_str();
    let cluster = facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets);
    let subnets = cluster.map(|subnet| subnet.prefix);
    let pods = facts.nodes.iter().map(|node| node.pod_cidr);
    let mut served: Vec<Served<'a>> =
        subnets.chain(pods).map(|prefix| Served { prefix, router }).collect();
    for datacenter in &topology.datacenters {
        let router = datacenter.router.name.as_str();
        let pool = datacenter.pod_pool;
        let workers = datacenter.workers.iter();
        let of_workers = workers
            .filter_map(|worker| Some(allocation?.place(&worker.name)?.pod_cidr))
            .filter(|pods| pool.is_none_or(|pool| !pool.contains(pods)));
        let own = std::iter::once(datacenter.network()).chain(pool).chain(of_workers);
        served.extend(own.map(|prefix| Served { prefix, router }));
    }
    served
}

/// A device with the name of a router that serves the router's prefixes but lacks the
/// topology's tag, so that it counts as foreign.
fn untagged_router(
    topology: &Topology,
    peer: &ForeignPeer,
    served: &[Served<'_>],
) -> Option<Finding> {
    let is_own = |served: &&Served<'_>| {
        served.router == peer.hostname
            && peer.prefixes.iter().any(|prefix| overlaps(prefix, &served.prefix))
    };
    let (name, desired) = (&peer.hostname, &topology.tailnet.tag);
    let is_tagged = peer.tags.iter().any(|tag| tag == desired.as_str());
    let taken = served.iter().find(is_own).filter(|_| !is_tagged)?;
    let tags = match peer.tags.is_empty() {
        true => "no tag".to_owned(),
        false => peer.tags.iter().map(|tag| format!("`{tag}`")).collect::<Vec<_>>().join(", "),
    };
    let message = format!(
        "the device {name} of the tailnet serves {} of the router of that name, but has {tags} and \
         not `{desired}`",
        taken.prefix
    );
    let remedy = match peer.tags.iter().next() {
        Some(tag) => format!(
            "if it is the router of this topology, set `[tailnet] tag = \"{tag}\"`, or give the \
             device `{desired}` in the Tailscale admin console; otherwise rename one of the two"
        ),
        None => format!(
            "if it is the router of this topology, give the device `{desired}` in the Tailscale \
             admin console; otherwise rename one of the two"
        ),
    };
    let failure = Failure::new(Code::NotOwned, message, remedy);
    Some(Finding::new(FindingSeverity::Error, failure))
}

fn conflict(peer: &ForeignPeer, prefix: Ipv4Net, taken: &[&Served<'_>]) -> Option<Finding> {
    let first = taken.first()?;
    let device = &peer.hostname;
    let more = match taken.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more prefix".to_owned(),
        count => format!(", and {count} more prefixes"),
    };
    let message = format!(
        "the device {device} of the tailnet serves {prefix}, which overlaps {} of router {}{more}",
        first.prefix, first.router
    );
    let remedy = format!(
        "withdraw {prefix} from {device} in the Tailscale admin console, or use another range in \
         the topology"
    );
    let failure = Failure::new(Code::PrefixConflict, message, remedy);
    Some(Finding::new(FindingSeverity::Error, failure))
}
