//! Nodes: immutable fields, labels and taints that stargate sets and removes, cordon and deletion;
//! and the pod CIDRs that other components write.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stargate::provider::cluster::{ClusterError, PROFILE_DIGEST_ANNOTATION};

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;
use crate::definitions::DEFINITIONS;
use crate::drains;

const NODES: &str = "/api/v1/nodes";
pub(crate) const NODE: &str = "attic-a";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    check_immutable_fields(server, check_log).await;
    labels_and_taints(server, check_log).await;
    annotations_and_cordon(server, check_log).await;
    drains::check(server, check_log).await;
    check_pod_cidrs(server, check_log).await;
    deletion(server, check_log).await;
}

async fn check_immutable_fields(server: &ApiServer, check_log: &mut CheckLog) {
    let (right, wrong) = ("10.244.129.0/24".parse().unwrap(), "10.244.130.0/24".parse().unwrap());
    let stargate_client = &server.stargate_client;
    check_log.equals(
        "a pod CIDR is set",
        stargate_client.set_node_pod_cidr(NODE, right).await,
        Ok(()),
    );
    check_log.equals("and again", stargate_client.set_node_pod_cidr(NODE, right).await, Ok(()));
    let found = stargate_client.node(NODE).await.ok().flatten().and_then(|it| it.pod_cidr);
    check_log.equals("it is read", found, Some(right));
    let detail = stargate_client.set_node_pod_cidr(NODE, wrong).await.err().map(|it| it.reason);
    let rule = |what| format!("node updates may not change {what} except from \"\" to valid");
    let sentence =
        format!("Node \"{NODE}\" is invalid: spec.podCIDRs: Forbidden: {}", rule("podCIDR"));
    check_log.equals("a different one is refused", detail, Some(sentence));
    let path = format!("{NODES}/{NODE}");
    let change = json!({ "spec": { "podCIDR": wrong, "podCIDRs": [wrong] } });
    let response = server.admin.merge(&path, &change).await;
    let summary = "422 Invalid spec.podCIDRs=FieldValueForbidden";
    check_log.equals("by the field", response.summary(), summary.into());
    let change = json!({ "spec": { "podCIDR": wrong } });
    let response = server.admin.merge(&path, &change).await;
    check_log.equals("of one field alone, too", response.summary(), summary.into());
    let other = stargate_client.set_node_provider_id(NODE, "stargate:///attic/other").await;
    let detail = other.err().map(|it| it.reason);
    let sentence =
        format!("Node \"{NODE}\" is invalid: spec.providerID: Forbidden: {}", rule("providerID"));
    check_log.equals("another provider id is refused", detail, Some(sentence));
    let equals = stargate_client.set_node_provider_id(NODE, "stargate:///attic/attic-a").await;
    check_log.equals("the same is fine", equals, Ok(()));
    let missing = stargate_client.set_node_pod_cidr("missing", right).await.err();
    let is_missing = missing.as_ref().is_some_and(ClusterError::is_not_found);
    check_log.is_true("a missing Node is an error", is_missing, &missing);
    let wrong = json!({ "spec": { "podCIDR": "10.244.1.1/33" } });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "wrong" },
        "spec": wrong["spec"] });
    let response = server.admin.post(NODES, &node).await;
    let summary = "422 Invalid spec.podCIDRs[0]=FieldValueInvalid".to_owned();
    check_log.equals("an invalid range is refused", response.summary(), summary);
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn labels_and_taints(server: &ApiServer, check_log: &mut CheckLog) {
    let stargate_client = &server.stargate_client;
    let path = format!("{NODES}/{NODE}");
    let others = json!({ "metadata": { "labels": { "others": "kept" } } });
    server.admin.merge(&path, &others).await;
    let labels = pairs(&[("stargate.io/datacenter", "attic"), ("tier", "far")]);
    let taints = words(&["far=away:NoSchedule", "gone:NoExecute"]);
    let Ok(Some(node)) = stargate_client.node(NODE).await else { return };
    let set = stargate_client.set_node_labels_and_taints(&node, &labels, &taints).await;
    let Some(set) = check_log.succeeds("labels and taints are set", set) else { return };
    check_log.equals("and are there", set.carries(&labels, &taints), true);
    let kept = set.labels.get("others").map(String::as_str);
    check_log.equals("foreign labels are kept", kept, Some("kept"));
    let stale = stargate_client.set_node_labels_and_taints(&node, &labels, &taints).await.err();
    let is_conflict = stale.as_ref().is_some_and(ClusterError::is_conflict);
    check_log.is_true("an old version is a conflict", is_conflict, &stale);
    let fewer = pairs(&[("tier", "near")]);
    let less = words(&["far=away:NoSchedule"]);
    let Ok(Some(node)) = stargate_client.node(NODE).await else { return };
    let set = stargate_client.set_node_labels_and_taints(&node, &fewer, &less).await;
    let Some(set) = check_log.succeeds("they change", set) else { return };
    check_log.equals("as expected", set.carries(&fewer, &less), true);
    let left = set.labels.contains_key("stargate.io/datacenter");
    check_log.equals("labels and taints that are no longer expected are removed", left, false);
    check_log.equals("taints, too", set.taints.contains("gone:NoExecute"), false);
    let wrong = pairs(&[("tier", "no such value!")]);
    let Ok(Some(node)) = stargate_client.node(NODE).await else { return };
    let refused = stargate_client.set_node_labels_and_taints(&node, &wrong, &less).await.err();
    let detail = refused.map(|it| it.reason).unwrap_or_default();
    let start = format!("Node \"{NODE}\" is invalid: metadata.labels: Invalid value: \"no such");
    check_log.is_true("a label's value has its rules", detail.starts_with(&start), &detail);
    let wrong = json!({ "spec": { "taints": [{ "key": "a", "effect": "Sometimes" }] } });
    let response = server.admin.merge(&path, &wrong).await;
    let sentence = format!(
        "Node \"{NODE}\" is invalid: metadata.taints[0].effect: Unsupported value: \"Sometimes\": \
         supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""
    );
    check_log.equals("and so has a taint's effect", response.message(), sentence.as_str());
}

