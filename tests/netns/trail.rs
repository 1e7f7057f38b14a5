//! The observations of each pair's packets, in a notation shared by kernel and model.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stargate::dataplane::host::Port;

use super::host_rules::{mark, router_at};
use super::pairs;

/// All observations of one packet.
pub(crate) type Trail = BTreeSet<String>;
/// A pair, and whether the packet is the reply.
pub(crate) type PacketId = (usize, bool);
/// The trails of all packets of one state.
pub(crate) type Trails = BTreeMap<PacketId, Trail>;

/// The packet was received.
pub(crate) const RECEIVED: &str = "received";

pub(crate) fn entered(host: &str, port: Port) -> String {
    format!("{host}: in by {}", port_name(port))
}

pub(crate) fn forwarded(host: &str, entered: Port, left: Port) -> String {
    format!("{host}: on from {} to {}", port_name(entered), port_name(left))
}

pub(crate) fn delivered(host: &str, entered: Port) -> String {
    format!("{host}: taken from {}", port_name(entered))
}

pub(crate) fn tunnelled(from: &str, to: &str) -> String {
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
        Port::Local => "itself",
        Port::Segment(_) => "eth0",
        Port::Tunnel => "tailscale0",
    }
}

/// A port by its device; `None` for devices that carry no packets of pairs.
fn port_of(device: &str) -> Port {
    match device {
        "eth0" => Port::Segment(0),
        "tailscale0" => Port::Tunnel,
        _ => Port::Local,
    }
}

fn port_marked(value: &Value) -> Port {
    let ports = [Port::Local, Port::Segment(0), Port::Tunnel];
    ports.into_iter().find(|port| Some(mark(*port)) == value.as_u64()).unwrap()
}

/// Adds the observations of a host.
pub(crate) fn read_host(trails: &mut Trails, host: &str, listed: &str) {
    each_note(listed, |set, key, length| {
        let way =
            if set == "tunnelled" { pairs::of_encrypted(length) } else { pairs::of_length(length) };
        let word = match set {
            "entered" => match port_of(key[0].as_str().unwrap()) {
                Port::Local => return,
                port => entered(host, port),
            },
            "delivered" => delivered(host, port_marked(&key[0])),
            "tunnelled" => tunnelled(host, router_at(key[0].as_str().unwrap())),
            _ => match key[1].as_str().unwrap() {
                // The packet goes to a process of the host next, through the loopback device.
                "lo" => return,
                device => match port_of(device) {
                    Port::Local => delivered(host, port_marked(&key[0])),
                    port => forwarded(host, port_marked(&key[0]), port),
                },
            },
        };
        if let Some(way) = way {
            trails.entry(way).or_default().insert(word);
        }
    });
}

/// Adds the observations of a fabric.
pub(crate) fn read_fabric(trails: &mut Trails, fabric: &str, listed: &str) {
    each_note(listed, |set, key, length| {
        let from = key[0].as_str().unwrap();
        let to = key[1].as_str().unwrap_or_default();
        let word = match set {
            "entered" => in_fabric(fabric, from),
            "towards" => towards(fabric, from, to),
            "forwarded" => out_of_fabric(fabric, from, to),
            _ => return,
        };
        if let Some(way) = pairs::of_length(length) {
            trails.entry(way).or_default().insert(word);
        }
    });
}

/// Iterates over the entries of all sets in nft's output. The last element of each is a length.
fn each_note(listed: &str, mut observe: impl FnMut(&str, &[Value], u64)) {
    let listed: Value = serde_json::from_str(listed).unwrap();
    for entry in listed["nftables"].as_array().unwrap() {
        let set = &entry["set"];
        for element in set["elem"].as_array().into_iter().flatten() {
            let key = element["concat"].as_array().unwrap();
            let length = key.last().unwrap().as_u64().unwrap();
            observe(set["name"].as_str().unwrap(), key, length);
        }
    }
}
