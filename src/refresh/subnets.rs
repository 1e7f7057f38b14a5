//! Subnets of the topology's networks and of AKS, and their associations.

use serde_json::Value;

use super::azure::note_object;
use super::single::unreadable;
use super::{Observation, Scope};
use crate::desired::facts::ClusterFacts;
use crate::desired::names;
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::resource::azure::RouteTableAssociation;
use crate::resource::ownership::SiteName;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership, Pending, Resource, Site};

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// Subnets have no tags: in a network of ours those are ours that stargate names, or that
/// refer to an object of ours; in the AKS network those that refer to one.
pub(super) fn note(
    networks: Option<&Vec<Value>>,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for network in networks.into_iter().flatten() {
        note_of(network, &codec::ownership(network, &owner), cluster, observation);
    }
}

/// Notes the subnets of a network, given its ownership.
pub(super) fn note_of(
    network: &Value,
    ownership: &Ownership,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let leaves = |id| observation.inventory.being_deleted.contains(&ObjectKey::Azure(id));
    if codec::id(network).is_some_and(leaves) {
        return;
    }
    for subnet in list(network, "/properties/subnets") {
        note_one(subnet, ownership, cluster, observation);
    }
}

/// Notes a subnet, given the ownership of its network.
pub(super) fn note_one(
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
        note_other(subnet, id, network, observation);
    } else if cluster.is_none() && observation.destroys {
        note_attached(subnet, &id, observation);
    }
}

/// Notes a subnet of a network that may have been the cluster's, for a destroy that does not
/// know the cluster: the topology's subnet, or the association of a subnet with a table of
/// the topology. The table could not be deleted before.
fn note_attached(subnet: &Value, id: &ArmId, observation: &mut Observation) {
    let Ok((table, group)) = codec::subnet::decode_attachments(subnet) else { return };
    let is_ours = |id: &Option<ArmId>| {
        let object =
            id.as_ref().and_then(|id| observation.inventory.get(&ObjectKey::Azure(id.clone())));
        object.is_some_and(|object| object.ownership.is_ours())
    };
    let ours = Ownership::Ours { site: SiteName::from(&Site::Cluster) };
    if id.name().eq_ignore_ascii_case(names::CLUSTER_ROUTER_SUBNET) {
        if is_ours(&table) || is_ours(&group) {
            note_object(subnet, ours, observation);
        }
    } else if is_ours(&table) {
        let association =
            RouteTableAssociation { subnet: Pending::Known(id.clone()), route_table: table };
        let key = ObjectKey::AzureAssociation(id.clone());
        observation.inventory.note(key, Resource::RouteTableAssociation(association), ours);
    }
}

/// Notes a subnet that is not known to be the topology's, in a network that is.
fn note_other(subnet: &Value, id: ArmId, network: ArmId, observation: &mut Observation) {
    if let Some(failure) = unlisted_reference(attachments(subnet).iter(), observation) {
        observation.unread(ObjectKey::Azure(id), Source::Azure, failure);
        return;
    }
    // It is deleted with its network.
    let contents = &mut observation.inventory.foreign_contents;
    contents.entry(ObjectKey::Azure(network)).or_default().push(id.name().to_owned());
    note_object(subnet, Ownership::Foreign, observation);
}

/// Adds a subnet that was read by ID, after the objects that it refers to. References that
/// are still unreadable are unknown.
pub(super) fn note_by_id(
    subnet: &Value,
    ownership: &Ownership,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    note_one(subnet, ownership, cluster, observation);
    let Some(id) = codec::id(subnet) else { return };
    let of_cluster = cluster.filter(|facts| id.parent().as_ref() == Some(&facts.virtual_network));
    let (Some(facts), Ok((table, group))) = (of_cluster, codec::subnet::decode_attachments(subnet))
    else {
        return;
    };
    let Some(failure) = hidden_attachment(&id, (&table, &group), facts, observation) else {
        return;
    };
    for key in [ObjectKey::Azure(id.clone()), ObjectKey::AzureAssociation(id)] {
        observation.unread(key, Source::Azure, failure.clone());
    }
}

