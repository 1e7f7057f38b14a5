//! Where the pod CIDRs of nodes are written: AKS's allocator, and Cilium.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::manifests::delete_and_wait;
use super::request::apis;
use super::{ClusterClient, KUBE_SYSTEM, text_at};

impl ClusterClient {
    /// The pod CIDR that Azure gave each AKS node; none where the cluster has no
    /// such API.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn node_network_configs(&self) -> Result<BTreeMap<String, Ipv4Net>, ClusterError> {
        let collection = self.collection(apis::NODE_NETWORK_CONFIG, Some(KUBE_SYSTEM));
        let objects = collection.list_if_served().await?;
        Ok(objects
            .iter()
            .filter_map(|object| {
                Some((text_at(&object["metadata"], "name"), overlay_range(object)?))
            })
            .collect())
    }

    /// `spec.ipam.podCIDRs` of every CiliumNode; none where the cluster has no
    /// such API. On AKS they are normally empty and not reliable: do not plan from them.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn cilium_nodes(&self) -> Result<BTreeMap<String, Vec<Ipv4Net>>, ClusterError> {
        let objects = self.collection(apis::CILIUM_NODE, None).list_if_served().await?;
        Ok(objects
            .iter()
            .map(|object| (text_at(&object["metadata"], "name"), pod_cidrs(object)))
            .collect())
    }

    /// `spec.ipam.podCIDRs` of one CiliumNode; nothing where it is not there.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn cilium_node(&self, name: &str) -> Result<Option<Vec<Ipv4Net>>, ClusterError> {
        let object = self.collection(apis::CILIUM_NODE, None).get(name).await?;
        Ok(object.as_ref().map(pod_cidrs))
    }

    /// Sets only `spec.ipam.podCIDRs` of a CiliumNode.
    ///
    /// # Errors
    ///
    /// There is no such CiliumNode yet, or the cluster did not respond.
    pub async fn set_cilium_pod_cidrs(
        &self,
        name: &str,
        pod_cidrs: &[Ipv4Net],
    ) -> Result<(), ClusterError> {
        let patch = json!({ "spec": { "ipam": { "podCIDRs": pod_cidrs } } });
        self.collection(apis::CILIUM_NODE, None).merge(name, &patch).await.map(|_| ())
    }

    /// The uid of a CiliumNode; `None` as well in a cluster without Cilium.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn cilium_node_uid(&self, name: &str) -> Result<Option<String>, ClusterError> {
        let object = self.collection(apis::CILIUM_NODE, None).get(name).await?;
        Ok(object.map(|object| text_at(&object["metadata"], "uid")))
    }

    /// Deletes the CiliumNode of this uid, whose Node is deleted. An absent one is no error.
    ///
    /// # Errors
    ///
    /// Another CiliumNode has the name, or the cluster did not respond or refused.
    pub async fn delete_cilium_node(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        delete_and_wait(&self.collection(apis::CILIUM_NODE, None), name, Some(uid)).await
    }
}

fn pod_cidrs(object: &Value) -> Vec<Ipv4Net> {
    let written = object["spec"]["ipam"]["podCIDRs"].as_array().into_iter().flatten();
    written.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

/// The overlay container's `primaryIP`. It is a prefix there, possibly with
/// host bits; in other modes it is a plain address without a range.
fn overlay_range(object: &Value) -> Option<Ipv4Net> {
    let containers = object["status"]["networkContainers"].as_array()?;
    containers
        .iter()
        .filter(|container| container["type"].as_str().is_none_or(|kind| kind == "overlay"))
        .filter_map(|container| container["primaryIP"].as_str()?.parse::<Ipv4Net>().ok())
        .map(|range| range.trunc())
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(containers: &Value) -> Value {
        json!({ "status": { "networkContainers": containers } })
    }

    #[test]
    fn the_range_is_the_overlay_containers_prefix() {
        for (containers, expected) in [
            (json!([{ "type": "overlay", "primaryIP": "10.244.2.0/24" }]), Some("10.244.2.0/24")),
            (json!([{ "type": "overlay", "primaryIP": "10.244.2.7/24" }]), Some("10.244.2.0/24")),
            (
                json!([
                    { "type": "vnet", "primaryIP": "10.224.0.0/24" },
                    { "type": "overlay", "primaryIP": "10.244.5.0/24", "nodeIP": "10.224.0.4" },
                ]),
                Some("10.244.5.0/24"),
            ),
            (json!([{ "type": "overlay", "primaryIP": "10.244.2.7" }]), None),
            (json!([]), None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(overlay_range(&config(&containers)), expected, "{containers}");
        }
        assert_eq!(overlay_range(&json!({})), None);
    }
}
