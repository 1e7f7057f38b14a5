//! The services of every cluster, and the EndpointSlices of all services.
//!
//! Slices are updated when they are read: updating them for each of a thousand new pods would count
//! a million pods.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::changes::Since;
use super::cluster::{ClusterObjects, POOL_LABEL, label, name, owner};
use super::nodes::{NodeDefaults, internal_ip, pod_range};
use crate::net::prefix;
use crate::sandbox::state::SandboxState;

const SERVICE: (&str, &str) = ("v1", "Service");
const POD: (&str, &str) = ("v1", "Pod");
const SLICE: (&str, &str) = ("discovery.k8s.io/v1", "EndpointSlice");
/// The label that holds a slice's service name.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";
/// The maximum number of endpoints in a slice.
const MAX_ENDPOINTS_PER_SLICE: usize = 100;
/// The address of the API server for the cluster's pods, outside the cluster's network.
const API_SERVER: &str = "203.0.113.17";
/// The number of addresses at the start of the range that are not assigned automatically.
const RESERVED_ADDRESSES: u64 = 256;
/// The number of nodes that run the cluster's DNS.
const DNS_PODS: usize = 2;

/// Creates the API server's service, and the DNS service with its pods on the first AKS nodes.
pub(super) fn create_core_services(cluster: &mut ClusterObjects<'_>, facts: &NodeDefaults) {
    if let Some(address) = prefix::host(&facts.service_cidr, 1) {
        let ports = json!([{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 443 }]);
        let spec = json!({ "clusterIP": address, "clusterIPs": [address], "ports": ports });
        cluster.put_new(service("default", "kubernetes", spec));
        cluster.put_new(json!({
            "apiVersion": SLICE.0, "kind": SLICE.1,
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": { SERVICE_LABEL: "kubernetes" },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "https", "port": 443, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [API_SERVER], "conditions": { "ready": true } }],
        }));
    }
    let address = facts.dns_service_ip;
    let ports = json!([
        { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
        { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
    ]);
    let spec = json!({
        "clusterIP": address, "clusterIPs": [address], "ports": ports,
        "selector": { "k8s-app": "kube-dns" },
    });
    cluster.put_new(service("kube-system", "kube-dns", spec));
    let mut nodes = cluster.nodes();
    nodes.retain(|node| label(node, POOL_LABEL).is_some());
    for node in nodes.iter().take(DNS_PODS) {
        if let Some(pod) = dns_pod(cluster, node) {
            cluster.put_new(pod);
        }
    }
}

/// Assigns cluster IPs to services without one, as the API server does.
pub(super) fn reconcile(sandbox: &mut SandboxState, since: Since, now: Timestamp) {
    let Some(range) = service_range(sandbox) else { return };
    let Some(store) = &mut sandbox.kubernetes else { return };
    let new: Vec<Value> = match since.deltas(store, SERVICE) {
        Some(deltas) => {
            let after = deltas.iter().filter_map(|deltas| deltas.after.as_deref());
            after.filter(|it| lacks_address(it)).cloned().collect()
        }
        None => {
            let all = store.list(SERVICE.0, SERVICE.1, None).into_iter();
            all.filter(|it| lacks_address(it)).cloned().collect()
        }
    };
    let cluster = &mut ClusterObjects::new(store, now);
    for mut service in new {
        let Some(address) = free_address(cluster, range, &service) else { continue };
        service["spec"]["clusterIP"] = json!(address);
        service["spec"]["clusterIPs"] = json!([address]);
        cluster.put(service);
    }
}

fn lacks_address(service: &Value) -> bool {
    service["spec"]["clusterIP"].as_str().is_none_or(str::is_empty)
        && service["spec"]["type"] != "ExternalName"
}

fn service_range(sandbox: &SandboxState) -> Option<Ipv4Net> {
    let (_, cluster) = sandbox.arm.list("Microsoft.ContainerService/managedClusters").next()?;
    cluster.pointer("/properties/networkProfile/serviceCidr")?.as_str()?.parse().ok()
}

/// An address derived from the service's name. The lowest addresses are reserved for explicit
/// requests.
fn free_address(cluster: &ClusterObjects<'_>, range: Ipv4Net, service: &Value) -> Option<Ipv4Addr> {
    let taken: BTreeSet<String> = cluster
        .all(SERVICE)
        .iter()
        .filter_map(|it| it["spec"]["clusterIP"].as_str().map(str::to_owned))
        .collect();
    let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
    let digest = Sha256::digest(format!("{namespace}/{}", name(service)));
    let first = digest.iter().take(4).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    let room = prefix::size(&range).checked_sub(RESERVED_ADDRESSES + 1).filter(|room| *room > 0)?;
    let mut offsets = (0..room).map(|step| RESERVED_ADDRESSES + (first + step) % room);
    offsets.find_map(|offset| {
        let address = prefix::host(&range, offset)?;
        (!taken.contains(&address.to_string())).then_some(address)
    })
}

fn service(namespace: &str, name: &str, mut spec: Value) -> Value {
    spec["type"] = json!("ClusterIP");
    spec["ipFamilies"] = json!(["IPv4"]);
    spec["internalTrafficPolicy"] = json!("Cluster");
    spec["sessionAffinity"] = json!("None");
    json!({
        "apiVersion": SERVICE.0, "kind": SERVICE.1,
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

fn dns_pod(cluster: &ClusterObjects<'_>, node: &Value) -> Option<Value> {
    // No pod of a DaemonSet has an address that high.
    let address = prefix::host(&pod_range(cluster, node)?, 240)?;
    let host = internal_ip(node)?;
    Some(json!({
        "apiVersion": POD.0, "kind": POD.1,
        "metadata": {
            "name": format!("coredns-{}", suffix(name(node))), "namespace": "kube-system",
            "labels": { "k8s-app": "kube-dns" },
        },
        "spec": {
            "nodeName": name(node),
            "containers": [{
                "name": "coredns", "image": "mcr.microsoft.com/oss/v2/kubernetes/coredns:v1.12.1",
                "ports": [
                    { "name": "dns", "containerPort": 53, "protocol": "UDP" },
                    { "name": "dns-tcp", "containerPort": 53, "protocol": "TCP" },
                ],
            }],
        },
        "status": {
            "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }],
            "hostIP": host, "hostIPs": [{ "ip": host }],
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    }))
}

/// Updates the EndpointSlices of every service that has a selector.
pub(in crate::sandbox) fn refresh(sandbox: &mut SandboxState, now: Timestamp) {
    let Some(store) = &mut sandbox.kubernetes else { return };
    let cluster = &mut ClusterObjects::new(store, now);
    let mut expected: Vec<Value> = Vec::new();
    for service in cluster.all(SERVICE) {
        if service["spec"]["selector"].is_object() {
            expected.extend(slices(cluster, &service));
        }
    }
    let known = cluster.all(SLICE);
    for slice in known.iter().filter(|slice| slice["metadata"]["generateName"].is_string()) {
        let place = slice["metadata"]["namespace"].as_str();
        let same =
            |it: &&Value| name(it) == name(slice) && it["metadata"]["namespace"].as_str() == place;
        if !expected.iter().any(|it| same(&it)) {
            cluster.delete(SLICE, place, name(slice));
        }
    }
    for slice in expected {
        cluster.put(slice);
    }
}

fn slices(cluster: &ClusterObjects<'_>, service: &Value) -> Vec<Value> {
    let namespace = service["metadata"]["namespace"].as_str().unwrap_or_default();
    let selector = service["spec"]["selector"].as_object();
    let chosen = |pod: &&Value| {
        let mut labels = selector.into_iter().flatten();
        pod["status"]["podIP"].is_string()
            && labels.all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
    };
    let pods = cluster.store.list(POD.0, POD.1, Some(namespace)).into_iter().filter(chosen);
    let endpoints: Vec<Value> = pods.map(endpoint).collect();
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let ports: Vec<Value> = ports.map(port).collect();
    let mut parts: Vec<&[Value]> = endpoints.chunks(MAX_ENDPOINTS_PER_SLICE).collect();
    if parts.is_empty() {
        parts.push(&[]);
    }
    let slice = |(number, part): (usize, &&[Value])| {
        let seed = format!("{namespace}/{}/{number}", name(service));
        json!({
            "apiVersion": SLICE.0, "kind": SLICE.1,
            "metadata": {
                "name": format!("{}-{}", name(service), suffix(&seed)),
                "generateName": format!("{}-", name(service)),
                "namespace": namespace,
                "labels": {
                    SERVICE_LABEL: name(service),
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                },
                "ownerReferences": owner(service),
            },
            "addressType": "IPv4", "ports": ports, "endpoints": part,
        })
    };
    parts.iter().enumerate().map(slice).collect()
}

fn endpoint(pod: &Value) -> Value {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ready = conditions.any(|it| it["type"] == "Ready" && it["status"] == "True");
    let leaving = pod["metadata"]["deletionTimestamp"].is_string();
    json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": { "ready": ready && !leaving, "serving": ready, "terminating": leaving },
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod", "name": name(pod), "namespace": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"],
        },
    })
}

fn port(port: &Value) -> Value {
    let number = port["targetPort"].as_u64().or(port["port"].as_u64());
    let name = port["name"].as_str().unwrap_or_default();
    let protocol = port["protocol"].as_str().unwrap_or("TCP");
    json!({ "name": name, "port": number, "protocol": protocol })
}

/// Five characters derived from a text.
fn suffix(seed: &str) -> String {
    let digest = Sha256::digest(seed.as_bytes());
    let letter = |byte: &u8| char::from_digit(10 + u32::from(*byte) % 26, 36).unwrap_or('x');
    digest.iter().take(5).map(letter).collect()
}
