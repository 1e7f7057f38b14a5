//! The objects that stargate keeps in the cluster.

use std::borrow::Cow;
use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Address, Kind, Shared};

pub use super::kubernetes_api::KubernetesApi;

/// The group that bootstrap tokens authenticate into.
pub const BOOTSTRAP_GROUP: &str = "system:bootstrappers:stargate";

macro_rules! manifest_kinds {
    ($($variant:ident),* $(,)?) => {
        /// The kinds of objects that are applied whole.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum ManifestKind {
            $(
                #[doc = concat!("See [`Kind::", stringify!($variant), "`].")]
                $variant,
            )*
        }

        impl ManifestKind {
            /// Every kind, in the order in which they can be created.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl From<ManifestKind> for Kind {
            fn from(kind: ManifestKind) -> Self {
                match kind {
                    $(ManifestKind::$variant => Self::$variant,)*
                }
            }
        }
    };
}

manifest_kinds! {
    CustomResourceDefinition,
    Namespace,
    ServiceAccount,
    ClusterRole,
    ClusterRoleBinding,
    DaemonSet,
    Service,
    Server,
    ProvisioningProfile,
}

impl ManifestKind {
    /// Group, version, kind and plural of the API.
    pub fn api(self) -> KubernetesApi {
        match Kind::from(self).facts().service {
            super::Service::Kubernetes(api) => api,
            // A test holds every kind of manifest to a row in the cluster.
            _ => KubernetesApi::cluster_wide("", "v1", "", ""),
        }
    }
}

/// Names one object of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The kind, as in `DaemonSet` or `Node`.
    pub kind: Cow<'static, str>,
    /// The namespace of a namespaced object.
    pub namespace: Option<Cow<'static, str>>,
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
    /// The kind.
    pub kind: ManifestKind,
    /// The namespace of a namespaced object.
    pub namespace: Option<Cow<'static, str>>,
    /// Its name.
    pub name: String,
    /// All fields that stargate sets, without `apiVersion`, `kind`, the name and the marks
    /// of ownership. A value that must wait is a [`super::Pending`] in its JSON form. An
    /// observed body contains the fields that stargate's field manager owns.
    pub body: Shared<Value>,
}

impl Manifest {
    pub(super) fn awaits(&self) -> Vec<Address> {
        let mut found = Vec::new();
        collect_awaited(&self.body, &mut found);
        found
    }

    /// Names the object.
    pub fn object_name(&self) -> ObjectName {
        ObjectName {
            kind: self.kind.api().kind.into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

/// Collects pending values in their JSON form.
pub(crate) fn collect_awaited(value: &Value, found: &mut Vec<Address>) {
    match value {
        Value::Object(map) => {
            if let Some(address) = map.get("$after").and_then(Value::as_str) {
                found.extend(address.parse().ok());
            }
            map.values().for_each(|value| collect_awaited(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_awaited(value, found)),
        _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_manifest_has_an_api_of_its_name() {
        for kind in ManifestKind::ALL {
            assert_eq!(kind.api().kind, format!("{kind:?}"));
        }
    }
}
