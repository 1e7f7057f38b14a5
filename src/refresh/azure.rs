//! Azure, by one list a type over the whole subscription: the number of
//! requests does not grow with the number of datacenters.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::cluster_facts::{self, ClusterResponse};
use super::single::unreadable;
use super::{Observation, Scope, groups, node_group, node_pools, provisioning};
use crate::desired::facts::ClusterFacts;
use crate::desired::names;
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::arm_type::RESOURCES as GROUPS_VERSION;
use crate::resource::azure::RouteTableAssociation;
use crate::resource::ownership::SiteName;
use crate::resource::version::KubernetesVersion;
use crate::resource::{
    Address, ArmId, ArmType, Kind, ObjectKey, Owner, Ownership, Pending, Resource, Site,
};
use crate::topology::names::Location;

/// The kinds that are listed, each with its collection below the subscription.
fn listed() -> impl Iterator<Item = (Kind, &'static ArmType)> {
    let kinds = Kind::ALL.iter().filter_map(|kind| Some((*kind, kind.arm()?)));
    kinds.filter(|(_, arm)| arm.is_listed)
}

/// How long a machine may take from its creation until it is in the tailnet:
/// cloud-init installs Tailscale first.
const BOOT_TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

/// What Azure answered.
pub(super) struct AzureResponses {
    objects: BTreeMap<Kind, Vec<Value>>,
    /// The kinds that could not be listed.
    unlisted: BTreeMap<Kind, RequestError>,
    contents: groups::Contents,
    /// What is in the node resource groups of clusters that may have to go, by cluster.
    node_groups: groups::Contents,
    /// What the cluster's object and its network say, or why they do not.
    cluster: ClusterResponse,
    /// The patch that a pending upgrade to a minor version leads to.
    offered_version: Result<Option<KubernetesVersion>, RequestError>,
}

/// Reads all lists side by side. A list that cannot be read hides the objects of its kind
/// and no others.
///
/// # Errors
///
/// No list could be read.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
) -> Result<AzureResponses, RequestError> {
    let lists = lists(clients, scope).await;
    let mut objects = BTreeMap::new();
    let mut unlisted = BTreeMap::new();
    for (kind, list) in lists {
        match list {
            Ok(list) => drop(objects.insert(kind, list)),
            Err(error) => drop(unlisted.insert(kind, error)),
        }
    }
    if objects.is_empty()
        && let Some((_, error)) = unlisted.pop_first()
    {
        return Err(error);
    }
    let groups = objects.get(&Kind::ResourceGroup).map(Vec::as_slice).unwrap_or_default();
    let contents = groups::read_contents(clients, scope, groups).await;
    let cluster = cluster_facts::read(clients, scope, &mut objects).await;
    let node_groups = node_group::read_contents(clients, scope, &objects).await;
    let offered_version = match &cluster {
        ClusterResponse::Facts(facts) => {
            node_pools::offered_version(clients, facts.version, scope).await
        }
        _ => Ok(None),
    };
    Ok(AzureResponses { objects, unlisted, contents, node_groups, cluster, offered_version })
}

async fn lists(
    clients: &ReadClients,
    scope: &Scope<'_>,
) -> Vec<(Kind, Result<Vec<Value>, RequestError>)> {
    let subscription = format!("/subscriptions/{}", scope.subscription);
    let groups = (Kind::ResourceGroup, format!("{subscription}/resourcegroups"), GROUPS_VERSION);
    let others = listed().map(|(kind, arm)| {
        (kind, format!("{subscription}/providers/{}", arm.name), arm.api_version)
    });
    let lists = std::iter::once(groups).chain(others).map(|(kind, path, version)| async move {
        (kind, clients.azure.list(&path, version).await)
    });
    join_all(lists).await
}

/// Notes what is ours or stands where something of ours should.
pub(super) fn note(
    responses: Result<AzureResponses, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let responses = match responses {
        Ok(responses) => responses,
        Err(error) => {
            observation.gap(Source::Azure, error);
            return;
        }
    };
    for (kind, error) in &responses.unlisted {
        observation.kind_gap(*kind, Source::Azure, error);
    }
    let mut cluster = cluster_facts::note(&responses.cluster, scope, observation);
    note_objects(&responses, scope, cluster.as_ref(), observation);
    let clusters = responses.objects.get(&Kind::ManagedCluster).into_iter().flatten();
    for value in clusters.filter(|value| codec::id(value) == Some(scope.cluster_id())) {
        node_pools::note(value, scope, observation);
        if let Some(facts) = &mut cluster {
            facts.node_pools = node_pools::live(value, scope);
        }
    }
    note_subnets(&responses, scope, cluster.as_ref(), observation);
    note_held(&responses, scope, observation);
    groups::note_foreign_contents(&responses.contents, scope, observation);
    node_group::note_foreign_contents(&responses.node_groups, scope, observation);
    note_unreadable_attachments(cluster.as_ref(), observation);
    observation.facts.cluster = cluster;
    node_pools::note_offered_version(responses.offered_version, scope, observation);
}

