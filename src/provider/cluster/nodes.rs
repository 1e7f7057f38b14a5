//! Nodes, and the fields of Nodes that stargate manages.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::manifests::delete_and_wait;
use super::request::{Collection, apis};
use super::{ClusterClient, text_at};

/// The annotation with the digest of the profile that was applied.
pub const PROFILE_DIGEST_ANNOTATION: &str = "stargate.io/profile-digest";
/// The annotation with the kernel routes that were set on the worker's host, as
/// [`crate::resource::host::describe_routes`] gives them.
pub const KERNEL_ROUTES_ANNOTATION: &str = "stargate.io/kernel-routes";
/// The annotation with the names of the labels that stargate set.
pub const LABELS_ANNOTATION: &str = "stargate.io/labels";
/// The annotation with the taints that stargate set.
pub const TAINTS_ANNOTATION: &str = "stargate.io/taints";

/// The annotation of a Node that stargate has cordoned for some work.
pub const CORDONED_ANNOTATION: &str = "stargate.io/cordoned-for-work";

/// The facts that are read of a Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name.
    pub name: String,
    /// The identity of its object, which a Node that registers again does not keep.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its taints, as in `key=value:NoSchedule`.
    pub taints: BTreeSet<String>,
    /// Its first internal IPv4 address.
    pub internal_ip: Option<Ipv4Addr>,
    /// `spec.podCIDR`.
    pub pod_cidr: Option<Ipv4Net>,
    /// `spec.providerID`.
    pub provider_id: Option<String>,
    /// Whether it is Ready.
    pub ready: bool,
    /// Why it is not, in the kubelet's words.
    pub not_ready_because: Option<String>,
    /// The version that its kubelet reports.
    pub kubelet_version: String,
    /// The identity of its machine's boot, as its kubelet reports it.
    pub boot_id: String,
    /// Whether it takes no new pods.
    pub unschedulable: bool,
    /// Its version, for a guard.
    pub resource_version: String,
}

impl NodeFacts {
    fn of(object: &Value) -> Self {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let ready = status["conditions"].as_array().and_then(|conditions| {
            conditions.iter().find(|condition| condition["type"] == "Ready")
        });
        let is_ready = ready.is_some_and(|condition| condition["status"] == "True");
        let reason = ready.and_then(|condition| condition["message"].as_str());
        Self {
            name: text_at(metadata, "name"),
            uid: text_at(metadata, "uid"),
            labels: texts(&metadata["labels"]),
            annotations: texts(&metadata["annotations"]),
            taints: spec["taints"].as_array().into_iter().flatten().map(taint_text).collect(),
            internal_ip: internal_ip(&status["addresses"]),
            pod_cidr: spec["podCIDR"].as_str().and_then(|text| text.parse().ok()),
            provider_id: spec["providerID"].as_str().map(str::to_owned),
            ready: is_ready,
            not_ready_because: reason.filter(|_| !is_ready).map(str::to_owned),
            kubelet_version: text_at(&status["nodeInfo"], "kubeletVersion"),
            boot_id: text_at(&status["nodeInfo"], "bootID"),
            unschedulable: spec["unschedulable"] == true,
            resource_version: text_at(metadata, "resourceVersion"),
        }
    }

    /// Whether it has all desired labels and taints, no obsolete ones, and the record of
    /// those that stargate set.
    pub fn carries(&self, labels: &BTreeMap<String, String>, taints: &BTreeSet<String>) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(name) == Some(value))
            && taints.is_subset(&self.taints)
            && self.listed(LABELS_ANNOTATION) == labels.keys().cloned().collect()
            && self.listed(TAINTS_ANNOTATION) == *taints
    }

    /// Whether stargate keeps new pods off it for the time of some work.
    pub fn is_cordoned_for_work(&self) -> bool {
        self.annotations.contains_key(CORDONED_ANNOTATION)
    }

    fn listed(&self, annotation: &str) -> BTreeSet<String> {
        let text = self.annotations.get(annotation).map(String::as_str).unwrap_or_default();
        text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// The names of labels that stargate set before and that are no longer desired.
    pub fn leftover_labels(&self, desired: &BTreeMap<String, String>) -> BTreeSet<String> {
        let mut listed = self.listed(LABELS_ANNOTATION);
        listed.retain(|name| !desired.contains_key(name) && self.labels.contains_key(name));
        listed
    }

    /// The taints that stargate set before and that are no longer desired.
    pub fn leftover_taints(&self, desired: &BTreeSet<String>) -> BTreeSet<String> {
        let mut listed = self.listed(TAINTS_ANNOTATION);
        listed.retain(|taint| !desired.contains(taint) && self.taints.contains(taint));
        listed
    }
}

