//! What was seen of each pair's packets: in words that are the same whether a
//! kernel noted them or the model foretells them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stargate::dataplane::host::Port;

use super::host_rules::{mark, router_at};
use super::pairs;

/// Everything that was seen of one packet.
pub(crate) type Trail = BTreeSet<String>;
/// A pair, and whether it is the answer.
pub(crate) type Way = (usize, bool);
/// The trails of all packets of one state.
pub(crate) type Trails = BTreeMap<Way, Trail>;

/// It came to whom it was for.
pub(crate) const HEARD: &str = "heard";

pub(crate) fn came(host: &str, port: Port) -> String {
    format!("{host}: in by {}", port_name(port))
}

pub(crate) fn went(host: &str, entered: Port, left: Port) -> String {
    format!("{host}: on from {} to {}", port_name(entered), port_name(left))
}

pub(crate) fn kept(host: &str, entered: Port) -> String {
    format!("{host}: taken from {}", port_name(entered))
}

pub(crate) fn sealed(from: &str, to: &str) -> String {
    format!("tunnel: {from} to {to}")
}

pub(crate) fn in_fabric(fabric: &str, from: &str) -> String {
    format!("{fabric}: in from {from}")
}

pub(crate) fn towards(fabric: &str, from: &str, to: &str) -> String {
    format!("{fabric}: from {from} towards {to}")
}

pub(crate) fn out_of_fabric(fabric: &str, from: &str, to: &str) -> String {
    format!("{fabric}: from {from} out to {to}")
}

fn port_name(port: Port) -> &'static str {
    match port {
        Port::Own => "itself",
        Port::Segment(_) => "eth0",
        Port::Tunnel => "tailscale0",
    }
}

/// A port by its device; none for devices that no pair's packet is seen at.
fn port_of(device: &str) -> Port {
    match device {
        "eth0" => Port::Segment(0),
        "tailscale0" => Port::Tunnel,
        _ => Port::Own,
    }
}

fn port_marked(value: &Value) -> Port {
    let ports = [Port::Own, Port::Segment(0), Port::Tunnel];
    ports.into_iter().find(|port| Some(mark(*port)) == value.as_u64()).unwrap()
}

/// Adds what a host noted.
pub(crate) fn read_host(trails: &mut Trails, host: &str, listed: &str) {
    each_note(listed, |set, key, length| {
        let way = if set == "sealed" { pairs::of_sealed(length) } else { pairs::of_length(length) };
        let word = match set {
            "came" => match port_of(key[0].as_str().unwrap()) {
                Port::Own => return,
                port => came(host, port),
            },
            "kept" => kept(host, port_marked(&key[0])),
            "sealed" => sealed(host, router_at(key[0].as_str().unwrap())),
            _ => match key[1].as_str().unwrap() {
                // It goes to a process of the host next, by the way round.
                "lo" => return,
                device => match port_of(device) {
                    Port::Own => kept(host, port_marked(&key[0])),
                    port => went(host, port_marked(&key[0]), port),
                },
            },
        };
        if let Some(way) = way {
            trails.entry(way).or_default().insert(word);
        }
    });
}

/// Adds what a fabric noted.
pub(crate) fn read_fabric(trails: &mut Trails, fabric: &str, listed: &str) {
    each_note(listed, |set, key, length| {
        let from = key[0].as_str().unwrap();
        let to = key[1].as_str().unwrap_or_default();
        let word = match set {
            "came" => in_fabric(fabric, from),
            "towards" => towards(fabric, from, to),
            "went" => out_of_fabric(fabric, from, to),
            _ => return,
        };
        if let Some(way) = pairs::of_length(length) {
            trails.entry(way).or_default().insert(word);
        }
    });
}

/// Goes through all entries of all sets that nft lists; the last of each is a length.
fn each_note(listed: &str, mut see: impl FnMut(&str, &[Value], u64)) {
    let listed: Value = serde_json::from_str(listed).unwrap();
    for entry in listed["nftables"].as_array().unwrap() {
        let set = &entry["set"];
        for element in set["elem"].as_array().into_iter().flatten() {
            let key = element["concat"].as_array().unwrap();
            let length = key.last().unwrap().as_u64().unwrap();
            see(set["name"].as_str().unwrap(), key, length);
        }
    }
}