async fn annotations_and_cordon(server: &ApiServer, check_log: &mut CheckLog) {
    let stargate_client = &server.stargate_client;
    for (value, expected) in [(Some("sha256:1"), Some("sha256:1")), (None, None)] {
        let annotations = BTreeMap::from([(PROFILE_DIGEST_ANNOTATION, value)]);
        let written = stargate_client.patch_node_annotations(NODE, &annotations).await;
        check_log.equals("an annotation is written", written, Ok(()));
        let node = stargate_client.node(NODE).await.ok().flatten();
        let found = node.and_then(|it| it.annotations.get(PROFILE_DIGEST_ANNOTATION).cloned());
        check_log.equals("and read", found.as_deref(), expected);
    }
    for _ in 0..2 {
        let cordoned = match stargate_client.node(NODE).await {
            Ok(Some(node)) => stargate_client.cordon_for_work(&node).await,
            other => other.map(drop),
        };
        check_log.equals("a Node is cordoned", cordoned, Ok(()));
        let found = stargate_client.node(NODE).await.ok().flatten();
        let found = found.map(|it| (it.unschedulable, it.is_cordoned_for_work()));
        check_log.equals("and seen so", found, Some((true, true)));
        let again = stargate_client.uncordon_after_work(NODE).await;
        check_log.equals("and uncordoned", again, Ok(()));
        let found = stargate_client.node(NODE).await.ok().flatten().map(|it| it.unschedulable);
        check_log.equals("which is seen", found, Some(false));
    }
}

