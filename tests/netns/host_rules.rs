//! The configuration of a host's kernel in one state, applied as a whole.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::Ipv4Net;
use stargate::dataplane::host::{
    Egress, ForwardingEntry, HostId, Kernel, KernelHop, Pods, Port, ReversePathFilter, RoutingRule,
    TableId,
};

use super::agent::Instruction;
use super::network_spec::{HOSTS, NetworkSpec, ROUTERS, net};
use super::remote::run;

/// The protocol number of routes that a state adds. They are deleted with the state.
const STATE_PROTOCOL: u8 = 99;
/// The tables in which a host finds its pods, and a router the internet.
const PODS_TABLE: u32 = 500;
const OUTSIDE_TABLE: u32 = 600;

/// All instructions for a host.
pub(crate) fn instructions(
    spec: &NetworkSpec,
    id: usize,
    keys: &BTreeMap<usize, String>,
) -> Vec<Instruction> {
    let host = &spec.hosts[id];
    let kernel = host.kernel.read().unwrap();
    let mut instructions = vec![
        settings(kernel, id),
        run(&["ip", "-batch", "-"], &routes(spec, id, kernel)),
        run(&["nft", "-f", "-"], &filters(spec, id, kernel)),
        run(&["conntrack", "-F"], ""),
    ];
    if ROUTERS.contains(&id) {
        instructions.push(peers(spec, id, keys));
    }
    instructions
}

fn settings(kernel: &Kernel, id: usize) -> Instruction {
    let filter = match kernel.reverse_path_filter {
        ReversePathFilter::Off => "0",
        ReversePathFilter::Strict => "1",
        ReversePathFilter::Loose => "2",
    };
    let devices = ["eth0", "tailscale0"];
    let devices = &devices[..if ROUTERS.contains(&id) { 2 } else { 1 }];
    let forwarding = if kernel.forwarding { "1" } else { "0" };
    let filters = devices
        .iter()
        .map(|device| (format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), filter.to_owned()));
    let forwarding = ("/proc/sys/net/ipv4/ip_forward".to_owned(), forwarding.to_owned());
    Instruction::Write { files: std::iter::once(forwarding).chain(filters).collect() }
}

fn routes(spec: &NetworkSpec, id: usize, kernel: &Kernel) -> String {
    let mut text = format!("rule flush\nroute flush table all proto {STATE_PROTOCOL}\n");
    if ROUTERS.contains(&id) {
        text += &format!("rule add pref 1 to 192.0.2.0/24 lookup {OUTSIDE_TABLE}\n");
    }
    // A node looks up its own pods before everything else.
    match spec.hosts[id].pods.read().unwrap() {
        Pods::None => {}
        Pods::Range(range) => {
            text += &format!("rule add pref 2 to {range} lookup {PODS_TABLE}\n");
            let own = HOSTS[id].pods.is_some_and(|own| net(own) == *range);
            let device = if own { "pods" } else { "claimed" };
            text += &format!(
                "route add {range} dev {device} table {PODS_TABLE} proto {STATE_PROTOCOL}\n"
            );
        }
        Pods::NotPlumbed(range) | Pods::NoNode(range) => {
            text += &format!("rule add pref 2 to {range} lookup {PODS_TABLE}\n");
            text += &format!(
                "route add unreachable {range} table {PODS_TABLE} proto {STATE_PROTOCOL}\n"
            );
        }
    }
    for RoutingRule { priority, from, to, table } in &kernel.rules {
        let table = table.0;
        writeln!(text, "rule add pref {priority} from {from} to {to} lookup {table}").unwrap();
    }
    for (table, entries) in kernel.tables.iter() {
        for (prefix, route) in entries.iter() {
            text += &route_line(*table, prefix, route);
        }
    }
    for (_, table, prefix, route) in spec.shadowed.iter().filter(|(host, ..)| *host == id) {
        text += &route_line(*table, *prefix, route);
    }
    text
}

fn route_line(table: TableId, prefix: Ipv4Net, route: &ForwardingEntry) -> String {
    let (kind, to) = match route.hop {
        KernelHop::OnLink(_) => ("", "dev eth0".to_owned()),
        KernelHop::Via(_, neighbour) => ("", format!("via {neighbour} dev eth0 onlink")),
        KernelHop::Tunnel => ("", "dev tailscale0".to_owned()),
        KernelHop::Unreachable => ("unreachable ", String::new()),
        KernelHop::Throw => ("throw ", String::new()),
    };
    let (table, metric) = (table.0, route.metric);
    format!("route add {kind}{prefix} {to} table {table} metric {metric} proto {STATE_PROTOCOL}\n")
}

/// A set in which a chain records packets.
pub(crate) fn set(name: &str, of: &str) -> String {
    format!("set {name} {{\ntypeof {of}\nflags dynamic\nsize 65535\n}}\n")
}

