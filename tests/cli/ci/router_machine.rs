//! The machine of a router, as its probe finds it: the output of commands and the files that
//! stargate wrote, for the state of the sandbox.

use std::collections::BTreeSet;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use stargate::provider::host::{RouterChange, RouterProbe};
use stargate::provider::remote::{
    RULE_PRIORITY, TUNNEL_DEVICE, UNREACHABLE_METRIC, parse_router_probe, router_change,
};
use stargate::resource::host::KernelRoute;

/// The number of stargate's routes and rules.
const PROTOCOL: &str = "117";
/// The text that separates the values of a script from its functions.
const FUNCTIONS: &str = "# Tools of all scripts";

/// The output of the probe.
pub(super) fn output(topology: &str, probe: &RouterProbe) -> String {
    let mut line = "{\"stargate-probe\":1".to_owned();
    let mut set = |part: &str, text: String| {
        line.push_str(&format!(",\"{part}\":\"{}\"", STANDARD.encode(text)));
    };
    set("hostname", format!("{}\n", probe.hostname));
    set("settings", settings(probe));
    set("addresses", addresses(probe).to_string());
    set("routes", routes(probe).to_string());
    set("main_table", "[]".to_owned());
    set("rules", rules(&probe.local_prefixes).to_string());
    set("tables", String::new());
    set("firewall_tables", json!({ "nftables": [] }).to_string());
    set("firewall", firewall(probe).to_string());
    set("tailscale_status", status(probe).to_string());
    set("tailscale_settings", preferences(probe).to_string());
    set("unit_enabled", "enabled\n".to_owned());
    for (part, change, value) in files(probe) {
        set(part, file(topology, &change, value));
    }
    line.push_str("}\n");
    let read = parse_router_probe(&probe.hostname, &line).expect("a probe");
    let expected = RouterProbe { routes_of_others: read.routes_of_others.clone(), ..probe.clone() };
    assert_eq!(read, expected, "the machine is not that of the sandbox");
    line
}

fn settings(probe: &RouterProbe) -> String {
    let redirects = u8::from(probe.send_redirects);
    format!(
        "ip_forward {}\nconf/all/rp_filter {}\nconf/all/send_redirects {redirects}\n",
        u8::from(probe.ip_forwarding),
        probe.reverse_path_filter
    )
}

fn addresses(probe: &RouterProbe) -> Value {
    let all: Value = probe.addresses.iter().map(|address| json!({ "local": address })).collect();
    json!([
        { "ifname": "lo", "addr_info": [{ "local": "127.0.0.1" }] },
        { "ifname": "eth0", "addr_info": all },
    ])
}

fn routes(probe: &RouterProbe) -> Value {
    let route = |(prefix, route): (&Ipv4Net, &KernelRoute)| match route {
        KernelRoute::Tunnel => json!({ "dst": prefix, "dev": TUNNEL_DEVICE, "scope": "link" }),
        KernelRoute::Via(hop) => json!({ "dst": prefix, "gateway": hop, "dev": "eth0" }),
        KernelRoute::Unreachable => {
            json!({ "type": "unreachable", "dst": prefix, "metric": UNREACHABLE_METRIC })
        }
    };
    probe.kernel_routes.iter().map(route).collect()
}

fn rules(prefixes: &BTreeSet<Ipv4Net>) -> Value {
    let rule = |prefix: &Ipv4Net| {
        json!({
            "priority": RULE_PRIORITY, "src": "all", "dst": prefix.network(),
            "dstlen": prefix.prefix_len(), "table": "main", "protocol": PROTOCOL,
        })
    };
    prefixes.iter().map(rule).collect()
}

