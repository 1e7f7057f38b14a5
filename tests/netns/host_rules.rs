//! What a host's kernel is told in one state, all of it at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::Ipv4Net;
use stargate::dataplane::host::{
    HostId, Kernel, KernelHop, KernelRoute, Leaving, Pods, Port, ReversePathFilter, Rule, TableId,
};

use super::agent::Order;
use super::remote::run;
use super::world::{HOSTS, ROUTERS, World, net};

/// Marks routes that a state has written: they go with it.
const OURS: u8 = 99;
/// Where a host finds its pods, and a router the internet.
const PODS_TABLE: u32 = 500;
const OUTSIDE_TABLE: u32 = 600;

/// Everything that a host is told.
pub(crate) fn orders(world: &World, id: usize, keys: &BTreeMap<usize, String>) -> Vec<Order> {
    let host = &world.hosts[id];
    let kernel = host.kernel.read().unwrap();
    let mut orders = vec![
        settings(kernel, id),
        run(&["ip", "-batch", "-"], &routes(world, id, kernel)),
        run(&["nft", "-f", "-"], &filters(world, id, kernel)),
        run(&["conntrack", "-F"], ""),
    ];
    if ROUTERS.contains(&id) {
        orders.push(peers(world, id, keys));
    }
    orders
}

fn settings(kernel: &Kernel, id: usize) -> Order {
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
    Order::Write { files: std::iter::once(forwarding).chain(filters).collect() }
}

fn routes(world: &World, id: usize, kernel: &Kernel) -> String {
    let mut text = format!("rule flush\nroute flush table all proto {OURS}\n");
    if ROUTERS.contains(&id) {
        text += &format!("rule add pref 1 to 192.0.2.0/24 lookup {OUTSIDE_TABLE}\n");
    }
    // A node looks for its own pods before everything else.
    match world.hosts[id].pods.read().unwrap() {
        Pods::None => {}
        Pods::Range(range) => {
            text += &format!("rule add pref 2 to {range} lookup {PODS_TABLE}\n");
            let own = HOSTS[id].pods.is_some_and(|own| net(own) == *range);
            let device = if own { "pods" } else { "claimed" };
            text += &format!("route add {range} dev {device} table {PODS_TABLE} proto {OURS}\n");
        }
        Pods::NotPlumbed(range) => {
            text += &format!("rule add pref 2 to {range} lookup {PODS_TABLE}\n");
            text += &format!("route add unreachable {range} table {PODS_TABLE} proto {OURS}\n");
        }
    }
    for Rule { priority, from, to, table } in &kernel.rules {
        let table = table.0;
        writeln!(text, "rule add pref {priority} from {from} to {to} lookup {table}").unwrap();
    }
    for (table, entries) in &kernel.tables {
        for (prefix, route) in entries.iter() {
            text += &route_line(*table, prefix, route);
        }
    }
    for (_, table, prefix, route) in world.shadowed.iter().filter(|(host, ..)| *host == id) {
        text += &route_line(*table, *prefix, route);
    }
    text
}

fn route_line(table: TableId, prefix: Ipv4Net, route: &KernelRoute) -> String {
    let (kind, to) = match route.hop {
        KernelHop::OnLink(_) => ("", "dev eth0".to_owned()),
        KernelHop::Via(_, neighbour) => ("", format!("via {neighbour} dev eth0 onlink")),
        KernelHop::Tunnel => ("", "dev tailscale0".to_owned()),
        KernelHop::Unreachable => ("unreachable ", String::new()),
        KernelHop::Throw => ("throw ", String::new()),
    };
    let (table, metric) = (table.0, route.metric);
    format!("route add {kind}{prefix} {to} table {table} metric {metric} proto {OURS}\n")
}

/// A set that a chain writes what it saw into.
pub(crate) fn set(name: &str, of: &str) -> String {
    format!("set {name} {{\ntypeof {of}\nflags dynamic\nsize 65535\n}}\n")
}

/// A chain that looks on.
pub(crate) fn chain(name: &str, hook: &str, priority: i32, rules: &str) -> String {
    format!("chain {name} {{\ntype filter hook {hook} priority {priority}\n{rules}}}\n")
}

/// The text of a table that takes the place of the one of the state before.
pub(crate) fn anew(text: &str) -> String {
    format!("table ip lab\ndelete table ip lab\ntable ip lab {{\n{text}}}\n")
}

