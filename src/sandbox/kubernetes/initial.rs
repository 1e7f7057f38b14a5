//! The initial objects of every cluster.

use serde_json::{Value, json};

use super::store::KubernetesStore;

const CREATION_TIME: &str = "1970-01-01T00:00:00Z";
const CSR: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

fn cluster_roles() -> Vec<(&'static str, Vec<Value>)> {
    let request = rule(&[CSR], &[REQUESTS], &["create", "get", "list", "watch"]);
    let signer = |part: &str| rule(&[CSR], &[&format!("{REQUESTS}/{part}")], &["create"]);
    vec![
        (
            "cluster-admin",
            vec![rule(&["*"], &["*"], &["*"]), json!({"nonResourceURLs": ["*"], "verbs": ["*"]})],
        ),
        (
            "system:discovery",
            vec![json!({"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz",
                "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"],
                "verbs": ["get"]})],
        ),
        (
            "system:basic-user",
            vec![
                rule(
                    &["authorization.k8s.io"],
                    &["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
                    &["create"],
                ),
                rule(&["authentication.k8s.io"], &["selfsubjectreviews"], &["create"]),
            ],
        ),
        ("system:node-bootstrapper", vec![request.clone()]),
        (
            "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
            vec![signer("nodeclient")],
        ),
        (
            "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
            vec![signer("selfnodeclient")],
        ),
        ("system:node", node_rules(request)),
    ]
}

fn node_rules(request: Value) -> Vec<Value> {
    let read = ["get", "list", "watch"];
    vec![
        rule(&[""], &["nodes"], &["create", "get", "list", "watch", "patch", "update"]),
        rule(&[""], &["nodes/status", "pods/status"], &["patch", "update"]),
        rule(&[""], &["pods"], &["get", "list", "watch", "create", "delete"]),
        rule(&[""], &["pods/eviction"], &["create"]),
        rule(&[""], &["services", "configmaps", "secrets"], &read),
        rule(&[""], &["events"], &["create", "patch", "update"]),
        rule(
            &["coordination.k8s.io"],
            &["leases"],
            &["create", "get", "update", "patch", "delete"],
        ),
        request,
    ]
}

fn binding(role: &str, group: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    })
}

/// Adds the initial objects to an empty store.
pub(super) fn fill(store: &mut KubernetesStore) {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .iter()
        .map(|name| {
            json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            })
        })
        .collect();
    objects.extend(cluster_roles().into_iter().map(|(name, rules)| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
            "rules": rules,
        })
    }));
    objects.push(binding("cluster-admin", "system:masters"));
    objects.push(binding("system:discovery", "system:authenticated"));
    objects.push(binding("system:basic-user", "system:authenticated"));
    for object in objects {
        // These objects are of built-in kinds.
        let _known = store.put(object, "kube-apiserver", CREATION_TIME);
    }
}
