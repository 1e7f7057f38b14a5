//! What stargate keeps in the cluster.

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Kind;

/// The group that bootstrap tokens authenticate into.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:stargate";

/// The kinds of objects that are applied whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ManifestKind {
    /// apiextensions.k8s.io/v1.
    CustomResourceDefinition,
    /// v1.
    Namespace,
    /// v1.
    ServiceAccount,
    /// rbac.authorization.k8s.io/v1.
    ClusterRole,
    /// rbac.authorization.k8s.io/v1.
    ClusterRoleBinding,
    /// apps/v1.
    DaemonSet,
    /// v1.
    Service,
    /// stargate.io/v1alpha1.
    Server,
    /// stargate.io/v1alpha1.
    ProvisioningProfile,
}

impl ManifestKind {
    /// Every kind, in the order in which they can be created.
    pub const ALL: &'static [Self] = &[
        Self::CustomResourceDefinition,
        Self::Namespace,
        Self::ServiceAccount,
        Self::ClusterRole,
        Self::ClusterRoleBinding,
        Self::DaemonSet,
        Self::Service,
        Self::Server,
        Self::ProvisioningProfile,
    ];

    /// Group, version, kind and plural of the API.
    pub fn api(self) -> Api {
        let (group, version, kind, plural, namespaced) = match self {
            Self::CustomResourceDefinition => (
                "apiextensions.k8s.io",
                "v1",
                "CustomResourceDefinition",
                "customresourcedefinitions",
                false,
            ),
            Self::Namespace => ("", "v1", "Namespace", "namespaces", false),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts", true),
            Self::ClusterRole => {
                ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false)
            }
            Self::ClusterRoleBinding => (
                "rbac.authorization.k8s.io",
                "v1",
                "ClusterRoleBinding",
                "clusterrolebindings",
                false,
            ),
            Self::DaemonSet => ("apps", "v1", "DaemonSet", "daemonsets", true),
            Self::Service => ("", "v1", "Service", "services", true),
            Self::Server => ("stargate.io", "v1alpha1", "Server", "servers", true),
            Self::ProvisioningProfile => {
                ("stargate.io", "v1alpha1", "ProvisioningProfile", "provisioningprofiles", true)
            }
        };
        Api { group, version, kind, plural, namespaced }
    }
}

impl From<ManifestKind> for Kind {
    fn from(kind: ManifestKind) -> Self {
        match kind {
            ManifestKind::CustomResourceDefinition => Self::CustomResourceDefinition,
            ManifestKind::Namespace => Self::Namespace,
            ManifestKind::ServiceAccount => Self::ServiceAccount,
            ManifestKind::ClusterRole => Self::ClusterRole,
            ManifestKind::ClusterRoleBinding => Self::ClusterRoleBinding,
            ManifestKind::DaemonSet => Self::DaemonSet,
            ManifestKind::Service => Self::Service,
            ManifestKind::Server => Self::Server,
            ManifestKind::ProvisioningProfile => Self::ProvisioningProfile,
        }
    }
}

/// One API of a Kubernetes server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// The group, empty for the core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The plural, as in the URL.
    pub plural: &'static str,
    /// Whether objects are in a namespace.
    pub namespaced: bool,
}

impl Api {
    /// Group and version as an object writes them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The kind, as in `DaemonSet` or `Node`.
    pub kind: String,
    /// The namespace of a namespaced object.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(formatter, "{} {namespace}/{}", self.kind, self.name),
            None => write!(formatter, "{} {}", self.kind, self.name),
        }
    }
}

/// An object that is applied whole by server-side apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// What it is.
    pub kind: ManifestKind,
    /// The namespace of a namespaced object.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// All fields that stargate sets, without `apiVersion`, `kind`, the name
    /// and the marks of ownership. A value that must wait is a
    /// [`super::Pending`] in its JSON form. An observed body holds what of the
    /// live object stargate's field manager owns.
    pub body: Value,
}

impl Manifest {
    /// Names the object.
    pub fn object_name(&self) -> ObjectName {
        ObjectName {
            kind: self.kind.api().kind.to_owned(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// The one field of a worker's CiliumNode that stargate sets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiliumNode {
    /// The worker's name.
    pub name: String,
    /// `spec.ipam.podCIDRs`.
    pub pod_cidrs: Vec<Ipv4Net>,
}