/// Where a packet came in is kept as its mark: none for the host's own.
pub(crate) fn mark(port: Port) -> u64 {
    match port {
        Port::Own => 0,
        Port::Segment(_) => 2,
        Port::Tunnel => 3,
    }
}

/// A set, and the rule that notes in it where a packet is and how long it is: by
/// its length each is known, even where its ports were changed or it is sealed.
pub(crate) fn noting(name: &str, place: &str) -> (String, String) {
    let key = format!("{place} . udp length");
    (set(name, &key), format!("update @{name} {{ {key} }}\n"))
}

fn filters(world: &World, id: usize, kernel: &Kernel) -> String {
    let (came_set, came) = noting("came", "iifname");
    let (went_set, went) = noting("went", "meta mark . oifname");
    let (kept_set, kept) = noting("kept", "meta mark");
    let (sealed_set, sealed) = noting("sealed", "ip daddr");
    let mark_of = |device: &str, port| format!("iifname {device} meta mark set {}\n", mark(port));
    let marks = mark_of("eth0", Port::Segment(0)) + &mark_of("tailscale0", Port::Tunnel);
    let offline = match world.members.get(&HostId(id)) {
        Some(member) if !member.connected.read().unwrap() => "drop\n",
        _ => "accept\n",
    };
    let came = format!("iifname != wan0 {came}{marks}");
    let went = format!("oifname != wan0 {went}oifname wan0 {sealed}");
    let kept = format!("iifname != wan0 {kept}");
    anew(
        &[
            came_set,
            went_set,
            kept_set,
            sealed_set,
            chain("came", "prerouting", -400, &came),
            chain("kept", "input", 400, &kept),
            chain("went", "postrouting", 400, &went),
            chain("cut_in", "input", 0, &format!("iifname wan0 {offline}")),
            stop(world, id),
            chain("cut_out", "output", 0, &format!("oifname wan0 {offline}")),
            hide(kernel),
        ]
        .concat(),
    )
}

/// A host that does not run takes and sends nothing. Whether its tunnel is
/// connected is told apart from that.
fn stop(world: &World, id: usize) -> String {
    if *world.hosts[id].runs.read().unwrap() {
        return String::new();
    }
    [("stop_in", "prerouting", "iifname"), ("stop_out", "output", "oifname")]
        .map(|(name, hook, device)| chain(name, hook, -399, &format!("{device} != wan0 drop\n")))
        .concat()
}

fn hide(kernel: &Kernel) -> String {
    if kernel.translations.is_empty() {
        return String::new();
    }
    let mut text = "chain hide {\ntype nat hook postrouting priority 100\n".to_owned();
    for translation in &kernel.translations {
        if let Some(port) = translation.entering {
            write!(text, "meta mark {} ", mark(port)).unwrap();
        }
        let device = match translation.leaving {
            Leaving::Tunnel => "tailscale0",
            Leaving::Segments => "eth0",
        };
        write!(text, "oifname {device} ip saddr {} ", translation.sources).unwrap();
        for except in &translation.except {
            write!(text, "ip daddr != {except} ").unwrap();
        }
        text += "masquerade\n";
    }
    text + "}\n"
}

/// WireGuard's own tables: whom to send to, and what to take from whom.
fn peers(world: &World, id: usize, keys: &BTreeMap<usize, String>) -> Order {
    let peers = world.members[&HostId(id)].peers.read().unwrap();
    let mut words: Vec<String> = vec!["wg".to_owned(), "set".to_owned(), "tailscale0".to_owned()];
    for (peer, key) in keys.iter().filter(|(peer, _)| **peer != id) {
        let is_member = !world.left.contains(&HostId(id));
        let of_peer = peers.iter().filter(|(_, entry)| is_member && entry.owner.0 == *peer);
        let prefixes: Vec<String> = of_peer.map(|(prefix, _)| prefix.to_string()).collect();
        words.extend(["peer".to_owned(), key.clone(), "allowed-ips".to_owned()]);
        words.push(prefixes.join(","));
    }
    Order::Run { words, input: String::new() }
}

/// The name of a host by the address that its tunnel's packets come from.
pub(crate) fn router_at(outside: &str) -> &'static str {
    let last: usize = outside.rsplit('.').next().unwrap().parse().unwrap();
    HOSTS[last - 1].name
}
