//! Applies the version, labels and taints of AKS's pools to their nodes.

use serde_json::{Value, json};

use super::cluster::{ClusterObjects, POOL_LABEL, label};
use super::nodes::EmulatedPool;

/// The annotation with the settings of a pool on a node, so that they can be removed again.
const SETTINGS: &str = "sandbox.stargate.io/pool-settings";

/// Brings the nodes of all pools to the settings of their pools. An upgrade keeps the name of a
/// node: AKS reimages it.
pub(super) fn apply(cluster: &mut ClusterObjects<'_>, pools: &[EmulatedPool]) {
    for node in cluster.nodes() {
        let pool = pools.iter().find(|pool| label(&node, POOL_LABEL) == Some(&pool.name));
        if let Some(pool) = pool {
            cluster.put(with_settings(node, pool));
        }
    }
}

fn with_settings(mut node: Value, pool: &EmulatedPool) -> Value {
    let before: Value = node["metadata"]["annotations"][SETTINGS]
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let taints: Vec<Value> =
        pool.taints.iter().filter_map(Value::as_str).filter_map(taint).collect();
    let settings = json!({ "labels": pool.labels, "taints": taints });
    if !pool.version.is_empty() {
        node["status"]["nodeInfo"]["kubeletVersion"] = json!(format!("v{}", pool.version));
    }
    node["metadata"]["labels"]["kubernetes.azure.com/mode"] = json!(pool.mode.to_ascii_lowercase());
    let is_plain = pool.labels.is_empty() && taints.is_empty();
    if before == settings || before.is_null() && is_plain {
        return node;
    }
    set_labels(&mut node, &before["labels"], &settings["labels"]);
    set_taints(&mut node, &before["taints"], taints);
    node["metadata"]["annotations"][SETTINGS] = json!(settings.to_string());
    node
}

fn set_labels(node: &mut Value, before: &Value, after: &Value) {
    let Some(labels) = node["metadata"]["labels"].as_object_mut() else { return };
    for key in before.as_object().into_iter().flat_map(|map| map.keys()) {
        labels.remove(key);
    }
    for (key, value) in after.as_object().into_iter().flatten() {
        labels.insert(key.clone(), value.clone());
    }
}

/// Taints of others, such as that of a cordoned node, stay.
fn set_taints(node: &mut Value, before: &Value, after: Vec<Value>) {
    let before = before.as_array().cloned().unwrap_or_default();
    let present = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let others = present.into_iter().filter(|taint| !before.contains(taint));
    let taints: Vec<Value> = others.chain(after).collect();
    let Some(spec) = node["spec"].as_object_mut() else { return };
    if taints.is_empty() {
        spec.remove("taints");
    } else {
        spec.insert("taints".to_owned(), Value::Array(taints));
    }
}

/// A taint as in `key=value:NoSchedule`.
fn taint(text: &str) -> Option<Value> {
    let (head, effect) = text.rsplit_once(':')?;
    let (key, value) = head.split_once('=').unwrap_or((head, ""));
    let mut taint = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        taint["value"] = json!(value);
    }
    Some(taint)
}