fn is_of_nodes(id: &ArmId, facts: &ClusterFacts) -> bool {
    facts.node_subnets.iter().any(|node_subnet| node_subnet.id == *id)
}

/// Why the owner of a subnet of the cluster's network is unknown. The group of a node
/// subnet does not identify it.
fn hidden_attachment(
    id: &ArmId,
    (table, group): (&Option<ArmId>, &Option<ArmId>),
    facts: &ClusterFacts,
    observation: &Observation,
) -> Option<Failure> {
    let group = group.iter().filter(|_| !is_of_nodes(id, facts));
    unlisted_reference(table.iter().chain(group), observation)
}

/// Why the owner of a subnet is unknown: it refers to an object in a list that could not be
/// read.
fn unlisted_reference<'a>(
    referred: impl Iterator<Item = &'a ArmId>,
    observation: &Observation,
) -> Option<Failure> {
    let mut unlisted = referred.filter_map(|id| {
        let kind = Kind::of_arm_type(&id.resource_type()?)?;
        let key = ObjectKey::Azure(id.clone());
        // An object that was found and cannot be read hides nothing of the subnet.
        let is_known = observation.inventory.get(&key).is_some()
            || observation.inventory.unread_objects(kind).any(|(unread, _)| *unread == key)
            || observation.without_name.contains_key(&key);
        observation.inventory.gap_for(kind, Some(&key)).filter(|_| !is_known)
    });
    unlisted.next().map(|gap| gap.failure.clone())
}

/// The objects that a subnet refers to.
fn attachments(subnet: &Value) -> Vec<ArmId> {
    let references = ["routeTable", "networkSecurityGroup", "natGateway"].iter();
    let ids = references.filter_map(|it| subnet.pointer(&format!("/properties/{it}/id"))?.as_str());
    ids.map(ArmId::new).collect()
}

/// Whether stargate made a subnet in a network of the topology: by its name, or by its
/// references. Others may add subnets to the network.
fn is_made_by_us(id: &ArmId, subnet: &Value, observation: &Observation) -> bool {
    let is_named = |name: &&str| id.name().eq_ignore_ascii_case(name);
    if [names::WORKER_SUBNET, names::ROUTER_SUBNET].iter().any(is_named) {
        return true;
    }
    attachments(subnet).into_iter().any(|id| {
        let object = observation.inventory.get(&ObjectKey::Azure(id));
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
    // It is read again by ID, after the objects that it refers to.
    if hidden_attachment(id, (&table, &group), facts, observation).is_some() {
        return;
    }
    let owner_of = |id: &Option<ArmId>, observation: &Observation| {
        let key = ObjectKey::Azure(id.clone()?);
        // The object on the topology's subnet has one of its addresses.
        let of_earlier_version = observation.without_name.get(&key).cloned();
        let object = observation.inventory.get(&key);
        of_earlier_version.or_else(|| object.map(|object| object.ownership.clone()))
    };
    let ours = Ownership::Ours { site: SiteName::from(&Site::Cluster) };
    let of_table = owner_of(&table, observation);
    let network_group = facts.network_group();
    let workers_table =
        network_group.in_group(Kind::RouteTable.arm_type(), names::WORKERS_ROUTE_TABLE);
    if is_of_nodes(id, facts) {
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
    // The objects that the topology attaches to its subnet are in the group of the VNet.
    let is_elsewhere = |id: &ArmId| !id.is_inside(&network_group);
    let ownership = if is_ours(&of_table) || is_ours(&of_group) {
        ours
    } else if table.iter().chain(&group).any(is_elsewhere) {
        Ownership::Foreign
    } else {
        Ownership::Inherited
    };
    note_object(subnet, ownership, observation);
}

/// Marks as unread the tables and groups of AKS node subnets that cannot be read: packets
/// depend on their routes and rules.
pub(super) fn note_unreadable_attachments(
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
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
