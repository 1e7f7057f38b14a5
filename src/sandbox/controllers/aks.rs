//! Creates the API server and the nodes of an AKS cluster.

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::Value;

use super::certificates;
use super::changes::Since;
use super::cluster::{ClusterObjects, NODE, POOL_LABEL, define_kinds, label};
use super::machines::succeeded;
use super::nodes::{EmulatedPool, NodeDefaults, scale, scale_set_number};
use super::{pool_settings, services};
use crate::resource::ArmId;
use crate::sandbox::arm::ArmStore;
use crate::sandbox::kubernetes::KubernetesStore;
use crate::sandbox::state::{SandboxClusterAccess, SandboxState};

const MANAGED_CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
/// The API server's URL while the sandbox is not served over HTTP.
const IN_MEMORY: &str = "https://kubernetes.sandbox";

pub(super) fn reconcile(sandbox: &mut SandboxState, now: Timestamp) {
    let first = sandbox.arm.list(MANAGED_CLUSTERS).next();
    let Some((id, cluster)) = first.map(|(id, cluster)| (id.clone(), cluster.clone())) else {
        sandbox.kubernetes = None;
        sandbox.cluster_access = None;
        return;
    };
    if sandbox.cluster_access.as_ref().is_some_and(|access| access.cluster != id) {
        sandbox.kubernetes = None;
        sandbox.cluster_access = None;
    }
    // The API server goes on while Azure updates the cluster, also of a process that was killed.
    write_kubeconfig(sandbox, &id, &cluster);
    if !succeeded(&cluster) {
        return;
    }
    let facts = facts(&id, &cluster);
    let Some(facts) = facts else { return };
    start(sandbox, &id, &facts, now);
    if let Some(store) = &mut sandbox.kubernetes {
        store.set_server_version(&facts.version);
    }
    write_kubeconfig(sandbox, &id, &cluster);
    let scaled = sandbox.reconciled.cluster.as_ref() == Some(&cluster) && !pools_changed(sandbox);
    let pools = pools(&sandbox.arm, &cluster);
    if let (Some(store), false) = (&mut sandbox.kubernetes, scaled) {
        let objects = &mut ClusterObjects::new(store, now);
        scale(objects, &facts, &pools);
        pool_settings::apply(objects, &pools);
        services::create_core_services(objects, &facts);
        sandbox.reconciled.cluster = Some(cluster);
    }
}

/// Whether a node of a pool was added, deleted or changed.
fn pools_changed(sandbox: &SandboxState) -> bool {
    let store = sandbox.kubernetes.as_ref();
    let deltas = store.and_then(|store| Since::last_reconcile(sandbox).deltas(store, NODE));
    deltas.is_none_or(|deltas| {
        let mut last = deltas.iter().flat_map(|deltas| [&deltas.before, &deltas.after]).flatten();
        last.any(|node| label(node, POOL_LABEL).is_some())
    })
}

