//! AKS's own nodes and the pod CIDRs that Azure assigns to them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::cluster::{
    CILIUM_NODE, CLUSTER_LABEL, ClusterObjects, NETWORK_CONFIG, NODE, POOL_LABEL, is_of_aks, label,
    name, owner,
};

/// The subnet of nodes in the virtual network that AKS creates.
const DEFAULT_SUBNET: Ipv4Addr = Ipv4Addr::new(10, 224, 0, 0);
/// Azure keeps the first addresses of a subnet.
const RESERVED_ADDRESSES: u32 = 4;
/// The prefix length of a node's pod CIDR.
const POD_PREFIX: u8 = 24;

/// Facts shared by the nodes of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct NodeDefaults {
    pub(crate) node_group: String,
    pub(crate) subscription: String,
    pub(crate) version: String,
    pub(crate) pod_cidr: Ipv4Net,
    pub(crate) service_cidr: Ipv4Net,
    pub(crate) dns_service_ip: Ipv4Addr,
    /// The number in the names of the cluster's scale sets.
    pub(crate) number: String,
}

/// The specification of a node pool.
#[derive(Debug, Clone)]
pub(crate) struct EmulatedPool {
    pub(crate) name: String,
    pub(crate) mode: String,
    pub(crate) vm_size: String,
    pub(crate) count: usize,
    /// The version of the kubelets; empty for that of the control plane.
    pub(crate) version: String,
    /// The range of its own subnet.
    pub(crate) subnet: Option<Ipv4Net>,
    pub(crate) labels: serde_json::Map<String, Value>,
    /// As in `key=value:NoSchedule`.
    pub(crate) taints: Vec<Value>,
}

/// The eight digits in the names of a cluster's scale sets.
pub(crate) fn scale_set_number(seed: &str) -> String {
    let digest = Sha256::digest(seed.as_bytes());
    let number = digest.iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    format!("{:08}", number % 100_000_000)
}

/// Scales all pools to their counts. Scale-in removes the newest nodes.
pub(crate) fn scale(
    cluster: &mut ClusterObjects<'_>,
    facts: &NodeDefaults,
    pools: &[EmulatedPool],
) {
    let nodes = pool_nodes(cluster);
    let mut missing = Vec::new();
    for node in &nodes {
        let pool = label(node, POOL_LABEL);
        if pool.is_some_and(|pool| pools.iter().all(|known| known.name != pool)) {
            cluster.delete_node(name(node));
        }
    }
    for pool in pools {
        let mut names: Vec<&str> = nodes
            .iter()
            .filter(|node| label(node, POOL_LABEL) == Some(&pool.name))
            .map(name)
            .collect();
        names.sort_unstable();
        for surplus in names.drain(pool.count.min(names.len())..) {
            cluster.delete_node(surplus);
        }
        let next = names.last().and_then(|name| index(name)).map_or(0, |index| index + 1);
        missing.extend((next..).take(pool.count - names.len()).map(|index| (pool, index)));
    }
    let ranges = free_ranges(cluster, facts.pod_cidr, missing.len());
    for ((pool, index), range) in missing.into_iter().zip(ranges) {
        let address = free_address(cluster, pool);
        add(cluster, facts, pool, index, address, range);
    }
}

/// The nodes of AKS's own pools.
fn pool_nodes(cluster: &ClusterObjects<'_>) -> Vec<Value> {
    let nodes = cluster.store.list(NODE.0, NODE.1, None).into_iter();
    nodes.filter(|node| is_of_aks(node)).cloned().collect()
}

fn index(name: &str) -> Option<u64> {
    let (_, digits) = name.rsplit_once("vmss")?;
    u64::from_str_radix(digits, 36).ok()
}

/// The lowest free ranges, in a different order than the nodes': neighbours are swapped, as
/// observed on a real cluster.
fn free_ranges(cluster: &ClusterObjects<'_>, pod_cidr: Ipv4Net, count: usize) -> Vec<Ipv4Net> {
    if count == 0 {
        return Vec::new();
    }
    let taken: BTreeSet<Ipv4Net> =
        cluster.all(NETWORK_CONFIG).iter().filter_map(network_config_range).collect();
    let subnets = pod_cidr.subnets(POD_PREFIX.max(pod_cidr.prefix_len())).ok();
    let free = subnets.into_iter().flatten().filter(|range| !taken.contains(range));
    let mut ranges: Vec<Ipv4Net> = free.take(count).collect();
    for pair in ranges.chunks_exact_mut(2) {
        pair.swap(0, 1);
    }
    ranges
}

/// The pod CIDR in a NodeNetworkConfig.
pub(crate) fn network_config_range(config: &Value) -> Option<Ipv4Net> {
    config.pointer("/status/networkContainers/0/primaryIP")?.as_str()?.parse().ok()
}

