//! The NodeRestriction admission plugin: a kubelet writes only its own Node, without labels that
//! would attract other workloads, and requests certificates only for its own name.

use serde_json::{Map, Value};

use super::access::node_of;
use super::definition::{CERTIFICATES, CORE, Definition};
use super::rbac::UserInfo;
use super::status::StatusError;
use super::value::{at, name, text};
use crate::sandbox::controllers::certificates::requested_node;

/// Kubernetes' own labels that a kubelet may set.
const KUBELET_LABELS: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
];

/// Checks a write of a node; `old` is the stored object.
pub(super) fn check(
    definition: &Definition,
    user: &UserInfo,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), StatusError> {
    let Some(node) = node_of(user) else { return Ok(()) };
    let refused = |detail: String| Err(StatusError::forbidden(definition, name(new), &detail));
    if definition.is(CERTIFICATES, "certificatesigningrequests") && old.is_none() {
        let requested = text(new, &["spec", "request"]).and_then(requested_node);
        return match requested.as_deref() == Some(node) || !is_kubelet_signer(new) {
            true => Ok(()),
            false => refused(format!("can only create a node CSR with CN=system:node:{node}")),
        };
    }
    if !definition.is(CORE, "nodes") {
        return Ok(());
    }
    if name(new) != node {
        let other = name(new);
        return refused(format!("node {node:?} is not allowed to modify node {other:?}"));
    }
    let labels = forbidden_labels(old, new).join(", ");
    match old {
        None if !labels.is_empty() => {
            refused(format!("node {node:?} is not allowed to set the following labels: {labels}"))
        }
        Some(old) if at(old, &["spec", "taints"]) != at(new, &["spec", "taints"]) => {
            refused(format!("node {node:?} is not allowed to modify taints"))
        }
        Some(_) if !labels.is_empty() => {
            refused(format!("is not allowed to modify labels: {labels}"))
        }
        _ => Ok(()),
    }
}

fn is_kubelet_signer(request: &Value) -> bool {
    let signer = text(request, &["spec", "signerName"]).unwrap_or_default();
    matches!(
        signer,
        "kubernetes.io/kube-apiserver-client-kubelet" | "kubernetes.io/kubelet-serving"
    )
}

/// The changed labels that a node may not change.
fn forbidden_labels(old: Option<&Value>, new: &Value) -> Vec<String> {
    let nothing = Map::new();
    let labels = |object: Option<&Value>| {
        let found = object.and_then(|object| at(object, &["metadata", "labels"])?.as_object());
        found.cloned().unwrap_or_else(|| nothing.clone())
    };
    let (before, after) = (labels(old), labels(Some(new)));
    let mut changed: Vec<String> = before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key) && !is_node_label(key))
        .cloned()
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn is_node_label(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let below = |parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    if below("node-restriction.kubernetes.io") {
        return false;
    }
    let free = !below("kubernetes.io") && !below("k8s.io");
    free || KUBELET_LABELS.contains(&label)
        || below("kubelet.kubernetes.io")
        || below("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_a_node_may_set_are_recognised() {
        for label in
            ["tier", "kubernetes.azure.com/managed", "kubernetes.io/os", "node.kubernetes.io/x"]
        {
            assert!(is_node_label(label), "{label}");
        }
        for label in [
            "node-role.kubernetes.io/worker",
            "node-restriction.kubernetes.io/a",
            "a.node-restriction.kubernetes.io/a",
            "k8s.io/a",
        ] {
            assert!(!is_node_label(label), "{label}");
        }
    }
}
