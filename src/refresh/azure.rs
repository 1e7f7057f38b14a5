//! Azure, by one list a type over the whole subscription: the number of
//! requests does not grow with the number of datacenters.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::oneshot;

use super::cluster_facts::{self, ClusterResponse};
use super::single::unreadable;
use super::{
    Observation, Scope, egress, groups, interface_groups, network_group, node_group, node_pools,
    offered_versions, provisioning, route_tables, subnets,
};
use crate::desired::OfferedVersions;
use crate::desired::facts::{ClusterFacts, NodeSubnet};
use crate::desired::names;
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::arm_type::RESOURCES as GROUPS_VERSION;
use crate::resource::{Address, ArmId, ArmType, Kind, ObjectKey, Owner, Ownership, Resource, Site};
use crate::topology::names::Location;

/// The kinds that are listed, each with its collection below the subscription.
pub(super) fn listed() -> impl Iterator<Item = (Kind, &'static ArmType)> {
    let kinds = Kind::ALL.iter().filter_map(|kind| Some((*kind, kind.arm()?)));
    kinds.filter(|(_, arm)| arm.is_listed)
}

/// How long a machine may take from its creation until it is in the tailnet:
/// cloud-init installs Tailscale first.
const BOOT_TIMEOUT: SignedDuration = SignedDuration::from_mins(10);

/// The responses of Azure.
pub(super) struct AzureResponses {
    objects: BTreeMap<Kind, Vec<Value>>,
    /// The kinds that could not be listed.
    unlisted: BTreeMap<Kind, RequestError>,
    contents: groups::Contents,
    /// The contents of the node resource groups of clusters that may be deleted, by
    /// cluster.
    node_groups: groups::Contents,
    /// The facts from the cluster's object and its network, or why they are unknown.
    cluster: ClusterResponse,
    /// The tables on subnets of AKS nodes that could not be read.
    unread_tables: route_tables::UnreadTables,
    /// The security groups on the topology's interfaces that could not be read.
    unread_groups: interface_groups::UnreadGroups,
    /// The versions on offer, if the cluster is created or upgraded.
    offered_versions: Result<Option<OfferedVersions>, RequestError>,
}

/// Reads all lists side by side. A list that cannot be read hides the objects of its kind
/// and no others. The cluster's object is handed over as soon as it is listed.
///
/// # Errors
///
/// No list could be read.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    cluster: oneshot::Sender<Value>,
) -> Result<AzureResponses, RequestError> {
    let lists = lists(clients, scope, cluster).await;
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
    let of_network = network_group::lists(clients, scope, &cluster).await;
    for (kind, list) in of_network {
        match list {
            Ok(list) => network_group::add(objects.entry(kind).or_default(), list),
            Err(error) => drop(unlisted.insert(kind, error)),
        }
    }
    let unread_tables = route_tables::read_missing(clients, scope, &cluster, &mut objects).await;
    let unread_groups = interface_groups::read_missing(clients, scope, &mut objects).await;
    let node_groups = node_group::read_contents(clients, scope, &objects).await;
    let offered_versions = offered_versions::read(clients, &cluster, scope).await;
    Ok(AzureResponses {
        objects,
        unlisted,
        contents,
        node_groups,
        cluster,
        unread_tables,
        unread_groups,
        offered_versions,
    })
}

async fn lists(
    clients: &ReadClients,
    scope: &Scope<'_>,
    cluster: oneshot::Sender<Value>,
) -> Vec<(Kind, Result<Vec<Value>, RequestError>)> {
    let subscription = format!("/subscriptions/{}", scope.subscription);
    let groups = (Kind::ResourceGroup, format!("{subscription}/resourcegroups"), GROUPS_VERSION);
    let others = listed().map(|(kind, arm)| {
        (kind, format!("{subscription}/providers/{}", arm.name), arm.api_version)
    });
    let mut cluster = Some(cluster);
    let lists = std::iter::once(groups).chain(others).map(|(kind, path, version)| {
        let cluster = cluster.take_if(|_| kind == Kind::ManagedCluster);
        async move {
            let list = clients.azure.list(&path, version).await;
            if let (Some(cluster), Ok(list)) = (cluster, &list) {
                hand_over(scope, list, cluster);
            }
            (kind, list)
        }
    });
    join_all(lists).await
}

