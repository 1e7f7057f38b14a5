//! Lints that need live facts.

use ipnet::Ipv4Net;

use crate::desired::facts::ClusterFacts;
use crate::desired::tests::generate::{
    Sketch, SketchedDatacenter, SketchedWorker, all_facts, no_facts,
};
use crate::desired::{Facts, allocate};
use crate::diagnostics::Code;
use crate::inventory::{ForeignPeer, Inventory};
use crate::plan::preflight::{TailnetFacts, live_lints};
use crate::plan::{Finding, FindingSeverity};
use crate::resource::ArmId;
use crate::topology::model::Topology;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// A datacenter in 10.50.0.0/16 with one worker, whose pods have 10.244.79.0/24.
pub(super) fn topology() -> Topology {
    let worker =
        SketchedWorker { number: 0, writes_ip: true, writes_pod_cidr: true, protect: false };
    let datacenter = SketchedDatacenter { workers: vec![worker], ..SketchedDatacenter::default() };
    let sketch = Sketch { goldpinger: true, datacenters: vec![datacenter], ..Sketch::default() };
    sketch.topology()
}

fn with_cluster(change: impl FnOnce(&mut ClusterFacts)) -> Facts {
    let mut facts = all_facts(&topology());
    if let Some(cluster) = &mut facts.cluster {
        change(cluster);
    }
    facts
}

fn lints(facts: &Facts, tailnet: &TailnetFacts) -> Vec<Finding> {
    let topology = topology();
    let allocation = allocate(&topology, facts).ok();
    live_lints(&topology, facts, tailnet, &Inventory::default(), allocation.as_ref())
}

fn only(facts: &Facts, tailnet: &TailnetFacts, code: Code) -> Finding {
    let found = lints(facts, tailnet);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((finding.failure.code, finding.severity), (code, FindingSeverity::Error));
    assert!(!finding.failure.remedy.is_empty());
    finding.clone()
}

#[test]
fn sound_or_missing_infrastructure_has_no_findings() {
    let tailnet = TailnetFacts::default();
    assert_eq!(lints(&all_facts(&topology()), &tailnet), []);
    assert_eq!(lints(&no_facts(), &tailnet), []);
}

#[test]
fn the_router_subnet_must_not_overlap_other_subnets() {
    let subnet = |name: &'static str| {
        with_cluster(|cluster| {
            cluster.subnets.insert(name.to_owned(), net("10.237.0.0/16"));
        })
    };
    let tailnet = TailnetFacts::default();
    let finding = only(&subnet("theirs"), &tailnet, Code::LiveSubnetOverlap);
    assert!(finding.failure.message.contains("theirs"), "{}", finding.failure.message);
    assert_eq!(lints(&subnet("stargate-aks-router-subnet"), &tailnet), []);
}

#[test]
fn a_cluster_must_be_supported() {
    let tailnet = TailnetFacts::default();
    let unresolved = with_cluster(|it| (it.private, it.has_public_name) = (true, false));
    only(&unresolved, &tailnet, Code::PrivateApiServer);
    only(&with_cluster(|it| it.node_group_locked = true), &tailnet, Code::NodeGroupLocked);
    // Only the workers whose kubelet does not fit are blocked.
    for version in ["1.32.9", "1.36.0"] {
        let other = with_cluster(|it| it.version = version.parse().unwrap());
        assert_eq!(lints(&other, &tailnet), []);
    }
}

/// Workers come from the address of their NAT gateway.
#[test]
fn workers_must_be_in_the_authorized_ranges() {
    let tailnet = TailnetFacts::default();
    let ranges = |texts: &[&str]| -> Facts {
        with_cluster(|it| it.authorized_ranges = texts.iter().map(ToString::to_string).collect())
    };
    let datacenter = topology().datacenters[0].name.clone();
    let from = |mut facts: Facts, address: &str| {
        facts.egress_addresses.insert(datacenter.clone(), address.parse().unwrap());
        facts
    };
    let unknown = lints(&ranges(&["20.0.0.0/24"]), &tailnet);
    let [finding] = &unknown[..] else { panic!("{unknown:#?}") };
    assert_eq!(finding.severity, FindingSeverity::Warning);
    assert_eq!(finding.failure.code, Code::ApiServerUnreachable);
    let refused = from(ranges(&["20.0.0.0/24", "40.1.1.1"]), "20.0.1.7");
    let found = lints(&refused, &tailnet);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(finding.severity, FindingSeverity::Warning);
    assert!(finding.failure.message.contains("20.0.1.7"), "{}", finding.failure.message);
    let command = "--api-server-authorized-ip-ranges 20.0.0.0/24,40.1.1.1,20.0.1.7/32`";
    assert!(finding.failure.remedy.contains(command), "{}", finding.failure.remedy);
    for address in ["20.0.0.9", "40.1.1.1"] {
        let facts = from(ranges(&["20.0.0.0/24", "40.1.1.1"]), address);
        assert_eq!(lints(&facts, &tailnet), [], "{address}");
    }
    assert_eq!(lints(&from(ranges(&[]), "20.0.1.7"), &tailnet), []);
    // A tag of Azure may contain any address.
    let found = lints(&from(ranges(&["20.0.0.0/24", "AzureCloud"]), "20.0.1.7"), &tailnet);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert!(finding.failure.message.contains("it is unknown whether"), "{finding:?}");
}

