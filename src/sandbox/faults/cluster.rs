//! Faults of Kubernetes objects.

use serde_json::{Value, json};

use super::{FaultError, Injection};
use crate::sandbox::controllers::cluster::{
    CILIUM_NODE, ClusterObjects, NETWORK_CONFIG, POOL_LABEL, is_of_aks, label, name,
};
use crate::sandbox::controllers::nodes::network_config_range;
use crate::sandbox::state::SandboxState;

const SERVER: (&str, &str) = ("stargate.io/v1alpha1", "Server");

type Outcome = Result<String, FaultError>;

fn cluster<'a>(
    sandbox: &'a mut SandboxState,
    injection: Injection<'_>,
) -> Result<ClusterObjects<'a>, FaultError> {
    let store = sandbox.kubernetes.as_mut().ok_or_else(|| injection.no_target())?;
    Ok(ClusterObjects::new(store, injection.now))
}

pub(super) fn cilium_node_empty(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let mut cluster = cluster(sandbox, injection)?;
    let filled = |node: &Value| {
        let ranges = node.pointer("/spec/ipam/podCIDRs").and_then(Value::as_array);
        ranges.is_some_and(|ranges| !ranges.is_empty())
    };
    let nodes = cluster.all(CILIUM_NODE).into_iter().filter(filled);
    let (node, mut object) =
        injection.choose(nodes.map(|node| (name(&node).to_owned(), node)).collect())?;
    object["spec"]["ipam"]["podCIDRs"] = json!([]);
    cluster.put(object);
    Ok(format!("removed the pod CIDRs of CiliumNode {node}"))
}

pub(super) fn server_router_hostname(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Outcome {
    let mut cluster = cluster(sandbox, injection)?;
    let servers = cluster.all(SERVER).into_iter();
    let (server, mut object) =
        injection.choose(servers.map(|server| (name(&server).to_owned(), server)).collect())?;
    let hostname = format!("{server}-router");
    object["spec"]["routerIP"] = json!(hostname);
    cluster.put(object);
    Ok(format!("set the router address of Server {server} to the host name {hostname}"))
}

/// Adds a Node of another program with the pod CIDR of a worker.
pub(super) fn foreign_node(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let mut cluster = cluster(sandbox, injection)?;
    let range = |node: &Value| {
        let range = node.pointer("/spec/podCIDR").and_then(Value::as_str)?;
        (!is_of_aks(node)).then(|| (name(node).to_owned(), range.to_owned()))
    };
    let nodes = cluster.nodes();
    let (worker, range) = injection.choose(nodes.iter().filter_map(range).collect())?;
    cluster.put(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": "lab-node", "labels": { "kubernetes.io/hostname": "lab-node" } },
        "spec": { "podCIDR": range, "unschedulable": true },
        "status": { "addresses": [{ "type": "InternalIP", "address": "192.0.2.9" }] },
    }));
    Ok(format!("added the Node lab-node with {range}, the pod CIDR of {worker}"))
}

/// Adds a node of AKS's node auto-provisioning, which is in no pool.
pub(super) fn provisioned_node(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let mut cluster = cluster(sandbox, injection)?;
    if !cluster.nodes().iter().any(is_of_aks) {
        return Err(injection.no_target());
    }
    let (node, address, range) = ("aks-default-x7k2p", "10.224.0.90", "10.244.9.0/24");
    let provider_id = "azure:///subscriptions/sub/resourceGroups/mc_nodes/providers/\
                       Microsoft.Compute/virtualMachines/aks-default-x7k2p";
    cluster.put(json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node, "labels": {
            "kubernetes.io/hostname": node,
            "karpenter.sh/nodepool": "default",
            "karpenter.azure.com/sku-name": "Standard_D4s_v5",
        }},
        "spec": { "providerID": provider_id },
        "status": {
            "addresses": [{ "type": "InternalIP", "address": address }],
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady" }],
            "nodeInfo": { "kubeletVersion": "v1.33.5" },
        },
    }));
    cluster.put(json!({
        "apiVersion": NETWORK_CONFIG.0,
        "kind": NETWORK_CONFIG.1,
        "metadata": { "name": node, "namespace": "kube-system" },
        "spec": { "requestedIPCount": 0 },
        "status": { "networkContainers": [{
            "id": "nc-provisioned", "type": "overlay", "assignmentMode": "static",
            "nodeIP": address, "primaryIP": range,
        }]},
    }));
    Ok(format!("added the AKS node {node} with {range}"))
}

pub(super) fn pod_cidr_collision(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let mut cluster = cluster(sandbox, injection)?;
    let nodes = cluster.nodes();
    let worker = nodes.iter().find_map(|node| {
        let range = node.pointer("/spec/podCIDR").and_then(Value::as_str)?;
        label(node, POOL_LABEL).is_none().then(|| (name(node).to_owned(), range.to_owned()))
    });
    let (worker, range) = worker.ok_or_else(|| injection.no_target())?;
    let configs = cluster.all(NETWORK_CONFIG).into_iter();
    let given = configs.filter(|config| network_config_range(config).is_some());
    let (node, mut object) =
        injection.choose(given.map(|config| (name(&config).to_owned(), config)).collect())?;
    object["status"]["networkContainers"][0]["primaryIP"] = json!(range);
    cluster.put(object);
    Ok(format!("assigned {range}, the pod CIDR of {worker}, to {node}"))
}
