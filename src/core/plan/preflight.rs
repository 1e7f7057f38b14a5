//! Lints that need live facts.

use ipnet::Ipv4Net;

use super::{
    Finding, FindingSeverity, api_server_access, existing_ranges, newer_kubelets, prefix_conflicts,
};
use crate::desired::Facts;
use crate::desired::facts::ClusterFacts;
use crate::desired::names::CLUSTER_ROUTER_SUBNET;
use crate::desired::{self, Allocation};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{ForeignNode, Inventory, Source};
use crate::net::prefix::{AKS_DEFAULT_SUBNETS, overlaps};
use crate::net::range_index::RangeIndex;
use crate::topology::model::Topology;

/// The tailnet facts that the lints use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TailnetFacts {
    /// Tags that the policy has owners for; absent where it could not be read.
    pub owned_tags: Option<Vec<String>>,
}

/// Finds conflicts between the topology and the live state. Without an allocation the pod
/// ranges of workers are not checked.
pub fn live_lints(
    topology: &Topology,
    facts: &Facts,
    tailnet: &TailnetFacts,
    inventory: &Inventory,
    allocation: Option<&Allocation>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_absent = inventory.gap_at(&Source::Azure).is_none() && !topology.cluster.existing;
    if let Some(cluster) = &facts.cluster {
        let subnets = cluster.subnets.iter().map(|(name, prefix)| (name.as_str(), *prefix));
        router_subnet(topology, subnets, &mut findings);
        network_settings(cluster, &mut findings);
        existing_ranges::check(topology, cluster, &mut findings);
        api_server_access::check(topology, facts, inventory, &mut findings);
        address_space(topology, cluster, &mut findings);
        newer_kubelets::check(topology, facts, &mut findings);
    } else if is_absent {
        // The subnets come with the new cluster, before the router's.
        router_subnet(topology, AKS_DEFAULT_SUBNETS.into_iter(), &mut findings);
    }
    let refusal = desired::refusal_of_new_cluster(topology, facts, inventory);
    findings.extend(refusal.map(|it| Finding::new(FindingSeverity::Error, it)));
    if let Some(allocation) = allocation {
        let others = &inventory.foreign_nodes;
        pod_cidrs(topology, (facts, others), allocation, &mut findings);
    }
    tag_owners(topology, tailnet, &mut findings);
    let peers = &inventory.foreign_peers;
    prefix_conflicts::check(topology, facts, allocation, peers, &mut findings);
    findings
}

fn error(code: Code, message: String, remedy: impl Into<String>) -> Finding {
    Finding::new(FindingSeverity::Error, Failure::new(code, message, remedy))
}

fn router_subnet<'a>(
    topology: &Topology,
    subnets: impl Iterator<Item = (&'a str, Ipv4Net)>,
    findings: &mut Vec<Finding>,
) {
    let desired = topology.cluster.router.subnet_cidr;
    for (name, prefix) in subnets {
        if name != CLUSTER_ROUTER_SUBNET && overlaps(&desired, &prefix) {
            findings.push(error(
                Code::LiveSubnetOverlap,
                format!("[cluster.router] subnet_cidr {desired} overlaps subnet {name} ({prefix})"),
                "choose a range of the AKS VNet that no subnet uses",
            ));
        }
    }
}

fn network_settings(cluster: &ClusterFacts, findings: &mut Vec<Finding>) {
    // The router is where the VNet is.
    if cluster.node_group_locked && cluster.owns_network() {
        findings.push(error(
            Code::NodeGroupLocked,
            "the AKS cluster's node resource group is locked: the router cannot be created in it"
                .to_owned(),
            "run `az aks update --nrg-lockdown-restriction-level Unrestricted` for the cluster",
        ));
    }
    if cluster.private && !cluster.has_public_name {
        findings.push(error(
            Code::PrivateApiServer,
            format!(
                "the name {} of the private API server is in no public DNS, so that workers cannot \
                 resolve it",
                cluster.fqdn
            ),
            "run `az aks update --enable-public-fqdn` for the cluster: its public name has the \
             private address, which workers reach through the routers",
        ));
    }
}

fn address_space(topology: &Topology, cluster: &ClusterFacts, findings: &mut Vec<Finding>) {
    for datacenter in &topology.datacenters {
        for prefix in &cluster.address_prefixes {
            let network = datacenter.network();
            if overlaps(&network, prefix) {
                findings.push(error(
                    Code::LiveSubnetOverlap,
                    format!(
                        "the network {network} of datacenter {} overlaps the AKS VNet ({prefix})",
                        datacenter.name
                    ),
                    "choose a network for the datacenter outside the AKS VNet",
                ));
            }
        }
    }
}

/// AKS does not see the workers' pod CIDRs and may assign one of them to a node; so may
/// others.
fn pod_cidrs(
    topology: &Topology,
    (facts, others): (&Facts, &[ForeignNode]),
    allocation: &Allocation,
    findings: &mut Vec<Finding>,
) {
    let of_aks = facts.nodes.iter().map(|node| (node.pod_cidr, format!("AKS node {}", node.name)));
    let of_others = others.iter().filter_map(|node| {
        let name = match &node.topology {
            Some(topology) => format!("the worker {} of topology {topology}", node.name),
            None => format!("the foreign Node {}", node.name),
        };
        Some((node.pod_cidr?, name))
    });
    let workers = topology.datacenters.iter().flat_map(|datacenter| &datacenter.workers);
    let workers: RangeIndex<_> = workers
        .filter_map(|worker| Some((allocation.place(&worker.name)?.pod_cidr, &worker.name)))
        .collect();
    for (range, node) in of_aks.chain(of_others) {
        if let Some((other, worker)) = workers.overlapping(&range).next() {
            findings.push(error(
                Code::LivePodOverlap,
                format!("{node} has pod CIDR {range}, which overlaps {other} of worker {worker}"),
                format!(
                    "give worker {worker} a `pod_cidr` that no node has (choose it at the end of \
                     the cluster's pod CIDR), or drain and remove {node}"
                ),
            ));
        }
    }
}

fn tag_owners(topology: &Topology, tailnet: &TailnetFacts, findings: &mut Vec<Finding>) {
    let tag = topology.tailnet.tag.as_str();
    let Some(owned) = &tailnet.owned_tags else { return };
    if !owned.iter().any(|owned| owned == tag) {
        findings.push(error(
            Code::TagOwnersMissing,
            format!("the tailnet's policy has no owner for {tag}"),
            format!(
                "add `\"{tag}\": [\"autogroup:admin\"]` to \"tagOwners\" in the policy file, and \
                 give the OAuth client that tag"
            ),
        ));
    }
}