fn note_objects(
    responses: &AzureResponses,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    let groups = groups::wanted(scope);
    for (kind, values) in &responses.objects {
        for value in values {
            let ownership = ownership(value, &owner, scope);
            if *kind == Kind::ResourceGroup || is_relevant(value, &ownership, &groups, cluster) {
                note_without_name(value, scope, observation);
                note_object(value, ownership, observation);
            }
        }
    }
}

/// The ownership of an object. A cluster with `existing = true` and its resource
/// group are foreign regardless of their tags, so that they are never deleted.
pub(super) fn ownership(value: &Value, owner: &Owner, scope: &Scope<'_>) -> Ownership {
    let cluster = scope.cluster_id();
    let is_cluster_s = |id: ArmId| {
        id == cluster
            || id.is_inside(&cluster)
            || cluster.parent().and_then(|it| it.parent()).is_some_and(|it| it == id)
    };
    if scope.topology.cluster.existing && codec::id(value).is_some_and(is_cluster_s) {
        return Ownership::Foreign;
    }
    codec::ownership(value, owner)
}

/// Notes the tags of an object that an earlier version may have created. An existing
/// cluster and its resource group never count as the topology's.
pub(super) fn note_without_name(value: &Value, scope: &Scope<'_>, observation: &mut Observation) {
    if let Some(id) = codec::id(value)
        && let Some(ownership) = codec::ownership_without_name(value, &scope.owner())
    {
        observation.without_name.insert(ObjectKey::Azure(id), ownership);
    }
}

fn is_relevant(
    value: &Value,
    ownership: &Ownership,
    wanted_groups: &BTreeMap<String, &Location>,
    cluster: Option<&ClusterFacts>,
) -> bool {
    let Some(id) = codec::id(value) else { return false };
    let group = id.resource_group_name().unwrap_or_default().to_ascii_lowercase();
    let in_node_group =
        cluster.is_some_and(|facts| facts.node_resource_group.eq_ignore_ascii_case(&group));
    let on_nodes = cluster.is_some_and(|facts| {
        facts.node_subnets.iter().any(|subnet| subnet.security_group.as_ref() == Some(&id))
    });
    ownership.is_ours() || in_node_group || on_nodes || wanted_groups.contains_key(&group)
}

