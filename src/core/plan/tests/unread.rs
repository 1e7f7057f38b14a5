//! Facts that could not be read: only decisions that depend on them are unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::sample::Index;

use super::damage::{damages, strike};
use super::live_state::{LiveState, RefreshCase};
use super::sight::{Pair, PairStatus, Sight, gap, only_unknown, pairs, small, status};
use super::summary;
use crate::connectivity::{PathModel, addresses, usual};
use crate::dataplane::{Decision, Hop, Place, RoundTrip, Verdict};
use crate::desired;
use crate::desired::tests::generate::sketches;
use crate::inventory::Source;
use crate::resource::{Address, Kind, ObjectKey, Resource};

/// How resources of a kind affect packets' paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bearing {
    /// Paths through the site that it belongs to.
    Site,
    /// All paths from one site to another: it decides which of two routers serves a
    /// prefix.
    BetweenSites,
    /// No paths; rules may still check it.
    None,
}

/// A new kind must state here whether it affects packets' paths.
fn bearing(kind: Kind) -> Bearing {
    match kind {
        Kind::ManagedCluster
        | Kind::VirtualNetwork
        | Kind::Subnet
        | Kind::RouteTableAssociation
        | Kind::NetworkSecurityGroup
        | Kind::NetworkInterface
        | Kind::VirtualMachine
        | Kind::RouteTable
        | Kind::Route
        | Kind::TailnetDevice
        | Kind::RouterHost
        | Kind::Worker => Bearing::Site,
        Kind::AdvertisedRoutes | Kind::ApprovedRoutes => Bearing::BetweenSites,
        Kind::ResourceGroup
        | Kind::NodePool
        | Kind::NatGateway
        | Kind::PublicIpAddress
        | Kind::CustomResourceDefinition
        | Kind::Namespace
        | Kind::ServiceAccount
        | Kind::ClusterRole
        | Kind::ClusterRoleBinding
        | Kind::DaemonSet
        | Kind::Service
        | Kind::Server
        | Kind::ProvisioningProfile
        | Kind::CiliumNode => Bearing::None,
    }
}

/// The sites that a round trip passes, by their numbers.
fn touched(model: &PathModel, round_trip: &RoundTrip) -> BTreeSet<usize> {
    let site_of = |host| {
        let holds = |site: &crate::connectivity::SiteHosts| {
            site.router == host || site.nodes.contains(&host)
        };
        model.sites.iter().position(holds)
    };
    let traces = std::iter::once(&round_trip.forward).chain(round_trip.return_path.as_ref());
    let hop_places = traces.flat_map(|traced| &traced.hops).map(|hop| hop.place);
    let hosts = hop_places.filter_map(|place| match place {
        Place::Host(host) | Place::Tunnel(host) => Some(host),
        Place::Interface(_, address) => model.network.owner_of(address),
    });
    hosts.filter_map(site_of).collect()
}

fn uses(model: &PathModel, round_trip: &RoundTrip, address: &Address) -> bool {
    let traces = std::iter::once(&round_trip.forward).chain(round_trip.return_path.as_ref());
    // The machines of a separate network are not read from its router.
    let is_read = |hop: &&Hop| !matches!(hop.decision, Decision::Delivered(_));
    let mut hops = traces.flat_map(|traced| &traced.hops).filter(is_read);
    hops.any(|hop| model.provenance.get(hop.origin).is_some_and(|it| it.address == *address))
}

