//! Goldpinger, which measures the mesh of pods.

use serde_json::{Value, json};

use super::{namespaced, shared};
use crate::resource::kubernetes::{Manifest, ManifestKind};

/// The namespace of Goldpinger, and the name of all that it has.
pub const GOLDPINGER_NAMESPACE: &str = "goldpinger";

const IMAGE: &str = "docker.io/bloomberg/goldpinger:v3.7.0";
const PORT: u16 = 8080;

/// Goldpinger on every node, AKS's and the workers', with the RBAC to find its peers.
pub fn goldpinger() -> Vec<Manifest> {
    let name = GOLDPINGER_NAMESPACE;
    vec![
        shared(ManifestKind::Namespace, name, json!({})),
        namespaced(ManifestKind::ServiceAccount, name, name, json!({})),
        shared(
            ManifestKind::ClusterRole,
            name,
            json!({ "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }] }),
        ),
        shared(ManifestKind::ClusterRoleBinding, name, binding()),
        namespaced(ManifestKind::DaemonSet, name, name, daemon_set()),
        namespaced(ManifestKind::Service, name, name, service()),
    ]
}

fn binding() -> Value {
    json!({
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": GOLDPINGER_NAMESPACE,
        },
        "subjects": [{
            "kind": "ServiceAccount",
            "name": GOLDPINGER_NAMESPACE,
            "namespace": GOLDPINGER_NAMESPACE,
        }],
    })
}

fn daemon_set() -> Value {
    let labels = json!({ "app": GOLDPINGER_NAMESPACE });
    json!({
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "serviceAccountName": GOLDPINGER_NAMESPACE,
                    // It must run on every node that can run pods, or relevant pairs would
                    // not be measured.
                    "tolerations": [
                        { "operator": "Exists", "effect": "NoSchedule" },
                        { "operator": "Exists", "effect": "NoExecute" },
                    ],
                    "securityContext": { "runAsNonRoot": true, "runAsUser": 1000 },
                    "containers": [container()],
                },
            },
        },
    })
}

fn container() -> Value {
    let probe = json!({
        "httpGet": { "path": "/healthz", "port": PORT },
        "initialDelaySeconds": 5,
        "periodSeconds": 10,
    });
    json!({
        "name": GOLDPINGER_NAMESPACE,
        "image": IMAGE,
        "env": [
            { "name": "HOST", "value": "0.0.0.0" },
            { "name": "PORT", "value": PORT.to_string() },
            { "name": "LABEL_SELECTOR", "value": "app=goldpinger" },
            { "name": "NAMESPACE", "value": GOLDPINGER_NAMESPACE },
            from_field("HOSTNAME", "spec.nodeName"),
            from_field("POD_IP", "status.podIP"),
            { "name": "PING_TIMEOUT", "value": "3s" },
            { "name": "CHECK_TIMEOUT", "value": "10s" },
            { "name": "CHECK_ALL_TIMEOUT", "value": "20s" },
        ],
        "ports": [{ "name": "http", "containerPort": PORT, "protocol": "TCP" }],
        "livenessProbe": probe,
        "readinessProbe": probe,
        "resources": {
            "requests": { "cpu": "10m", "memory": "40Mi" },
            "limits": { "memory": "128Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    })
}

fn from_field(name: &str, path: &str) -> Value {
    // The API server writes the version of the field back; left out, every
    // plan would show it.
    json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } } })
}

fn service() -> Value {
    json!({
        "spec": {
            "selector": { "app": GOLDPINGER_NAMESPACE },
            "ports": [{ "name": "http", "port": PORT, "protocol": "TCP", "targetPort": PORT }],
        },
    })
}
