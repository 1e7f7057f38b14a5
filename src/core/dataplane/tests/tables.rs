//! The answers of single tables.

use super::test_network::*;
use crate::dataplane::fabric::{FabricHop, RouteSource, Segment};
use crate::dataplane::host::{Kernel, KernelHop, RoutingRule, TableId};
use crate::dataplane::packet::{Packet, Protocol};
use crate::dataplane::security::{
    AddressMatch, FilterRule, ProtocolMatch, RuleMatch, SecurityGroup, TrafficDirection,
};

#[test]
fn the_longest_prefix_wins_then_the_user_defined_route() {
    let mut test_network = healthy(CHOICE);
    let fabric = test_network.fabric(0).clone();
    let nodes = &fabric.interfaces[&ip("10.224.0.4")];
    let router = &fabric.interfaces[&ip("10.237.0.4")];
    let cases = [
        (nodes, "10.50.1.5", RouteSource::User, "10.50.0.0/16"),
        (nodes, "10.224.0.5", RouteSource::System, "10.224.0.0/12"),
        (nodes, "10.244.0.9", RouteSource::Overlay, "10.244.0.0/24"),
        (nodes, "10.9.9.9", RouteSource::System, "10.0.0.0/8"),
        (nodes, "8.8.8.8", RouteSource::System, "0.0.0.0/0"),
        (nodes, "100.64.0.1", RouteSource::System, "100.64.0.0/10"),
        (router, "10.244.0.9", RouteSource::User, "10.244.0.0/24"),
    ];
    for (interface, to, source, prefix) in cases {
        let routes = test_network.routes(0, interface.subnet).clone();
        let route = fabric.effective_route(interface, &routes, ip(to));
        assert_eq!((route.source, route.prefix), (source, net(prefix)), "{to}");
    }
    let routes = test_network.routes(0, 0).clone();
    let user = crate::dataplane::fabric::UserRoute { hop: FabricHop::None, origin: OTHER };
    let mut with = routes.clone();
    with.insert(net("10.244.0.0/24"), user);
    let route = fabric.effective_route(nodes, &with, ip("10.244.0.9"));
    assert_eq!((route.source, route.hop), (RouteSource::User, FabricHop::None));
}

#[test]
fn the_overlay_applies_to_its_nodes_only() {
    let mut test_network = healthy(CHOICE);
    test_network.drop_route(0, 1, "10.244.0.0/24");
    let Segment::Fabric(fabric) = &test_network.segments[0].clone() else { panic!("a fabric") };
    let router = &fabric.interfaces[&ip("10.237.0.4")];
    let routes = test_network.routes(0, 1).clone();
    let route = fabric.effective_route(router, &routes, ip("10.244.0.9"));
    assert_eq!((route.source, route.hop), (RouteSource::System, FabricHop::None));
}

#[test]
fn rules_apply_in_order_and_throw_continues() {
    let any = net("0.0.0.0/0");
    let mut kernel = Kernel::plain([(any, route(KernelHop::OnLink(0)))].into_iter().collect());
    let table = TableId::TAILSCALE;
    kernel.rules.push(RoutingRule::any(5_270, table));
    kernel.sort_rules();
    let (source, to) = (ip("10.0.0.1"), ip("10.244.65.9"));
    kernel.add_route(table, net("10.244.0.0/16"), route(KernelHop::Tunnel));
    assert_eq!(kernel.lookup(source, to).unwrap().rule.priority, 5_270);
    kernel.add_route(table, net("10.244.65.0/24"), route(KernelHop::Throw));
    assert_eq!(kernel.lookup(source, to).unwrap().rule.priority, 32_766);
    let local = RoutingRule { to: net("10.244.0.0/16"), ..RoutingRule::any(5_200, TableId::MAIN) };
    kernel.rules.insert(0, local);
    assert_eq!(kernel.lookup(source, ip("10.244.1.1")).unwrap().rule.priority, 5_200);
    assert_eq!(kernel.lookup(source, ip("9.9.9.9")).unwrap().rule.priority, 32_766);
}

#[test]
fn the_lower_metric_wins() {
    let mut kernel = Kernel::plain(crate::dataplane::PrefixTable::default());
    let prefix = net("10.244.0.0/16");
    let with = |metric, hop| crate::dataplane::host::ForwardingEntry { metric, ..route(hop) };
    kernel.add_route(TableId::MAIN, prefix, with(4_096, KernelHop::Unreachable));
    kernel.add_route(TableId::MAIN, prefix, with(0, KernelHop::Tunnel));
    kernel.add_route(TableId::MAIN, prefix, with(9, KernelHop::OnLink(0)));
    let found = kernel.lookup(ip("1.1.1.1"), ip("10.244.3.3")).unwrap();
    assert_eq!(found.route.hop, KernelHop::Tunnel);
}

fn rule(name: &str, priority: u16, allows: bool, from: AddressMatch) -> FilterRule {
    FilterRule {
        name: name.into(),
        priority,
        direction: TrafficDirection::Inbound,
        allows,
        protocol: ProtocolMatch::Tcp,
        sources: vec![from],
        destinations: vec![AddressMatch::Prefix(net("0.0.0.0/0"))],
        ports: vec![8_080..=8_090],
    }
}

#[test]
fn the_first_matching_rule_decides() {
    let from = |text| AddressMatch::Prefix(net(text));
    let rules = vec![
        rule("later", 300, false, from("10.0.0.0/8")),
        rule("first", 200, true, from("10.1.0.0/16")),
    ];
    let group = SecurityGroup::with_defaults(GROUP, rules);
    let none_routes = |_| false;
    let ask = |from: &str, protocol| {
        let packet = Packet::request(ip(from), ip("10.9.9.9"), protocol);
        match group.ask(TrafficDirection::Inbound, &packet, &none_routes) {
            RuleMatch::Allowed(rule) | RuleMatch::Denied(rule) => rule.name.clone(),
            RuleMatch::NoRules | RuleMatch::Unclear => panic!("a rule fits"),
        }
    };
    assert_eq!(*ask("10.1.2.3", Protocol::Tcp(8_080)), *"first");
    assert_eq!(*ask("10.2.2.3", Protocol::Tcp(8_080)), *"later");
    assert_eq!(*ask("10.1.2.3", Protocol::Tcp(80)), *"DenyAllInBound");
    assert_eq!(*ask("10.1.2.3", Protocol::Udp(8_080)), *"DenyAllInBound");
    let vnet = |_| true;
    let packet = Packet::request(ip("9.9.9.9"), ip("10.9.9.9"), Protocol::Icmp);
    let answer = group.ask(TrafficDirection::Inbound, &packet, &vnet);
    assert!(matches!(answer, RuleMatch::Allowed(rule) if *rule.name == *"AllowVnetInBound"));
}

#[test]
fn an_unknown_service_tag_is_unknown() {
    let rules = vec![rule("tag", 100, true, AddressMatch::Unclear)];
    let group = SecurityGroup::with_defaults(GROUP, rules);
    let packet = Packet::request(ip("10.1.1.1"), ip("10.9.9.9"), Protocol::Tcp(8_080));
    assert_eq!(group.ask(TrafficDirection::Inbound, &packet, &|_| true), RuleMatch::Unclear);
    // A rule for other ports does not match, regardless of its tag.
    let packet = Packet { port: 22, ..packet };
    assert!(matches!(
        group.ask(TrafficDirection::Inbound, &packet, &|_| true),
        RuleMatch::Allowed(_)
    ));
}
