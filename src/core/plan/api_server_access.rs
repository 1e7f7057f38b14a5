//! Whether workers may reach an API server that is not open to every address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Finding, FindingSeverity};
use crate::desired::Facts;
use crate::desired::facts::ClusterFacts;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::Resource;
use crate::topology::model::{Datacenter, DatacenterKind, Topology};

/// Checks the datacenters with workers that are not Ready: the kubelets of the others reach
/// the API server.
pub(super) fn check(
    topology: &Topology,
    facts: &Facts,
    inventory: &Inventory,
    findings: &mut Vec<Finding>,
) {
    let Some(cluster) = &facts.cluster else { return };
    if cluster.authorized_ranges.is_empty() && !cluster.private {
        return;
    }
    let ready = ready_workers(inventory);
    let is_waiting = |datacenter: &&Datacenter| {
        datacenter.workers.iter().any(|worker| !ready.contains(worker.name.as_str()))
    };
    let waiting: Vec<&Datacenter> = topology.datacenters.iter().filter(is_waiting).collect();
    if waiting.is_empty() {
        return;
    }
    if cluster.private {
        findings.extend(cluster.has_public_name.then(|| private_address(cluster)));
    } else {
        authorized_ranges(topology, facts, cluster, &waiting, findings);
    }
}

fn ready_workers(inventory: &Inventory) -> BTreeSet<&str> {
    let workers = inventory.iter().filter_map(|(_, observed)| match &observed.resource {
        Resource::Worker(worker) if worker.ready => Some(worker.name.as_str()),
        _ => None,
    });
    workers.collect()
}

fn private_address(cluster: &ClusterFacts) -> Finding {
    let subnets: Vec<String> =
        cluster.node_subnets.iter().map(|subnet| subnet.prefix.to_string()).collect();
    let failure = Failure::new(
        Code::ApiServerUnreachable,
        format!("the API server {} has a private address", cluster.fqdn),
        format!(
            "check that the name resolves to an address in a subnet of AKS nodes ({}): workers \
             reach it through the routers",
            subnets.join(", ")
        ),
    );
    Finding::new(FindingSeverity::Warning, failure)
}

fn authorized_ranges(
    topology: &Topology,
    facts: &Facts,
    cluster: &ClusterFacts,
    waiting: &[&Datacenter],
    findings: &mut Vec<Finding>,
) {
    let mut refused: Vec<(&Datacenter, Ipv4Addr)> = Vec::new();
    for datacenter in waiting {
        match facts.egress_addresses.get(&datacenter.name) {
            Some(address) => match is_authorized(*address, cluster) {
                Some(true) => {}
                Some(false) => refused.push((datacenter, *address)),
                None => findings.push(unknown_ranges(datacenter, *address, cluster)),
            },
            None => findings.push(unknown_address(datacenter, topology, cluster)),
        }
    }
    if refused.is_empty() {
        return;
    }
    let names: Vec<String> =
        refused.iter().map(|(it, address)| format!("{} ({address})", it.name)).collect();
    let added = refused.iter().map(|(_, address)| format!("{address}/32"));
    let failure = Failure::new(
        Code::ApiServerUnreachable,
        format!(
            "the authorized IP ranges of the API server do not contain the addresses that workers \
             come from: {}",
            names.join(", ")
        ),
        format!("run `{}`", update(topology, cluster, added)),
    );
    // An error would stop changes that have nothing to do with these workers.
    findings.push(Finding::new(FindingSeverity::Warning, failure));
}

/// An address that Azure has not assigned yet, or that of a site with its own internet access.
fn unknown_address(
    datacenter: &Datacenter,
    topology: &Topology,
    cluster: &ClusterFacts,
) -> Finding {
    let source = match &datacenter.kind {
        DatacenterKind::Azure(_) => "of its NAT gateway, which the apply creates",
        _ => "of its internet access (`curl -4 https://ifconfig.me` on a worker shows it)",
    };
    let failure = Failure::new(
        Code::ApiServerUnreachable,
        format!(
            "the API server has authorized IP ranges, and the workers of datacenter {} come from \
             the address {source}",
            datacenter.name
        ),
        format!(
            "run `{}` with that address before the workers join",
            update(topology, cluster, std::iter::once("ADDRESS/32".to_owned()))
        ),
    );
    Finding::new(FindingSeverity::Warning, failure)
}

/// The command replaces the whole list.
fn update(
    topology: &Topology,
    cluster: &ClusterFacts,
    added: impl Iterator<Item = String>,
) -> String {
    let ranges: Vec<String> = cluster.authorized_ranges.iter().cloned().chain(added).collect();
    format!(
        "az aks update --resource-group '{}' --name {} --api-server-authorized-ip-ranges {}",
        topology.cluster.resource_group,
        topology.cluster.name,
        ranges.join(",")
    )
}

/// The list has something other than ranges of IPv4.
fn unknown_ranges(datacenter: &Datacenter, address: Ipv4Addr, cluster: &ClusterFacts) -> Finding {
    let failure = Failure::new(
        Code::ApiServerUnreachable,
        format!(
            "it is unknown whether the authorized IP ranges of the API server ({}) contain \
             {address}, which the workers of datacenter {} come from",
            cluster.authorized_ranges.join(", "),
            datacenter.name
        ),
        format!("check that they contain {address} before the workers join"),
    );
    Finding::new(FindingSeverity::Warning, failure)
}

/// Whether the ranges contain the address. That is unknown if an entry is no range of IPv4.
fn is_authorized(address: Ipv4Addr, cluster: &ClusterFacts) -> Option<bool> {
    let ranges = cluster.authorized_ranges.iter().map(|text| {
        text.parse::<Ipv4Net>().ok().or_else(|| Some(Ipv4Net::from(text.parse::<Ipv4Addr>().ok()?)))
    });
    let ranges: Vec<Option<Ipv4Net>> = ranges.collect();
    match ranges.iter().flatten().any(|range| range.contains(&address)) {
        true => Some(true),
        false => ranges.iter().all(Option::is_some).then_some(false),
    }
}
