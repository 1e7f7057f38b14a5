//! Laws that hold in any network, however broken.

use proptest::prelude::*;

use super::test_network::*;
use crate::dataplane::fabric::{FabricHop, UserRoute};
use crate::dataplane::hop::Verdict;
use crate::dataplane::host::{HostId, KernelHop, ReversePathFilter, TableId};
use crate::dataplane::{Fact, Protocol, trace_round_trip};

/// One change to a network.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Forwarding(usize, bool),
    Filter(usize, ReversePathFilter),
    Kernel(usize, u32, ipnet::Ipv4Net, KernelHop),
    Fabric(usize, usize, ipnet::Ipv4Net, FabricHop),
    Interface(usize, bool),
    Approve(usize, Vec<ipnet::Ipv4Net>),
    Connected(usize, bool),
    Unread(usize),
}

fn prefix() -> impl Strategy<Value = ipnet::Ipv4Net> {
    let all = [
        "10.244.0.0/16",
        "10.244.64.0/20",
        "10.244.65.0/24",
        "10.224.0.0/12",
        "10.50.0.0/16",
        "10.50.1.5/32",
        "0.0.0.0/0",
        "100.64.0.0/10",
        "10.244.1.0/24",
    ];
    prop::sample::select(all.to_vec()).prop_map(net)
}

fn address() -> impl Strategy<Value = std::net::Ipv4Addr> {
    let all = ["10.237.0.4", "10.50.0.4", "10.50.1.5", "10.50.1.6", "10.224.0.4", "10.9.9.9"];
    prop::sample::select(all.to_vec()).prop_map(ip)
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let host = 0_usize..6;
    let router = CLUSTER_ROUTER..=DATACENTER_ROUTER;
    let filter = prop::sample::select(vec![
        ReversePathFilter::Off,
        ReversePathFilter::Strict,
        ReversePathFilter::Loose,
    ]);
    let kernel_hop = prop_oneof![
        Just(KernelHop::Tunnel),
        Just(KernelHop::Unreachable),
        Just(KernelHop::Throw),
        Just(KernelHop::OnLink(0)),
        address().prop_map(|address| KernelHop::Via(0, address)),
    ];
    let fabric_hop = prop_oneof![
        Just(FabricHop::None),
        Just(FabricHop::VirtualNetwork),
        Just(FabricHop::Internet),
        address().prop_map(FabricHop::Appliance),
    ];
    prop_oneof![
        (host.clone(), any::<bool>()).prop_map(|(host, on)| Edit::Forwarding(host, on)),
        (host.clone(), filter).prop_map(|(host, filter)| Edit::Filter(host, filter)),
        (host.clone(), prop::sample::select(vec![52_u32, 254]), prefix(), kernel_hop)
            .prop_map(|(host, table, prefix, hop)| Edit::Kernel(host, table, prefix, hop)),
        (0_usize..2, 0_usize..2, prefix(), fabric_hop)
            .prop_map(|(segment, subnet, prefix, hop)| Edit::Fabric(segment, subnet, prefix, hop)),
        (host.clone(), any::<bool>()).prop_map(|(host, on)| Edit::Interface(host, on)),
        (router.clone(), prop::collection::vec(prefix(), 0..4))
            .prop_map(|(host, prefixes)| Edit::Approve(host, prefixes)),
        (router, any::<bool>()).prop_map(|(host, on)| Edit::Connected(host, on)),
        host.prop_map(Edit::Unread),
    ]
}

pub(super) fn apply(test_network: &mut TestNetwork, edit: Edit) {
    let is_known =
        |test_network: &TestNetwork, host: usize| test_network.hosts[host].kernel.read().is_ok();
    match edit {
        Edit::Forwarding(host, on) if is_known(test_network, host) => {
            test_network.kernel(host).forwarding = on;
        }
        Edit::Filter(host, filter) if is_known(test_network, host) => {
            test_network.kernel(host).reverse_path_filter = filter;
        }
        Edit::Kernel(host, table, prefix, hop) if is_known(test_network, host) => {
            let table = test_network.kernel(host).tables.entry(TableId(table)).or_default();
            table.insert(prefix, route(hop));
        }
        Edit::Fabric(segment, subnet, prefix, hop) => {
            test_network.routes(segment, subnet).insert(prefix, UserRoute { hop, origin: OTHER });
        }
        Edit::Interface(host, on) => {
            let port = test_network.hosts[host].ports[0];
            let fabric = test_network.fabric(port.segment.0);
            let interface = fabric.interfaces.get_mut(&port.address).unwrap();
            interface.forwarding = Fact::known(on, INTERFACE);
        }
        Edit::Approve(host, prefixes) => {
            let advertised = test_network.advertised(host);
            advertised.advertised = Fact::known(prefixes.clone(), ADVERTISED);
            advertised.approved = Fact::known(prefixes, APPROVED);
        }
        Edit::Connected(host, on) => {
            let member = test_network.members.get_mut(&HostId(host)).unwrap();
            member.connected = Fact::known(on, DEVICE);
        }
        Edit::Unread(host) => test_network.hosts[host].kernel = Fact::unknown(KERNEL),
        Edit::Forwarding(..) | Edit::Filter(..) | Edit::Kernel(..) => {}
    }
}