/// A chain that only observes.
pub(crate) fn chain(name: &str, hook: &str, priority: i32, rules: &str) -> String {
    format!("chain {name} {{\ntype filter hook {hook} priority {priority}\n{rules}}}\n")
}

/// The text that replaces the table of the previous state.
pub(crate) fn replace_table(text: &str) -> String {
    format!("table ip lab\ndelete table ip lab\ntable ip lab {{\n{text}}}\n")
}

/// The packet mark that records the incoming port: 0 for packets of the host itself.
pub(crate) fn mark(port: Port) -> u64 {
    match port {
        Port::Local => 0,
        Port::Segment(_) => 2,
        Port::Tunnel => 3,
    }
}

/// A set, and the rule that records in it where a packet is and how long it is. The length
/// identifies the packet, even if its ports were translated or it is encrypted.
pub(crate) fn recorder(name: &str, place: &str) -> (String, String) {
    let key = format!("{place} . udp length");
    (set(name, &key), format!("update @{name} {{ {key} }}\n"))
}

fn filters(spec: &NetworkSpec, id: usize, kernel: &Kernel) -> String {
    let (entered_set, entered) = recorder("entered", "iifname");
    let (forwarded_set, forwarded) = recorder("forwarded", "meta mark . oifname");
    let (delivered_set, delivered) = recorder("delivered", "meta mark");
    let (tunnelled_set, tunnelled) = recorder("tunnelled", "ip daddr");
    let mark_of = |device: &str, port| format!("iifname {device} meta mark set {}\n", mark(port));
    let marks = mark_of("eth0", Port::Segment(0)) + &mark_of("tailscale0", Port::Tunnel);
    let offline = match spec.members.get(&HostId(id)) {
        Some(member) if !member.connected.read().unwrap() => "drop\n",
        _ => "accept\n",
    };
    let entered = format!("iifname != wan0 {entered}{marks}");
    let forwarded = format!("oifname != wan0 {forwarded}oifname wan0 {tunnelled}");
    let delivered = format!("iifname != wan0 {delivered}");
    replace_table(
        &[
            entered_set,
            forwarded_set,
            delivered_set,
            tunnelled_set,
            chain("entered", "prerouting", -400, &entered),
            chain("delivered", "input", 400, &delivered),
            chain("forwarded", "postrouting", 400, &forwarded),
            chain("cut_in", "input", 0, &format!("iifname wan0 {offline}")),
            stop_traffic(spec, id),
            chain("cut_out", "output", 0, &format!("oifname wan0 {offline}")),
            masquerade(kernel),
        ]
        .concat(),
    )
}

/// A stopped host receives and sends nothing. Whether its tunnel is connected is a separate fact.
fn stop_traffic(spec: &NetworkSpec, id: usize) -> String {
    if *spec.hosts[id].runs.read().unwrap() {
        return String::new();
    }
    [("stop_in", "prerouting", "iifname"), ("stop_out", "output", "oifname")]
        .map(|(name, hook, device)| chain(name, hook, -399, &format!("{device} != wan0 drop\n")))
        .concat()
}

fn masquerade(kernel: &Kernel) -> String {
    if kernel.translations.is_empty() {
        return String::new();
    }
    let mut text = "chain hide {\ntype nat hook postrouting priority 100\n".to_owned();
    for translation in &kernel.translations {
        if let Some(port) = translation.entering {
            write!(text, "meta mark {} ", mark(port)).unwrap();
        }
        let device = match translation.egress {
            Egress::Tunnel => "tailscale0",
            Egress::Segments => "eth0",
        };
        write!(text, "oifname {device} ip saddr {} ", translation.sources).unwrap();
        for except in &translation.except {
            write!(text, "ip daddr != {except} ").unwrap();
        }
        text += "masquerade\n";
    }
    text + "}\n"
}

/// WireGuard's own tables: the peer for each destination, and the sources allowed from each peer.
fn peers(spec: &NetworkSpec, id: usize, keys: &BTreeMap<usize, String>) -> Instruction {
    let peers = spec.members[&HostId(id)].peers.read().unwrap();
    let mut words: Vec<String> = vec!["wg".to_owned(), "set".to_owned(), "tailscale0".to_owned()];
    for (peer, key) in keys.iter().filter(|(peer, _)| **peer != id) {
        let is_member = !spec.left.contains(&HostId(id));
        let of_peer = peers.iter().filter(|(_, entry)| is_member && entry.owner.0 == *peer);
        let prefixes: Vec<String> = of_peer.map(|(prefix, _)| prefix.to_string()).collect();
        words.extend(["peer".to_owned(), key.clone(), "allowed-ips".to_owned()]);
        words.push(prefixes.join(","));
    }
    Instruction::RunCommand { words, input: String::new() }
}

/// The name of a host by the source address of its tunnel packets.
pub(crate) fn router_at(outside: &str) -> &'static str {
    let last: usize = outside.rsplit('.').next().unwrap().parse().unwrap();
    HOSTS[last - 1].name
}