pub(super) fn note_object(value: &Value, ownership: Ownership, observation: &mut Observation) {
    let Some(id) = codec::id(value) else { return };
    let made = value.pointer("/properties/timeCreated").and_then(Value::as_str);
    let made = made.and_then(|time| time.parse().ok());
    if made.is_some_and(|made: Timestamp| observation.time.duration_since(made) < BOOT_TIMEOUT) {
        observation.inventory.recently_created.insert(ObjectKey::Azure(id.clone()));
    }
    let resource_type =
        id.resource_type().unwrap_or_else(|| Kind::ResourceGroup.arm_type().to_owned());
    match codec::decode_any(&resource_type, value) {
        Some(Ok(resource)) => {
            if let Some(site) = ownership.site() {
                let address = Address::new(resource.kind(), Site::from(site), id.name());
                provisioning::report(value, &id, address, observation);
            }
            observation.inventory.note(ObjectKey::Azure(id), resource, ownership);
        }
        // An object that cannot be read must not look absent. One that is not ours
        // matters only if something of ours stands or should stand there.
        Some(Err(error)) if ownership.is_foreign() => {
            observation.undecodable.insert(ObjectKey::Azure(id.clone()), unreadable(&id, &error));
        }
        Some(Err(error)) => {
            let failure = unreadable(&id, &error);
            observation.unread(ObjectKey::Azure(id), Source::Azure, failure);
        }
        None => {}
    }
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Subnets have no tags: in a network of ours those are ours that stargate names, or that
/// refer to an object of ours; in the AKS network those that refer to one.
fn note_subnets(
    responses: &AzureResponses,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for network in responses.objects.get(&Kind::VirtualNetwork).into_iter().flatten() {
        note_subnets_of(network, &codec::ownership(network, &owner), cluster, observation);
    }
}

/// Notes the subnets of a network, given its ownership.
pub(super) fn note_subnets_of(
    network: &Value,
    ownership: &Ownership,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    for subnet in list(network, "/properties/subnets") {
        note_subnet(subnet, ownership, cluster, observation);
    }
}

/// Notes a subnet, given the ownership of its network.
pub(super) fn note_subnet(
    subnet: &Value,
    ownership: &Ownership,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let Some(id) = codec::id(subnet) else { return };
    let network = id.parent();
    let of_cluster = cluster.filter(|facts| network.as_ref() == Some(&facts.virtual_network));
    if let Some(facts) = of_cluster {
        match codec::subnet::decode_attachments(subnet) {
            Ok(attached) => note_cluster_subnet(&id, subnet, attached, facts, observation),
            Err(error) => {
                let failure = unreadable(&id, &error);
                for key in [ObjectKey::Azure(id.clone()), ObjectKey::AzureAssociation(id)] {
                    observation.unread(key, Source::Azure, failure.clone());
                }
            }
        }
    } else if ownership.is_ours() && is_made_by_us(&id, subnet, observation) {
        note_object(subnet, ownership.clone(), observation);
    } else if let Some(network) = network.filter(|_| ownership.is_ours()) {
        // It goes with the network that it is in.
        let contents = &mut observation.inventory.foreign_contents;
        contents.entry(ObjectKey::Azure(network)).or_default().push(id.name().to_owned());
        note_object(subnet, Ownership::Foreign, observation);
    }
}

/// Whether stargate made a subnet in a network of ours: by its name, or by what it refers
/// to. Others may add subnets to the network.
fn is_made_by_us(id: &ArmId, subnet: &Value, observation: &Observation) -> bool {
    let is_named = |name: &&str| id.name().eq_ignore_ascii_case(name);
    if [names::WORKER_SUBNET, names::ROUTER_SUBNET].iter().any(is_named) {
        return true;
    }
    ["routeTable", "networkSecurityGroup", "natGateway"].iter().any(|reference| {
        let referred = subnet.pointer(&format!("/properties/{reference}/id"));
        let key = referred.and_then(Value::as_str).map(|id| ObjectKey::Azure(ArmId::new(id)));
        let object = key.and_then(|key| observation.inventory.get(&key));
        object.is_some_and(|object| object.ownership.is_ours())
    })
}

fn note_cluster_subnet(
    id: &ArmId,
    subnet: &Value,
    (table, group): (Option<ArmId>, Option<ArmId>),
    facts: &ClusterFacts,
    observation: &mut Observation,
) {
    let owner_of = |id: &Option<ArmId>, observation: &Observation| {
        let key = ObjectKey::Azure(id.clone()?);
        observation.inventory.get(&key).map(|object| object.ownership.clone())
    };
    let ours = Ownership::Ours { site: SiteName::from(&Site::Cluster) };
    let of_table = owner_of(&table, observation);
    let node_group =
        ArmId::resource_group(observation.facts.subscription.as_str(), &facts.node_resource_group);
    let workers_table =
        node_group.in_group(Kind::RouteTable.arm_type(), names::WORKERS_ROUTE_TABLE);
    if facts.node_subnets.iter().any(|node_subnet| node_subnet.id == *id) {
        let ownership = match (&table, of_table) {
            (None, _) => Ownership::Inherited,
            (Some(_), Some(ownership)) if ownership.is_ours() => ours,
            (Some(table), _) if *table == workers_table => Ownership::Inherited,
            (Some(_), _) => Ownership::Foreign,
        };
        let association =
            RouteTableAssociation { subnet: Pending::Known(id.clone()), route_table: table };
        observation.inventory.note(
            ObjectKey::AzureAssociation(id.clone()),
            Resource::RouteTableAssociation(association),
            ownership,
        );
        return;
    }
    if !id.name().eq_ignore_ascii_case(names::CLUSTER_ROUTER_SUBNET) {
        return;
    }
    let of_group = owner_of(&group, observation);
    let is_ours =
        |ownership: &Option<Ownership>| ownership.as_ref().is_some_and(Ownership::is_ours);
    // What the topology attaches to its subnet is in the node resource group.
    let is_elsewhere = |id: &ArmId| !id.is_inside(&node_group);
    let ownership = if is_ours(&of_table) || is_ours(&of_group) {
        ours
    } else if table.iter().chain(&group).any(is_elsewhere) {
        Ownership::Foreign
    } else {
        Ownership::Inherited
    };
    note_object(subnet, ownership, observation);
}

/// What a subnet of AKS nodes refers to, and cannot be read, is unknown: packets
/// go by its routes and rules.
fn note_unreadable_attachments(cluster: Option<&ClusterFacts>, observation: &mut Observation) {
    for subnet in cluster.into_iter().flat_map(|facts| &facts.node_subnets) {
        let key = ObjectKey::AzureAssociation(subnet.id.clone());
        let table = match observation.inventory.get(&key).map(|it| &it.resource) {
            Some(Resource::RouteTableAssociation(association)) => association.route_table.clone(),
            _ => None,
        };
        for id in subnet.security_group.iter().cloned().chain(table) {
            observation.mark_undecodable_unread(&ObjectKey::Azure(id));
        }
    }
}

/// A worker keeps the address that its interface holds.
fn note_held(responses: &AzureResponses, scope: &Scope<'_>, observation: &mut Observation) {
    for interface in responses.objects.get(&Kind::NetworkInterface).into_iter().flatten() {
        note_held_address(interface, scope, observation);
    }
}

/// Notes the address of an interface as its worker's.
pub(super) fn note_held_address(
    interface: &Value,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let Some(id) = codec::id(interface) else { return };
    let name = id.name().to_ascii_lowercase();
    let Some(worker) = names::machine_of(&name).and_then(|name| scope.worker_names.get(name))
    else {
        return;
    };
    let owner = scope.owner();
    // The name is that of a worker's interface: an earlier version may have created it.
    let is_ours = codec::ownership(interface, &owner).is_ours()
        || codec::ownership_without_name(interface, &owner).is_some();
    if is_ours && let Ok(decoded) = codec::network_interface::decode(interface) {
        observation.assigned(worker).ip = Some(decoded.private_ip);
    }
}