pub(super) fn broken_network() -> impl Strategy<Value = TestNetwork> {
    let choice = (any::<bool>(), any::<bool>()).prop_map(|(masquerade, local_rules)| Choice {
        masquerade,
        local_rules,
        bare_metal: false,
    });
    (choice, prop::collection::vec(edit(), 0..8)).prop_map(|(choice, edits)| {
        let mut test_network = healthy(choice);
        for edit in edits {
            apply(&mut test_network, edit);
        }
        test_network
    })
}

proptest! {
    /// With any tables a trace ends with a verdict.
    #[test]
    fn every_trace_ends(test_network in broken_network()) {
        let network = test_network.network();
        for from in test_network.ends() {
            for to in test_network.ends() {
                let round_trip = trace_round_trip(&network, network.end(from).unwrap(), to, Protocol::Icmp);
                prop_assert!(round_trip.forward.hops.len() < 500);
                prop_assert_eq!(round_trip.return_path.is_some(), round_trip.forward.arrived());
                if let Verdict::Arrived(host) = round_trip.forward.verdict {
                    prop_assert_eq!(network.owner_of(round_trip.forward.packet.destination), Some(host));
                }
            }
        }
    }

    /// A route that leads to where packets go anyway changes nothing for them,
    /// and nothing for anybody else.
    #[test]
    fn a_more_specific_correct_route_breaks_no_pair(
        test_network in broken_network(), worker in WORKER_1..=WORKER_2, length in 25_u8..=32,
    ) {
        let before = test_network.network();
        let mut test_network = test_network;
        let router = ip("10.237.0.4");
        let specific = ipnet::Ipv4Net::new(pod(worker), length).unwrap().trunc();
        let hop = FabricHop::Appliance(router);
        test_network.routes(0, 0).insert(specific, UserRoute { hop, origin: OTHER });
        let after = test_network.network();
        for from in test_network.ends() {
            for to in test_network.ends() {
                let end = before.end(from).unwrap();
                let was = trace_round_trip(&before, end, to, Protocol::Icmp);
                let is = trace_round_trip(&after, end, to, Protocol::Icmp);
                // Where another route led there, the reached stay reached.
                let led_there = |network: &crate::dataplane::Network| {
                    let crate::dataplane::Segment::Fabric(fabric) =
                        network.segment(crate::dataplane::SegmentId(0)).unwrap() else { return false };
                    let routes = fabric.subnets[0].routes.read().unwrap();
                    routes.lookup(pod(worker)).is_some_and(|(_, route)| route.hop == hop)
                };
                if led_there(&before) || !(specific.contains(&to) || specific.contains(&from)) {
                    prop_assert_eq!(was.reached(), is.reached(), "{} -> {}", from, to);
                }
            }
        }
    }

    /// A result that is known without a fact stays the same when the fact is read.
    #[test]
    fn reading_more_facts_never_changes_known_results(test_network in broken_network(), host in 0_usize..6) {
        let known = test_network.network();
        let mut blind = test_network.clone();
        blind.hosts[host].kernel = Fact::unknown(KERNEL);
        let blind = blind.network();
        for from in test_network.ends() {
            for to in test_network.ends() {
                let end = known.end(from).unwrap();
                let seen = trace_round_trip(&blind, end, to, Protocol::Icmp);
                let is_unknown = |verdict: &Verdict| matches!(verdict, Verdict::Unknown { .. });
                if seen.broken().is_none_or(|(_, verdict)| !is_unknown(verdict)) {
                    prop_assert_eq!(seen.reached(), trace_round_trip(&known, end, to, Protocol::Icmp).reached());
                }
            }
        }
    }
}
