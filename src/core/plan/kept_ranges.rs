//! Ranges of the cluster and of networks that an `[[ignore]]` block keeps, and that overlap other
//! ranges of the topology: the lints of the file know only the ranges that it has.

use ipnet::Ipv4Net;

use super::held_prefixes::texts;
use super::{Finding, FindingSeverity, IgnoredDrift};
use crate::diagnostics::{Code, Failure};
use crate::net::prefix::overlaps;
use crate::resource::{Address, Kind};
use crate::topology::model::{Cluster, Topology};

/// A range of the topology, and what it is for.
struct Range {
    purpose: String,
    prefix: Ipv4Net,
}

/// An error for each range that overlaps a kept one.
pub(super) fn findings(topology: &Topology, ignored: &[IgnoredDrift]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for drift in ignored {
        for field in &drift.fields {
            let [name] = &field.path.0[..] else { continue };
            let others = ranges_apart_from(topology, &drift.address, name);
            let kept = field.before.as_ref().map(texts).unwrap_or_default();
            let kept: Vec<Ipv4Net> = kept.iter().filter_map(|text| text.parse().ok()).collect();
            let conflicts = others.iter().filter_map(|other| {
                let range = kept.iter().find(|range| overlaps(range, &other.prefix))?;
                Some(conflict(&drift.address, (name, *range), other))
            });
            findings.extend(conflicts);
        }
    }
    findings
}

/// The ranges that must not overlap a field of a resource.
fn ranges_apart_from(topology: &Topology, address: &Address, field: &str) -> Vec<Range> {
    let cluster = &topology.cluster;
    match (address.kind, field) {
        // Pools of pods may be a part of the pod CIDR.
        (Kind::ManagedCluster, "pod_cidr") => {
            networks(topology).chain([service_range(cluster)]).collect()
        }
        (Kind::ManagedCluster, "service_cidr") => {
            let pods = pod_ranges(topology).chain([pod_range(cluster)]);
            networks(topology).chain(pods).collect()
        }
        (Kind::VirtualNetwork, "address_prefixes") => {
            let of_cluster = [pod_range(cluster), service_range(cluster)];
            pod_ranges(topology).chain(of_cluster).collect()
        }
        _ => Vec::new(),
    }
}

/// The networks of datacenters, and the subnet of the cluster's router.
fn networks(topology: &Topology) -> impl Iterator<Item = Range> {
    let router = Range {
        purpose: "`subnet_cidr` of [cluster.router]".to_owned(),
        prefix: topology.cluster.router.subnet_cidr,
    };
    let network = topology.datacenters.iter().map(|datacenter| Range {
        purpose: format!("the network of [datacenters.{}]", datacenter.name),
        prefix: datacenter.network(),
    });
    network.chain([router])
}

/// The pools of pods.
fn pod_ranges(topology: &Topology) -> impl Iterator<Item = Range> {
    topology.datacenters.iter().filter_map(|datacenter| {
        let purpose = format!("`pod_pool` of [datacenters.{}]", datacenter.name);
        Some(Range { purpose, prefix: datacenter.pod_pool? })
    })
}

fn pod_range(cluster: &Cluster) -> Range {
    Range { purpose: "`pod_cidr` of [cluster]".to_owned(), prefix: cluster.pod_cidr }
}

fn service_range(cluster: &Cluster) -> Range {
    Range { purpose: "`service_cidr` of [cluster]".to_owned(), prefix: cluster.service_cidr }
}

fn conflict(address: &Address, (field, kept): (&str, Ipv4Net), other: &Range) -> Finding {
    let Range { purpose, prefix } = other;
    let message = format!(
        "{purpose} is {prefix}, but {address} keeps {kept}: its `{field}` is ignored by `[[ignore]]`"
    );
    let remedy = format!(
        "choose a range for {purpose} that does not overlap {kept}; or remove the `[[ignore]]` block"
    );
    Finding {
        address: Some(address.clone()),
        ..Finding::new(FindingSeverity::Error, Failure::new(Code::IgnoredConflict, message, remedy))
    }
}