/// As `nft` prints the table that stargate sets.
fn firewall(probe: &RouterProbe) -> Value {
    let is = |key: &str, right: &str| {
        json!({ "match": {
            "op": "==", "left": { "meta": { "key": key } }, "right": right,
        }})
    };
    let size = json!({ "tcp option": { "name": "maxseg", "field": "size" } });
    let flags = json!([{ "payload": { "protocol": "tcp", "field": "flags" } }, ["syn", "rst"]]);
    let clamp = |family: &str, interface: &str, bytes: u64| {
        json!({ "rule": { "chain": "segment", "expr": [
            is("nfproto", family),
            is(interface, TUNNEL_DEVICE),
            { "match": { "op": "==", "left": { "&": flags }, "right": "syn" } },
            { "match": { "op": ">", "left": size, "right": bytes } },
            { "mangle": { "key": size, "value": bytes } },
        ]}})
    };
    let chain = |name: &str, kind: &str, hook: &str, priority: i32| json!({ "chain": { "name": name, "type": kind, "hook": hook, "prio": priority } });
    let mut list = Vec::new();
    if probe.masquerade {
        list.push(chain("source", "nat", "postrouting", 100));
        let expression =
            [is("nfproto", "ipv4"), is("oifname", TUNNEL_DEVICE), json!({ "masquerade": null })];
        list.push(json!({ "rule": { "chain": "source", "expr": expression } }));
    }
    if probe.mss_clamp {
        list.push(chain("segment", "filter", "forward", -150));
        for (family, bytes) in [("ipv4", 1_240), ("ipv6", 1_220)] {
            list.extend(["oifname", "iifname"].map(|interface| clamp(family, interface, bytes)));
        }
    }
    json!({ "nftables": list })
}

fn status(probe: &RouterProbe) -> Value {
    let tailscale = probe.tailscale.as_ref().expect("Tailscale");
    json!({
        "BackendState": if tailscale.running { "Running" } else { "NeedsLogin" },
        "TailscaleIPs": Vec::from_iter(tailscale.address),
        "Self": { "PrimaryRoutes": tailscale.primary_routes },
    })
}

fn preferences(probe: &RouterProbe) -> Value {
    let tailscale = probe.tailscale.as_ref().expect("Tailscale");
    json!({
        "RouteAll": tailscale.accept_routes,
        "NoSNAT": !tailscale.snat_subnet_routes,
        "AdvertiseRoutes": tailscale.advertised_routes,
        "ExitNodeID": tailscale.exit_node.clone().unwrap_or_default(),
        "ShieldsUp": tailscale.shields_up,
    })
}

/// The files, each with the change that writes it and the value of its script that it has.
fn files(probe: &RouterProbe) -> [(&'static str, RouterChange, &'static str); 7] {
    let routes = RouterChange::KernelRoutes(probe.kernel_routes.clone());
    let sysctls = RouterChange::Sysctls {
        ip_forwarding: probe.ip_forwarding,
        reverse_path_filter: probe.reverse_path_filter,
        send_redirects: probe.send_redirects,
    };
    let firewall =
        RouterChange::Firewall { masquerade: probe.masquerade, mss_clamp: probe.mss_clamp };
    let rules = RouterChange::LocalPrefixes(probe.local_prefixes.clone());
    let stamp = RouterChange::ProtectionRecord(probe.protected_by.clone());
    [
        ("unit", routes.clone(), "unit"),
        ("apply", routes.clone(), "apply"),
        ("routes_file", routes, "content"),
        ("rules_file", rules, "content"),
        ("firewall_file", firewall, "content"),
        ("sysctls_file", sysctls, "content"),
        ("stamp", stamp, "content"),
    ]
}

/// A file as the script of a change writes it: a shell reads the values of the script.
fn file(topology: &str, change: &RouterChange, value: &str) -> String {
    let script = router_change(topology, change).script;
    let (values, _) = script.split_once(FUNCTIONS).expect("the values of a script");
    let print = format!("{values}\nprintf '%s\\n%s' \"$header\" \"${value}\"");
    let output = Command::new("sh").args(["-c", &print]).output().expect("sh runs");
    String::from_utf8(output.stdout).expect("UTF-8")
}
