//! The permissions that stargate needs in a cluster, for a role of its own.

use serde::Serialize;

use super::KUBE_SYSTEM;
use crate::resource::custom_resources::GROUP;

/// Verbs on one resource of the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Permission {
    /// The API group, empty for the core.
    pub group: &'static str,
    /// The resource, with its subresource after a slash.
    pub resource: &'static str,
    /// The namespace, if the verbs are needed in one only.
    pub namespace: Option<&'static str>,
    /// The names of the objects, if the verbs are needed for these only.
    pub names: &'static [&'static str],
    /// The verbs.
    pub verbs: &'static [&'static str],
}

const fn cluster_wide(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Permission {
    Permission { group, resource, namespace: None, names: &[], verbs }
}

const fn within(namespace: &'static str, permission: Permission) -> Permission {
    Permission { namespace: Some(namespace), ..permission }
}

const fn named(names: &'static [&'static str], permission: Permission) -> Permission {
    Permission { names, ..permission }
}

/// The verbs for an object that is kept by server-side apply: a patch of an object that is
/// not there needs `create` as well.
const APPLY: &[&str] = &["get", "list", "create", "patch", "delete"];
/// The same without `delete`: to delete a container, everything in it must be listed,
/// which takes more rights. Such a deletion waits for a person.
const KEEP: &[&str] = &["get", "list", "create", "patch"];
/// The verbs of a watcher for an object that stargate keeps.
const APPLY_AND_WATCH: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

const RBAC: &str = "rbac.authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";

/// The permissions that plan, apply and watch use. A role in stargate's own namespace would
/// need the namespace before stargate creates it. Under RBAC an account can grant only its
/// own permissions, apart from roles that it may `bind`.
pub const PERMISSIONS: &[Permission] = &[
    cluster_wide("", "nodes", &["get", "list", "watch", "patch", "delete"]),
    cluster_wide("", "pods", &["list"]),
    cluster_wide("", "pods/eviction", &["create"]),
    cluster_wide("", "namespaces", KEEP),
    cluster_wide("", "serviceaccounts", APPLY),
    cluster_wide("", "services", APPLY),
    cluster_wide("apps", "daemonsets", APPLY),
    cluster_wide("apiextensions.k8s.io", "customresourcedefinitions", KEEP),
    cluster_wide(RBAC, "clusterroles", APPLY),
    cluster_wide(RBAC, "clusterrolebindings", APPLY),
    named(
        &["goldpinger", "system:node-bootstrapper"],
        cluster_wide(RBAC, "clusterroles", &["bind"]),
    ),
    cluster_wide("cilium.io", "ciliumnodes", &["get", "list", "watch", "patch", "delete"]),
    cluster_wide(GROUP, "servers", APPLY_AND_WATCH),
    cluster_wide(GROUP, "provisioningprofiles", APPLY_AND_WATCH),
    cluster_wide(GROUP, "servers/status", &["patch"]),
    cluster_wide(GROUP, "operations", APPLY_AND_WATCH),
    cluster_wide(GROUP, "operations/status", &["patch"]),
    cluster_wide("events.k8s.io", "events", &["create"]),
    cluster_wide(GROUP, "topologies", &["get", "list", "watch", "create", "patch"]),
    cluster_wide(GROUP, "topologies/status", &["patch"]),
    within(KUBE_SYSTEM, cluster_wide("acn.azure.com", "nodenetworkconfigs", &["list", "watch"])),
    within(KUBE_SYSTEM, cluster_wide("", "secrets", &["list", "create", "delete"])),
    within(
        KUBE_SYSTEM,
        cluster_wide("coordination.k8s.io", "leases", &["get", "create", "patch", "delete"]),
    ),
    cluster_wide(CERTIFICATES, "certificatesigningrequests", &["list"]),
    cluster_wide(CERTIFICATES, "certificatesigningrequests/approval", &["patch"]),
    named(
        &["kubernetes.io/kube-apiserver-client-kubelet"],
        cluster_wide(CERTIFICATES, "signers", &["approve"]),
    ),
    cluster_wide("authorization.k8s.io", "subjectaccessreviews", &["create"]),
];