fn texts(object: &Value) -> BTreeMap<String, String> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn internal_ip(addresses: &Value) -> Option<Ipv4Addr> {
    let internal = |address: &&Value| address["type"] == "InternalIP";
    let addresses = addresses.as_array()?.iter().filter(internal);
    addresses.filter_map(|address| address["address"].as_str()?.parse().ok()).next()
}

fn taint_text(taint: &Value) -> String {
    let (key, value, effect) =
        (text_at(taint, "key"), text_at(taint, "value"), text_at(taint, "effect"));
    if value.is_empty() { format!("{key}:{effect}") } else { format!("{key}={value}:{effect}") }
}

fn taint_object(text: &str) -> Value {
    let (head, effect) = text.rsplit_once(':').unwrap_or((text, "NoSchedule"));
    match head.split_once('=') {
        Some((key, value)) if !value.is_empty() => {
            json!({ "key": key, "value": value, "effect": effect })
        }
        Some((key, _)) => json!({ "key": key, "effect": effect }),
        None => json!({ "key": head, "effect": effect }),
    }
}

impl ClusterClient {
    fn node_collection(&self) -> Collection {
        self.collection(apis::NODE, None)
    }

    /// Every Node, AKS's and the workers', by one list.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn nodes(&self) -> Result<Vec<NodeFacts>, ClusterError> {
        let nodes = self.node_collection().list(None, None).await?;
        Ok(nodes.iter().map(NodeFacts::of).collect())
    }

    /// One Node, if there is one of that name.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn node(&self, name: &str) -> Result<Option<NodeFacts>, ClusterError> {
        Ok(self.node_collection().get(name).await?.map(|node| NodeFacts::of(&node)))
    }

    /// Sets a Node's pod CIDR; the API server takes it once and never again.
    ///
    /// # Errors
    ///
    /// The Node has another one, or the cluster did not answer.
    pub async fn set_node_pod_cidr(
        &self,
        name: &str,
        pod_cidr: Ipv4Net,
    ) -> Result<(), ClusterError> {
        let patch = json!({ "spec": { "podCIDR": pod_cidr, "podCIDRs": [pod_cidr] } });
        self.node_collection().merge(name, &patch).await.map(|_| ())
    }

    /// Sets a Node's provider id; the API server takes it once and never again.
    ///
    /// # Errors
    ///
    /// The Node has another one, or the cluster did not answer.
    pub async fn set_node_provider_id(
        &self,
        name: &str,
        provider_id: &str,
    ) -> Result<(), ClusterError> {
        let patch = json!({ "spec": { "providerID": provider_id } });
        self.node_collection().merge(name, &patch).await.map(|_| ())
    }

    /// Sets labels and taints, removes those that stargate set before and that are no
    /// longer desired, and records its own.
    ///
    /// Server-side apply would create a missing Node; a merge patch cannot. The resource
    /// version guards the list of taints, which a merge patch replaces as a whole.
    ///
    /// # Errors
    ///
    /// The Node changed in the meantime, or the cluster did not respond.
    pub async fn set_node_labels_and_taints(
        &self,
        node: &NodeFacts,
        labels: &BTreeMap<String, String>,
        taints: &BTreeSet<String>,
    ) -> Result<NodeFacts, ClusterError> {
        let mut label_patch = json!(labels);
        for name in node.leftover_labels(labels) {
            label_patch[name] = Value::Null;
        }
        let leftover = node.leftover_taints(taints);
        let all_taints: BTreeSet<_> = node.taints.union(taints).collect();
        let mut patch = json!({
            "metadata": {
                "resourceVersion": node.resource_version,
                "labels": label_patch,
                "annotations": {
                    LABELS_ANNOTATION: joined(labels.keys()),
                    TAINTS_ANNOTATION: joined(taints),
                },
            },
        });
        if !leftover.is_empty() || !taints.is_subset(&node.taints) {
            let desired = all_taints.into_iter().filter(|taint| !leftover.contains(*taint));
            patch["spec"]["taints"] = desired.map(|taint| taint_object(taint)).collect();
        }
        Ok(NodeFacts::of(&self.node_collection().merge(&node.name, &patch).await?))
    }

    /// Sets or, with `None`, removes annotations of a Node.
    ///
    /// # Errors
    ///
    /// There is no such Node, or the cluster did not answer.
    pub async fn patch_node_annotations(
        &self,
        name: &str,
        annotations: &BTreeMap<&str, Option<&str>>,
    ) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": { "annotations": annotations } });
        self.node_collection().merge(name, &patch).await.map(|_| ())
    }

    /// Cordons a Node for the duration of an operation and records that stargate
    /// did it; a Node that another client cordoned stays unchanged.
    ///
    /// # Errors
    ///
    /// There is no such Node, or the cluster did not answer.
    pub async fn cordon_for_work(&self, node: &NodeFacts) -> Result<(), ClusterError> {
        if node.unschedulable {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "annotations": { CORDONED_ANNOTATION: "true" } },
            "spec": { "unschedulable": true },
        });
        self.node_collection().merge(&node.name, &patch).await.map(|_| ())
    }

    /// Lets pods come again to a Node that stargate has cordoned.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn uncordon_after_work(&self, name: &str) -> Result<(), ClusterError> {
        let node = self.node(name).await?;
        if !node.is_some_and(|node| node.is_cordoned_for_work()) {
            return Ok(());
        }
        let patch = json!({
            "metadata": { "annotations": { CORDONED_ANNOTATION: null } },
            "spec": { "unschedulable": null },
        });
        self.node_collection().merge(name, &patch).await.map(|_| ())
    }

    /// Deletes a Node and waits until it is deleted. An absent one is no error. With a uid,
    /// only the Node of that uid is deleted, and not one that joined since.
    ///
    /// # Errors
    ///
    /// Another Node has the name, or the cluster did not respond or refused.
    pub async fn delete_node(&self, name: &str, uid: Option<&str>) -> Result<(), ClusterError> {
        delete_and_wait(&self.node_collection(), name, uid).await
    }
}

