//! The result for a class equals that of tracing every pair.

use proptest::prelude::*;

use super::many_hosts::{More, grown, many_hosts};
use super::nameless::Nameless;
use super::test_network::*;
use crate::dataplane::equivalence::Classes;
use crate::dataplane::host::HostId;
use crate::dataplane::{End, Network, Protocol, trace_round_trip};
use crate::net::prefix;

/// A pod or two of each node, and the node itself.
fn ends(network: &Network) -> Vec<End> {
    let mut ends = Vec::new();
    for (host, it) in network.hosts().filter(|(_, host)| !host.name.contains("router")) {
        let pods = it.pods.read().ok().and_then(|pods| pods.range());
        let of_host = if host.0 < WORKER_2 { &[10, 200][..] } else { &[10] };
        let pods = pods.iter().flat_map(|range| of_host.iter().map(|at| prefix::host(range, *at)));
        let addresses = pods.flatten().chain(it.ports.iter().map(|port| port.address));
        ends.extend(addresses.map(|address| End { host, address }));
    }
    ends
}

#[test]
fn a_healthy_network_has_few_classes() {
    for choice in choices() {
        let network = grown(choice, More { nodes: 3, workers: 7 }).network();
        let ends = ends(&network);
        let classes = Classes::of(&network, ends);
        // AKS's pods and nodes, the datacenter's pods and workers.
        assert_eq!(classes.len(), 4, "{choice:?}");
        let pairs: u64 =
            classes.trips(&network, Protocol::Icmp).map(|round_trip| round_trip.pairs).sum();
        // Three of the fourteen nodes with two pods.
        assert_eq!(pairs, 31 * 31 - 3 * 9 - 11 * 4, "all but those on one host");
    }
}

/// Ends of one host stand first in their class: the pairs with other hosts are
/// not overlooked.
#[test]
fn several_pods_of_a_host_do_not_merge_other_hosts() {
    let network = healthy(CHOICE).network();
    let pods = |host: usize| (10..15).map(move |at| (host, at));
    let ends = pods(WORKER_1).chain(pods(WORKER_2)).map(|(host, at)| {
        let range = network.host(HostId(host)).unwrap().pods.read().unwrap().range().unwrap();
        End { host: HostId(host), address: prefix::host(&range, at).unwrap() }
    });
    let classes = Classes::of(&network, ends.collect());
    let trips: Vec<_> = classes.trips(&network, Protocol::Icmp).collect();
    assert_eq!(trips.len(), 1);
    assert_eq!((trips[0].pairs, trips[0].round_trip.reached()), (50, true));
}

proptest! {
    /// In any broken network every pair has the result of its classes, hop by hop,
    /// for the same reason and from the same fact.
    #[test]
    fn classes_represent_their_pairs(many_hosts in many_hosts()) {
        let network = many_hosts.test_network().network();
        let classes = Classes::of(&network, ends(&network));
        let mut pairs = 0;
        for class_trip in classes.trips(&network, Protocol::Tcp(8_080)) {
            let (one, other) = class_trip.example;
            let expected = Nameless::new(&network, one, other).round_trip(&class_trip.round_trip);
            let mut counted = 0;
            for from in classes.members(class_trip.from) {
                for to in classes.members(class_trip.to).filter(|to| to.host != from.host) {
                    let own = trace_round_trip(&network, from, to.address, Protocol::Tcp(8_080));
                    let own = Nameless::new(&network, from, to).round_trip(&own);
                    prop_assert_eq!(&own, &expected, "{:?} {:?}", (from, to), class_trip.example);
                    counted += 1;
                }
            }
            prop_assert_eq!(counted, class_trip.pairs);
            pairs += counted;
        }
        let all = ends(&network);
        let apart = all.iter().flat_map(|one| all.iter().filter(|other| other.host != one.host));
        prop_assert_eq!(pairs, apart.count() as u64);
    }
}
