//! Security groups on network interfaces: others attach them, from any resource group.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::Value;

use super::azure::{note_object, ownership};
use super::single::get_printable;
use super::{Observation, Scope, groups};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::resource::{ArmId, Kind, ObjectKey, Resource};

/// The groups on interfaces of the topology that could not be read, with the reason.
pub(super) type UnreadGroups = Vec<(ArmId, Failure)>;

/// Reads each group on an interface of the topology by its ID that the lists lack, and adds it
/// to them: it filters packets wherever its owner keeps it.
pub(super) async fn read_missing(
    clients: &ReadClients,
    scope: &Scope<'_>,
    objects: &mut BTreeMap<Kind, Vec<Value>>,
) -> UnreadGroups {
    let mut missing = attached(scope, objects.get(&Kind::NetworkInterface));
    let listed = objects.entry(Kind::NetworkSecurityGroup).or_default();
    for id in listed.iter().filter_map(codec::id) {
        missing.remove(&id);
    }
    let reads = missing.into_iter().map(|id| async move {
        let response = get_printable(clients, &id).await;
        (id, response)
    });
    let mut unread = Vec::new();
    for (id, response) in join_all(reads).await {
        match response {
            Ok(Some(group)) => listed.push(group),
            Ok(None) => unread.push((id.clone(), unread_group(&id, "Azure has no such group"))),
            Err(error) => unread.push((id.clone(), unread_group(&id, &error.to_string()))),
        }
    }
    unread
}

/// The groups on the interfaces that the topology owns or desires.
fn attached(scope: &Scope<'_>, interfaces: Option<&Vec<Value>>) -> BTreeSet<ArmId> {
    let owner = scope.owner();
    let desired = groups::desired_groups(scope);
    let is_in_desired_group = |value: &Value| {
        let id = codec::id(value);
        let group = id.as_ref().and_then(ArmId::resource_group_name);
        group.is_some_and(|group| desired.contains_key(&group.to_ascii_lowercase()))
    };
    let of_topology = interfaces
        .into_iter()
        .flatten()
        .filter(|value| ownership(value, &owner, scope).is_ours() || is_in_desired_group(value));
    let group =
        |value: &Value| codec::network_interface::decode(value).ok()?.network_security_group;
    of_topology.filter_map(group).collect()
}

fn unread_group(id: &ArmId, reason: &str) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("cannot read the security group {id} on a network interface: {reason}"),
        format!(
            "assign the identity a role on the group that permits \
             `Microsoft.Network/networkSecurityGroups/read`, such as Reader; \
             `az network nsg show --ids {id}` shows whether it can be read"
        ),
    )
}

/// Notes the groups on observed interfaces, and those of them that could not be read.
pub(super) fn note(
    listed: Option<&Vec<Value>>,
    unread: &UnreadGroups,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    for (id, failure) in unread {
        observation.unread(ObjectKey::Azure(id.clone()), Source::Azure, failure.clone());
    }
    let interfaces = observation.inventory.iter().filter_map(|(_, it)| match &it.resource {
        Resource::NetworkInterface(interface) => interface.network_security_group.clone(),
        _ => None,
    });
    let attached: BTreeSet<ArmId> = interfaces.collect();
    let owner = scope.owner();
    for value in listed.into_iter().flatten() {
        let Some(id) = codec::id(value).filter(|id| attached.contains(id)) else { continue };
        if observation.inventory.get(&ObjectKey::Azure(id)).is_none() {
            note_object(value, ownership(value, &owner, scope), observation);
        }
    }
}
