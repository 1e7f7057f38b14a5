//! Azure's fabric in the kernel: a virtual network is a namespace that routes by the interface that
//! a packet comes from, filters by security groups, and translates to public addresses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use ipnet::Ipv4Net;

use super::azure::{Hop, Interface, Network};
use super::machine::ip;
use super::security;

/// Prefixes that Azure drops unless another route matches.
const DROPPED: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"];
/// The number of the first table of an interface.
const FIRST_TABLE: usize = 1000;
/// The link to the internet.
const UPLINK: &str = "uplink";

/// A virtual network in the kernel.
pub(crate) struct Fabric {
    pub(crate) namespace: String,
    /// The address of connections to the internet without an address of their own.
    outbound: Ipv4Addr,
    applied: String,
}

/// The name of the fabric's end of an interface's link.
pub(crate) fn port(address: Ipv4Addr) -> String {
    format!("p{:08x}", u32::from(address))
}

/// The address of the router of a subnet.
pub(crate) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

impl Fabric {
    /// Creates the namespace of the network with a number, linked to the bridge `internet`.
    pub(crate) fn new(number: u8) -> Self {
        let namespace = format!("vnet{number}");
        let outbound = Ipv4Addr::new(192, 0, 2, 100 + number);
        ip(&format!(
            "netns add {namespace}
             -n {namespace} link set lo up
             link add {namespace} type veth peer name {UPLINK} netns {namespace}
             link set {namespace} master internet up"
        ));
        feed(
            &["nsenter", &net(&namespace), "sh", "-eu"],
            "cd /proc/sys/net/ipv4
             echo 1 >ip_forward
             for place in all default; do
                 echo 0 >conf/$place/rp_filter
                 echo 0 >conf/$place/send_redirects
                 echo 1 >conf/$place/proxy_arp
             done",
        );
        ip(&format!(
            "-n {namespace} address add {outbound}/24 dev {UPLINK}
             -n {namespace} link set {UPLINK} up"
        ));
        Self { namespace, outbound, applied: String::new() }
    }

    /// Links the interface `eth0` of a namespace to the network.
    pub(crate) fn plug_in(&self, host: &str, address: Ipv4Addr, subnet: Ipv4Net) {
        let (namespace, port, gateway) = (&self.namespace, port(address), gateway(subnet));
        let length = subnet.prefix_len();
        // The other end is deleted with the namespace of a former host, with a short delay.
        let former = ["-n", namespace, "link", "del", &port];
        drop(Command::new("ip").args(former).output());
        ip(&format!(
            "-n {namespace} link add {port} type veth peer name eth0 netns {host}
             -n {namespace} address add {gateway}/32 dev {port}
             -n {namespace} link set {port} up
             -n {namespace} route replace {address}/32 dev {port}
             -n {host} address add {address}/{length} dev eth0
             -n {host} link set eth0 up
             -n {host} route replace default via {gateway}"
        ));
        let delay = format!("echo 0 >/proc/sys/net/ipv4/neigh/{port}/proxy_delay");
        feed(&["nsenter", &net(namespace), "sh", "-eu"], &delay);
    }

    /// Brings the kernel to the state of the network; `present` are the interfaces whose hosts are
    /// plugged in.
    pub(crate) fn apply(&mut self, network: &Network, present: &[Ipv4Addr]) {
        let mut network = network.clone();
        network.interfaces.retain(|address, _| present.contains(address));
        let (routes, filters) = (routes(&network), self.filters(&network));
        let whole = format!("{routes}{filters}");
        if self.applied == whole {
            return;
        }
        feed(&["ip", "-n", &self.namespace, "-force", "-batch", "-"], &routes);
        feed(&["nsenter", &net(&self.namespace), "nft", "-f", "-"], &filters);
        self.applied = whole;
    }

