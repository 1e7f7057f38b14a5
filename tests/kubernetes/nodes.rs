//! Nodes: what is set once, what stargate sets and takes back, cordon and
//! deletion; and where others write the ranges of pods.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stargate::provider::cluster::{ClusterError, PROFILE_DIGEST_ANNOTATION};

use crate::api_server::ApiServer;
use crate::definitions::DEFINITIONS;
use crate::drains;
use crate::verdicts::Verdicts;

const NODES: &str = "/api/v1/nodes";
pub(crate) const NODE: &str = "attic-a";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    set_once(server, verdicts).await;
    labels_and_taints(server, verdicts).await;
    annotations_and_cordon(server, verdicts).await;
    drains::check(server, verdicts).await;
    ranges_of_others(server, verdicts).await;
    deletion(server, verdicts).await;
}

async fn set_once(server: &ApiServer, verdicts: &mut Verdicts) {
    let (right, wrong) = ("10.244.129.0/24".parse().unwrap(), "10.244.130.0/24".parse().unwrap());
    let door = &server.door;
    verdicts.same("a pod CIDR is set", door.set_node_pod_cidr(NODE, right).await, Ok(()));
    verdicts.same("and again", door.set_node_pod_cidr(NODE, right).await, Ok(()));
    let seen = door.node(NODE).await.ok().flatten().and_then(|it| it.pod_cidr);
    verdicts.same("it is read", seen, Some(right));
    let told = door.set_node_pod_cidr(NODE, wrong).await.err().map(|it| it.reason);
    let rule = |what| format!("node updates may not change {what} except from \"\" to valid");
    let sentence =
        format!("Node \"{NODE}\" is invalid: spec.podCIDRs: Forbidden: {}", rule("podCIDR"));
    verdicts.same("another one is refused", told, Some(sentence));
    let path = format!("{NODES}/{NODE}");
    let change = json!({ "spec": { "podCIDR": wrong, "podCIDRs": [wrong] } });
    let answer = server.admin.merge(&path, &change).await;
    let verdict = "422 Invalid spec.podCIDRs=FieldValueForbidden";
    verdicts.same("by the field", answer.verdict(), verdict.into());
    let change = json!({ "spec": { "podCIDR": wrong } });
    let answer = server.admin.merge(&path, &change).await;
    verdicts.same("of one field alone, too", answer.verdict(), verdict.into());
    let other = door.set_node_provider_id(NODE, "stargate:///attic/other").await;
    let told = other.err().map(|it| it.reason);
    let sentence =
        format!("Node \"{NODE}\" is invalid: spec.providerID: Forbidden: {}", rule("providerID"));
    verdicts.same("another provider id is refused", told, Some(sentence));
    let same = door.set_node_provider_id(NODE, "stargate:///attic/attic-a").await;
    verdicts.same("the same is fine", same, Ok(()));
    let missing = door.set_node_pod_cidr("nobody", right).await.err();
    let is_missing = missing.as_ref().is_some_and(ClusterError::is_not_found);
    verdicts.holds("a Node that is not there gets none", is_missing, &missing);
    let wrong = json!({ "spec": { "podCIDR": "10.244.1.1/33" } });
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "wrong" },
        "spec": wrong["spec"] });
    let answer = server.admin.post(NODES, &node).await;
    let verdict = "422 Invalid spec.podCIDRs[0]=FieldValueInvalid".to_owned();
    verdicts.same("a range that is none is refused", answer.verdict(), verdict);
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn labels_and_taints(server: &ApiServer, verdicts: &mut Verdicts) {
    let door = &server.door;
    let path = format!("{NODES}/{NODE}");
    let others = json!({ "metadata": { "labels": { "others": "kept" } } });
    server.admin.merge(&path, &others).await;
    let labels = pairs(&[("stargate.io/datacenter", "attic"), ("tier", "far")]);
    let taints = words(&["far=away:NoSchedule", "gone:NoExecute"]);
    let Ok(Some(node)) = door.node(NODE).await else { return };
    let set = door.set_node_labels_and_taints(&node, &labels, &taints).await;
    let Some(set) = verdicts.well("labels and taints are set", set) else { return };
    verdicts.same("and are there", set.carries(&labels, &taints), true);
    let kept = set.labels.get("others").map(String::as_str);
    verdicts.same("others' labels stay", kept, Some("kept"));
    let stale = door.set_node_labels_and_taints(&node, &labels, &taints).await.err();
    let is_conflict = stale.as_ref().is_some_and(ClusterError::is_conflict);
    verdicts.holds("an old version is a conflict", is_conflict, &stale);
    let fewer = pairs(&[("tier", "near")]);
    let less = words(&["far=away:NoSchedule"]);
    let Ok(Some(node)) = door.node(NODE).await else { return };
    let set = door.set_node_labels_and_taints(&node, &fewer, &less).await;
    let Some(set) = verdicts.well("they change", set) else { return };
    verdicts.same("as wanted", set.carries(&fewer, &less), true);
    let left = set.labels.contains_key("stargate.io/datacenter");
    verdicts.same("what is no longer wanted goes", left, false);
    verdicts.same("taints, too", set.taints.contains("gone:NoExecute"), false);
    let wrong = pairs(&[("tier", "no such value!")]);
    let Ok(Some(node)) = door.node(NODE).await else { return };
    let refused = door.set_node_labels_and_taints(&node, &wrong, &less).await.err();
    let told = refused.map(|it| it.reason).unwrap_or_default();
    let start = format!("Node \"{NODE}\" is invalid: metadata.labels: Invalid value: \"no such");
    verdicts.holds("a label's value has its rules", told.starts_with(&start), &told);
    let wrong = json!({ "spec": { "taints": [{ "key": "a", "effect": "Sometimes" }] } });
    let answer = server.admin.merge(&path, &wrong).await;
    let sentence = format!(
        "Node \"{NODE}\" is invalid: metadata.taints[0].effect: Unsupported value: \"Sometimes\": \
         supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\""
    );
    verdicts.same("and so has a taint's effect", answer.message(), sentence.as_str());
}

