//! The node pools of the topology's cluster, from the cluster's body.

use std::collections::BTreeMap;

use serde_json::Value;

use super::single::get_printable;
use super::{Observation, Scope, azure};
use crate::desired::facts::LivePool;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::azure::codec::{self, node_pool};
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::version::KubernetesVersion;
use crate::resource::{Address, ArmId, Kind, Site};

/// How many pools a message names.
const MAX_NAMED: usize = 5;

/// The pools that the cluster's body lists, as their own URLs answer them.
fn bodies(cluster: &Value) -> Vec<Value> {
    let Some(id) = codec::id(cluster) else { return Vec::new() };
    let profiles = cluster.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    let profiles = profiles.into_iter().flatten();
    profiles.filter_map(|profile| node_pool::from_profile(&id, profile)).collect()
}

/// The pools as facts, by their names.
pub(super) fn live(cluster: &Value, scope: &Scope<'_>) -> BTreeMap<String, LivePool> {
    let fact = |body: &Value| {
        let ownership = azure::ownership(body, &scope.owner(), scope);
        let pool = LivePool { is_ours: ownership.is_ours(), value: node_pool::decode(body).ok() };
        Some((codec::id(body)?.name().to_owned(), pool))
    };
    bodies(cluster).iter().filter_map(fact).collect()
}

/// Notes the pools as objects, and reports those of others.
pub(super) fn note(cluster: &Value, scope: &Scope<'_>, observation: &mut Observation) {
    let mut foreign = Vec::new();
    for body in bodies(cluster) {
        let ownership = azure::ownership(&body, &scope.owner(), scope);
        // The plan blocks a pool that the topology describes and does not own.
        let is_described =
            |name: &str| scope.topology.cluster.node_pools.keys().any(|it| it.as_str() == name);
        if ownership.is_foreign() && !codec::id(&body).is_some_and(|id| is_described(id.name())) {
            foreign.extend(codec::id(&body).map(|id| id.name().to_owned()));
        }
        azure::note_object(&body, ownership, observation);
    }
    if !scope.topology.cluster.existing && !foreign.is_empty() {
        observation.findings.push(foreign_pools(scope, &foreign));
    }
}

fn foreign_pools(scope: &Scope<'_>, names: &[String]) -> Finding {
    let listed = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let cluster = scope.topology.cluster.name.as_str();
    // A name that AKS would refuse is not part of a command to copy.
    let is_legal = |name: &&String| name.chars().all(|one| one.is_ascii_alphanumeric());
    let example = names.iter().find(is_legal).map_or("NAME", String::as_str);
    let address = Address::new(Kind::NodePool, Site::Cluster, example);
    let (effect, remedy) = match scope.options.destroy {
        true => (
            "they are deleted with the cluster",
            "ask their owners to move what runs on them first".to_owned(),
        ),
        false => (
            "they are not changed, and their nodes get routes",
            format!(
                "to manage one, add `[cluster.node_pools.{example}]` to the topology and run \
                 `stargate apply --adopt {address}`"
            ),
        ),
    };
    let message = format!(
        "the AKS cluster {cluster} has node pools that the topology does not own: {listed}{more}; \
         {effect}"
    );
    let failure = Failure::new(Code::ForeignNodePool, message, remedy);
    Finding::new(FindingSeverity::Warning, failure)
}

/// The newest patch that AKS offers of the minor version that the topology upgrades the
/// cluster to.
pub(super) async fn offered_version(
    clients: &ReadClients,
    live: KubernetesVersion,
    scope: &Scope<'_>,
) -> Result<Option<KubernetesVersion>, RequestError> {
    let cluster = &scope.topology.cluster;
    let desired = cluster.kubernetes_version;
    let is_upgrade = desired.patch.is_none() && desired.is_newer_than(live);
    if cluster.existing || !is_upgrade {
        return Ok(None);
    }
    let id = ArmId::new(format!(
        "/subscriptions/{}/providers/Microsoft.ContainerService/locations/{}/kubernetesVersions",
        scope.subscription, scope.topology.azure.location
    ));
    let response = get_printable(clients, &id).await?;
    Ok(response.and_then(|response| newest_patch(&response, desired)))
}

/// Notes the patch that AKS offers. Without an answer, AKS chooses it during the upgrade.
pub(super) fn note_offered_version(
    offered: Result<Option<KubernetesVersion>, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    match offered {
        Ok(version) => observation.facts.offered_version = version,
        Err(error) => {
            let message = format!(
                "it is unknown which patch of {} AKS offers, so that AKS chooses it during the \
                 upgrade",
                scope.topology.cluster.kubernetes_version
            );
            let failure = Failure::from(&error).within(&message);
            observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
        }
    }
}

/// `values` is a list of minor versions, each with its patches by their full versions
/// (*Managed Clusters - List Kubernetes Versions*).
fn newest_patch(response: &Value, minor: KubernetesVersion) -> Option<KubernetesVersion> {
    let minors = response.get("values")?.as_array()?.iter();
    let patches = minors.filter(|it| it["isPreview"] != true);
    let patches = patches.filter_map(|it| it.get("patchVersions")?.as_object());
    let versions = patches.flat_map(|it| it.keys()).filter_map(|text| text.parse().ok());
    versions.filter(|version: &KubernetesVersion| version.satisfies(minor)).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_patch_of_a_minor_version_is_found() {
        let response = json!({ "values": [
            { "version": "1.34", "patchVersions": { "1.34.2": {}, "1.34.10": {}, "1.34.9": {} } },
            { "version": "1.35", "isPreview": true, "patchVersions": { "1.35.0": {} } },
        ]});
        let newest = |text: &str| newest_patch(&response, text.parse().unwrap());
        assert_eq!(newest("1.34"), Some("1.34.10".parse().unwrap()));
        assert_eq!(newest("1.35"), None);
        assert_eq!(newest_patch(&json!({ "error": {} }), "1.34".parse().unwrap()), None);
    }
}