/// Hands the cluster's object over, if it is listed.
fn hand_over(scope: &Scope<'_>, clusters: &[Value], receiver: oneshot::Sender<Value>) {
    let id = scope.cluster_id();
    let listed = clusters.iter().find(|value| codec::id(value).as_ref() == Some(&id));
    if let Some(cluster) = listed {
        // The receiver is dropped only if the refresh has ended.
        drop(receiver.send(cluster.clone()));
    }
}

/// Adds objects to the inventory that the topology owns, or that have the ID of a desired
/// object.
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
    let tables = responses.objects.get(&Kind::RouteTable);
    let groups = responses.objects.get(&Kind::NetworkSecurityGroup);
    interface_groups::note(groups, &responses.unread_groups, scope, observation);
    route_tables::note_unread(&responses.unread_tables, observation);
    route_tables::note_routes(tables, scope, cluster.as_ref(), observation);
    if let Some(facts) = &mut cluster {
        route_tables::keep_foreign(facts, observation);
    }
    subnets::note(
        responses.objects.get(&Kind::VirtualNetwork),
        scope,
        cluster.as_ref(),
        observation,
    );
    note_held(&responses, scope, observation);
    egress::note(responses.objects.get(&Kind::PublicIpAddress), scope, observation);
    groups::note_foreign_contents(&responses.contents, scope, observation);
    node_group::note_foreign_contents(&responses.node_groups, scope, observation);
    subnets::note_unreadable_attachments(cluster.as_ref(), observation);
    observation.facts.cluster = cluster;
    cluster_facts::note_unknown(&responses.cluster, scope, observation);
    offered_versions::note(responses.offered_versions, scope, observation);
}

fn note_objects(
    responses: &AzureResponses,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    let groups = groups::desired_groups(scope);
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
    desired_groups: &BTreeMap<String, &Location>,
    cluster: Option<&ClusterFacts>,
) -> bool {
    let Some(id) = codec::id(value) else { return false };
    let group = id.resource_group_name().unwrap_or_default().to_ascii_lowercase();
    let in_node_group =
        cluster.is_some_and(|facts| facts.node_resource_group.eq_ignore_ascii_case(&group));
    let at_network = cluster.is_some_and(|facts| id.is_inside(&facts.network_group()));
    let on_nodes = cluster.is_some_and(|facts| {
        let attached = |subnet: &NodeSubnet| {
            [&subnet.security_group, &subnet.foreign_route_table].contains(&&Some(id.clone()))
        };
        facts.node_subnets.iter().any(attached)
    });
    ownership.is_ours()
        || in_node_group
        || at_network
        || on_nodes
        || desired_groups.contains_key(&group)
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
        Some(Ok(resource)) if is_being_deleted(value, &id, &resource, &ownership, observation) => {
            provisioning::report_leaving(&id, resource.kind(), &ownership, observation);
            observation.inventory.being_deleted.insert(ObjectKey::Azure(id));
        }
        Some(Ok(resource)) => {
            if let Some(site) = ownership.site() {
                let address = Address::new(resource.kind(), Site::from(site), id.name());
                provisioning::report(value, &id, address, observation);
            }
            observation.inventory.note(ObjectKey::Azure(id), resource, ownership);
        }
        // An unreadable object must not look absent. A foreign one matters only if it has
        // the ID of an owned or desired object.
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

/// Whether an object of the topology is being deleted, by itself or with its resource
/// group. A destroy waits for it. An object that reports its own progress is compared
/// instead.
fn is_being_deleted(
    value: &Value,
    id: &ArmId,
    resource: &Resource,
    ownership: &Ownership,
    observation: &Observation,
) -> bool {
    if observation.destroys || !ownership.is_ours() {
        return false;
    }
    let state = value.pointer("/properties/provisioningState").and_then(Value::as_str);
    let being_deleted = &observation.inventory.being_deleted;
    let with_group = being_deleted.iter().any(|key| match key {
        ObjectKey::Azure(group) => group.resource_type().is_none() && id.is_inside(group),
        _ => false,
    });
    let is_compared = matches!(
        resource,
        Resource::ManagedCluster(_) | Resource::NodePool(_) | Resource::VirtualMachine(_)
    );
    with_group || (state == Some("Deleting") && !is_compared)
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
