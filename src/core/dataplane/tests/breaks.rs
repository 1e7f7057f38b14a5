//! Each single thing that can be wrong is named, at the hop where it bites.

use std::sync::Arc;

use super::test_network::*;
use crate::dataplane::fabric::{FabricHop, UserRoute};
use crate::dataplane::hop::{Cause, Decision, Place, Verdict};
use crate::dataplane::host::{HostId, KernelHop, Pods, ReversePathFilter, TableId};
use crate::dataplane::security::{
    AddressMatch, FilterRule, ProtocolMatch, SecurityGroup, TrafficDirection,
};
use crate::dataplane::tunnel::NoPeerReason;
use crate::dataplane::{Direction, Fact, Origin, RoundTrip, SegmentId};

#[test]
fn all_ends_reach_each_other_in_a_healthy_network() {
    for choice in choices() {
        let test_network = healthy(choice);
        for from in test_network.ends() {
            for to in test_network.ends() {
                let round_trip = test_network.round_trip(from, to);
                assert!(round_trip.reached(), "{choice:?} {from} -> {to}: {round_trip:#?}");
                assert!(round_trip.unclamped.is_empty());
            }
        }
    }
}

#[test]
fn sources_are_translated_and_restored() {
    let round_trip = healthy(CHOICE).pods(WORKER_1, NODE_A);
    let translated = |traced: &crate::dataplane::Trace| {
        let is = |decision: &Decision| matches!(decision, Decision::Translated { .. });
        traced.hops.iter().filter(|hop| is(&hop.decision)).count()
    };
    assert_eq!(translated(&round_trip.forward), 2);
    assert_eq!(round_trip.forward.packet.source, ip("10.237.0.4"));
    assert_eq!(round_trip.return_path.unwrap().packet.destination, pod(WORKER_1));
    let kept = healthy(Choice { masquerade: false, ..CHOICE }).pods(WORKER_1, NODE_A);
    assert_eq!(kept.forward.packet.source, pod(WORKER_1));
    assert_eq!(kept.mtu(), 1_280);
}

/// Where and why, and where the telling fact was read.
fn broken(round_trip: &RoundTrip) -> (Direction, Place, Cause, Origin) {
    match round_trip.broken() {
        Some((way, Verdict::Dropped(drop))) => {
            (way, drop.place, drop.cause.clone(), drop.provenance[0])
        }
        other => panic!("it is dropped: {other:?}"),
    }
}

fn at(segment: usize, address: &str) -> Place {
    Place::Interface(SegmentId(segment), ip(address))
}

