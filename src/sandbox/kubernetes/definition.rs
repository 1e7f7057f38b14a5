//! The served resources: built-in ones and those of CRDs.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1 as apps, certificates::v1 as certificates, coordination::v1 as coordination,
    core::v1 as core, discovery::v1 as discovery, policy::v1 as policy, rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as extensions;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::value::{at, items, text, texts};

/// Decodes a value into its Rust type and encodes it again. This detects wrong types and drops
/// unknown fields and nulls, as a server does that decodes into structs.
fn typed<T: Serialize + DeserializeOwned>(value: Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let mut value = serde_json::to_value(typed).map_err(|error| error.to_string())?;
    write_whole_numbers(&mut value);
    Ok(value)
}

/// The bounds of a schema have a floating-point type and are written as integers where possible.
fn write_whole_numbers(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(write_whole_numbers),
        Value::Object(map) => map.values_mut().for_each(write_whole_numbers),
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|it| it.fract() == 0.0);
            if let Some(whole) = whole.and_then(|it| format!("{it:.0}").parse::<i64>().ok()) {
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}

fn untyped(value: Value) -> Result<Value, String> {
    Ok(value)
}

/// Whether objects are namespaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResourceScope {
    Cluster,
    Namespaced,
}

/// The endpoints of a built-in resource besides its main one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    /// Whether it has the `status` subresource.
    pub(super) status: bool,
    /// Whether it has a generation that counts changes of its spec.
    pub(super) generation: bool,
    /// Whether objects are stored. A review is answered and not stored.
    pub(super) stored: bool,
}

const PLAIN: Traits = Traits { status: false, generation: false, stored: true };
const STATUS: Traits = Traits { status: true, ..PLAIN };
const WORKLOAD: Traits = Traits { status: true, generation: true, stored: true };
const REVIEW: Traits = Traits { stored: false, ..PLAIN };

/// A resource that every server has.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) group: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) scope: ResourceScope,
    pub(super) short: &'static [&'static str],
    pub(super) traits: Traits,
    pub(super) normalise: fn(Value) -> Result<Value, String>,
}

type Row = (
    &'static str,
    &'static str,
    ResourceScope,
    &'static [&'static str],
    Traits,
    fn(Value) -> Result<Value, String>,
);

const fn row(group: &'static str, row: Row) -> BuiltIn {
    let (plural, kind, scope, short, traits, normalise) = row;
    BuiltIn { group, plural, kind, scope, short, traits, normalise }
}

use ResourceScope::{Cluster, Namespaced};

pub(super) const CORE: &str = "";
pub(super) const APPS: &str = "apps";
pub(super) const RBAC: &str = "rbac.authorization.k8s.io";
pub(super) const COORDINATION: &str = "coordination.k8s.io";
pub(super) const CERTIFICATES: &str = "certificates.k8s.io";
pub(super) const AUTHORIZATION: &str = "authorization.k8s.io";
pub(super) const AUTHENTICATION: &str = "authentication.k8s.io";
pub(super) const POLICY: &str = "policy";
pub(super) const DISCOVERY: &str = "discovery.k8s.io";
pub(super) const EXTENSIONS: &str = "apiextensions.k8s.io";

/// Every built-in resource. All are served as `v1`.
#[rustfmt::skip]
pub(super) static BUILT_IN: &[BuiltIn] = &[
    row(CORE, ("namespaces", "Namespace", Cluster, &["ns"], STATUS, typed::<core::Namespace>)),
    row(CORE, ("nodes", "Node", Cluster, &["no"], STATUS, typed::<core::Node>)),
    row(CORE, ("pods", "Pod", Namespaced, &["po"], WORKLOAD, typed::<core::Pod>)),
    row(CORE, ("services", "Service", Namespaced, &["svc"], STATUS, typed::<core::Service>)),
    row(CORE, ("serviceaccounts", "ServiceAccount", Namespaced, &["sa"], PLAIN, typed::<core::ServiceAccount>)),
    row(CORE, ("secrets", "Secret", Namespaced, &[], PLAIN, typed::<core::Secret>)),
    row(CORE, ("configmaps", "ConfigMap", Namespaced, &["cm"], PLAIN, typed::<core::ConfigMap>)),
    row(CORE, ("events", "Event", Namespaced, &["ev"], PLAIN, untyped)),
    row(APPS, ("daemonsets", "DaemonSet", Namespaced, &["ds"], WORKLOAD, typed::<apps::DaemonSet>)),
    row(APPS, ("deployments", "Deployment", Namespaced, &["deploy"], WORKLOAD, typed::<apps::Deployment>)),
    row(RBAC, ("clusterroles", "ClusterRole", Cluster, &[], PLAIN, typed::<rbac::ClusterRole>)),
    row(RBAC, ("clusterrolebindings", "ClusterRoleBinding", Cluster, &[], PLAIN, typed::<rbac::ClusterRoleBinding>)),
    row(RBAC, ("roles", "Role", Namespaced, &[], PLAIN, typed::<rbac::Role>)),
    row(RBAC, ("rolebindings", "RoleBinding", Namespaced, &[], PLAIN, typed::<rbac::RoleBinding>)),
    row(COORDINATION, ("leases", "Lease", Namespaced, &[], PLAIN, typed::<coordination::Lease>)),
    row(CERTIFICATES, ("certificatesigningrequests", "CertificateSigningRequest", Cluster, &["csr"], STATUS, typed::<certificates::CertificateSigningRequest>)),
    row(DISCOVERY, ("endpointslices", "EndpointSlice", Namespaced, &[], PLAIN, typed::<discovery::EndpointSlice>)),
    row(POLICY, ("poddisruptionbudgets", "PodDisruptionBudget", Namespaced, &["pdb"], WORKLOAD, typed::<policy::PodDisruptionBudget>)),
    row(AUTHORIZATION, ("subjectaccessreviews", "SubjectAccessReview", Cluster, &[], REVIEW, untyped)),
    row(AUTHORIZATION, ("selfsubjectaccessreviews", "SelfSubjectAccessReview", Cluster, &[], REVIEW, untyped)),
    row(AUTHENTICATION, ("selfsubjectreviews", "SelfSubjectReview", Cluster, &[], REVIEW, untyped)),
    row(EXTENSIONS, ("customresourcedefinitions", "CustomResourceDefinition", Cluster, &["crd", "crds"], WORKLOAD, typed::<extensions::CustomResourceDefinition>)),
];

