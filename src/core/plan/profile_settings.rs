//! The settings of a profile in which a worker differs: its Node holds only their digest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Change;
use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use crate::inventory::Inventory;
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{Address, Kind, Resource};

/// Adds the settings that differ to the reason of each change that gives a worker another
/// profile, as far as the cluster's records tell what the worker had.
pub(super) fn name(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let is_one = |decision: &ResourceDecision| matches!(decision, ResourceDecision::Change(change) if changes_profile(change));
    if !decisions.values().any(is_one) {
        return;
    }
    let live = live_profiles(input.inventory);
    for (address, decision) in decisions.iter_mut().filter(|(_, decision)| is_one(decision)) {
        let ResourceDecision::Change(change) = decision else { continue };
        let Some(settings) = differing_settings(input, &live, address) else { continue };
        let reason = &mut change.planned_because_of;
        *reason = format!("{reason}; its settings change: {settings}");
    }
}

/// Whether a change is that of a worker whose profile differs in more than its name.
fn changes_profile(change: &Change) -> bool {
    change.address.kind == Kind::Worker
        && change.differences.iter().any(|field| field.path.0 == ["profile_digest"])
}

/// The settings of a worker's profile in which the cluster's records differ from the topology.
fn differing_settings(
    input: Comparison<'_>,
    live: &BTreeMap<&str, &Map<String, Value>>,
    worker: &Address,
) -> Option<String> {
    let desired = input.desired.get(worker)?;
    let profile = desired.depends_on.iter().find(|it| it.kind == Kind::ProvisioningProfile)?;
    let Resource::Manifest(profile) = &input.desired.get(profile)?.resource else { return None };
    let recorded = recorded_profile(input, worker)?;
    let live = live.get(recorded)?;
    let settings = differences(live, profile.body["spec"].as_object()?);
    (!settings.is_empty()).then(|| settings.join(", "))
}

/// The name of the profile that the record of a worker has.
fn recorded_profile<'a>(input: Comparison<'a>, worker: &Address) -> Option<&'a str> {
    let record = Address { kind: Kind::Server, ..worker.clone() };
    let key = input.desired.get(&record)?.key.as_ref()?;
    let Resource::Manifest(server) = &input.inventory.get(key)?.resource else { return None };
    server.body["spec"]["profileRef"]["name"].as_str()
}

/// The settings of each profile as the cluster has them.
fn live_profiles(inventory: &Inventory) -> BTreeMap<&str, &Map<String, Value>> {
    let profiles = inventory.iter().filter_map(|(_, observed)| match &observed.resource {
        Resource::Manifest(it) if it.kind == ManifestKind::ProvisioningProfile => {
            Some((it.name.as_str(), it.body["spec"].as_object()?))
        }
        _ => None,
    });
    profiles.collect()
}

/// The names of settings as the topology spells them, with their values where those are short.
fn differences(live: &Map<String, Value>, desired: &Map<String, Value>) -> Vec<String> {
    let names: BTreeSet<&String> = live.keys().chain(desired.keys()).collect();
    let differing = names.into_iter().filter(|name| live.get(*name) != desired.get(*name));
    let text = |name: &String| {
        let setting = setting_name(name);
        match (short(live.get(name)), short(desired.get(name))) {
            (Some(before), Some(after)) => format!("{setting} {before} -> {after}"),
            _ => setting,
        }
    };
    differing.map(text).collect()
}

/// `maxPods` as `max_pods`.
fn setting_name(field: &str) -> String {
    let letters = field.chars().flat_map(|letter| {
        let underscore = letter.is_ascii_uppercase().then_some('_');
        underscore.into_iter().chain([letter.to_ascii_lowercase()])
    });
    letters.collect()
}

/// A value that is no list or table, as text.
fn short(value: Option<&Value>) -> Option<String> {
    match value {
        None => Some("(default)".to_owned()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(_) | Value::Object(_)) => None,
        Some(scalar) => Some(scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_named_as_in_the_topology() {
        let live = json!({ "kubernetesVersion": "1.33.5", "taints": ["a=b:NoSchedule"] });
        let desired = json!({ "kubernetesVersion": "1.33.7", "maxPods": 60, "taints": [] });
        let found = differences(live.as_object().unwrap(), desired.as_object().unwrap());
        assert_eq!(
            found,
            ["kubernetes_version 1.33.5 -> 1.33.7", "max_pods (default) -> 60", "taints"]
        );
    }
}