fn start(sandbox: &mut SandboxState, id: &ArmId, facts: &NodeDefaults, now: Timestamp) {
    if sandbox.kubernetes.is_some() {
        return;
    }
    let mut store = KubernetesStore::new(&facts.version);
    define_kinds(&mut ClusterObjects::new(&mut store, now));
    sandbox.kubernetes = Some(store);
    let (high, low) = (sandbox.entropy.next_number(), sandbox.entropy.next_number());
    sandbox.cluster_access = Some(SandboxClusterAccess {
        cluster: id.clone(),
        instance: sandbox.entropy.next_guid(),
        token: format!("{high:016x}{low:016x}"),
        kubeconfig: String::new(),
    });
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

fn facts(id: &ArmId, cluster: &Value) -> Option<NodeDefaults> {
    let version = text(cluster, "/properties/currentKubernetesVersion")
        .or_else(|| text(cluster, "/properties/kubernetesVersion"))?;
    let pod_cidr = text(cluster, "/properties/networkProfile/podCidr").unwrap_or("10.244.0.0/16");
    let network = |field: &str| text(cluster, &format!("/properties/networkProfile/{field}"));
    let service_cidr = network("serviceCidr").unwrap_or("10.0.0.0/16");
    let dns_service_ip = network("dnsServiceIP").unwrap_or("10.0.0.10");
    let fallback = || {
        let group = id.resource_group_name().unwrap_or_default();
        let location = text(cluster, "/location").unwrap_or_default();
        format!("MC_{group}_{}_{location}", id.name())
    };
    let node_group = text(cluster, "/properties/nodeResourceGroup");
    Some(NodeDefaults {
        node_group: node_group.map_or_else(fallback, str::to_owned),
        subscription: id.subscription().unwrap_or_default().to_owned(),
        version: full_version(version),
        pod_cidr: pod_cidr.parse().ok()?,
        service_cidr: service_cidr.parse().ok()?,
        dns_service_ip: dns_service_ip.parse().ok()?,
        number: scale_set_number(&id.as_str().to_ascii_lowercase()),
    })
}

/// A version with a patch release, which AKS selects if it is omitted.
fn full_version(version: &str) -> String {
    match version.split('.').count() {
        2 => format!("{version}.0"),
        _ => version.to_owned(),
    }
}

fn pools(arm: &ArmStore, cluster: &Value) -> Vec<EmulatedPool> {
    let profiles = cluster.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    profiles.into_iter().flatten().filter_map(|profile| pool(arm, profile)).collect()
}

/// The range of the subnet that a pool names.
fn subnet(arm: &ArmStore, profile: &Value) -> Option<Ipv4Net> {
    let id = ArmId::new(profile["vnetSubnetID"].as_str()?);
    let network = arm.get(&id.parent()?)?;
    let mut subnets = network.pointer("/properties/subnets")?.as_array()?.iter();
    let is_it = |subnet: &&Value| {
        subnet["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(id.name()))
    };
    let properties = &subnets.find(is_it)?["properties"];
    let several = || properties.pointer("/addressPrefixes/0")?.as_str();
    properties["addressPrefix"].as_str().or_else(several)?.parse().ok()
}

/// The specification of a pool. The autoscaler's bounds are checked when a pool is written.
/// Afterwards Azure may remove a machine, and no autoscaler runs in the sandbox.
fn pool(arm: &ArmStore, profile: &Value) -> Option<EmulatedPool> {
    let number = |name: &str| profile[name].as_u64();
    let count = number("count").or_else(|| number("minCount")).unwrap_or(1);
    Some(EmulatedPool {
        name: profile["name"].as_str()?.to_owned(),
        mode: profile["mode"].as_str().unwrap_or("User").to_owned(),
        vm_size: profile["vmSize"].as_str().unwrap_or_default().to_owned(),
        count: usize::try_from(count).unwrap_or(usize::MAX),
        version: full_version(text(profile, "/currentOrchestratorVersion").unwrap_or_default()),
        subnet: subnet(arm, profile),
        labels: profile["nodeLabels"].as_object().cloned().unwrap_or_default(),
        taints: profile["nodeTaints"].as_array().cloned().unwrap_or_default(),
    })
}

/// Writes the kubeconfig that Azure returns. It follows the endpoints, whose ports change with each
/// start.
fn write_kubeconfig(sandbox: &mut SandboxState, id: &ArmId, cluster: &Value) {
    let Some(access) = &mut sandbox.cluster_access else { return };
    let name = |field: &str| text(cluster, field).filter(|name| !name.is_empty());
    let fqdn = name("/properties/fqdn").or(name("/properties/privateFQDN"));
    let fqdn = fqdn.unwrap_or("kubernetes.sandbox");
    let served = Some(sandbox.endpoints.kubernetes.as_str()).filter(|url| !url.is_empty());
    let server = served.unwrap_or(IN_MEMORY);
    let authority = sandbox.endpoints.certificate.as_deref();
    let key = format!("{server} {fqdn} {} {}", access.token, authority.unwrap_or_default());
    let key = crate::sandbox::hosts::step::digest(&key);
    if access.kubeconfig == key {
        return;
    }
    let own = || certificates::authority(&access.instance);
    let pem = authority.map_or_else(own, str::to_owned);
    sandbox.arm.set_kubeconfig(id, kubeconfig(id.name(), server, fqdn, &pem, &access.token));
    access.kubeconfig = key;
}

fn kubeconfig(name: &str, server: &str, fqdn: &str, authority: &str, token: &str) -> String {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    // The endpoints are on loopback. The server name identifies the cluster.
    let trust =
        format!("    certificate-authority-data: {authority}\n    tls-server-name: {fqdn}\n");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  \
         cluster:\n    server: {server}\n{trust}contexts:\n- name: {name}\n  context:\n    \
         cluster: {name}\n    user: clusterUser\nusers:\n- name: clusterUser\n  user:\n    \
         token: {token}\n"
    )
}
