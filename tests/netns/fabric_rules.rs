//! The configuration of a fabric's namespace in one state: one routing table per interface.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use stargate::dataplane::fabric::{Fabric, FabricHop, FabricSubnet, Interface, UserRoute};
use stargate::dataplane::security::{AddressMatch, FilterRule, ProtocolMatch, TrafficDirection};
use stargate::net::prefix::{TAILNET_RANGE, aggregate};

use super::agent::Instruction;
use super::host_rules::{chain, recorder, replace_table, set};
use super::network_spec::{HOSTS, net};
use super::remote::run;
use super::wiring::SINK;

/// Among routes to the same prefix, user-defined ones precede the overlay's.
const USER: u32 = 10;
const OVERLAY: u32 = 20;
const SYSTEM: u32 = 30;
/// The tables of interfaces, and the table of all addresses.
const FIRST_TABLE: usize = 1_000;
const ALL_ADDRESSES: usize = 900;

/// All instructions for a fabric.
pub(crate) fn instructions(fabric: &Fabric) -> Vec<Instruction> {
    vec![run(&["ip", "-batch", "-"], &routes(fabric)), run(&["nft", "-f", "-"], &filters(fabric))]
}

fn name(interface: &Interface) -> &'static str {
    HOSTS[interface.host.0].name
}

fn routes(fabric: &Fabric) -> String {
    let mut text = "rule flush\nroute flush table all proto 99\n".to_owned();
    writeln!(text, "rule add pref 200 lookup {ALL_ADDRESSES}").unwrap();
    writeln!(text, "route add default dev {SINK} table {ALL_ADDRESSES} proto 99").unwrap();
    for (address, interface) in &fabric.interfaces {
        let (name, table) = (name(interface), FIRST_TABLE + interface.host.0);
        writeln!(text, "route add {address} dev {name} table {ALL_ADDRESSES} proto 99").unwrap();
        writeln!(text, "rule add pref 100 iif {name} lookup {table}").unwrap();
        for (prefix, hop, metric) in routes_of(fabric, interface) {
            let to = target(fabric, hop);
            writeln!(
                text,
                "route add {to} table {table} metric {metric} proto 99",
                to = to(prefix)
            )
            .unwrap();
        }
    }
    text
}

/// All routes of an interface. Longest-prefix match and precedence are left to the kernel.
fn routes_of(fabric: &Fabric, interface: &Interface) -> Vec<(Ipv4Net, FabricHop, u32)> {
    let user = fabric.subnets[interface.subnet].routes.read().unwrap();
    let user = user.iter().map(|(prefix, route): (_, &UserRoute)| (prefix, route.hop, USER));
    let overlay = fabric.overlay.iter().filter(|_| interface.in_overlay);
    let overlay =
        overlay.map(|(prefix, range)| (prefix, FabricHop::Appliance(range.node), OVERLAY));
    let blackholes = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"].map(net);
    let blackholes = blackholes.into_iter().chain([TAILNET_RANGE]);
    let blackholes = blackholes.map(|prefix| (prefix, FabricHop::None, SYSTEM));
    let own = fabric.address_space.iter().map(|own| (*own, FabricHop::VirtualNetwork, SYSTEM));
    let internet = (Ipv4Net::default(), FabricHop::Internet, SYSTEM);
    user.chain(overlay).chain(blackholes).chain(own).chain([internet]).collect()
}

fn target(fabric: &Fabric, hop: FabricHop) -> impl Fn(Ipv4Net) -> String {
    let found = match hop {
        FabricHop::Appliance(address) => fabric.interfaces.get(&address).map(name),
        _ => None,
    };
    move |prefix| match hop {
        FabricHop::Appliance(_) => format!("{prefix} dev {}", found.unwrap_or(SINK)),
        FabricHop::VirtualNetwork => format!("throw {prefix}"),
        FabricHop::Internet | FabricHop::Gateway | FabricHop::None => {
            format!("blackhole {prefix}")
        }
    }
}

