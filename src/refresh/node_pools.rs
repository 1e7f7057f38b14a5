//! The node pools of the topology's cluster, from the cluster's body.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Observation, Scope, azure};
use crate::desired::facts::LivePool;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::azure::codec::{self, node_pool};
use crate::resource::{Address, Kind, Site};

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
