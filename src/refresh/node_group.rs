//! Foreign objects in the node resource group of a cluster that may be deleted: AKS deletes
//! the group, with all its contents, with the cluster.

use std::collections::BTreeMap;

use serde_json::Value;

use super::groups::{self, Contents};
use super::{Observation, Scope};
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::resource::arm_type::RESOURCES as GROUPS_VERSION;
use crate::resource::ownership::TOPOLOGY_TAG;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership};

/// Tags of objects that AKS and the cluster's controllers create (*Use Azure tags in AKS*;
/// cloud-provider-azure, *Tagging resources managed by cloud provider*).
const TAGS_OF_AKS: [&str; 4] = ["aks-managed", "k8s-azure", "kubernetes.io", TOPOLOGY_TAG];
/// The first characters of names that AKS and its controllers choose: scale sets and
/// networks, load balancers, volumes.
const NAMES_OF_AKS: [&str; 3] = ["aks-", "kubernetes", "pvc-"];

/// The objects in the node resource group of each cluster of ours that may have to go,
/// by the cluster.
pub(super) async fn read_contents(
    clients: &ReadClients,
    scope: &Scope<'_>,
    objects: &BTreeMap<Kind, Vec<Value>>,
) -> Contents {
    let mut contents = BTreeMap::new();
    for cluster in objects.get(&Kind::ManagedCluster).into_iter().flatten() {
        let Some(id) = codec::id(cluster) else { continue };
        let group = cluster.pointer("/properties/nodeResourceGroup").and_then(Value::as_str);
        let (Some(group), Some(subscription)) = (group, id.subscription()) else { continue };
        if !may_be_deleted(cluster, &id, scope) {
            continue;
        }
        let path = format!("{}/resources", ArmId::resource_group(subscription, group));
        match clients.azure.list(&path, GROUPS_VERSION).await {
            // It is created with the cluster.
            Err(error) if error.is_not_found() => {}
            objects => drop(contents.insert(id, objects)),
        }
    }
    contents
}

/// Whether a cluster of ours may be deleted or replaced by the plan.
fn may_be_deleted(cluster: &Value, id: &ArmId, scope: &Scope<'_>) -> bool {
    let ownership = super::azure::ownership(cluster, &scope.owner(), scope);
    let options = &scope.options;
    let is_requested = options.destroy || !options.replace.is_empty();
    ownership.is_ours() && (is_requested || *id != scope.cluster_id())
}

/// Adds the objects that neither AKS nor the topology created there.
pub(super) fn note_foreign_contents(
    contents: &Contents,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for (cluster, contents) in contents {
        let Some(contents) = groups::known(cluster, contents, observation) else { continue };
        let foreign: Vec<String> = contents
            .iter()
            .filter_map(|value| {
                let id = codec::id(value)?;
                let is_foreign = match codec::ownership(value, &owner) {
                    Ownership::OtherTopology { .. } => true,
                    ownership => ownership.is_foreign() && !is_of_aks(value, &id, cluster),
                };
                let group = id.resource_group_name().unwrap_or_default();
                is_foreign.then(|| format!("{group}/{}", id.name()))
            })
            .collect();
        if !foreign.is_empty() {
            let key = ObjectKey::Azure(cluster.clone());
            observation.inventory.foreign_contents.insert(key, foreign);
        }
    }
}

/// Whether AKS, a controller of the cluster, or a machine in the group created it.
fn is_of_aks(value: &Value, id: &ArmId, cluster: &ArmId) -> bool {
    let is_marked = value.get("tags").and_then(Value::as_object).is_some_and(|tags| {
        let lowercase = tags.keys().map(|tag| tag.to_ascii_lowercase());
        lowercase.into_iter().any(|tag| TAGS_OF_AKS.iter().any(|one| tag.starts_with(one)))
    });
    let name = id.name().to_ascii_lowercase();
    // A disk is deleted with the machine that it is attached to.
    let is_attached = value.get("managedBy").is_some_and(|machine| !machine.is_null());
    is_marked
        || is_attached
        || NAMES_OF_AKS.iter().any(|start| name.starts_with(start))
        || name == format!("{}-agentpool", cluster.name().to_ascii_lowercase())
}
