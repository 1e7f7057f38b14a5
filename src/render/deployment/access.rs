//! The account of the watcher and its permissions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{DeploymentSettings, WatchedTopologies, metadata, name_of};
use crate::provider::cluster::{PERMISSIONS, Permission};

const RBAC: &str = "rbac.authorization.k8s.io";

/// The account, and a role with its binding for the cluster and for each namespace.
pub(super) fn objects(
    topology: &WatchedTopologies<'_>,
    settings: &DeploymentSettings,
) -> Vec<Value> {
    let mut objects = vec![account(topology, settings)];
    let namespaces: BTreeSet<Option<&str>> = PERMISSIONS.iter().map(|it| it.namespace).collect();
    for namespace in namespaces {
        objects.push(role(topology, namespace, &rules(namespace)));
        objects.push(binding(topology, namespace, settings));
    }
    objects
}

/// The rules of a namespace, or of the cluster. Resources with the same verbs share one.
fn rules(namespace: Option<&str>) -> Vec<Value> {
    let within = PERMISSIONS.iter().filter(|permission| permission.namespace == namespace);
    let mut shared: Vec<(Permission, Vec<&str>)> = Vec::new();
    for permission in within {
        let alike = shared.iter_mut().find(|(first, _)| {
            let resource = first.resource;
            *first == Permission { resource, ..*permission }
        });
        match alike {
            Some((_, resources)) => resources.push(permission.resource),
            None => shared.push((*permission, vec![permission.resource])),
        }
    }
    shared.iter().map(|(permission, resources)| rule(permission, resources)).collect()
}

fn rule(permission: &Permission, resources: &[&str]) -> Value {
    let mut rule = json!({
        "apiGroups": [permission.group],
        "resources": resources,
        "verbs": permission.verbs,
    });
    if !permission.names.is_empty() {
        rule["resourceNames"] = json!(permission.names);
    }
    rule
}

fn account(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Value {
    let mut metadata = metadata(topology, Some(&settings.namespace));
    if let Some(id) = &settings.client_id {
        metadata["annotations"] = json!({ "azure.workload.identity/client-id": id });
    }
    json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata })
}

fn role(topology: &WatchedTopologies<'_>, namespace: Option<&str>, rules: &[Value]) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": if namespace.is_some() { "Role" } else { "ClusterRole" },
        "metadata": metadata(topology, namespace),
        "rules": rules,
    })
}

fn binding(
    topology: &WatchedTopologies<'_>,
    namespace: Option<&str>,
    settings: &DeploymentSettings,
) -> Value {
    let role = if namespace.is_some() { "Role" } else { "ClusterRole" };
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": format!("{role}Binding"),
        "metadata": metadata(topology, namespace),
        "roleRef": { "apiGroup": RBAC, "kind": role, "name": name_of(topology) },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": name_of(topology),
            "namespace": settings.namespace,
        }],
    })
}
