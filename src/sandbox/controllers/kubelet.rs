//! Emulates a worker's kubelet: it requests a certificate, registers its Node and reports the state
//! of its host.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Deref;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::certificates;
use super::changes::{Since, follow};
use super::cluster::{ClusterObjects, NODE, is_of_aks, name};
use super::nodes::{ready, status};
use super::signer::{
    self, CLIENT_SIGNER, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, REQUEST, condition, is_issued,
    may_create,
};
use crate::sandbox::hosts::{ClientCertificate, EmulatedHost, Hosts, KubeletFile, Touched};
use crate::sandbox::kubernetes::KubernetesStore;
use crate::sandbox::state::SandboxState;
use crate::sandbox::tokens;

/// The kinds of objects that a kubelet without a certificate depends on.
const DEPENDENCY_KINDS: [(&str, &str); 4] = [REQUEST, SECRET, CLUSTER_ROLE, CLUSTER_ROLE_BINDING];
const SECRET: (&str, &str) = ("v1", "Secret");

pub(super) fn reconcile(
    sandbox: &mut SandboxState,
    touched: &Touched,
    since: Since,
    now: Timestamp,
) {
    let SandboxState { kubernetes, cluster_access, hosts, reconciled, .. } = sandbox;
    let (Some(store), Some(access)) = (kubernetes, cluster_access) else { return };
    let names = affected(store, hosts, &reconciled.waiting, touched, since);
    let cluster = &mut ClusterObjects::new(store, now);
    let labels: Vec<String> = names.iter().flat_map(|name| hosts.labels(name)).collect();
    for label in &labels {
        if let Some(host) = hosts.get_mut_untracked(label) {
            request_certificate(cluster, host, &access.instance, now);
        }
    }
    signer::reconcile(cluster, &access.instance, since, now);
    for label in &labels {
        if let Some(host) = hosts.get_mut_untracked(label) {
            take_certificate(cluster, host, &access.instance);
            register(cluster, host);
        }
    }
    for name in names.iter().flat_map(|name| nodes_of(hosts, name)).collect::<BTreeSet<_>>() {
        report(cluster, hosts, &name);
    }
    let looked_at = Touched::Some(names);
    follow(&mut reconciled.waiting, hosts, &looked_at, |host| {
        host.worker.configuration.is_some() && host.worker.certificate.is_none()
    });
}

/// The names of hosts and Nodes to reconcile: touched hosts, hosts of changed Nodes, and all hosts
/// that wait for a certificate if an object that they depend on changed.
fn affected(
    store: &KubernetesStore,
    hosts: &Hosts,
    waiting: &BTreeSet<String>,
    touched: &Touched,
    since: Since,
) -> BTreeSet<String> {
    let deltas = since.deltas(store, NODE);
    let (Touched::Some(touched), Some(nodes)) = (touched, deltas) else {
        let nodes = store.list(NODE.0, NODE.1, None).into_iter();
        return nodes
            .map(|node| name(node).to_owned())
            .chain(hosts.values().map(|host| host.name.clone()))
            .collect();
    };
    let mut names = touched.clone();
    let nodes = nodes.iter().filter_map(|deltas| deltas.last());
    let of_workers = nodes.filter(|node| !is_of_aks(node));
    names.extend(of_workers.map(|node| {
        let host = host_of(hosts, name(node));
        host.map_or_else(|| name(node).to_owned(), |host| host.name.clone())
    }));
    let awaited = DEPENDENCY_KINDS
        .iter()
        .any(|kind| since.deltas(store, *kind).is_none_or(|it| !it.is_empty()));
    if awaited {
        let hosts = waiting.iter().filter_map(|label| hosts.deref().get(label));
        names.extend(hosts.map(|host| host.name.clone()));
    }
    names
}

/// Whether the host's kubelet uses the Node name.
fn is_named(host: &EmulatedHost, node: &str) -> bool {
    host.worker.configuration.as_ref().is_some_and(|it| it.node_name == node)
}

