//! Security rules: an explicit rule for all permitted traffic into each subnet.

use std::collections::BTreeMap;

use super::context::DesiredContext;
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::azure::{Access, NetworkSecurityGroup, RuleDirection, SecurityRule};
use crate::topology::model::AzureDatacenter;

/// The port that WireGuard listens on.
const WIREGUARD_PORT: &str = "41641";

/// Ports that workers open to AKS: the kubelet's.
const KUBELET_PORT: &str = "10250";

/// The AKS router: the tunnel from anywhere, the forwarded ranges both ways.
pub(super) fn cluster_router(context: &DesiredContext<'_>) -> NetworkSecurityGroup {
    let location = context.topology.azure.location.to_string();
    NetworkSecurityGroup { location, rules: router_rules(context), protected_by: None }
}

/// A datacenter's router: likewise.
pub(super) fn datacenter_router(
    context: &DesiredContext<'_>,
    site: &AzureDatacenter,
) -> NetworkSecurityGroup {
    NetworkSecurityGroup {
        location: site.location.to_string(),
        rules: router_rules(context),
        protected_by: None,
    }
}

/// Workers: the forwarded ranges both ways, and the kubelet's port for AKS.
pub(super) fn workers(
    context: &DesiredContext<'_>,
    site: &AzureDatacenter,
) -> NetworkSecurityGroup {
    let mut rules = forwarded_rules(context);
    rules.insert(
        "stargate-kubelet-in".to_owned(),
        SecurityRule {
            priority: 1020,
            direction: RuleDirection::Inbound,
            access: Access::Allow,
            protocol: "Tcp".to_owned(),
            source_prefixes: vec![aks_range(context)],
            destination_prefixes: vec!["*".to_owned()],
            destination_ports: vec![KUBELET_PORT.to_owned()],
        },
    );
    NetworkSecurityGroup { location: site.location.to_string(), rules, protected_by: None }
}

fn router_rules(context: &DesiredContext<'_>) -> BTreeMap<String, SecurityRule> {
    let mut rules = forwarded_rules(context);
    rules.insert(
        "stargate-wireguard-in".to_owned(),
        SecurityRule {
            priority: 1020,
            direction: RuleDirection::Inbound,
            access: Access::Allow,
            protocol: "Udp".to_owned(),
            source_prefixes: vec!["*".to_owned()],
            destination_prefixes: vec!["*".to_owned()],
            destination_ports: vec![WIREGUARD_PORT.to_owned()],
        },
    );
    rules
}

/// Pods, nodes and datacenters may pass in and out with any protocol.
fn forwarded_rules(context: &DesiredContext<'_>) -> BTreeMap<String, SecurityRule> {
    let prefixes = forwarded_prefixes(context);
    let rule = |priority, direction| SecurityRule {
        priority,
        direction,
        access: Access::Allow,
        protocol: "*".to_owned(),
        source_prefixes: prefixes.clone(),
        destination_prefixes: prefixes.clone(),
        destination_ports: vec!["*".to_owned()],
    };
    BTreeMap::from([
        ("stargate-forwarded-in".to_owned(), rule(1000, RuleDirection::Inbound)),
        ("stargate-forwarded-out".to_owned(), rule(1000, RuleDirection::Outbound)),
    ])
}

/// The pod range as a whole, the tailnet, every datacenter's network, and the
/// router's own VNet (by service tag, which is known before AKS exists).
fn forwarded_prefixes(context: &DesiredContext<'_>) -> Vec<String> {
    let mut prefixes = vec![context.topology.cluster.pod_cidr.to_string()];
    prefixes.push(TAILNET_RANGE.to_string());
    prefixes.extend(
        context.topology.datacenters.iter().map(|datacenter| datacenter.network().to_string()),
    );
    prefixes.push(aks_range(context));
    prefixes.sort();
    prefixes.dedup();
    prefixes
}

/// The AKS VNet: as it is, or as AKS makes it by default.
fn aks_range(context: &DesiredContext<'_>) -> String {
    context
        .facts
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.address_prefixes.first())
        .map_or_else(|| crate::net::prefix::AKS_DEFAULT_NETWORK.to_string(), ToString::to_string)
}