#[test]
fn an_unread_fact_makes_only_its_dependents_unknown() {
    let topology = small().topology();
    let live_state = LiveState::of(&topology);
    let refresh = live_state.refresh(&topology, &RefreshCase::default());
    let sight = Sight::whole(&live_state, &topology);
    let whole = sight.model(&topology, &refresh.plan);
    let addresses_of: BTreeMap<&ObjectKey, &Address> =
        sight.desired.iter().filter_map(|it| Some((it.key.as_ref()?, &it.address))).collect();
    let mut met = BTreeSet::new();
    for (key, observed) in &live_state.objects {
        let kind = observed.resource.kind();
        let address = addresses_of[key];
        let unread = Sight::without(&live_state, &topology, &BTreeSet::from([key.clone()]));
        let partly = unread.model(&topology, &refresh.plan);
        let pairs = pairs(&whole, &partly);
        assert!(pairs.len() > 200, "{address}: {}", pairs.len());
        let mut unknown = 0;
        for pair in &pairs {
            let label = format!("{address} hidden: {}", pair.label);
            assert!(only_unknown(pair), "{label}: {:#?}", pair.partly.broken());
            // An address without a host may belong to a host that was not read.
            if pair.sites.1.is_none() {
                continue;
            }
            let is_new = status(&pair.partly) == PairStatus::Unknown
                && status(&pair.whole) != PairStatus::Unknown;
            if is_new {
                unknown += 1;
                let (_, verdict) = pair.partly.broken().unwrap();
                let named = addresses(&partly, verdict).swap_remove(0);
                // A worker's desired state, against which its Node is checked, is built
                // from the cluster.
                let through = kind == Kind::ManagedCluster && named.kind == Kind::Worker;
                assert!(named == *address || through, "{label}: {named}");
                if through {
                    continue;
                }
            }
            let site = whole.sites.iter().position(|site| site.site == address.site);
            let expected = match bearing(kind) {
                Bearing::None => true,
                Bearing::Site => !touched(&whole, &pair.whole).contains(&site.unwrap()),
                Bearing::BetweenSites => pair.sites.1 == Some(pair.sites.0),
            };
            // A pair keeps its verdict if no resource of the kind is on its path.
            if expected {
                assert_eq!(status(&pair.whole), status(&pair.partly), "{label}");
            }
            if uses(&whole, &pair.whole, address) && kind != Kind::ManagedCluster {
                assert_eq!(status(&pair.partly), PairStatus::Unknown, "{label} looks it up");
            }
        }
        assert_eq!(unknown > 0, bearing(kind) != Bearing::None, "{address}: {unknown}");
        assert!(unknown < pairs.len(), "{address}");
        met.insert(kind);
    }
    // No subnet here has a table of another owner; the end-to-end tests hide single routes.
    let missed: Vec<Kind> = Kind::ALL
        .iter()
        .copied()
        .filter(|kind| *kind != Kind::Route)
        .filter(|kind| bearing(*kind) != Bearing::None && !met.contains(kind))
        .collect();
    assert!(missed.is_empty(), "nothing of {missed:?} was hidden");
}

#[test]
fn an_unread_source_makes_only_its_facts_unknown() {
    let topology = small().topology();
    let live_state = LiveState::of(&topology);
    let refresh = live_state.refresh(&topology, &RefreshCase::default());
    let whole = Sight::whole(&live_state, &topology).model(&topology, &refresh.plan);
    let all = |expected: PairStatus, pairs: &[Pair]| {
        pairs.iter().filter(|pair| status(&pair.partly) == expected).count()
    };
    let host = |name: &str| Source::Host(name.to_owned());
    let cases = [
        (vec![Source::Azure, Source::Kubernetes], 0),
        (vec![Source::Kubernetes], 1),
        (vec![Source::Tailscale], 30),
        (vec![host("lab-router")], 30),
        (vec![host("dc0-router")], 60),
        (vec![host("dc1-router")], 60),
    ];
    for (gaps, least_reached) in cases {
        let gaps: BTreeSet<Source> = gaps.into_iter().collect();
        let sight = Sight::blind(&live_state, &topology, gaps.clone());
        let partly = sight.model(&topology, &refresh.plan);
        let pairs = pairs(&whole, &partly);
        for pair in &pairs {
            assert!(only_unknown(pair), "{gaps:?}: {} {:#?}", pair.label, pair.partly.broken());
            let Some((_, verdict @ Verdict::Unknown { origin, .. })) = pair.partly.broken() else {
                continue;
            };
            let provenance = partly.provenance.get(*origin).unwrap();
            let names = &addresses(&partly, verdict)[0];
            let through = sight.inventory.gap_for(names.kind, None).map(|gap| gap.source.clone());
            let source = Some(provenance.source.clone());
            assert!(
                [source, through].into_iter().flatten().any(|it| gaps.contains(&it)),
                "{gaps:?}: {} is attributed to {provenance:?}",
                pair.label
            );
        }
        assert!(all(PairStatus::Unknown, &pairs) > 0, "{gaps:?}");
        let reached = all(PairStatus::Reached, &pairs);
        assert!(reached >= least_reached, "{gaps:?}: {reached}");
    }
}