/// The host whose kubelet uses a Node's name, whatever the host itself is called.
fn host_of<'a>(hosts: &'a Hosts, node: &str) -> Option<&'a EmulatedHost> {
    // Node names nearly always equal host names.
    let named = hosts.get(node).filter(|host| is_named(host, node));
    named.or_else(|| {
        let machines = hosts.values().filter(|host| is_named(host, node));
        machines.max_by_key(|host| host.worker.registered)
    })
}

/// The Node names of the hosts with a name. A name without a host is itself a Node name.
fn nodes_of(hosts: &Hosts, name: &str) -> Vec<String> {
    let mut machines = hosts.named(name).map(|(_, host)| host).peekable();
    if machines.peek().is_none() {
        return vec![name.to_owned()];
    }
    machines
        .filter_map(|host| Some(host.worker.configuration.as_ref()?.node_name.clone()))
        .collect()
}

/// Requests a certificate with the bootstrap token, if the kubelet has no certificate of this
/// cluster.
fn request_certificate(
    cluster: &mut ClusterObjects<'_>,
    host: &mut EmulatedHost,
    instance: &str,
    now: Timestamp,
) {
    let works = host.kubelet_works();
    let worker = &mut host.worker;
    let Some(configuration) = &worker.configuration else { return };
    let mine = |certificate: &ClientCertificate| {
        certificate.cluster == instance && certificate.node_name == configuration.node_name
    };
    if worker.certificate.as_ref().is_some_and(|certificate| !mine(certificate)) {
        worker.certificate = None;
    }
    if !works || worker.certificate.is_some() {
        return;
    }
    if let Some(request) = &worker.request
        && cluster.store.get(REQUEST.0, REQUEST.1, None, request).is_some()
    {
        return;
    }
    let Some(bootstrap) = &worker.bootstrap else { return };
    let Some(user) = tokens::user(cluster.store, &bootstrap.token, now) else { return };
    if !may_create(cluster, &user, "") {
        return;
    }
    let number = cluster.store.resource_version();
    let seed = format!("{} {} {number}", user.name, configuration.node_name);
    let digest = crate::sandbox::hosts::step::digest(&seed);
    let name = format!("node-csr-{}", &digest[..32]);
    cluster.put(json!({
        "apiVersion": REQUEST.0,
        "kind": REQUEST.1,
        "metadata": { "name": name },
        "spec": {
            "request": certificates::request(instance, &configuration.node_name),
            "signerName": CLIENT_SIGNER,
            "usages": ["digital signature", "client auth"],
            "username": user.name,
            "groups": user.groups,
        },
        "status": {},
    }));
    worker.request = Some(name);
}

fn take_certificate(cluster: &ClusterObjects<'_>, host: &mut EmulatedHost, instance: &str) {
    if !host.kubelet_works() {
        return;
    }
    let worker = &mut host.worker;
    let (Some(name), Some(configuration)) = (&worker.request, &worker.configuration) else {
        return;
    };
    let Some(request) = cluster.store.get(REQUEST.0, REQUEST.1, None, name) else { return };
    if condition(request, "Denied").is_none() && is_issued(request) {
        let node_name = configuration.node_name.clone();
        worker.certificate = Some(ClientCertificate { node_name, cluster: instance.to_owned() });
        worker.request = None;
    }
}

/// A kubelet registers once after each start. If its Node is deleted, the Node stays absent until
/// the next start.
fn register(cluster: &mut ClusterObjects<'_>, host: &mut EmulatedHost) {
    let Some(configuration) = &host.worker.configuration else { return };
    let identified = host.worker.certificate.is_some() && host.kubelet_works();
    if !identified || host.worker.registered {
        return;
    }
    if cluster.node(&configuration.node_name).is_none() {
        cluster.put(node(configuration, host, &cluster.now));
    }
    host.worker.registered = true;
}

