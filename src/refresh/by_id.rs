//! Reads Azure objects by ID that the desired state contains and no list returned.
//!
//! Lists omit objects that the identity may not read, without an error. Only the response
//! to a read by ID proves that an object is absent.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::Value;

use super::single::get_printable;
use super::{Observation, Scope, azure, subnets};
use crate::desired::{DesiredSet, names};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership};

/// How many objects are read side by side.
const WIDTH: usize = 16;

impl Observation {
    /// Reads objects again once the desired state is known: Azure objects that the lists
    /// lack, and the cluster's objects.
    pub async fn refresh_by_id(
        &mut self,
        clients: &ReadClients,
        scope: &Scope<'_>,
        desired: &DesiredSet,
    ) {
        for key in desired.iter().filter_map(|desired| desired.key.as_ref()) {
            self.mark_undecodable_unread(key);
            self.recognise_without_name(key);
        }
        read(clients, scope, desired, self).await;
        self.refresh_manifests(desired).await;
        self.note_foreign_contents(scope, desired).await;
    }
}

/// Reads missing objects by ID: groups first, then their contents, then subnets. The
/// contents of an absent object are absent.
async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    desired: &DesiredSet,
    observation: &mut Observation,
) {
    let mut absent = absent_with_the_cluster(scope, observation);
    absent.extend(observation.inventory.being_deleted.iter().filter_map(|key| match key {
        ObjectKey::Azure(id) => Some(id.clone()),
        _ => None,
    }));
    for level in [Level::Group, Level::Object, Level::Child] {
        if observation.inventory.gap_at(&Source::Azure).is_some() {
            return;
        }
        let mut missing = missing(desired, observation, level);
        missing.retain(|id, keys| {
            let is_absent = absent.contains(id) || is_in_any(id, &absent);
            if is_absent {
                keys.drain(..).for_each(|key| observation.inventory.note_absent(key));
            }
            !is_absent
        });
        for (id, keys, response) in get_all(clients, missing).await {
            match response {
                Ok(Some(body)) => {
                    note(&body, scope, observation);
                    keys.iter().for_each(|key| observation.recognise_without_name(key));
                    keys.into_iter().for_each(|key| mark_unknown_unread(key, observation));
                }
                Ok(None) => {
                    keys.into_iter().for_each(|key| observation.inventory.note_absent(key));
                    absent.insert(id);
                }
                Err(error) => {
                    keys.into_iter().for_each(|key| observation.unread(key, Source::Azure, &error));
                }
            }
        }
    }
}

/// Marks an object as unread whose response could not be decoded: it exists.
fn mark_unknown_unread(key: ObjectKey, observation: &mut Observation) {
    observation.mark_undecodable_unread(&key);
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = &key else { return };
    let is_subnet_s =
        id.resource_type().is_some_and(|it| Kind::of_arm_type(&it) == Some(Kind::Subnet));
    let inventory = &observation.inventory;
    // The facts that a subnet yields depend on its network.
    let is_known = inventory.get(&key).is_some()
        || inventory.is_unread(&key)
        || inventory.being_deleted.contains(&key);
    if is_subnet_s || is_known {
        return;
    }
    let failure = Failure::new(
        Code::UnexpectedResponse,
        format!("Azure returned no object with the ID {id} for a read by this ID"),
        "run the same command again; `-v` prints the requests",
    );
    observation.unread(key, Source::Azure, failure);
}

async fn get_all(
    clients: &ReadClients,
    missing: BTreeMap<ArmId, Vec<ObjectKey>>,
) -> Vec<(ArmId, Vec<ObjectKey>, Result<Option<Value>, RequestError>)> {
    futures::stream::iter(missing)
        .map(|(id, keys)| async move {
            let response = get_printable(clients, &id).await;
            (id, keys, response)
        })
        .buffered(WIDTH)
        .collect()
        .await
}

/// AKS makes the node resource group with the cluster and deletes it with it.
fn absent_with_the_cluster(scope: &Scope<'_>, observation: &Observation) -> BTreeSet<ArmId> {
    let cluster = &scope.topology.cluster;
    let may_exist =
        observation.facts.cluster.is_some() || observation.inventory.cluster_gap().is_some();
    if cluster.existing || may_exist {
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
            Kind::Subnet | Kind::RouteTableAssociation | Kind::NodePool | Kind::Route => {
                Self::Child
            }
            _ => Self::Object,
        }
    }
}

/// Azure objects that are neither known nor hidden by more than the list of their kind:
/// each by its ID, with the keys that identify it.
fn missing(
    desired: &DesiredSet,
    observation: &Observation,
    level: Level,
) -> BTreeMap<ArmId, Vec<ObjectKey>> {
    let inventory = &observation.inventory;
    let mut found: BTreeMap<ArmId, Vec<ObjectKey>> = BTreeMap::new();
    for desired in desired.iter().filter(|it| Level::of(it.address.kind) == level) {
        let Some(key) = &desired.key else { continue };
        let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = key else { continue };
        let kind = desired.address.kind;
        let gap = inventory.gap_for(kind, Some(key));
        let is_hidden = gap.is_some_and(|gap| Some(gap) != inventory.kind_gap(kind));
        // A table that was read has all its routes.
        let is_answered = kind == Kind::Route
            && id.parent().is_some_and(|table| inventory.get(&ObjectKey::Azure(table)).is_some());
        if inventory.get(key).is_none() && !is_hidden && !is_answered {
            found.entry(id.clone()).or_default().push(key.clone());
        }
    }
    found
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
        subnets::note_by_id(body, &ownership, cluster.as_ref(), observation);
        return;
    }
    let ownership = azure::ownership(body, &owner, scope);
    azure::note_without_name(body, scope, observation);
    azure::note_object(body, ownership.clone(), observation);
    match kind {
        Some(Kind::NetworkInterface) => azure::note_held_address(body, scope, observation),
        Some(Kind::VirtualNetwork) => {
            let cluster = observation.facts.cluster.clone();
            subnets::note_of(body, &ownership, cluster.as_ref(), observation);
        }
        _ => {}
    }
}