/// The state of a worker that did not answer is not inferred from its Node.
#[test]
fn a_worker_that_does_not_answer_is_unknown() {
    let topology = small().topology();
    let live_state = LiveState::of(&topology);
    let refresh = live_state.refresh(&topology, &RefreshCase::default());
    let whole = Sight::whole(&live_state, &topology).model(&topology, &refresh.plan);
    let mut sight = Sight::whole(&live_state, &topology);
    sight.inventory.note_gap(gap(Source::Host("dc0-w1".to_owned())));
    let partly = sight.model(&topology, &refresh.plan);
    for pair in pairs(&whole, &partly) {
        let concerns = pair.label.contains("dc0-w1 ");
        let expected = if concerns { PairStatus::Unknown } else { status(&pair.whole) };
        assert_eq!(status(&pair.partly), expected, "{}", pair.label);
    }
}

/// AKS has created a node and has not reported its pod CIDR yet.
#[test]
fn only_a_node_without_a_pod_cidr_is_unknown() {
    let topology = small().topology();
    let live_state = LiveState::of(&topology);
    let refresh = live_state.refresh(&topology, &RefreshCase::default());
    let whole = Sight::whole(&live_state, &topology).model(&topology, &refresh.plan);
    let mut sight = Sight::whole(&live_state, &topology);
    let node = sight.facts.nodes.pop().unwrap();
    let address = Some(node.address);
    sight
        .facts
        .nodes_without_pod_cidr
        .push(desired::facts::NodeWithoutPodCidr { name: node.name.clone(), address });
    let partly = sight.model(&topology, &refresh.plan);
    let of_node = usual(&node.pod_cidr).to_string();
    for pair in pairs(&whole, &partly) {
        assert!(only_unknown(&pair), "{}", pair.label);
        let after = status(&pair.partly);
        if pair.label.contains(&of_node) {
            assert_ne!(after, PairStatus::Dropped, "{}", pair.label);
        } else if pair.sites.1.is_some() {
            assert_eq!(after, status(&pair.whole), "{}", pair.label);
        }
    }
}

fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(4), max_shrink_iters: 2_000, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn hiding_facts_only_makes_pairs_unknown(
        sketch in sketches(false),
        damages in damages(),
        unread in prop::collection::vec(any::<Index>(), 1..12),
        router_moved in any::<Option<u8>>(),
    ) {
        let topology = sketch.topology();
        let mut live_state = LiveState::of(&topology);
        strike(&mut live_state, &damages);
        if let Some(last) = router_moved {
            readdress(&mut live_state, last);
        }
        let refresh = live_state.refresh(&topology, &RefreshCase::default());
        let whole = Sight::whole(&live_state, &topology).model(&topology, &refresh.plan);
        let keys: Vec<&ObjectKey> = live_state.objects.keys().collect();
        let unread: BTreeSet<ObjectKey> =
            unread.iter().map(|index| keys[index.index(keys.len())].clone()).collect();
        let partly = Sight::without(&live_state, &topology, &unread).model(&topology, &refresh.plan);
        for pair in pairs(&whole, &partly) {
            prop_assert!(
                only_unknown(&pair),
                "{}: {:#?} without {unread:?} is {:#?}\n{}",
                pair.label, pair.whole.broken(), pair.partly.broken(), summary(&refresh.plan)
            );
        }
    }
}

/// Gives a router's interface another address.
fn readdress(live_state: &mut LiveState, last: u8) {
    let interface =
        live_state.objects.values_mut().find_map(|observed| match &mut observed.resource {
            Resource::NetworkInterface(interface) => Some(interface),
            _ => None,
        });
    if let Some(interface) = interface {
        let [one, two, three, _] = interface.private_ip.octets();
        interface.private_ip = Ipv4Addr::new(one, two, three, last);
    }
}
