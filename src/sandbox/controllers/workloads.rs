//! The DaemonSet controller: creates a pod on every matching node.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::changes::Since;
use super::cluster::{ClusterObjects, NETWORK_CONFIG, NODE, is_ready, name, owner};
use super::nodes::{internal_ip, pod_range};
use crate::sandbox::kubernetes::ObjectDelta;
use crate::sandbox::state::SandboxState;

const DAEMON_SET: (&str, &str) = ("apps/v1", "DaemonSet");
const POD: (&str, &str) = ("v1", "Pod");

pub(super) fn reconcile(sandbox: &mut SandboxState, since: Since, now: Timestamp) {
    let Some(store) = &mut sandbox.kubernetes else { return };
    let sets = store.list(DAEMON_SET.0, DAEMON_SET.1, None).len();
    if sets == 0 && store.list(POD.0, POD.1, None).is_empty() {
        return;
    }
    let cluster = &mut ClusterObjects::new(store, now);
    match WorkloadDeltas::since(cluster, since) {
        Some(deltas) => follow(cluster, deltas),
        None => reconcile_all(cluster),
    }
}

fn reconcile_all(cluster: &mut ClusterObjects<'_>) {
    for pod in cluster.all(POD) {
        remove_from_lost_node(cluster, &pod);
    }
    let nodes = cluster.nodes();
    for set in cluster.all(DAEMON_SET) {
        update_pods(cluster, set, &nodes);
    }
}

/// Changed objects that pods depend on.
struct WorkloadDeltas {
    /// Nodes that were added, deleted or changed, or whose pods may have changed.
    nodes: Vec<ObjectDelta>,
    pods: Vec<ObjectDelta>,
    /// Namespaces and names of changed DaemonSets.
    sets: BTreeSet<(Option<String>, String)>,
}

impl WorkloadDeltas {
    fn since(cluster: &ClusterObjects<'_>, since: Since) -> Option<Self> {
        let store = &cluster.store;
        let mut nodes = since.deltas(store, NODE)?;
        let pods = since.deltas(store, POD)?;
        let changed = since.deltas(store, DAEMON_SET)?;
        let ranges = since.deltas(store, NETWORK_CONFIG)?;
        let with_deltas: BTreeSet<String> =
            nodes.iter().filter_map(|deltas| Some(name(deltas.last()?).to_owned())).collect();
        let of_pods = pods.iter().filter_map(|deltas| node_name(deltas.last()?));
        let of_ranges = ranges.iter().filter_map(|deltas| Some(name(deltas.last()?)));
        let others: BTreeSet<&str> =
            of_pods.chain(of_ranges).filter(|name| !with_deltas.contains(*name)).collect();
        for other in others {
            let Some(node) = cluster.node(other).cloned().map(Arc::new) else { continue };
            nodes.push(ObjectDelta { before: Some(Arc::clone(&node)), after: Some(node) });
        }
        let sets = changed.iter().filter_map(|deltas| deltas.last()).map(identity).collect();
        Some(Self { nodes, pods, sets })
    }
}

fn follow(cluster: &mut ClusterObjects<'_>, deltas: WorkloadDeltas) {
    for pod in deltas.pods.iter().filter_map(|deltas| deltas.after.as_deref()) {
        remove_from_lost_node(cluster, pod);
    }
    if deltas.nodes.iter().any(|node| node.after.is_none()) {
        for pod in cluster.all(POD) {
            remove_from_lost_node(cluster, &pod);
        }
    }
    if deltas.nodes.is_empty() && deltas.sets.is_empty() {
        return;
    }
    for set in cluster.all(DAEMON_SET) {
        match counts_of(&set) {
            Some(count) if !deltas.sets.contains(&identity(&set)) => {
                reconcile_pods(cluster, set, count, &deltas.nodes);
            }
            _ => {
                let nodes = cluster.nodes();
                update_pods(cluster, set, &nodes);
            }
        }
    }
}

fn identity(object: &Value) -> (Option<String>, String) {
    (namespace(object).map(str::to_owned), name(object).to_owned())
}

fn namespace(object: &Value) -> Option<&str> {
    object.pointer("/metadata/namespace").and_then(Value::as_str)
}

/// The name of the node that a pod runs on.
fn node_name(pod: &Value) -> Option<&str> {
    pod.pointer("/spec/nodeName").and_then(Value::as_str)
}

fn remove_from_lost_node(cluster: &mut ClusterObjects<'_>, pod: &Value) {
    if node_name(pod).is_some_and(|node_name| cluster.node(node_name).is_none()) {
        cluster.delete(POD, namespace(pod), name(pod));
    }
}

/// The desired number of nodes of a DaemonSet, and the number of its ready pods.
#[derive(Debug, Clone, Copy, Default)]
struct PodCounts {
    desired: i64,
    ready: i64,
}

impl PodCounts {
    fn of(set: &Value, node: &Value) -> Self {
        let desired = matches(set, node);
        Self { desired: i64::from(desired), ready: i64::from(desired && is_ready(node)) }
    }
}

/// The counts in a DaemonSet's status.
fn counts_of(set: &Value) -> Option<PodCounts> {
    let number = |key: &str| set["status"][key].as_i64();
    Some(PodCounts { desired: number("desiredNumberScheduled")?, ready: number("numberReady")? })
}

/// Adds and removes the pods of a DaemonSet on changed nodes, and updates its counts.
fn reconcile_pods(
    cluster: &mut ClusterObjects<'_>,
    set: Value,
    mut count: PodCounts,
    nodes: &[ObjectDelta],
) {
    if is_being_deleted(&set) {
        return;
    }
    for deltas in nodes {
        let of =
            |node: Option<&Value>| node.map(|node| PodCounts::of(&set, node)).unwrap_or_default();
        let (before, after) = (of(deltas.before.as_deref()), of(deltas.after.as_deref()));
        count.desired += after.desired - before.desired;
        count.ready += after.ready - before.ready;
        if let (Some(node), 1) = (&deltas.after, after.desired)
            && let Some(pod) = pod(cluster, &set, node)
        {
            cluster.put(pod);
        }
    }
    write_counts(cluster, set, count);
}

fn is_being_deleted(set: &Value) -> bool {
    set.pointer("/metadata/deletionTimestamp").is_some()
}

fn update_pods(cluster: &mut ClusterObjects<'_>, set: Value, nodes: &[Value]) {
    if is_being_deleted(&set) {
        return;
    }
    let mut count = PodCounts::default();
    for node in nodes.iter().filter(|node| matches(&set, node)) {
        count.desired += 1;
        count.ready += i64::from(is_ready(node));
        if let Some(pod) = pod(cluster, &set, node) {
            cluster.put(pod);
        }
    }
    write_counts(cluster, set, count);
}

fn write_counts(cluster: &mut ClusterObjects<'_>, mut set: Value, count: PodCounts) {
    let PodCounts { desired, ready } = count;
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

/// The pod of a DaemonSet on a node. Name and address are derived from both, so that reconciling is
/// idempotent.
fn pod(cluster: &ClusterObjects<'_>, set: &Value, node: &Value) -> Option<Value> {
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