async fn annotations_and_cordon(server: &ApiServer, verdicts: &mut Verdicts) {
    let door = &server.door;
    for (value, expected) in [(Some("sha256:1"), Some("sha256:1")), (None, None)] {
        let annotations = BTreeMap::from([(PROFILE_DIGEST_ANNOTATION, value)]);
        let written = door.patch_node_annotations(NODE, &annotations).await;
        verdicts.same("an annotation is written", written, Ok(()));
        let node = door.node(NODE).await.ok().flatten();
        let seen = node.and_then(|it| it.annotations.get(PROFILE_DIGEST_ANNOTATION).cloned());
        verdicts.same("and read", seen.as_deref(), expected);
    }
    let labelled = door.patch_node_labels(NODE, &pairs(&[("more", "yes")])).await;
    verdicts.same("a label is added", labelled, Ok(()));
    let labels = door.node(NODE).await.ok().flatten().map(|it| it.labels);
    let both = labels.is_some_and(|it| it.contains_key("more") && it.contains_key("tier"));
    verdicts.same("beside the others", both, true);
    for _ in 0..2 {
        let cordoned = match door.node(NODE).await {
            Ok(Some(node)) => door.cordon_for_work(&node).await,
            other => other.map(drop),
        };
        verdicts.same("a Node is cordoned", cordoned, Ok(()));
        let seen = door.node(NODE).await.ok().flatten();
        let seen = seen.map(|it| (it.unschedulable, it.is_cordoned_for_work()));
        verdicts.same("and seen so", seen, Some((true, true)));
        let again = door.uncordon_after_work(NODE).await;
        verdicts.same("and takes pods again", again, Ok(()));
        let seen = door.node(NODE).await.ok().flatten().map(|it| it.unschedulable);
        verdicts.same("which is seen", seen, Some(false));
    }
}

/// CiliumNode and NodeNetworkConfig are others' kinds, and not everywhere.
async fn ranges_of_others(server: &ApiServer, verdicts: &mut Verdicts) {
    for (group, version, kind, plural, scope) in [
        ("cilium.io", "v2", "CiliumNode", "ciliumnodes", "Cluster"),
        ("acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", "Namespaced"),
    ] {
        let path = format!("{DEFINITIONS}/{plural}.{group}");
        if server.admin.get(&path).await.code == 404 {
            let definition = open(group, version, kind, plural, scope);
            let made = server.admin.post(DEFINITIONS, &definition).await;
            verdicts.same(&format!("{kind} is served"), made.code, 201);
            let served = format!("/apis/{group}/{version}/{plural}");
            server.admin.until(&served, |it| it.code == 200).await;
        }
    }
    let door = &server.door;
    let range = "10.244.129.0/24".parse().unwrap();
    let early = door.set_cilium_pod_cidrs("nobody", &[range]).await.err();
    let is_missing = early.as_ref().is_some_and(ClusterError::is_not_found);
    verdicts.holds("a CiliumNode is only ever patched", is_missing, &early);
    let path = format!("/apis/cilium.io/v2/ciliumnodes/{NODE}");
    if server.admin.get(&path).await.code == 404 {
        let node = json!({ "apiVersion": "cilium.io/v2", "kind": "CiliumNode",
            "metadata": { "name": NODE }, "spec": { "ipam": { "podCIDRs": [] } } });
        server.admin.post("/apis/cilium.io/v2/ciliumnodes", &node).await;
    }
    verdicts.same("it is patched", door.set_cilium_pod_cidrs(NODE, &[range]).await, Ok(()));
    verdicts.same("and read", door.cilium_node(NODE).await, Ok(Some(vec![range])));
    let all = door.cilium_nodes().await.ok().and_then(|all| all.get(NODE).cloned());
    verdicts.same("among all", all, Some(vec![range]));
    let config = json!({ "apiVersion": "acn.azure.com/v1alpha", "kind": "NodeNetworkConfig",
        "metadata": { "name": "aks-a", "namespace": "kube-system" } });
    let configs = "/apis/acn.azure.com/v1alpha/namespaces/kube-system/nodenetworkconfigs";
    server.admin.post(configs, &config).await;
    let status = json!({ "status": { "networkContainers": [
        { "type": "overlay", "primaryIP": "10.244.2.0/24" } ] } });
    let told = server.admin.merge(&format!("{configs}/aks-a/status"), &status).await;
    verdicts.same("Azure tells a node's range", told.code, 200);
    let seen = door.node_network_configs().await.ok().and_then(|all| all.get("aks-a").copied());
    verdicts.same("and it is read", seen, "10.244.2.0/24".parse().ok());
}

/// A definition that lets everything in.
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

async fn deletion(server: &ApiServer, verdicts: &mut Verdicts) {
    let door = &server.door;
    let all = door.nodes().await.ok().and_then(|all| all.into_iter().find(|it| it.name == NODE));
    verdicts.holds("the Node is among all", all.is_some(), &"it is not");
    verdicts.same("a Node is deleted", door.delete_node(NODE).await, Ok(()));
    verdicts.same("and gone", door.node(NODE).await, Ok(None));
    verdicts.same("once", door.delete_node(NODE).await, Ok(()));
    verdicts.same("its CiliumNode follows", door.delete_cilium_node(NODE).await, Ok(()));
    verdicts.same("and is gone", door.cilium_node(NODE).await, Ok(None));
}