#[test]
fn a_missing_route_of_the_fabric() {
    let mut test_network = healthy(CHOICE);
    test_network.drop_route(0, 0, "10.244.64.0/20");
    let (way, place, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((way, place, origin), (Direction::Forward, at(0, "10.224.0.4"), WORKERS_TABLE));
    assert!(matches!(cause, Cause::RouteNone(_)));
    // The answer to a hidden source needs no such route.
    assert!(test_network.pods(WORKER_1, NODE_A).reached());
    let mut kept = healthy(Choice { masquerade: false, ..CHOICE });
    kept.drop_route(0, 0, "10.244.64.0/20");
    assert_eq!(broken(&kept.pods(WORKER_1, NODE_A)).0, Direction::Return);
}

#[test]
fn no_table_on_the_router_subnet() {
    let mut test_network = healthy(CHOICE);
    for prefix in ["10.244.0.0/24", "10.244.1.0/24"] {
        test_network.drop_route(0, 1, prefix);
    }
    let (way, place, _, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((way, place, origin), (Direction::Return, at(0, "10.237.0.4"), ROUTER_TABLE));
    assert_eq!(broken(&test_network.pods(WORKER_1, NODE_A)).0, Direction::Forward);
}

#[test]
fn interfaces_that_do_not_forward() {
    for (segment, address) in [(0, "10.237.0.4"), (1, "10.50.0.4"), (1, "10.50.1.5")] {
        let mut test_network = healthy(Choice { masquerade: false, ..CHOICE });
        let interface = test_network.fabric(segment).interfaces.get_mut(&ip(address)).unwrap();
        interface.forwarding = Fact::known(false, INTERFACE);
        let round_trip = test_network.pods(NODE_A, WORKER_1);
        let (_, place, cause, origin) = broken(&round_trip);
        assert_eq!((place, origin), (at(segment, address), INTERFACE), "{address}");
        assert!(matches!(cause, Cause::DestinationCheck | Cause::SourceCheck));
    }
}

#[test]
fn a_wrong_next_hop_has_no_owner() {
    let mut test_network = healthy(CHOICE);
    let hop = FabricHop::Appliance(ip("10.224.0.250"));
    let route = crate::dataplane::fabric::UserRoute { hop, origin: WORKERS_TABLE };
    test_network.routes(0, 0).insert(net("10.244.64.0/20"), route);
    let (_, place, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((place, origin), (at(0, "10.224.0.250"), WORKERS_TABLE));
    assert_eq!(cause, Cause::NoInterface(ip("10.224.0.250")));
}

#[test]
fn kernels_that_do_not_forward() {
    for host in [CLUSTER_ROUTER, DATACENTER_ROUTER, WORKER_1] {
        let mut test_network = healthy(CHOICE);
        test_network.kernel(host).forwarding = false;
        let (_, place, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
        assert_eq!((place, origin), (Place::Host(HostId(host)), KERNEL));
        assert_eq!(cause, Cause::NotForwarding);
    }
}

#[test]
fn prefixes_that_are_not_advertised_or_approved() {
    let pool = net("10.244.64.0/20");
    let mut test_network = healthy(CHOICE);
    test_network.advertised(DATACENTER_ROUTER).approved =
        Fact::known(vec![net("10.50.0.0/16")], APPROVED);
    let (_, place, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((place, origin), (Place::Tunnel(HostId(CLUSTER_ROUTER)), APPROVED));
    assert_eq!(cause, Cause::NoPeer(NoPeerReason::NotApproved(HostId(DATACENTER_ROUTER))));

    let mut test_network = healthy(CHOICE);
    test_network.advertised(DATACENTER_ROUTER).advertised =
        Fact::known(vec![net("10.50.0.0/16")], ADVERTISED);
    let (_, _, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!(cause, Cause::NoPeer(NoPeerReason::NotAdvertised(HostId(DATACENTER_ROUTER))));
    assert_eq!(origin, ADVERTISED);

    let mut test_network = healthy(CHOICE);
    test_network.advertised(CLUSTER_ROUTER).accepts = Fact::known(false, KERNEL);
    let (_, _, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((cause, origin), (Cause::NoPeer(NoPeerReason::NotAccepted), KERNEL));
    assert!(pool.contains(&pod(WORKER_1)));
}

#[test]
fn a_source_that_the_sender_s_routes_do_not_cover() {
    let mut test_network = healthy(Choice { masquerade: false, ..CHOICE });
    test_network.advertised(DATACENTER_ROUTER).approved =
        Fact::known(vec![net("10.50.0.0/16")], APPROVED);
    let (way, place, cause, _) = broken(&test_network.pods(WORKER_1, NODE_A));
    assert_eq!((way, place), (Direction::Forward, Place::Tunnel(HostId(CLUSTER_ROUTER))));
    assert!(matches!(cause, Cause::SourceNotAllowed { .. }));
    // A hidden source is the router's own, which is always taken.
    let mut test_network = healthy(CHOICE);
    test_network.advertised(DATACENTER_ROUTER).approved =
        Fact::known(vec![net("10.50.0.0/16")], APPROVED);
    assert!(test_network.pods(WORKER_1, NODE_A).reached());
}

#[test]
fn an_offline_owner_is_never_replaced_by_a_broader_one() {
    let mut test_network = healthy(CHOICE);
    let broad = test_network.advertised(CLUSTER_ROUTER).clone();
    let mut third = test_network.members[&HostId(CLUSTER_ROUTER)].clone();
    third.address = known(ip("100.64.0.3"));
    third.advertised = broad;
    third.advertised.advertised = Fact::known(vec![net("10.244.0.0/16")], ADVERTISED);
    third.advertised.approved = third.advertised.advertised.clone();
    test_network.members.insert(HostId(NODE_B), third);
    test_network.members.get_mut(&HostId(DATACENTER_ROUTER)).unwrap().connected =
        Fact::known(false, DEVICE);
    let (_, place, cause, origin) = broken(&test_network.pods(NODE_A, WORKER_1));
    let router = HostId(DATACENTER_ROUTER);
    assert_eq!((place, origin), (Place::Tunnel(router), DEVICE));
    assert_eq!(cause, Cause::Offline(router));
    // Nothing gets through it, even if its own kernel is unknown.
    test_network.hosts[DATACENTER_ROUTER].kernel = Fact::unknown(KERNEL);
    let (_, place, cause, _) = broken(&test_network.pods(WORKER_1, NODE_A));
    assert_eq!((place, cause), (Place::Host(router), Cause::Offline(router)));
}

/// The broad route: table 52 precedes main, and the packet loops.
#[test]
fn a_broad_route_captures_traffic_of_workers() {
    let broad = |test_network: &mut TestNetwork| {
        let all = vec![net("10.224.0.0/16"), net("10.244.0.0/16")];
        test_network.advertised(CLUSTER_ROUTER).advertised = Fact::known(all.clone(), ADVERTISED);
        test_network.advertised(CLUSTER_ROUTER).approved = Fact::known(all, APPROVED);
        let tables = &mut test_network.kernel(DATACENTER_ROUTER).tables;
        let table = tables.get_mut(&TableId::TAILSCALE).unwrap();
        table.insert(net("10.244.0.0/16"), route(KernelHop::Tunnel));
    };
    let mut test_network = healthy(Choice { local_rules: false, ..CHOICE });
    broad(&mut test_network);
    let (way, _, cause, _) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((way, cause), (Direction::Forward, Cause::Loop));
    let mut test_network = healthy(CHOICE);
    broad(&mut test_network);
    assert!(test_network.pods(NODE_A, WORKER_1).reached(), "a rule before table 52 keeps it safe");
}

#[test]
fn a_kernel_without_a_route_or_with_an_unreachable_one() {
    let mut test_network = healthy(Choice { bare_metal: true, ..CHOICE });
    let tables = &mut test_network.kernel(DATACENTER_ROUTER).tables;
    let main = tables.get_mut(&TableId::MAIN).unwrap();
    let removed = net("10.244.65.0/24");
    *main = main.iter().filter(|(it, _)| *it != removed).map(|(p, r)| (p, *r)).collect();
    let (_, place, cause, _) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!(place, Place::Host(HostId(DATACENTER_ROUTER)));
    assert!(matches!(cause, Cause::Unreachable(found) if found.prefix == net("10.244.0.0/16")));
}

/// Linux takes no packet from outside that says it is from the host itself.
#[test]
fn a_packet_that_returns_to_its_sender_loops() {
    for filter in [ReversePathFilter::Off, ReversePathFilter::Loose] {
        let mut test_network = healthy(CHOICE);
        test_network.kernel(NODE_A).reverse_path_filter = filter;
        let hop = FabricHop::Appliance(ip("10.224.0.4"));
        let origin = WORKERS_TABLE;
        test_network.routes(0, 0).insert(net("10.244.65.0/24"), UserRoute { hop, origin });
        *interface_forwarding(&mut test_network) = Fact::known(true, INTERFACE);
        let round_trip = test_network.round_trip(ip("10.224.0.4"), pod(WORKER_1));
        let (_, place, cause, _) = broken(&round_trip);
        assert_eq!((place, cause), (Place::Host(HostId(NODE_A)), Cause::Loop));
        let left = |hop: &&crate::dataplane::Hop| matches!(hop.decision, Decision::Routed(_));
        assert_eq!(round_trip.forward.hops.iter().filter(left).count(), 1);
    }
}

fn interface_forwarding(test_network: &mut TestNetwork) -> &mut Fact<bool> {
    &mut test_network.fabric(0).interfaces.get_mut(&ip("10.224.0.4")).unwrap().forwarding
}

#[test]
fn a_strict_reverse_path_filter() {
    let mut test_network = healthy(CHOICE);
    test_network.kernel(WORKER_1).reverse_path_filter = ReversePathFilter::Strict;
    assert!(test_network.pods(NODE_A, WORKER_1).reached());
    let table = test_network.kernel(DATACENTER_ROUTER);
    table.reverse_path_filter = ReversePathFilter::Strict;
    let wrong = route(KernelHop::OnLink(0));
    table.tables.get_mut(&TableId::TAILSCALE).unwrap().insert(net("100.64.0.1/32"), wrong);
    let (_, place, cause, _) = broken(&test_network.pods(NODE_A, WORKER_1));
    assert_eq!((place, cause), (Place::Host(HostId(DATACENTER_ROUTER)), Cause::ReversePath));
}

#[test]
fn a_security_group_allows_replies() {
    let mut test_network = healthy(CHOICE);
    let any = vec![AddressMatch::Prefix(net("0.0.0.0/0"))];
    let deny = FilterRule {
        name: "deny-all".into(),
        priority: 100,
        direction: TrafficDirection::Inbound,
        allows: false,
        protocol: ProtocolMatch::Any,
        sources: any.clone(),
        destinations: any.clone(),
        ports: vec![0..=u16::MAX],
    };
    let out = FilterRule {
        name: "all-out".into(),
        direction: TrafficDirection::Outbound,
        allows: true,
        ..deny.clone()
    };
    let group = SecurityGroup::with_defaults(GROUP, vec![deny, out]);
    test_network.fabric(1).subnets[1].security = Fact::known(Arc::new(group), GROUP);
    let (way, place, cause, origin) = broken(&test_network.pods(WORKER_1, NODE_A));
    assert_eq!((way, place, origin), (Direction::Forward, at(1, "10.50.0.4"), GROUP));
    assert_eq!(cause, Cause::Denied { rule: "deny-all".to_owned() });
    // The router's own packets get replies.
    assert!(test_network.pods(NODE_A, WORKER_1).reached());
    // The group on an interface drops packets that the subnet's group allows.
    let denying = test_network.fabric(1).subnets[1].security.clone();
    let subnet = &mut test_network.fabric(1).subnets[1];
    subnet.security = Fact::known(Arc::new(SecurityGroup::open(GROUP)), GROUP);
    assert!(test_network.pods(WORKER_1, NODE_A).reached());
    test_network.fabric(1).subnets[1].interface_security = Some(denying);
    let (way, place, cause, origin) = broken(&test_network.pods(WORKER_1, NODE_A));
    assert_eq!((way, place, origin), (Direction::Forward, at(1, "10.50.0.4"), GROUP));
    assert_eq!(cause, Cause::Denied { rule: "deny-all".to_owned() });
    assert!(test_network.pods(NODE_A, WORKER_1).reached());
}

/// A group on AKS's nodes has no default rules in the overlay: what no rule matches passes, and
/// its replies do, too.
#[test]
fn replies_pass_a_group_that_no_rule_of_let_out() {
    let mut test_network = healthy(CHOICE);
    let any = vec![AddressMatch::Prefix(net("0.0.0.0/0"))];
    let deny = FilterRule {
        name: "no-in".into(),
        priority: 100,
        direction: TrafficDirection::Inbound,
        allows: false,
        protocol: ProtocolMatch::Any,
        sources: any.clone(),
        destinations: any,
        ports: vec![0..=u16::MAX],
    };
    let group = SecurityGroup::with_defaults(GROUP, vec![deny]).without_defaults();
    test_network.fabric(0).subnets[0].security = Fact::known(Arc::new(group), GROUP);
    assert!(test_network.pods(NODE_A, WORKER_1).reached());
    let (way, _, cause, _) = broken(&test_network.pods(WORKER_1, NODE_A));
    assert_eq!((way, cause), (Direction::Forward, Cause::Denied { rule: "no-in".to_owned() }));
}

#[test]
fn pods_without_cni_and_missing_machines() {
    let mut test_network = healthy(CHOICE);
    test_network.hosts[WORKER_1].pods = known(Pods::NotPlumbed(net("10.244.65.0/24")));
    assert_eq!(broken(&test_network.pods(NODE_A, WORKER_1)).2, Cause::CniNotConfigured);
    assert!(test_network.round_trip(pod(NODE_A), ip("10.50.1.5")).reached());
    test_network.hosts[WORKER_1].runs = known(false);
    assert_eq!(broken(&test_network.round_trip(pod(NODE_A), ip("10.50.1.5"))).2, Cause::NotRunning);
}

#[test]
fn a_tunnel_without_a_clamp() {
    let mut test_network = healthy(CHOICE);
    test_network.kernel(DATACENTER_ROUTER).clamps_segment_size = false;
    let network = test_network.network();
    let round_trip = test_network.pods(NODE_A, WORKER_1);
    assert!(round_trip.reached() && !round_trip.stalls(&network), "the other router clamps");
    assert_eq!(round_trip.unclamped, [HostId(DATACENTER_ROUTER)]);
    test_network.kernel(CLUSTER_ROUTER).clamps_segment_size = false;
    assert!(test_network.pods(NODE_A, WORKER_1).stalls(&test_network.network()));
    assert!(test_network.pods(WORKER_2, WORKER_1).unclamped.is_empty());
}

/// Facts that could not be read are not guessed, and results that do not depend
/// on them stay known.
#[test]
fn unread_facts_make_dependent_paths_unknown() {
    type Hide = fn(&mut TestNetwork);
    let snat: [(Hide, Origin); 6] = [
        (
            |test_network| test_network.hosts[DATACENTER_ROUTER].kernel = Fact::unknown(KERNEL),
            KERNEL,
        ),
        (|test_network| test_network.hosts[WORKER_1].pods = Fact::unknown(OTHER), OTHER),
        (
            |test_network| test_network.fabric(0).subnets[0].routes = Fact::unknown(WORKERS_TABLE),
            WORKERS_TABLE,
        ),
        (|test_network| test_network.fabric(1).subnets[1].security = Fact::unknown(GROUP), GROUP),
        (
            |test_network| {
                test_network.advertised(DATACENTER_ROUTER).approved = Fact::unknown(APPROVED);
            },
            APPROVED,
        ),
        (
            |test_network| {
                let member = test_network.members.get_mut(&HostId(DATACENTER_ROUTER)).unwrap();
                member.connected = Fact::unknown(DEVICE);
            },
            DEVICE,
        ),
    ];
    for (hide, origin) in snat {
        let mut test_network = healthy(CHOICE);
        hide(&mut test_network);
        let network = test_network.network();
        let from = network.end(pod(NODE_A)).unwrap();
        let round_trip = crate::dataplane::trace_round_trip(
            &network,
            from,
            pod(WORKER_1),
            crate::dataplane::Protocol::Icmp,
        );
        let (_, verdict) = round_trip.broken().unwrap();
        assert!(
            matches!(verdict, Verdict::Unknown { origin: found, .. } if *found == origin),
            "{verdict:?}"
        );
        assert!(test_network.pods(NODE_A, NODE_B).reached() || origin == WORKERS_TABLE);
    }
}
