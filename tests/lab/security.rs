//! Security groups as chains of nftables.

use std::fmt::Write as _;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::azure::{Interface, Network};

/// Jumps to the chains of an interface, for packets of new connections.
pub(crate) fn jumps(interface: &Interface, port: &str) -> String {
    let mut text = String::new();
    for number in 0..interface.groups.len() {
        writeln!(text, "ct state new iifname {port} jump out-{port}-{number}").unwrap();
        writeln!(text, "ct state new oifname {port} jump in-{port}-{number}").unwrap();
    }
    text
}

/// The chains of an interface: a chain returns if its group allows the packet.
pub(crate) fn chains(network: &Network, interface: &Interface, port: &str) -> String {
    let routed = interface.routes.iter().map(|(prefix, _)| *prefix);
    let own: Vec<Ipv4Net> =
        Ipv4Net::aggregate(&network.space.iter().copied().chain(routed).collect());
    let own: Vec<String> = own.iter().map(ToString::to_string).collect();
    let own = format!("{{ {} }}", own.join(", "));
    let mut text = String::new();
    for (number, group) in interface.groups.iter().enumerate() {
        for (way, direction) in [("in", "Inbound"), ("out", "Outbound")] {
            writeln!(text, "chain {way}-{port}-{number} {{").unwrap();
            for rule in group.iter().map(|rule| &rule["properties"]) {
                if rule["direction"] == direction {
                    text += &matches(rule, &own);
                }
            }
            writeln!(text, "ip saddr {own} ip daddr {own} return").unwrap();
            if way == "out" {
                writeln!(text, "ip daddr != {own} return").unwrap();
            }
            text += "drop\n}\n";
        }
    }
    text
}

/// One rule.
fn matches(rule: &Value, own: &str) -> String {
    let mut text = String::new();
    for (field, key) in [("source", "saddr"), ("destination", "daddr")] {
        let all = listed(rule, &format!("{field}AddressPrefix"));
        match all.as_slice() {
            [one] if one == "*" => {}
            [one] if one == "VirtualNetwork" => write!(text, "ip {key} {own} ").unwrap(),
            [one] if one == "Internet" => write!(text, "ip {key} != {own} ").unwrap(),
            all => {
                let known: Vec<Ipv4Net> = all.iter().map(|it| it.parse().unwrap()).collect();
                let known = Ipv4Net::aggregate(&known);
                let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                write!(text, "ip {key} {{ {} }} ", known.join(", ")).unwrap();
            }
        }
    }
    let ports = listed(rule, "destinationPortRange");
    let protocol = rule["protocol"].as_str().unwrap().to_ascii_lowercase();
    match (protocol.as_str(), ports.as_slice()) {
        ("*", [all]) if all == "*" => {}
        ("*", ports) => {
            write!(text, "meta l4proto {{ tcp, udp }} th dport {{ {} }} ", ports.join(", "))
                .unwrap();
        }
        (protocol, [all]) if all == "*" => write!(text, "meta l4proto {protocol} ").unwrap(),
        (protocol, ports) => write!(text, "{protocol} dport {{ {} }} ", ports.join(", ")).unwrap(),
    }
    let verdict = if rule["access"] == "Allow" { "return" } else { "drop" };
    format!("{text}{verdict}\n")
}

/// A field that has one value, or several in a field of the plural name.
fn listed(rule: &Value, field: &str) -> Vec<String> {
    let plural = if field.ends_with("Prefix") { format!("{field}es") } else { format!("{field}s") };
    let several = rule[&plural].as_array().into_iter().flatten();
    let all: Vec<String> = several.filter_map(Value::as_str).map(str::to_owned).collect();
    match all.is_empty() {
        true => vec![rule[field].as_str().unwrap_or("*").to_owned()],
        false => all,
    }
}