/// The origin of a definition.
#[derive(Debug, Clone)]
pub(super) enum DefinitionOrigin {
    BuiltIn(&'static BuiltIn),
    /// The CRD and the index of the version in its list.
    Custom(Arc<Value>, usize),
}

/// One resource in one version.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) singular: String,
    pub(super) kind: String,
    pub(super) short: Vec<String>,
    pub(super) scope: ResourceScope,
    pub(super) traits: Traits,
    pub(super) origin: DefinitionOrigin,
}

impl Definition {
    pub(super) fn built_in(source: &'static BuiltIn) -> Self {
        Self {
            group: source.group.to_owned(),
            version: "v1".to_owned(),
            plural: source.plural.to_owned(),
            singular: source.kind.to_lowercase(),
            kind: source.kind.to_owned(),
            short: source.short.iter().map(|&word| word.to_owned()).collect(),
            scope: source.scope,
            traits: source.traits,
            origin: DefinitionOrigin::BuiltIn(source),
        }
    }

    /// The served versions of a CRD.
    pub(super) fn custom(crd: &Arc<Value>) -> Vec<Self> {
        let names = |field: &str| text(crd, &["spec", "names", field]).unwrap_or_default();
        let scope = match text(crd, &["spec", "scope"]) {
            Some("Namespaced") => ResourceScope::Namespaced,
            _ => ResourceScope::Cluster,
        };
        let served =
            |version: &&(usize, &Value)| version.1.get("served") == Some(&Value::Bool(true));
        let versions: Vec<(usize, &Value)> =
            items(crd, &["spec", "versions"]).iter().enumerate().collect();
        versions
            .iter()
            .filter(served)
            .map(|(place, version)| Self {
                group: text(crd, &["spec", "group"]).unwrap_or_default().to_owned(),
                version: text(version, &["name"]).unwrap_or_default().to_owned(),
                plural: names("plural").to_owned(),
                singular: text(crd, &["spec", "names", "singular"])
                    .map_or_else(|| names("kind").to_lowercase(), str::to_owned),
                kind: names("kind").to_owned(),
                short: texts(crd, &["spec", "names", "shortNames"])
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
                scope,
                traits: Traits {
                    status: at(version, &["subresources", "status"]).is_some(),
                    generation: true,
                    stored: true,
                },
                origin: DefinitionOrigin::Custom(Arc::clone(crd), *place),
            })
            .collect()
    }

    /// The name of the collection that stores the objects, the same for all versions.
    pub(super) fn qualified_resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    pub(super) fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    pub(super) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The CRD's entry for this version.
    pub(super) fn custom_version(&self) -> Option<&Value> {
        match &self.origin {
            DefinitionOrigin::BuiltIn(_) => None,
            DefinitionOrigin::Custom(crd, place) => items(crd, &["spec", "versions"]).get(*place),
        }
    }

    /// The structural schema of a CRD, if it has one.
    pub(super) fn schema(&self) -> Option<&Value> {
        at(self.custom_version()?, &["schema", "openAPIV3Schema"])
    }

    pub(super) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub(super) fn is_custom(&self) -> bool {
        matches!(self.origin, DefinitionOrigin::Custom(..))
    }
}

/// `servers.stargate.io`, or only `nodes` for the core group.
pub(super) fn qualified(word: &str, group: &str) -> String {
    if group.is_empty() { word.to_owned() } else { format!("{word}.{group}") }
}