    fn filters(&self, network: &Network) -> String {
        let [mut incoming, mut outgoing, mut checks, mut chains] = [const { String::new() }; 4];
        for (address, interface) in &network.interfaces {
            let port = port(*address);
            if let Some(public) = interface.public {
                writeln!(incoming, "ip daddr {public} dnat to {address}").unwrap();
            }
            if let Some(public) = interface.public.or(interface.gateway) {
                writeln!(outgoing, "oifname {UPLINK} ip saddr {address} snat to {public}").unwrap();
            }
            if !interface.forwarding {
                let pods = interface.pods.map(|pods| format!(", {pods}")).unwrap_or_default();
                let own = format!("{{ {address}{pods} }}");
                writeln!(checks, "iifname {port} ip saddr != {own} drop").unwrap();
                writeln!(checks, "oifname {port} ip daddr != {own} drop").unwrap();
            }
            chains += &security::chains(network, interface, &port);
            checks += &security::jumps(interface, &port);
        }
        format!(
            "table ip fabric {{}}
             delete table ip fabric
             table ip fabric {{
                 {chains}
                 chain incoming {{
                     type nat hook prerouting priority dstnat
                     {incoming}
                 }}
                 chain outgoing {{
                     type nat hook postrouting priority srcnat
                     {outgoing}
                     oifname {UPLINK} snat to {}
                 }}
                 chain checks {{
                     type filter hook forward priority 0
                     {checks}
                 }}
             }}\n",
            self.outbound
        )
    }
}

/// The rules and tables, as commands of `ip`.
fn routes(network: &Network) -> String {
    let mut text = String::new();
    let publics = network.interfaces.values().flat_map(|it| [it.public, it.gateway]).flatten();
    for public in publics {
        writeln!(text, "address replace {public}/32 dev {UPLINK}").unwrap();
    }
    for (number, (address, interface)) in network.interfaces.iter().enumerate() {
        let (table, port) = (FIRST_TABLE + number, port(*address));
        writeln!(text, "rule del priority {table}").unwrap();
        writeln!(text, "route flush table {table}").unwrap();
        for (prefix, way) in table_of(network, interface) {
            match way.split_once(' ') {
                Some(("type", kind)) => writeln!(text, "route add {kind} {prefix} table {table}"),
                _ => writeln!(text, "route add {prefix} {way} table {table}"),
            }
            .unwrap();
        }
        writeln!(text, "rule add iif {port} lookup {table} priority {table}").unwrap();
    }
    text
}

/// The effective routes of an interface: user-defined ones take precedence over system routes to
/// the same prefix.
fn table_of(network: &Network, interface: &Interface) -> BTreeMap<Ipv4Net, String> {
    let to = |hop: Ipv4Addr| format!("via {hop} dev {} onlink", port(hop));
    let way = |hop: Hop| match hop {
        Hop::Appliance(hop) if network.interfaces.contains_key(&hop) => to(hop),
        Hop::Appliance(_) | Hop::Blackhole => "type blackhole".to_owned(),
        Hop::Network => "type throw".to_owned(),
        Hop::Internet => format!("dev {UPLINK}"),
    };
    let mut table: BTreeMap<Ipv4Net, String> =
        interface.routes.iter().map(|(prefix, hop)| (*prefix, way(*hop))).collect();
    let in_overlay = interface.pods.is_some();
    for (address, node) in network.interfaces.iter().filter(|_| in_overlay) {
        if let Some(pods) = node.pods {
            table.entry(pods).or_insert_with(|| to(*address));
        }
    }
    for own in &network.space {
        table.entry(*own).or_insert_with(|| way(Hop::Network));
    }
    for prefix in DROPPED {
        table.entry(prefix.parse().unwrap()).or_insert_with(|| way(Hop::Blackhole));
    }
    table.entry(Ipv4Net::default()).or_insert_with(|| way(Hop::Internet));
    table
}

/// The argument of `nsenter` for a named namespace.
fn net(namespace: &str) -> String {
    format!("--net=/run/netns/{namespace}")
}

/// Runs a program with an input.
pub(crate) fn feed(words: &[&str], input: &str) {
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    // `ip -force` goes on after a rule or table that is not there yet.
    let is_expected = |line: &str| {
        let absent = ["No such file", "No such process", "FIB table does not exist"];
        let follows = ["Command failed", "Flush terminated"];
        words[0] == "ip" && absent.iter().chain(&follows).any(|text| line.contains(text))
    };
    let failed = stderr.lines().any(|line| !is_expected(line));
    assert!(!failed, "{}: {stderr}{input}", words.join(" "));
}
