//! Random values for faults.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stargate::dataplane::fabric::FabricHop;
use stargate::dataplane::host::KernelHop;
use stargate::dataplane::security::{AddressMatch, FilterRule, ProtocolMatch, TrafficDirection};

use super::network_spec::{HOSTS, ROUTERS, ip, net, pod};
use super::rng::Rng;

/// Prefixes other than those of hosts and pods: broad ones, halves, pools, networks.
const PREFIXES: [&str; 17] = [
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.224.0.0/11",
    "10.224.0.0/12",
    "10.224.0.0/16",
    "10.237.0.0/24",
    "10.240.0.0/13",
    "10.244.0.0/16",
    "10.244.0.0/23",
    "10.244.64.0/18",
    "10.244.64.0/20",
    "10.244.80.0/20",
    "10.244.65.0/25",
    "10.50.0.0/16",
    "10.50.1.0/24",
    "10.60.0.0/16",
    "100.64.0.0/10",
];

/// Addresses without a host: one in each segment, and one outside.
const UNUSED_ADDRESSES: [&str; 4] = ["10.224.9.9", "10.50.9.9", "10.60.9.9", "10.9.9.9"];

pub(crate) fn any_host(rng: &mut Rng) -> usize {
    rng.below(HOSTS.len())
}

pub(crate) fn any_prefix(rng: &mut Rng) -> Ipv4Net {
    let host = any_host(rng);
    match rng.below(4) {
        0 => Ipv4Net::from(ip(HOSTS[host].address)),
        1 => HOSTS[host].pods.map_or(net("10.244.0.0/16"), net),
        2 => HOSTS[host].pods.map_or(net("10.50.0.0/16"), |_| pod(host).into()),
        _ => net(rng.one(&PREFIXES)),
    }
}

/// The address of a host, or an unused one.
fn any_address(rng: &mut Rng) -> Ipv4Addr {
    if rng.once_in(6) {
        return ip(rng.one(&UNUSED_ADDRESSES));
    }
    ip(HOSTS[any_host(rng)].address)
}

/// A random next hop of a fabric.
pub(crate) fn any_fabric_hop(rng: &mut Rng) -> FabricHop {
    match rng.below(5) {
        0 => FabricHop::None,
        1 => FabricHop::VirtualNetwork,
        _ => FabricHop::Appliance(any_address(rng)),
    }
}

/// Mostly a host of the same segment, or an unused address in it.
pub(crate) fn any_neighbour(host: usize, rng: &mut Rng) -> Ipv4Addr {
    let segment = HOSTS[host].segment;
    match rng.below(6) {
        0 => any_address(rng),
        1 | 2 => ip(UNUSED_ADDRESSES[segment]),
        _ => {
            let near = HOSTS.iter().filter(|other| other.segment == segment);
            ip(rng.one(&near.collect::<Vec<_>>()).address)
        }
    }
}

/// A random next hop of a host's kernel.
pub(crate) fn any_hop(host: usize, rng: &mut Rng) -> KernelHop {
    match rng.below(8) {
        0 => KernelHop::OnLink(0),
        1 => KernelHop::Unreachable,
        2 => KernelHop::Throw,
        3 | 4 if ROUTERS.contains(&host) => KernelHop::Tunnel,
        _ => match any_neighbour(host, rng) {
            // A kernel accepts no route via its own address.
            own if own == ip(HOSTS[host].address) => KernelHop::OnLink(0),
            neighbour => KernelHop::Via(0, neighbour),
        },
    }
}

pub(crate) fn any_rule(number: usize, rng: &mut Rng) -> FilterRule {
    let matches = |rng: &mut Rng| match rng.below(4) {
        0 => AddressMatch::VirtualNetwork,
        1 => AddressMatch::Prefix(Ipv4Net::default()),
        _ => AddressMatch::Prefix(any_prefix(rng)),
    };
    let ports = [20_000..=20_100, 49_152..=49_152, 0..=65_535, 0..=65_535, 443..=443];
    FilterRule {
        name: format!("rule-{number}").into(),
        priority: 100 + u16::try_from(number).unwrap(),
        direction: rng.one(&[TrafficDirection::Inbound, TrafficDirection::Outbound]),
        allows: rng.once_in(2),
        protocol: rng.one(&[ProtocolMatch::Any, ProtocolMatch::Udp, ProtocolMatch::Tcp]),
        sources: (0..=rng.below(2)).map(|_| matches(rng)).collect(),
        destinations: (0..=rng.below(2)).map(|_| matches(rng)).collect(),
        ports: vec![rng.one(&ports)],
    }
}
