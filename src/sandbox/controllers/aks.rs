//! An AKS cluster brings an API server and nodes.

use jiff::Timestamp;
use serde_json::Value;

use super::certificates;
use super::cluster::{Cluster, NODE, POOL_LABEL, define_kinds, label};
use super::machines::succeeded;
use super::nodes::{ClusterFacts, Pool, scale, scale_set_number};
use super::reconciled::Since;
use super::services;
use crate::resource::ArmId;
use crate::sandbox::kubernetes::KubernetesStore;
use crate::sandbox::world::{ClusterAccess, World};

const MANAGED_CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
/// Where the API server is reached while nothing serves it.
const IN_MEMORY: &str = "https://kubernetes.sandbox";

pub(super) fn reconcile(world: &mut World, now: Timestamp) {
    let first = world.arm.list(MANAGED_CLUSTERS).next();
    let Some((id, cluster)) = first.map(|(id, cluster)| (id.clone(), cluster.clone())) else {
        world.kubernetes = None;
        world.cluster_access = None;
        return;
    };
    if world.cluster_access.as_ref().is_some_and(|access| access.cluster != id) {
        world.kubernetes = None;
        world.cluster_access = None;
    }
    if !succeeded(&cluster) {
        return;
    }
    let facts = facts(&id, &cluster);
    let Some(facts) = facts else { return };
    start(world, &id, &facts, now);
    give_kubeconfig(world, &id, &cluster);
    let scaled = world.reconciled.cluster.as_ref() == Some(&cluster) && !pools_changed(world);
    if let (Some(store), false) = (&mut world.kubernetes, scaled) {
        let objects = &mut Cluster::new(store, now);
        scale(objects, &facts, &pools(&cluster));
        services::bring(objects, &facts);
        world.reconciled.cluster = Some(cluster);
    }
}

/// Whether a node of a pool came, went or changed.
fn pools_changed(world: &World) -> bool {
    let store = world.kubernetes.as_ref();
    let news = store.and_then(|store| Since::of(world).news(store, NODE));
    news.is_none_or(|news| {
        let mut last = news.iter().flat_map(|news| [&news.before, &news.after]).flatten();
        last.any(|node| label(node, POOL_LABEL).is_some())
    })
}

fn start(world: &mut World, id: &ArmId, facts: &ClusterFacts, now: Timestamp) {
    if world.kubernetes.is_some() {
        return;
    }
    let mut store = KubernetesStore::new(&facts.version);
    define_kinds(&mut Cluster::new(&mut store, now));
    world.kubernetes = Some(store);
    let (high, low) = (world.entropy.next_number(), world.entropy.next_number());
    world.cluster_access = Some(ClusterAccess {
        cluster: id.clone(),
        instance: world.entropy.next_guid(),
        token: format!("{high:016x}{low:016x}"),
        kubeconfig: String::new(),
    });
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str()
}

fn facts(id: &ArmId, cluster: &Value) -> Option<ClusterFacts> {
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
    Some(ClusterFacts {
        node_group: node_group.map_or_else(fallback, str::to_owned),
        subscription: id.subscription().unwrap_or_default().to_owned(),
        version: full_version(version),
        pod_cidr: pod_cidr.parse().ok()?,
        service_cidr: service_cidr.parse().ok()?,
        dns_service_ip: dns_service_ip.parse().ok()?,
        number: scale_set_number(&id.as_str().to_ascii_lowercase()),
    })
}

/// A version with a patch, which AKS picks where it is left out.
fn full_version(version: &str) -> String {
    match version.split('.').count() {
        2 => format!("{version}.0"),
        _ => version.to_owned(),
    }
}

fn pools(cluster: &Value) -> Vec<Pool> {
    let profiles = cluster.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    profiles.into_iter().flatten().filter_map(pool).collect()
}

/// A pool as it is. The autoscaler's bounds count when a pool is written; in
/// between Azure may take a machine back, and no autoscaler acts here.
fn pool(profile: &Value) -> Option<Pool> {
    let number = |name: &str| profile[name].as_u64();
    let count = number("count").or_else(|| number("minCount")).unwrap_or(1);
    Some(Pool {
        name: profile["name"].as_str()?.to_owned(),
        mode: profile["mode"].as_str().unwrap_or("User").to_owned(),
        vm_size: profile["vmSize"].as_str().unwrap_or_default().to_owned(),
        count: usize::try_from(count).unwrap_or(usize::MAX),
    })
}

/// Writes the kubeconfig that Azure gives out; it follows the faces, which get
/// other ports with each start.
fn give_kubeconfig(world: &mut World, id: &ArmId, cluster: &Value) {
    let Some(access) = &mut world.cluster_access else { return };
    let fqdn = text(cluster, "/properties/fqdn").unwrap_or("kubernetes.sandbox");
    let served = Some(world.endpoints.kubernetes.as_str()).filter(|url| !url.is_empty());
    let server = served.unwrap_or(IN_MEMORY);
    let authority = world.endpoints.certificate.as_deref();
    let key = format!("{server} {fqdn} {} {}", access.token, authority.unwrap_or_default());
    let key = crate::sandbox::hosts::step::digest(&key);
    if access.kubeconfig == key {
        return;
    }
    let own = || certificates::authority(&access.instance);
    let pem = authority.map_or_else(own, str::to_owned);
    world.arm.set_kubeconfig(id, kubeconfig(id.name(), server, fqdn, &pem, &access.token));
    access.kubeconfig = key;
}

fn kubeconfig(name: &str, server: &str, fqdn: &str, authority: &str, token: &str) -> String {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(authority);
    // The faces are on loopback, and the name is what tells whose they are.
    let trust =
        format!("    certificate-authority-data: {authority}\n    tls-server-name: {fqdn}\n");
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  \
         cluster:\n    server: {server}\n{trust}contexts:\n- name: {name}\n  context:\n    \
         cluster: {name}\n    user: clusterUser\nusers:\n- name: clusterUser\n  user:\n    \
         token: {token}\n"
    )
}
