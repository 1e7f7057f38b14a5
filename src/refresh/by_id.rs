//! Objects of Azure that the desired state names and no list had.
//!
//! Lists leave out what the identity may not read, without an error. Only the
//! answer to a read by id says that an object is absent.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use serde_json::Value;

use super::{Observation, Scope, azure};
use crate::desired::{DesiredSet, names};
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership};

/// How many objects are read side by side.
const WIDTH: usize = 16;

impl Observation {
    /// Looks again, now that it is known what is wanted: at objects of Azure that the
    /// lists lack, and at the cluster's objects.
    pub async fn refresh_by_id(
        &mut self,
        clients: &ReadClients,
        scope: &Scope<'_>,
        desired: &DesiredSet,
    ) {
        for desired in desired.iter() {
            desired.key.iter().for_each(|key| self.mark_undecodable_unread(key));
        }
        read(clients, scope, desired, self).await;
        self.refresh_manifests(desired).await;
        self.note_foreign_contents(scope, desired).await;
    }
}

/// Reads what is missing by its id: groups first, then what is in them, then
/// subnets. What is in an absent object is absent.
async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    desired: &DesiredSet,
    observation: &mut Observation,
) {
    let mut absent = absent_with_the_cluster(scope, observation);
    for level in [Level::Group, Level::Object, Level::Child] {
        if observation.inventory.gap_at(&Source::Azure).is_some() {
            return;
        }
        let missing = missing(desired, observation, level);
        let missing = missing.into_iter().filter(|id| !is_in_any(id, &absent));
        let responses: Vec<(ArmId, Result<Option<Value>, RequestError>)> =
            futures::stream::iter(missing)
                .map(|id| async move {
                    let response = clients.azure.get(&id).await;
                    (id, response)
                })
                .buffered(WIDTH)
                .collect()
                .await;
        for (id, response) in responses {
            match response {
                Ok(Some(body)) => note(&body, scope, observation),
                Ok(None) => {
                    absent.insert(id);
                }
                Err(error) => observation.gap(Source::Azure, error),
            }
        }
    }
}

/// AKS makes the node resource group with the cluster and deletes it with it.
fn absent_with_the_cluster(scope: &Scope<'_>, observation: &Observation) -> BTreeSet<ArmId> {
    let cluster = &scope.topology.cluster;
    if cluster.existing || observation.facts.cluster.is_some() {
        return BTreeSet::new();
    }
    let name = names::node_resource_group(cluster, scope.topology.azure.location.as_str());
    BTreeSet::from([ArmId::resource_group(scope.subscription.as_str(), &name)])
}

fn is_in_any(id: &ArmId, absent: &BTreeSet<ArmId>) -> bool {
    let group = id.resource_group_name().and_then(|name| {
        let subscription = id.subscription()?;
        Some(ArmId::resource_group(subscription, name))
    });
    let parent = id.parent();
    [group, parent].iter().flatten().any(|container| absent.contains(container))
}

/// How deep an object stands: its containers are read before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Group,
    Object,
    Child,
}

impl Level {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::ResourceGroup => Self::Group,
            Kind::Subnet | Kind::RouteTableAssociation | Kind::NodePool => Self::Child,
            _ => Self::Object,
        }
    }
}

fn missing(desired: &DesiredSet, observation: &Observation, level: Level) -> BTreeSet<ArmId> {
    desired
        .iter()
        .filter(|desired| Level::of(desired.address.kind) == level)
        .filter_map(|desired| {
            let key = desired.key.as_ref()?;
            let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = key else {
                return None;
            };
            let inventory = &observation.inventory;
            let is_known = inventory.get(key).is_some()
                || inventory.gap_for(desired.address.kind, Some(key)).is_some();
            (!is_known).then(|| id.clone())
        })
        .collect()
}

fn note(body: &Value, scope: &Scope<'_>, observation: &mut Observation) {
    let Some(id) = codec::id(body) else { return };
    let owner = scope.owner();
    let kind = id.resource_type().and_then(|name| Kind::of_arm_type(&name));
    if kind == Some(Kind::Subnet) {
        let cluster = observation.facts.cluster.clone();
        let network = id.parent().map(ObjectKey::Azure);
        let of_network = network.and_then(|key| observation.inventory.get(&key));
        let ownership =
            of_network.map_or(Ownership::Inherited, |observed| observed.ownership.clone());
        azure::note_subnet(body, &ownership, cluster.as_ref(), observation);
        return;
    }
    azure::note_object(body, azure::ownership(body, &owner, scope), observation);
    if kind == Some(Kind::NetworkInterface) {
        azure::note_held_address(body, scope, observation);
    }
}