fn node(configuration: &KubeletFile, host: &EmulatedHost, now: &str) -> Value {
    let name = &configuration.node_name;
    let mut labels = json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
    });
    for (key, value) in &configuration.labels {
        labels[key] = json!(value);
    }
    let mut spec = json!({ "providerID": configuration.provider_id });
    let taints: Vec<Value> = configuration.taints.iter().filter_map(|taint| parse(taint)).collect();
    if !taints.is_empty() {
        spec["taints"] = json!(taints);
    }
    let mut node = json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": spec,
    });
    let version = host.worker.kubelet.map(|version| version.to_string()).unwrap_or_default();
    node["status"] = status(name, configuration.node_ip, &version, configuration.max_pods, now);
    node["status"]["conditions"] = json!([state(host, now)]);
    node["status"]["nodeInfo"]["bootID"] = json!(host.boot_id());
    node
}

fn parse(taint: &str) -> Option<Value> {
    let (front, effect) = taint.rsplit_once(':')?;
    let (key, value) = front.split_once('=').unwrap_or((front, ""));
    let mut parsed = json!({ "key": key, "effect": effect });
    if !value.is_empty() {
        parsed["value"] = json!(value);
    }
    Some(parsed)
}

/// The Ready condition that the kubelet reports, or that the node controller sets for an
/// unreachable host.
fn state(host: &EmulatedHost, now: &str) -> Value {
    if !host.kubelet_works() || host.worker.certificate.is_none() {
        return ready("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", now);
    }
    if host.cni_chosen().is_none() {
        let message = "container runtime network not ready: NetworkReady=false \
                       reason:NetworkPluginNotReady message:Network plugin returns error: \
                       cni plugin not initialized";
        return ready("False", "KubeletNotReady", message, now);
    }
    ready("True", "KubeletReady", "kubelet is posting ready status", now)
}

/// Updates the status of a worker's Node. A Node without a host is unreachable.
fn report(cluster: &mut ClusterObjects<'_>, hosts: &Hosts, node_name: &str) {
    let Some(mut node) = cluster.node(node_name).cloned() else { return };
    if is_of_aks(&node) {
        return;
    }
    let now = cluster.now.clone();
    let host = host_of(hosts, node_name).filter(|host| host.worker.registered);
    let silent =
        || ready("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.", &now);
    let new = host.map_or_else(silent, |host| state(host, &now));
    if let Some(host) = host {
        refresh(&mut node, host);
    }
    replace_condition(&mut node, new);
    cluster.put(node);
}

/// Updates version and address. Labels and taints stay unchanged.
fn refresh(node: &mut Value, host: &EmulatedHost) {
    if let (true, Some(version)) = (host.kubelet_works(), host.worker.kubelet) {
        node["status"]["nodeInfo"]["kubeletVersion"] = json!(format!("v{version}"));
        node["status"]["nodeInfo"]["bootID"] = json!(host.boot_id());
    }
    let address: Option<Ipv4Addr> =
        host.worker.configuration.as_ref().map(|configuration| configuration.node_ip);
    let known = node.pointer("/status/addresses/0/address").and_then(Value::as_str);
    if let Some(address) = address
        && known != Some(&address.to_string())
    {
        node["status"]["addresses"] = json!([
            { "type": "InternalIP", "address": address.to_string() },
            { "type": "Hostname", "address": name(node) },
        ]);
    }
}

/// Timestamps change only with the status, so that an unchanged sandbox stays byte-identical.
fn replace_condition(node: &mut Value, new: Value) {
    let same = |old: &Value| {
        ["type", "status", "reason", "message"].iter().all(|key| old[*key] == new[*key])
    };
    let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
    if conditions.is_some_and(|conditions| conditions.iter().any(same)) {
        return;
    }
    let kept = conditions.into_iter().flatten().filter(|old| old["type"] != "Ready").cloned();
    let all: Vec<Value> = kept.chain([new]).collect();
    node["status"]["conditions"] = json!(all);
}
