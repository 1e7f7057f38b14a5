//! DaemonSets get a pod on every node that they match.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cluster::{Cluster, is_ready, name, owner};
use super::nodes::{internal_ip, pod_range};
use crate::sandbox::world::World;

const DAEMON_SET: (&str, &str) = ("apps/v1", "DaemonSet");
const POD: (&str, &str) = ("v1", "Pod");

pub(super) fn settle(world: &mut World, now: Timestamp) {
    let Some(store) = &mut world.kubernetes else { return };
    let cluster = &mut Cluster::new(store, now);
    let sets = cluster.all(DAEMON_SET);
    let pods = cluster.all(POD);
    if sets.is_empty() && pods.is_empty() {
        return;
    }
    let nodes: BTreeMap<String, Value> =
        cluster.nodes().into_iter().map(|node| (name(&node).to_owned(), node)).collect();
    for pod in &pods {
        let place = pod.pointer("/spec/nodeName").and_then(Value::as_str);
        if place.is_some_and(|place| !nodes.contains_key(place)) {
            let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str);
            cluster.delete(POD, namespace, name(pod));
        }
    }
    for set in sets {
        spread(cluster, set, &nodes);
    }
}

fn spread(cluster: &mut Cluster<'_>, mut set: Value, nodes: &BTreeMap<String, Value>) {
    if set.pointer("/metadata/deletionTimestamp").is_some() {
        return;
    }
    let (mut desired, mut ready) = (0, 0);
    for node in nodes.values().filter(|node| matches(&set, node)) {
        desired += 1;
        if is_ready(node) {
            ready += 1;
        }
        if let Some(pod) = pod(cluster, &set, node) {
            cluster.put(pod);
        }
    }
    set["status"] = json!({
        "currentNumberScheduled": desired,
        "desiredNumberScheduled": desired,
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberAvailable": ready,
        "numberUnavailable": desired - ready,
        "updatedNumberScheduled": desired,
        "observedGeneration": set.pointer("/metadata/generation").cloned().unwrap_or(json!(1)),
    });
    cluster.put(set);
}

fn matches(set: &Value, node: &Value) -> bool {
    let template = &set["spec"]["template"]["spec"];
    let selector = template["nodeSelector"].as_object();
    let labels = &node["metadata"]["labels"];
    let selected =
        selector.is_none_or(|selector| selector.iter().all(|(key, value)| labels[key] == *value));
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let mut repelling = taints
        .into_iter()
        .flatten()
        .filter(|taint| taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute");
    selected && repelling.all(|taint| tolerated(&template["tolerations"], taint))
}

fn tolerated(tolerations: &Value, taint: &Value) -> bool {
    tolerations.as_array().into_iter().flatten().any(|toleration| {
        let any = |key: &str| toleration.get(key).is_none() || toleration[key] == taint[key];
        let exists = toleration["operator"] == "Exists";
        any("key") && any("effect") && (exists || toleration["value"] == taint["value"])
    })
}

/// The pod of a DaemonSet on a node. Its name and address follow from both, so
/// that settling again finds the same pod.
fn pod(cluster: &Cluster<'_>, set: &Value, node: &Value) -> Option<Value> {
    let namespace = set.pointer("/metadata/namespace").and_then(Value::as_str)?;
    let seed = format!("{namespace}/{}/{}", name(set), name(node));
    let digest = Sha256::digest(seed.as_bytes());
    let suffix: String = digest.iter().take(5).map(|byte| letter(*byte)).collect();
    let pod_name = format!("{}-{suffix}", name(set));
    let known = cluster.store.get(POD.0, POD.1, Some(namespace), &pod_name);
    let template = &set["spec"]["template"];
    let host_network = template["spec"]["hostNetwork"] == true;
    let address = match host_network {
        true => internal_ip(node),
        false => pod_range(cluster, node).map(|range| {
            let offset = 2 + u32::from(digest[5]) % 200;
            Ipv4Addr::from(u32::from(range.network()) + offset)
        }),
    };
    let running = is_ready(node) && address.is_some();
    if known.is_none() && !running {
        return None;
    }
    let mut pod = known.cloned().unwrap_or_else(|| {
        let mut spec = template["spec"].clone();
        spec["nodeName"] = json!(name(node));
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": pod_name,
                "namespace": namespace,
                "labels": template["metadata"]["labels"],
                "ownerReferences": owner(set),
            },
            "spec": spec,
            "status": { "startTime": cluster.now },
        })
    });
    let old = pod["status"].clone();
    pod["status"] = pod_status(&old, running, address, internal_ip(node));
    pod["status"]["containerStatuses"] = container_statuses(&pod["spec"], running);
    Some(pod)
}

fn pod_status(
    old: &Value,
    running: bool,
    address: Option<Ipv4Addr>,
    host: Option<Ipv4Addr>,
) -> Value {
    let address = address.map(|address| address.to_string());
    let ready = if running { "True" } else { "False" };
    let mut status = json!({
        "phase": "Running",
        "startTime": old["startTime"],
        "conditions": [
            { "type": "PodScheduled", "status": "True" },
            { "type": "Ready", "status": ready },
            { "type": "ContainersReady", "status": ready },
        ],
    });
    if let Some(host) = host {
        status["hostIP"] = json!(host.to_string());
        status["hostIPs"] = json!([{ "ip": host.to_string() }]);
    }
    if let Some(address) = address {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{ "ip": address }]);
    }
    status
}

fn container_statuses(spec: &Value, running: bool) -> Value {
    let containers = spec["containers"].as_array();
    let statuses = containers.into_iter().flatten().map(|container| {
        json!({
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "ready": running,
            "started": running,
            "restartCount": 0,
        })
    });
    Value::Array(statuses.collect())
}

fn letter(byte: u8) -> char {
    char::from_digit(10 + u32::from(byte) % 26, 36).unwrap_or('x')
}
