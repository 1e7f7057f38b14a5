//! Matches packets with a rule of a network security group.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::forward::Packet;

/// Whether a rule matches a packet; `inside` says what the tag `VirtualNetwork` contains.
pub(super) fn rule_matches(
    rule: &Value,
    packet: &Packet,
    inside: &dyn Fn(Ipv4Addr) -> bool,
) -> bool {
    let all = |one: &str, many: &str| -> Vec<String> {
        let list = rule[many].as_array().into_iter().flatten().filter_map(Value::as_str);
        list.chain(rule[one].as_str()).map(str::to_owned).collect()
    };
    let address = |texts: Vec<String>, address: Ipv4Addr| {
        texts.iter().any(|text| match text.as_str() {
            "*" => true,
            "VirtualNetwork" => inside(address),
            text => match text.parse::<Ipv4Net>() {
                Ok(prefix) => prefix.contains(&address),
                Err(_) => text.parse() == Ok(address),
            },
        })
    };
    let port = |text: &String| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let within = |first: u16, last: u16| (first..=last).contains(&packet.port);
        text == "*"
            || first.parse().is_ok_and(|first| last.parse().is_ok_and(|it| within(first, it)))
    };
    let protocol = rule["protocol"].as_str().unwrap_or_default();
    (protocol == "*" || protocol.eq_ignore_ascii_case("tcp"))
        && address(all("sourceAddressPrefix", "sourceAddressPrefixes"), packet.source)
        && address(
            all("destinationAddressPrefix", "destinationAddressPrefixes"),
            packet.destination,
        )
        && all("destinationPortRange", "destinationPortRanges").iter().any(port)
}
