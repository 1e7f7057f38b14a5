//! Resource groups of the topology that may be deleted, and their contents.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::Value;

use super::{Observation, Scope};
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::arm_type::RESOURCES as GROUPS_VERSION;
use crate::resource::{ArmId, Kind, ObjectKey, Owner, Resource};
use crate::topology::model::DatacenterKind;
use crate::topology::names::Location;

/// The contents of each container, or why they are unknown.
pub(super) type Contents = BTreeMap<ArmId, Result<Vec<Value>, RequestError>>;

/// Looks into the resource groups of ours that may have to go.
pub(super) async fn read_contents(
    clients: &ReadClients,
    scope: &Scope<'_>,
    groups: &[Value],
) -> Contents {
    let desired = desired_groups(scope);
    let owner = scope.owner();
    let leaving = groups
        .iter()
        .filter(|group| may_be_ours(group, &owner))
        .filter(|group| scope.options.destroy || !is_retained(group, &desired))
        .filter_map(codec::id);
    let contents = leaving.map(|id| async move {
        let contents = clients.azure.list(&format!("{id}/resources"), GROUPS_VERSION).await;
        (id, contents)
    });
    join_all(contents).await.into_iter().collect()
}

/// Whether an object of a group that AKS does not fill is the topology's: an earlier version
/// may have created it.
fn may_be_ours(value: &Value, owner: &Owner) -> bool {
    codec::ownership(value, owner).is_ours()
        || codec::ownership_without_name(value, owner).is_some()
}

/// Whether a group is desired in its region: a group that is desired elsewhere must be
/// replaced, with its contents.
fn is_retained(group: &Value, desired: &BTreeMap<String, &Location>) -> bool {
    let Some(id) = codec::id(group) else { return true };
    let Some(location) = desired.get(&id.name().to_ascii_lowercase()) else { return false };
    match codec::decode_any(Kind::ResourceGroup.arm_type(), group) {
        Some(Ok(Resource::ResourceGroup(group))) => group.location == location.as_str(),
        _ => true,
    }
}

/// The groups that the topology names, with the region of each.
pub(super) fn desired_groups<'a>(scope: &Scope<'a>) -> BTreeMap<String, &'a Location> {
    let topology = scope.topology;
    let cluster = (&topology.cluster.resource_group, &topology.azure.location);
    let datacenters = topology.datacenters.iter().filter_map(|datacenter| match &datacenter.kind {
        DatacenterKind::Azure(azure) => Some((&azure.resource_group, &azure.location)),
        DatacenterKind::Existing(_) => None,
    });
    std::iter::once(cluster)
        .chain(datacenters)
        .map(|(name, location)| (name.as_str().to_ascii_lowercase(), location))
        .collect()
}

/// The contents of a container. A container with unknown contents must not be deleted.
pub(super) fn known<'a>(
    container: &ArmId,
    contents: &'a Result<Vec<Value>, RequestError>,
    observation: &mut Observation,
) -> Option<&'a Vec<Value>> {
    match contents {
        Ok(contents) => Some(contents),
        Err(error) => {
            let key = ObjectKey::Azure(container.clone());
            observation.unlisted(key, Source::Azure, error.is_refused(), error);
            None
        }
    }
}

/// Adds the foreign objects in the topology's groups: deleting a group would delete them.
pub(super) fn note_foreign_contents(
    contents: &Contents,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for (group, contents) in contents {
        let Some(contents) = known(group, contents, observation) else { continue };
        let foreign: Vec<String> = contents
            .iter()
            .filter(|value| !may_be_ours(value, &owner))
            .filter_map(codec::id)
            // A VM's disk is deleted with its VM and has no mark of its own.
            .filter(|id| {
                !id.resource_type()
                    .is_some_and(|it| it.eq_ignore_ascii_case("Microsoft.Compute/disks"))
            })
            .map(|id| id.name().to_owned())
            .collect();
        if !foreign.is_empty() {
            let key = ObjectKey::Azure(group.clone());
            observation.inventory.foreign_contents.insert(key, foreign);
        }
    }
}
