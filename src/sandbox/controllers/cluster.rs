//! Access of controllers to the cluster's objects.

use serde_json::{Value, json};

use crate::sandbox::kubernetes::{CustomResource, KubernetesStore, ObjectIdentity};

/// The field manager of the sandbox's controllers.
const MANAGER: &str = "kube-controller-manager";

/// The group and version of Node.
pub(crate) const NODE: (&str, &str) = ("v1", "Node");
/// The group and version of NodeNetworkConfig.
pub(crate) const NETWORK_CONFIG: (&str, &str) = ("acn.azure.com/v1alpha", "NodeNetworkConfig");
/// The group and version of CiliumNode.
pub(crate) const CILIUM_NODE: (&str, &str) = ("cilium.io/v2", "CiliumNode");
/// The label that selects the nodes of AKS's DaemonSets.
pub(crate) const CLUSTER_LABEL: &str = "kubernetes.azure.com/cluster";
/// The label with a node's pool.
pub(crate) const POOL_LABEL: &str = "kubernetes.azure.com/agentpool";

/// Whether a Node is one of AKS's: of a pool, or provisioned outside of pools.
pub(crate) fn is_of_aks(node: &Value) -> bool {
    let provider = node.pointer("/spec/providerID").and_then(Value::as_str).unwrap_or_default();
    label(node, POOL_LABEL).is_some() || provider.starts_with("azure://")
}

/// The cluster's objects and the current time.
pub(crate) struct ClusterObjects<'a> {
    pub(crate) store: &'a mut KubernetesStore,
    pub(crate) now: String,
}

impl<'a> ClusterObjects<'a> {
    pub(crate) fn new(store: &'a mut KubernetesStore, now: jiff::Timestamp) -> Self {
        Self { store, now: seconds(now) }
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Value> {
        self.store.get(NODE.0, NODE.1, None, name)
    }

    pub(crate) fn nodes(&self) -> Vec<Value> {
        self.all(NODE)
    }

    pub(crate) fn network_config(&self, node: &str) -> Option<&Value> {
        self.store.get(NETWORK_CONFIG.0, NETWORK_CONFIG.1, Some("kube-system"), node)
    }

    pub(crate) fn all(&self, kind: (&str, &str)) -> Vec<Value> {
        self.store.list(kind.0, kind.1, None).into_iter().cloned().collect()
    }

    /// Stores an object unless an identical one is stored.
    pub(crate) fn put(&mut self, object: Value) {
        let place = object.pointer("/metadata/namespace").and_then(Value::as_str);
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        let known = self.store.get(text("apiVersion"), text("kind"), place, name(&object));
        if known == Some(&object) {
            return;
        }
        // Controllers create only objects of kinds that the server serves.
        let _stored = self.store.put(object, MANAGER, &self.now);
    }

    /// Stores an object unless one of its name exists.
    pub(crate) fn put_new(&mut self, object: Value) {
        let place = object.pointer("/metadata/namespace").and_then(Value::as_str);
        let text = |key: &str| object[key].as_str().unwrap_or_default();
        if self.store.get(text("apiVersion"), text("kind"), place, name(&object)).is_none() {
            self.put(object);
        }
    }

    pub(crate) fn delete(&mut self, kind: (&str, &str), namespace: Option<&str>, name: &str) {
        let (api_version, kind) = kind;
        self.store.delete(&ObjectIdentity { api_version, kind, namespace, name }, &self.now);
    }

    /// Deletes a node and the objects that belong to it.
    pub(crate) fn delete_node(&mut self, name: &str) {
        self.delete(CILIUM_NODE, None, name);
        self.delete(NETWORK_CONFIG, Some("kube-system"), name);
        self.delete(NODE, None, name);
    }
}

/// A timestamp in Kubernetes' format, without fractions.
pub(crate) fn seconds(time: jiff::Timestamp) -> String {
    let complete_sandbox = jiff::Timestamp::from_second(time.as_second()).unwrap_or(time);
    complete_sandbox.to_string()
}

pub(crate) fn name(object: &Value) -> &str {
    object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(key)?.as_str()
}

/// An owner reference to a stored object.
pub(crate) fn owner(object: &Value) -> Value {
    json!([{
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "name": name(object),
        "uid": object["metadata"]["uid"],
    }])
}

/// Whether a node is Ready.
pub(crate) fn is_ready(node: &Value) -> bool {
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Registers the custom resources that AKS installs.
pub(crate) fn define_kinds(cluster: &mut ClusterObjects<'_>) {
    let network_config = CustomResource {
        group: "acn.azure.com",
        version: "v1alpha",
        kind: "NodeNetworkConfig",
        plural: "nodenetworkconfigs",
        namespaced: true,
        status: true,
    };
    let cilium_node = CustomResource {
        group: "cilium.io",
        version: "v2",
        kind: "CiliumNode",
        plural: "ciliumnodes",
        namespaced: false,
        status: true,
    };
    for resource in [network_config, cilium_node] {
        // Every API server serves CustomResourceDefinitions.
        let _served = cluster.store.register_custom_resource(&resource, &cluster.now);
    }
}