/// CiliumNode and NodeNetworkConfig are kinds of other components, and not served everywhere.
async fn check_pod_cidrs(server: &ApiServer, check_log: &mut CheckLog) {
    for (group, version, kind, plural, scope) in [
        ("cilium.io", "v2", "CiliumNode", "ciliumnodes", "Cluster"),
        ("acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", "Namespaced"),
    ] {
        let path = format!("{DEFINITIONS}/{plural}.{group}");
        if server.admin.get(&path).await.code == 404 {
            let definition = open(group, version, kind, plural, scope);
            let made = server.admin.post(DEFINITIONS, &definition).await;
            check_log.equals(&format!("{kind} is served"), made.code, 201);
            let served = format!("/apis/{group}/{version}/{plural}");
            server.admin.until(&served, |it| it.code == 200).await;
        }
    }
    let stargate_client = &server.stargate_client;
    let range = "10.244.129.0/24".parse().unwrap();
    let early = stargate_client.set_cilium_pod_cidrs("missing", &[range]).await.err();
    let is_missing = early.as_ref().is_some_and(ClusterError::is_not_found);
    check_log.is_true("a CiliumNode is only ever patched", is_missing, &early);
    let path = format!("/apis/cilium.io/v2/ciliumnodes/{NODE}");
    if server.admin.get(&path).await.code == 404 {
        let node = json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
            "metadata": { "name": NODE }, "spec": { "ipam": { "podCIDRs": [] } } });
        server.admin.post("/apis/cilium.io/v2/ciliumnodes", &node).await;
    }
    check_log.equals(
        "it is patched",
        stargate_client.set_cilium_pod_cidrs(NODE, &[range]).await,
        Ok(()),
    );
    check_log.equals("and read", stargate_client.cilium_node(NODE).await, Ok(Some(vec![range])));
    let all = stargate_client.cilium_nodes().await.ok().and_then(|all| all.get(NODE).cloned());
    check_log.equals("among all", all, Some(vec![range]));
    let config = json!({ "apiVersion": "acn.azure.com/v1alpha", "kind": "NodeNetworkConfig",
        "metadata": { "name": "aks-a", "namespace": "kube-system" } });
    let configs = "/apis/acn.azure.com/v1alpha/namespaces/kube-system/nodenetworkconfigs";
    server.admin.post(configs, &config).await;
    let status = json!({ "status": { "networkContainers": [
        { "type": "overlay", "primaryIP": "10.244.2.0/24" } ] } });
    let detail = server.admin.merge(&format!("{configs}/aks-a/status"), &status).await;
    check_log.equals("Azure reports a node's range", detail.code, 200);
    let found =
        stargate_client.node_network_configs().await.ok().and_then(|all| all.get("aks-a").copied());
    check_log.equals("and it is read", found, "10.244.2.0/24".parse().ok());
}

/// A definition that accepts any object.
fn open(group: &str, version: &str, kind: &str, plural: &str, scope: &str) -> Value {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}") },
        "spec": {
            "group": group, "scope": scope, "names": { "kind": kind, "plural": plural },
            "versions": [{ "name": version, "served": true, "storage": true,
                "subresources": { "status": {} }, "schema": { "openAPIV3Schema": open } }],
        },
    })
}

async fn deletion(server: &ApiServer, check_log: &mut CheckLog) {
    let stargate_client = &server.stargate_client;
    let all = stargate_client
        .nodes()
        .await
        .ok()
        .and_then(|all| all.into_iter().find(|it| it.name == NODE));
    check_log.is_true("the Node is among all", all.is_some(), &"it is not");
    let earlier = stargate_client.delete_node(NODE, Some("another-uid")).await;
    let conflict = earlier.is_err_and(|error| error.is_conflict());
    check_log.is_true("a Node of another uid is not deleted", conflict, &"no conflict");
    let node = stargate_client.node(NODE).await.ok().flatten();
    check_log.is_true("it stays", node.is_some(), &"it is gone");
    let uid = node.map(|node| node.uid);
    let cilium = stargate_client.cilium_node_uid(NODE).await.ok().flatten();
    check_log.is_true("a CiliumNode has a uid", cilium.is_some(), &"it has none");
    let deleted = stargate_client.delete_node(NODE, uid.as_deref()).await;
    check_log.equals("a Node is deleted", deleted, Ok(()));
    check_log.equals("and gone", stargate_client.node(NODE).await, Ok(None));
    check_log.equals("once", stargate_client.delete_node(NODE, None).await, Ok(()));
    if let Some(uid) = cilium {
        let deleted = stargate_client.delete_cilium_node(NODE, &uid).await;
        check_log.equals("its CiliumNode follows", deleted, Ok(()));
    }
    check_log.equals("and is deleted", stargate_client.cilium_node(NODE).await, Ok(None));
}