fn filters(fabric: &Fabric) -> String {
    let (entered_set, entered) = recorder("entered", "iifname");
    let (towards_set, towards) = recorder("towards", "iifname . oifname");
    let (forwarded_set, forwarded) = recorder("forwarded", "iifname . oifname");
    let mut sets = [entered_set, towards_set, forwarded_set].concat();
    let [mut chains, mut leave, mut enter] = [const { String::new() }; 3];
    for (address, interface) in &fabric.interfaces {
        let own = own_addresses(fabric, *address, interface);
        let (name, subnet) = (name(interface), &fabric.subnets[interface.subnet]);
        let flow = "ip saddr . ip daddr . udp sport . udp dport";
        sets += &set(&format!("flows_{name}"), flow);
        if !interface.forwarding.read().unwrap() {
            writeln!(leave, "iifname {name} ip saddr != {{ {own} }} drop").unwrap();
            writeln!(enter, "oifname {name} ip daddr != {{ {own} }} drop").unwrap();
        }
        writeln!(leave, "iifname {name} jump out-of-{name}").unwrap();
        writeln!(enter, "oifname {name} jump into-{name}").unwrap();
        for (way, direction) in
            [("out-of", TrafficDirection::Outbound), ("into", TrafficDirection::Inbound)]
        {
            let rules = group(fabric, subnet, name, direction);
            writeln!(chains, "chain {way}-{name} {{\n{rules}}}").unwrap();
        }
    }
    replace_table(
        &[
            sets,
            chains,
            chain("entered", "prerouting", -400, &entered),
            chain("leave", "prerouting", -300, &leave),
            chain("towards", "forward", -10, &towards),
            chain("enter", "forward", 0, &enter),
            chain("forwarded", "postrouting", 400, &forwarded),
        ]
        .concat(),
    )
}

fn listed(prefixes: impl IntoIterator<Item = Ipv4Net>) -> String {
    let apart = aggregate(&prefixes.into_iter().collect::<Vec<_>>());
    apart.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The source and destination addresses that an interface may use without IP forwarding.
fn own_addresses(fabric: &Fabric, address: Ipv4Addr, interface: &Interface) -> String {
    let routed = fabric.overlay.iter().filter(|(_, range)| range.node == address);
    let routed = routed.filter(|_| interface.in_overlay).map(|(prefix, _)| prefix);
    listed(routed.chain([address.into()]))
}

/// The rules of a security group. Allowed packets are recorded per interface, to allow their
/// replies.
fn group(
    fabric: &Fabric,
    subnet: &FabricSubnet,
    name: &str,
    direction: TrafficDirection,
) -> String {
    let group = subnet.security.read().unwrap();
    if group.rules.is_empty() {
        return String::new();
    }
    let flow = "ip saddr . ip daddr . udp sport . udp dport";
    let mut text = format!("ip daddr . ip saddr . udp dport . udp sport @flows_{name} accept\n");
    let fits = |rule: &&FilterRule| {
        rule.direction == direction
            && matches!(rule.protocol, ProtocolMatch::Any | ProtocolMatch::Udp)
    };
    for rule in group.rules.iter().filter(fits) {
        let sources = addresses(fabric, subnet, &rule.sources);
        let destinations = addresses(fabric, subnet, &rule.destinations);
        if sources.is_empty() || destinations.is_empty() {
            continue;
        }
        let ports: Vec<String> =
            rule.ports.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
        let verdict = match rule.allows {
            true => format!("update @flows_{name} {{ {flow} }} accept"),
            false => "drop".to_owned(),
        };
        writeln!(
            text,
            "udp dport {{ {} }} ip saddr {{ {sources} }} ip daddr {{ {destinations} }} {verdict}",
            ports.join(", ")
        )
        .unwrap();
    }
    // What no rule matches passes, and so do its replies.
    writeln!(text, "update @flows_{name} {{ {flow} }} accept").unwrap();
    text
}

fn addresses(fabric: &Fabric, subnet: &FabricSubnet, matches: &[AddressMatch]) -> String {
    let routed = || subnet.routes.read().unwrap().iter().map(|(prefix, _)| prefix);
    listed(matches.iter().flat_map(|one| match one {
        AddressMatch::Prefix(prefix) => vec![*prefix],
        AddressMatch::VirtualNetwork => {
            fabric.address_space.iter().copied().chain(routed()).collect()
        }
        AddressMatch::Internet | AddressMatch::LoadBalancer | AddressMatch::Unclear => vec![],
    }))
}
