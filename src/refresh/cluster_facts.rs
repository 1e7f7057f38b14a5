//! The facts of the AKS cluster, from its object and that of its network.
//!
//! Lists of Azure omit objects that the identity may not read, without an error: an object
//! that a list lacks is read by its ID before it counts as absent.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::single::{get_printable, unreadable};
use super::{Observation, Scope, unsupported_cluster};
use crate::desired::facts::{ClusterFacts, NodeSubnet};
use crate::desired::names;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::azure::codec;
use crate::provider::azure::codec::cluster_profile::{self, ClusterProfile};
use crate::provider::clients::ReadClients;
use crate::resource::ownership::TOPOLOGY_TAG;
use crate::resource::{ArmId, Kind, ObjectKey};

/// The response of Azure about the topology's cluster.
#[derive(Debug)]
pub(super) enum ClusterResponse {
    /// It does not exist, or its creation has not come as far as a network.
    NotYet {
        /// Whether its object exists.
        exists: bool,
    },
    /// It exists, with these facts.
    Facts(Box<ClusterFacts>),
    /// It exists, and the facts that depend on it are unknown.
    Unknown(Failure),
    /// It exists, and no worker can join it, for these reasons.
    Unsupported(Vec<Failure>),
}

/// Finds the cluster and its network, each by its id if a list lacks it, and adds
/// them to the lists.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    objects: &mut BTreeMap<Kind, Vec<Value>>,
) -> ClusterResponse {
    let id = scope.cluster_id();
    let listed = find(objects, Kind::ManagedCluster, &id).cloned();
    let cluster = match listed {
        Some(cluster) => cluster,
        None => match get_printable(clients, &id).await {
            Ok(Some(cluster)) => {
                objects.entry(Kind::ManagedCluster).or_default().push(cluster.clone());
                cluster
            }
            Ok(None) => return ClusterResponse::NotYet { exists: false },
            // Azure did not say whether the cluster exists.
            Err(error) => return ClusterResponse::Unknown(error.into()),
        },
    };
    match cluster_profile::provisioning_state(&cluster) {
        Some("Creating") => return ClusterResponse::NotYet { exists: true },
        Some("Deleting") => return ClusterResponse::Unknown(being_deleted(&id)),
        _ => {}
    }
    let reasons = unsupported_cluster::reasons(&id, &cluster);
    // What was created before can be destroyed.
    if !reasons.is_empty() && !scope.options.destroy {
        return ClusterResponse::Unsupported(reasons);
    }
    let facts = match cluster_profile::decode(&cluster) {
        Ok(profile) => network(clients, scope, profile, objects).await,
        Err(error) => Err(unreadable(&id, &error)),
    };
    match facts {
        Ok(facts) => ClusterResponse::Facts(Box::new(facts)),
        Err(failure) => ClusterResponse::Unknown(failure),
    }
}

/// It is unknown which objects are deleted with it.
fn being_deleted(id: &ArmId) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("Azure is deleting the AKS cluster {id}"),
        "wait until it is gone, then run the same command again; the activity log shows who \
         deleted it",
    )
}

fn find<'a>(objects: &'a BTreeMap<Kind, Vec<Value>>, kind: Kind, id: &ArmId) -> Option<&'a Value> {
    let mut listed = objects.get(&kind).into_iter().flatten();
    listed.find(|value| codec::id(value).as_ref() == Some(id))
}

/// The facts that the cluster's network adds.
async fn network(
    clients: &ReadClients,
    scope: &Scope<'_>,
    profile: ClusterProfile,
    objects: &mut BTreeMap<Kind, Vec<Value>>,
) -> Result<ClusterFacts, Failure> {
    let network = match profile.pool_subnets.first().and_then(ArmId::parent) {
        Some(id) => match find(objects, Kind::VirtualNetwork, &id).cloned() {
            Some(network) => network,
            None => {
                let network = read_network(clients, &id).await?;
                objects.entry(Kind::VirtualNetwork).or_default().push(network.clone());
                network
            }
        },
        None => {
            let group = &profile.node_resource_group;
            // The lists may be older than the cluster.
            if of_node_group(objects, group).is_err() {
                let networks = networks_of_group(clients, scope, group).await?;
                objects.entry(Kind::VirtualNetwork).or_default().extend(networks);
            }
            of_node_group(objects, group).cloned()?
        }
    };
    facts(profile, &network)
}

/// The networks in one resource group: the identity may be permitted to list them there,
/// but not in the subscription.
async fn networks_of_group(
    clients: &ReadClients,
    scope: &Scope<'_>,
    group: &str,
) -> Result<Vec<Value>, Failure> {
    let Some(arm) = Kind::VirtualNetwork.arm() else { return Ok(Vec::new()) };
    let group = ArmId::resource_group(scope.subscription.as_str(), group);
    let path = format!("{group}/providers/{}", arm.name);
    Ok(clients.azure.list(&path, arm.api_version).await?)
}

