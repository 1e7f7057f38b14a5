//! What a kubelet may write, though it may write: its own Node without labels
//! that would draw others' work to it, and requests for its own name.

use serde_json::{Map, Value};

use super::access::node_of;
use super::definition::{CERTIFICATES, CORE, Definition};
use super::rbac::UserInfo;
use super::status::ApiError;
use super::value::{at, name, text};
use crate::sandbox::controllers::certificates::requested_node;

/// Labels of Kubernetes' own that a kubelet sets.
const KUBELETS_LABELS: [&str; 11] = [
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

/// Checks what a node is about to write; `old` is what stands there.
pub(super) fn check(
    definition: &Definition,
    user: &UserInfo,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), ApiError> {
    let Some(node) = node_of(user) else { return Ok(()) };
    let refused = |detail: String| Err(ApiError::forbidden(definition, name(new), &detail));
    if definition.is(CERTIFICATES, "certificatesigningrequests") && old.is_none() {
        let asked = text(new, &["spec", "request"]).and_then(requested_node);
        return match asked.as_deref() == Some(node) || !is_kubelets_signer(new) {
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

fn is_kubelets_signer(request: &Value) -> bool {
    let signer = text(request, &["spec", "signerName"]).unwrap_or_default();
    matches!(
        signer,
        "kubernetes.io/kube-apiserver-client-kubelet" | "kubernetes.io/kubelet-serving"
    )
}

/// The labels that change and that are not a node's to change.
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
        .filter(|key| before.get(*key) != after.get(*key) && !is_a_nodes(key))
        .cloned()
        .collect();
    changed.sort_unstable();
    changed.dedup();
    changed
}

fn is_a_nodes(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let below = |parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    if below("node-restriction.kubernetes.io") {
        return false;
    }
    let free = !below("kubernetes.io") && !below("k8s.io");
    free || KUBELETS_LABELS.contains(&label)
        || below("kubelet.kubernetes.io")
        || below("node.kubernetes.io")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_labels_are_told_from_others() {
        for label in
            ["tier", "kubernetes.azure.com/managed", "kubernetes.io/os", "node.kubernetes.io/x"]
        {
            assert!(is_a_nodes(label), "{label}");
        }
        for label in [
            "node-role.kubernetes.io/worker",
            "node-restriction.kubernetes.io/a",
            "a.node-restriction.kubernetes.io/a",
            "k8s.io/a",
        ] {
            assert!(!is_a_nodes(label), "{label}");
        }
    }
}