/// The ranges of a cluster that stargate did not create are those of the topology.
#[test]
fn an_existing_cluster_has_the_ranges_of_the_topology() {
    let mut topology = topology();
    let facts = all_facts(&topology);
    let lints = |topology: &Topology, change: fn(&mut ClusterFacts)| {
        let mut facts = facts.clone();
        facts.cluster.as_mut().map(change);
        let tailnet = TailnetFacts::default();
        let found = live_lints(topology, &facts, &tailnet, &Inventory::default(), None);
        found.into_iter().filter(|it| it.failure.code == Code::ClusterRanges).collect::<Vec<_>>()
    };
    let pods: fn(&mut ClusterFacts) = |it| it.pod_cidr = net("10.128.0.0/14");
    let services: fn(&mut ClusterFacts) = |it| it.service_cidr = net("10.50.0.0/16");
    // A range of a cluster of stargate's own is compared like any field.
    assert_eq!(lints(&topology, pods), []);
    topology.cluster.existing = true;
    assert_eq!(lints(&topology, |_| ()), []);
    for (change, correct) in
        [(pods, "pod_cidr = \"10.128.0.0/14\""), (services, "service_cidr = \"10.50.0.0/16\"")]
    {
        let found = lints(&topology, change);
        let [finding] = &found[..] else { panic!("{found:#?}") };
        assert_eq!(finding.severity, FindingSeverity::Error);
        assert!(finding.failure.remedy.contains(correct), "{}", finding.failure.remedy);
    }
}

/// The router is in the group of the VNet, which is not locked with that of the nodes.
#[test]
fn a_locked_node_group_matters_for_a_network_in_it() {
    let other = ArmId::resource_group("s", "theirs");
    let network = other.in_group("Microsoft.Network/virtualNetworks", "v");
    let facts = with_cluster(|it| {
        (it.node_group_locked, it.virtual_network) = (true, network.clone());
    });
    assert_eq!(lints(&facts, &TailnetFacts::default()), []);
}

#[test]
fn a_datacenter_must_not_overlap_the_aks_vnet() {
    let facts = with_cluster(|it| it.address_prefixes.push(net("10.50.7.0/24")));
    only(&facts, &TailnetFacts::default(), Code::LiveSubnetOverlap);
}

#[test]
fn pod_cidrs_of_aks_nodes_and_workers_must_not_overlap() {
    // Equal, around it, and within it.
    for range in ["10.244.79.0/24", "10.244.76.0/22", "10.244.79.128/25"] {
        let mut facts = all_facts(&topology());
        facts.nodes[0].pod_cidr = net(range);
        let finding = only(&facts, &TailnetFacts::default(), Code::LivePodOverlap);
        assert!(finding.failure.message.contains(range), "{}", finding.failure.message);
    }
    for range in ["10.244.78.0/24", "10.244.80.0/24"] {
        let mut facts = all_facts(&topology());
        facts.nodes[0].pod_cidr = net(range);
        assert_eq!(lints(&facts, &TailnetFacts::default()), [], "{range}");
    }
}

#[test]
fn the_tag_must_have_an_owner_in_the_policy() {
    let with = |tags: &[&str]| TailnetFacts {
        owned_tags: Some(tags.iter().map(|tag| (*tag).to_owned()).collect()),
    };
    let finding = only(&no_facts(), &with(&["tag:other"]), Code::TagOwnersMissing);
    assert!(finding.failure.remedy.contains("tag:stargate-lab"), "{}", finding.failure.remedy);
    assert_eq!(lints(&no_facts(), &with(&["tag:stargate-lab"])), []);
}

#[test]
fn a_prefix_has_one_advertiser_in_the_tailnet() {
    let conflict = |facts: &Facts, prefix: &str| {
        let peer = ForeignPeer {
            hostname: "theirs".to_owned(),
            tags: [].into(),
            address: None,
            online: true,
            prefixes: [net(prefix)].into(),
        };
        let mut inventory = Inventory::default();
        inventory.foreign_peers.push(peer);
        let allocation = allocate(&topology(), facts).ok();
        live_lints(&topology(), facts, &TailnetFacts::default(), &inventory, allocation.as_ref())
    };
    // The network of a datacenter, a prefix that contains the pod pool, and prefixes more
    // specific than both.
    for prefix in ["10.50.0.0/16", "10.244.0.0/16", "10.50.1.0/24", "10.244.65.0/24"] {
        let found = conflict(&no_facts(), prefix);
        let [finding] = &found[..] else { panic!("{prefix}: {found:#?}") };
        assert_eq!(finding.failure.code, Code::PrefixConflict);
        let message = &finding.failure.message;
        assert!(message.contains("theirs") && message.contains("of router"), "{message}");
    }
    assert_eq!(conflict(&no_facts(), "10.99.0.0/16"), []);
    // The subnets of AKS's nodes and the pod CIDR of each node.
    let facts = all_facts(&topology());
    let subnet = facts.cluster.as_ref().unwrap().node_subnets[0].prefix;
    for prefix in [subnet, facts.nodes[0].pod_cidr] {
        let found = conflict(&facts, &prefix.to_string());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].failure.message.contains(&topology().cluster.router.name.to_string()));
    }
}