fn joined<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    items.into_iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_round_trips() {
        for text in ["a=b:NoSchedule", "a:NoExecute", "x.io/a=b:PreferNoSchedule"] {
            assert_eq!(taint_text(&taint_object(text)), text);
        }
    }

    #[test]
    fn reads_a_node_without_fields() {
        let node = NodeFacts::of(&json!({ "metadata": { "name": "w" } }));
        assert!(!node.ready && node.pod_cidr.is_none() && node.internal_ip.is_none());
        let node = NodeFacts::of(&json!({
            "metadata": { "name": "w", "annotations": { LABELS_ANNOTATION: "a,b" },
                          "labels": { "a": "1", "b": "2" } },
            "spec": { "podCIDR": "10.244.3.0/24", "taints": [{ "key": "k", "effect": "NoExecute" }] },
            "status": {
                "addresses": [
                    { "type": "Hostname", "address": "w" },
                    { "type": "InternalIP", "address": "fd00::1" },
                    { "type": "InternalIP", "address": "10.0.0.4" },
                ],
                "conditions": [{ "type": "Ready", "status": "False", "message": "no CNI" }],
                "nodeInfo": { "kubeletVersion": "v1.33.5" },
            },
        }));
        assert_eq!(node.internal_ip, Some(Ipv4Addr::new(10, 0, 0, 4)));
        assert_eq!(node.pod_cidr, Some("10.244.3.0/24".parse().unwrap()));
        assert_eq!(node.not_ready_because.as_deref(), Some("no CNI"));
        let desired = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        assert_eq!(node.leftover_labels(&desired), BTreeSet::from(["b".to_owned()]));
    }
}