/// The pod CIDR of a node: the one in its NodeNetworkConfig, or else the one in the Node's spec.
pub(crate) fn pod_range(cluster: &ClusterObjects<'_>, node: &Value) -> Option<Ipv4Net> {
    let azure = cluster.network_config(name(node)).and_then(network_config_range);
    azure.or_else(|| node.pointer("/spec/podCIDR")?.as_str()?.parse().ok())
}

pub(crate) fn internal_ip(node: &Value) -> Option<Ipv4Addr> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP")?;
    internal["address"].as_str()?.parse().ok()
}

fn free_address(cluster: &ClusterObjects<'_>, pool: &EmulatedPool) -> Ipv4Addr {
    let nodes = cluster.store.list(NODE.0, NODE.1, None).into_iter();
    let taken: BTreeSet<Ipv4Addr> = nodes.filter_map(internal_ip).collect();
    let subnet = pool.subnet.map_or(DEFAULT_SUBNET, |subnet| subnet.network());
    let mut address = u32::from(subnet) + RESERVED_ADDRESSES;
    while taken.contains(&Ipv4Addr::from(address)) {
        address += 1;
    }
    Ipv4Addr::from(address)
}

fn add(
    cluster: &mut ClusterObjects<'_>,
    facts: &NodeDefaults,
    pool: &EmulatedPool,
    index: u64,
    address: Ipv4Addr,
    range: Ipv4Net,
) {
    let scale_set = format!("aks-{}-{}-vmss", pool.name, facts.number);
    let node_name = format!("{scale_set}{:0>6}", base36(index));
    let provider_id = format!(
        "azure:///subscriptions/{}/resourceGroups/{}/providers/Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/{index}",
        facts.subscription,
        facts.node_group.to_ascii_lowercase(),
    );
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": node_name, "labels": {
            "kubernetes.io/hostname": node_name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "kubernetes.io/role": "agent",
            "node.kubernetes.io/instance-type": pool.vm_size,
            "agentpool": pool.name,
            POOL_LABEL: pool.name,
            CLUSTER_LABEL: facts.node_group,
            "kubernetes.azure.com/mode": pool.mode.to_ascii_lowercase(),
            "kubernetes.azure.com/role": "agent",
            "kubernetes.azure.com/podnetwork-type": "overlay",
        }},
        "spec": { "providerID": provider_id },
    });
    node["status"] = status(&node_name, address, &facts.version, 250, &cluster.now);
    cluster.put(node);
    let owners = cluster.node(&node_name).map(owner).unwrap_or_default();
    cluster.put(json!({
        "apiVersion": NETWORK_CONFIG.0,
        "kind": NETWORK_CONFIG.1,
        "metadata": {
            "name": node_name,
            "namespace": "kube-system",
            "labels": { "kubernetes.azure.com/podnetwork-type": "overlay", "managed": "true" },
            "ownerReferences": owners,
        },
        "spec": { "requestedIPCount": 0 },
        "status": { "assignedIPCount": 256, "networkContainers": [{
            "id": format!("nc-{node_name}"),
            "type": "overlay",
            "assignmentMode": "static",
            "nodeIP": address.to_string(),
            "primaryIP": range.to_string(),
            "subnetAddressSpace": facts.pod_cidr.to_string(),
            "subnetName": "routingdomain_sandbox_overlaysubnet",
            "version": 0,
        }]},
    }));
    cluster.put_new(cilium_node(&node_name, &address.to_string(), &owners));
}

/// A CiliumNode as the agent creates it in delegated IPAM mode: without pod CIDRs.
pub(super) fn cilium_node(name: &str, address: &str, owners: &Value) -> Value {
    json!({
        "apiVersion": CILIUM_NODE.0,
        "kind": CILIUM_NODE.1,
        "metadata": { "name": name, "ownerReferences": owners },
        "spec": {
            "addresses": [{ "ip": address, "type": "InternalIP" }],
            "ipam": { "podCIDRs": [] },
        },
        "status": {},
    })
}

/// The status of a healthy node.
pub(super) fn status(name: &str, address: Ipv4Addr, version: &str, pods: u32, now: &str) -> Value {
    json!({
        "addresses": [
            { "type": "InternalIP", "address": address.to_string() },
            { "type": "Hostname", "address": name },
        ],
        "capacity": { "cpu": "2", "memory": "8129852Ki", "pods": pods.to_string() },
        "allocatable": { "cpu": "1900m", "memory": "5496636Ki", "pods": pods.to_string() },
        "conditions": [ready("True", "KubeletReady", "kubelet is posting ready status", now)],
        "nodeInfo": {
            "kubeletVersion": format!("v{}", version.trim_start_matches('v')),
            "containerRuntimeVersion": "containerd://1.7.34",
            "operatingSystem": "linux",
            "architecture": "amd64",
            "osImage": "Ubuntu 24.04 LTS",
            "kernelVersion": "6.8.0-sandbox",
            "kubeProxyVersion": "",
            "machineID": name,
            "systemUUID": name,
            "bootID": name,
        },
    })
}

/// A Ready condition.
pub(super) fn ready(status: &str, reason: &str, message: &str, now: &str) -> Value {
    json!({
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    })
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}