async fn read_network(clients: &ReadClients, id: &ArmId) -> Result<Value, Failure> {
    match get_printable(clients, id).await {
        Ok(Some(network)) => Ok(network),
        Ok(None) => Err(unreadable_network(id, "Azure answers that it does not exist")),
        Err(error) => Err(unreadable_network(id, &error.to_string())),
    }
}

fn unreadable_network(id: &ArmId, reason: &str) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("cannot read the VNet {id}, which the cluster's node pools are in: {reason}"),
        format!(
            "assign the identity the role Network Contributor on the VNet, or on its resource \
             group; `az network vnet show --ids {id}` shows whether the VNet can be read"
        ),
    )
}

/// The network that AKS made in its node resource group.
fn of_node_group<'a>(
    objects: &'a BTreeMap<Kind, Vec<Value>>,
    group: &str,
) -> Result<&'a Value, Failure> {
    let is_in_group = |network: &&Value| {
        let id = codec::id(network);
        let of_network = id.as_ref().and_then(ArmId::resource_group_name);
        of_network.is_some_and(|name| name.eq_ignore_ascii_case(group))
    };
    let mut listed = objects.get(&Kind::VirtualNetwork).into_iter().flatten();
    listed.find(is_in_group).ok_or_else(|| {
        Failure::new(
            Code::SourceGap,
            format!(
                "Azure lists no VNet in {group}, the cluster's node resource group, and the \
                 cluster's node pools name no subnet"
            ),
            format!(
                "assign the identity the role Contributor on the resource group {group}; `az \
                 network vnet list -g {group} -o table` shows what can be read"
            ),
        )
    })
}

fn facts(profile: ClusterProfile, network: &Value) -> Result<ClusterFacts, Failure> {
    let id = codec::id(network).unwrap_or_else(|| ArmId::new(String::new()));
    let of_network = |error: codec::DecodeError| unreadable(&id, &error);
    let decoded = codec::virtual_network::decode(network).map_err(of_network)?;
    let bodies = network.pointer("/properties/subnets").and_then(Value::as_array);
    let mut subnets = BTreeMap::new();
    let mut node_subnets = Vec::new();
    for body in bodies.into_iter().flatten() {
        let Some(subnet_id) = codec::id(body) else { continue };
        let is_of_nodes = if profile.pool_subnets.is_empty() {
            subnet_id.name().eq_ignore_ascii_case("aks-subnet")
        } else {
            profile.pool_subnets.contains(&subnet_id)
        };
        match codec::subnet::decode(body) {
            Ok(subnet) => {
                subnets.insert(usual_name(&subnet_id), subnet.address_prefix);
                if is_of_nodes {
                    node_subnets.push(NodeSubnet {
                        id: subnet_id,
                        prefix: subnet.address_prefix,
                        security_group: subnet.network_security_group,
                        foreign_route_table: subnet.route_table,
                    });
                }
            }
            Err(error) if is_of_nodes => return Err(unreadable(&subnet_id, &error)),
            // A range that nothing of ours is in or routes to.
            Err(_) => {}
        }
    }
    complete(&profile, &id, &node_subnets)?;
    contains_subnets(&id, &decoded.address_prefixes, &node_subnets)?;
    Ok(ClusterFacts {
        virtual_network: id,
        network_location: decoded.location,
        address_prefixes: decoded.address_prefixes,
        node_subnets,
        subnets,
        node_resource_group: profile.node_resource_group,
        pod_cidr: profile.pod_cidr,
        service_cidr: profile.service_cidr,
        dns_service_ip: profile.dns_service_ip,
        version: profile.version,
        support_plan: profile.support_plan,
        fqdn: profile.fqdn,
        private: profile.private,
        has_public_name: profile.has_public_name,
        authorized_ranges: profile.authorized_ranges,
        stopped: profile.stopped,
        node_group_locked: profile.node_group_locked,
        node_pools: BTreeMap::new(),
    })
}

/// The name of a subnet; that of the router's as stargate writes it.
fn usual_name(subnet: &ArmId) -> String {
    let name = subnet.name();
    let is_router_s = name.eq_ignore_ascii_case(names::CLUSTER_ROUTER_SUBNET);
    if is_router_s { names::CLUSTER_ROUTER_SUBNET.to_owned() } else { name.to_owned() }
}

/// Every subnet that pools are in must be known: one that the answer lacks would
/// be withdrawn from every router.
fn complete(
    profile: &ClusterProfile,
    network: &ArmId,
    found: &[NodeSubnet],
) -> Result<(), Failure> {
    let is_found = |id: &&ArmId| found.iter().any(|subnet| subnet.id == **id);
    let lacking = profile.pool_subnets.iter().find(|id| !is_found(id));
    let what = match lacking {
        Some(id) => format!("the subnet {id}, which a node pool is in"),
        None if found.is_empty() => "a subnet of AKS nodes".to_owned(),
        None => return Ok(()),
    };
    Err(Failure::new(
        Code::SourceGap,
        format!("Azure's answer for the VNet {network} lacks {what}"),
        format!("run the same command again; `az network vnet show --ids {network}` shows it"),
    ))
}

