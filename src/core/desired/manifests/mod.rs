//! The Kubernetes objects that stargate applies whole.
//!
//! A body holds every field that stargate sets and nothing else. Values are
//! written as the API server writes them back (quantities, `apiVersion` of a
//! field reference), so that reading an object again shows no difference.

mod goldpinger;
mod route_manager;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use crate::resource::Pending;
use crate::resource::custom_resources::{self, GROUP, NAMESPACE};
use crate::resource::kubernetes::{BOOTSTRAP_GROUP, Manifest, ManifestKind};
use crate::topology::model::{ContainerRuntime, Datacenter, DatacenterKind, Profile};
use crate::topology::names::{ProfileName, WorkerName};

pub use goldpinger::{GOLDPINGER_NAMESPACE, goldpinger};
pub use route_manager::{NAME as ROUTE_MANAGER, route_manager};

/// The binding that lets that group ask for certificates.
pub const BOOTSTRAP_BINDING: &str = "stargate:node-bootstrapper";

/// The CRDs of `stargate.io/v1alpha1`.
pub fn custom_resource_definitions() -> Vec<Manifest> {
    [
        ("servers", custom_resources::server()),
        ("operations", custom_resources::operation()),
        ("provisioningprofiles", custom_resources::provisioning_profile()),
        ("topologies", custom_resources::topology()),
    ]
    .into_iter()
    .map(|(plural, body)| {
        shared(ManifestKind::CustomResourceDefinition, &format!("{plural}.{GROUP}"), body)
    })
    .collect()
}

/// The namespace of stargate's own objects.
pub fn namespaces() -> Vec<Manifest> {
    vec![shared(ManifestKind::Namespace, NAMESPACE, json!({}))]
}

/// Lets bootstrap tokens request a certificate.
///
/// These objects approve no request: stargate approves the one request that it expects.
pub fn bootstrap_rbac() -> Vec<Manifest> {
    let body = json!({
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "system:node-bootstrapper",
        },
        "subjects": [{
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": BOOTSTRAP_GROUP,
        }],
    });
    vec![shared(ManifestKind::ClusterRoleBinding, BOOTSTRAP_BINDING, body)]
}

/// The facts of a worker in a [`server`] manifest.
#[derive(Debug, Clone, Copy)]
pub struct ServerFacts<'a> {
    /// The worker's name.
    pub name: &'a WorkerName,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its pod CIDR.
    pub pod_cidr: Ipv4Net,
    /// Its hardware address, if the topology has one.
    pub mac: Option<&'a str>,
    /// Its profile.
    pub profile: &'a ProfileName,
    /// Its datacenter's router.
    pub router_ip: &'a Pending<Ipv4Addr>,
}

/// The Server of a worker.
pub fn server(datacenter: &Datacenter, worker: &ServerFacts<'_>) -> Manifest {
    let provider = match datacenter.kind {
        DatacenterKind::Azure(_) => "azure",
        DatacenterKind::Existing(_) => "existing",
    };
    let mut spec = json!({
        "hostname": worker.name,
        "ipAddress": worker.ip,
        "routerIP": worker.router_ip,
        "provider": provider,
        "podCIDR": worker.pod_cidr,
        "datacenter": datacenter.name,
        "profileRef": { "name": worker.profile },
    });
    if let Some(mac) = worker.mac {
        spec["macAddress"] = json!(mac);
    }
    namespaced(ManifestKind::Server, NAMESPACE, worker.name.as_str(), json!({ "spec": spec }))
}

/// The ProvisioningProfile of a profile.
pub fn provisioning_profile(name: &ProfileName, profile: &Profile) -> Manifest {
    let runtime = match profile.container_runtime {
        ContainerRuntime::Containerd => "containerd",
    };
    let mut spec = json!({
        "kubernetesVersion": profile.kubernetes_version,
        "containerRuntime": runtime,
        "managedCilium": profile.managed_cilium,
    });
    if !profile.labels.is_empty() {
        spec["labels"] = json!(profile.labels);
    }
    if !profile.taints.is_empty() {
        spec["taints"] = json!(profile.taints);
    }
    if let Some(max_pods) = profile.max_pods {
        spec["maxPods"] = json!(max_pods);
    }
    let kind = ManifestKind::ProvisioningProfile;
    namespaced(kind, NAMESPACE, name.as_str(), json!({ "spec": spec }))
}

fn shared(kind: ManifestKind, name: &str, body: Value) -> Manifest {
    Manifest { kind, namespace: None, name: name.to_owned(), body: body.into() }
}

fn namespaced(kind: ManifestKind, namespace: &'static str, name: &str, body: Value) -> Manifest {
    let (namespace, name) = (Some(namespace.into()), name.to_owned());
    Manifest { kind, namespace, name, body: body.into() }
}

#[cfg(test)]
mod tests;