/// The address space must contain the nodes: a prefix that the answer lacks would be
/// withdrawn from the datacenters.
fn contains_subnets(
    network: &ArmId,
    space: &[Ipv4Net],
    subnets: &[NodeSubnet],
) -> Result<(), Failure> {
    let is_contained = |it: &NodeSubnet| space.iter().any(|prefix| prefix.contains(&it.prefix));
    let Some(subnet) = subnets.iter().find(|it| !is_contained(it)) else { return Ok(()) };
    Err(Failure::new(
        Code::SourceGap,
        format!(
            "Azure's answer for the VNet {network} lacks the address prefix that contains {}, the \
             range of the subnet {}",
            subnet.prefix,
            subnet.id.name()
        ),
        format!("run the same command again; `az network vnet show --ids {network}` shows it"),
    ))
}

/// Adds the cluster to the inventory, and returns its facts if they are known.
pub(super) fn note(
    response: &ClusterResponse,
    scope: &Scope<'_>,
    observation: &mut Observation,
) -> Option<ClusterFacts> {
    match response {
        ClusterResponse::Facts(facts) => {
            note_newer(facts, scope, observation);
            return Some((**facts).clone());
        }
        ClusterResponse::NotYet { exists: false } if scope.topology.cluster.existing => {
            observation.findings.push(missing(scope));
        }
        ClusterResponse::Unsupported(reasons) => {
            let error = |it: &Failure| Finding::new(FindingSeverity::Error, it.clone());
            let findings = reasons.iter().map(error);
            observation.findings.extend(findings);
        }
        ClusterResponse::Unknown(_) | ClusterResponse::NotYet { .. } => {}
    }
    None
}

/// Without an existing cluster nothing can be created, but the rest can be destroyed. Only the
/// cluster's object names a VNet in another subscription.
fn missing(scope: &Scope<'_>) -> Finding {
    let id = scope.cluster_id();
    let message = format!("the AKS cluster {id} does not exist");
    let (severity, message, remedy) = match scope.options.destroy {
        true => (
            FindingSeverity::Warning,
            format!("{message}, so objects beside a VNet in another subscription are not found"),
            format!(
                "if its VNet was in another subscription, look for the rest there: `az resource \
                 list --tag {TOPOLOGY_TAG}={} --subscription ID`",
                scope.topology.name
            ),
        ),
        false => (
            FindingSeverity::Error,
            message,
            "correct [cluster] name, resource_group or the subscription (`az aks list -o table` \
             shows the clusters), or remove `existing = true` to create the cluster"
                .to_owned(),
        ),
    };
    Finding::new(severity, Failure::new(Code::ExistingClusterMissing, message, remedy))
}

/// Notes why the facts could not be read, once all objects are noted: whatever is known of
/// the cluster's own object does not tell what it consists of.
pub(super) fn note_unknown(
    response: &ClusterResponse,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let (failure, explained) = match response {
        ClusterResponse::Unknown(failure) => (failure, false),
        ClusterResponse::Unsupported(reasons) => match reasons.first() {
            Some(failure) => (failure, true),
            None => return,
        },
        ClusterResponse::Facts(_) | ClusterResponse::NotYet { .. } => return,
    };
    let key = ObjectKey::Azure(scope.cluster_id());
    // Its tags show whose it is, and nothing else is needed to delete it.
    let is_deletable = scope.options.deletes_unread_cluster()
        && observation.inventory.get(&key).is_some_and(|it| it.ownership.is_ours());
    match is_deletable {
        true => observation.gap_of_cluster_facts(failure.clone()),
        false => observation.cluster_gap(key, failure.clone(), explained),
    }
}

/// AKS upgrades patches by itself and never downgrades. An older minor version in the
/// topology is refused instead.
fn note_newer(facts: &ClusterFacts, scope: &Scope<'_>, observation: &mut Observation) {
    let cluster = &scope.topology.cluster;
    let desired = cluster.kubernetes_version;
    let is_newer = facts.version.is_same_minor(desired) && facts.version.is_newer_than(desired);
    if cluster.existing || !is_newer {
        return;
    }
    let failure = Failure::new(
        Code::LiveVersionSkew,
        format!(
            "the cluster runs Kubernetes {}, and [cluster] kubernetes_version is {desired}: AKS \
             cannot downgrade a cluster",
            facts.version
        ),
        format!(
            "set `kubernetes_version` of [cluster] to \"{}\", or to \"{}.{}\" for any patch",
            facts.version, facts.version.major, facts.version.minor
        ),
    );
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}
