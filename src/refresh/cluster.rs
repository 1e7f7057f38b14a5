//! The cluster, by one list a kind.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use ipnet::Ipv4Net;

use super::cluster_lists::{self, ClusterAnswer, ClusterResponses};
use super::{Clock, Observation, Scope, aks_nodes, foreign_nodes, unsupported_cluster};
use crate::desired::DesiredSet;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::plan::{Finding, FindingSeverity, ManagedNodeFields};
use crate::provider::access::{ClusterAccess, ServerName};
use crate::provider::clients::ReadClients;
use crate::provider::cluster::{
    ClusterError, KERNEL_ROUTES_ANNOTATION, LiveManifest, NodeFacts, PROFILE_DIGEST_ANNOTATION,
};
use crate::resource::host::JoinedWorker;
use crate::resource::kubernetes::{CiliumNode, Manifest, ManifestKind, ObjectName};
use crate::resource::ownership::{SITE_LABEL, SiteName, TOPOLOGY_LABEL};
use crate::resource::protection::{PROTECT_ANNOTATION, record};
use crate::resource::version::KubernetesVersion;
use crate::resource::{Kind, ObjectKey, Observable, Owner, Ownership, Resource};

/// The label that names a worker's datacenter.
const DATACENTER_LABEL: &str = "stargate.io/datacenter";

/// Records the cluster, if there is one: what it answered already while Azure was read, or what
/// it answers now.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    (answered, now): (Option<ClusterAnswer>, &Clock),
    observation: &mut Observation,
) {
    let Some(facts) = &observation.facts.cluster else {
        // Without Azure it is unknown whether the cluster exists.
        let inventory = &observation.inventory;
        let of_azure = inventory.gap_at(&Source::Azure).map(|gap| (gap, "Azure"));
        let of_cluster = inventory.cluster_gap().map(|gap| (gap, "the cluster's object there"));
        if let Some((gap, subject)) = of_azure.or(of_cluster) {
            let message = format!(
                "the cluster's credentials come from Azure, and {subject} could not be read"
            );
            let failure = gap.failure.clone().within(message);
            match gap.explained {
                true => observation.explained_gap(Source::Kubernetes, failure),
                false => observation.gap(Source::Kubernetes, failure),
            }
        }
        return;
    };
    if facts.stopped {
        unsupported_cluster::note_stopped(scope, observation);
        return;
    }
    let is_public_of_private = facts.private && facts.has_public_name;
    let name = ServerName { fqdn: facts.fqdn.clone(), is_public_of_private };
    let answer = match answered.filter(|it| it.name == name) {
        Some(answer) => answer,
        None => cluster_lists::read(clients, scope, (name, now)).await,
    };
    observation.read_at.insert(Source::Kubernetes, answer.at);
    let (access, responses) = match answer.opened {
        Ok(opened) => opened,
        Err(error) => {
            observation.gap(Source::Kubernetes, &error);
            return;
        }
    };
    match responses.failure() {
        Some(error) => observation.gap(Source::Kubernetes, error),
        None => {
            note(responses, scope, observation);
            observation.access = Some(access);
        }
    }
}

fn note(responses: ClusterResponses, scope: &Scope<'_>, observation: &mut Observation) {
    for (kind, list) in responses.manifests {
        match list {
            Ok(list) => list.into_iter().for_each(|live| observation.note_manifest(live)),
            Err(error) => observation.kind_gap(kind.into(), Source::Kubernetes, error),
        }
    }
    let network_configs = match responses.network_configs {
        Ok(configs) => Some(configs),
        // Known nodes keep their routes.
        Err(error) => {
            observation.fact_gap(Source::Kubernetes, error);
            None
        }
    };
    let cilium_nodes = match responses.cilium_nodes {
        Ok(nodes) => Some(nodes),
        Err(error) => {
            observation.kind_gap(Kind::CiliumNode, Source::Kubernetes, error);
            None
        }
    };
    match responses.nodes {
        Ok(nodes) => {
            let lists = NodeLists { network_configs, cilium_nodes };
            note_nodes(&nodes, &lists, scope, observation);
        }
        Err(error) => observation.kind_gap(Kind::Worker, Source::Kubernetes, error),
    }
    note_approval(responses.auto_approves, observation);
}

/// The pod ranges of nodes, by their names; `None` for a list that could not be read.
pub(super) struct NodeLists {
    /// Pod CIDRs that Azure's allocator assigned.
    pub(super) network_configs: Option<BTreeMap<String, Ipv4Net>>,
    /// Pod CIDRs that Cilium uses.
    pub(super) cilium_nodes: Option<BTreeMap<String, Vec<Ipv4Net>>>,
}

impl NodeLists {
    /// The first range that Cilium uses on a node.
    pub(super) fn of_cilium(&self, node: &str) -> Option<Ipv4Net> {
        self.cilium_nodes.as_ref()?.get(node)?.first().copied()
    }
}

fn note_nodes(
    nodes: &[NodeFacts],
    lists: &NodeLists,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    for node in nodes {
        if is_ours(node, scope) || is_desired(&node.name, scope) {
            note_worker(node, lists, scope, observation);
        } else if aks_nodes::is_one(node, lists) {
            aks_nodes::note(node, lists, observation);
        } else {
            foreign_nodes::note(node, lists, observation);
        }
    }
    let workers: BTreeSet<&str> =
        nodes.iter().filter(|node| is_ours(node, scope)).map(|node| node.name.as_str()).collect();
    for (name, pod_cidrs) in lists.cilium_nodes.iter().flatten() {
        let is_worker_s = workers.contains(name.as_str());
        if is_worker_s {
            // A Node without `podCIDR` keeps the range of its pods.
            let assigned = observation.assigned(name);
            assigned.pod_cidr = assigned.pod_cidr.or_else(|| pod_cidrs.first().copied());
        }
        if is_desired(name, scope) || is_worker_s {
            let key = ObjectKey::Kubernetes(object("CiliumNode", name));
            let (name, pod_cidrs) = (name.clone(), pod_cidrs.clone());
            let value = Resource::CiliumNode(CiliumNode { name, pod_cidrs }.into());
            // It is deleted with its Node.
            observation.inventory.note(key, value, Ownership::Inherited);
        }
    }
}

fn note_approval(auto_approves: Result<bool, ClusterError>, observation: &mut Observation) {
    let failure = match auto_approves {
        Ok(false) => return,
        Ok(true) => Failure::new(
            Code::ClusterUnsupported,
            "the cluster approves every client certificate request of the group \
             system:bootstrappers",
            "delete the ClusterRoleBinding to `system:certificates.k8s.io:\
             certificatesigningrequests:nodeclient`: stargate itself approves the request of each \
             worker",
        ),
        Err(error) => Failure::from(&error).within(
            "it was not checked whether the cluster approves certificate requests of \
             system:bootstrappers by itself",
        ),
    };
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}

fn object(kind: &'static str, name: &str) -> ObjectName {
    ObjectName { kind: kind.into(), namespace: None, name: name.to_owned() }
}

fn is_ours(node: &NodeFacts, scope: &Scope<'_>) -> bool {
    node_ownership(node, &scope.owner()).is_ours()
}

fn is_desired(name: &str, scope: &Scope<'_>) -> bool {
    scope.worker_names.contains(name)
}

fn note_worker(
    node: &NodeFacts,
    lists: &NodeLists,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let key = ObjectKey::Kubernetes(object("Node", &node.name));
    let ownership = node_ownership(node, &scope.owner());
    if ownership.is_ours() {
        let assigned = observation.assigned(&node.name);
        assigned.pod_cidr = node.pod_cidr;
        assigned.ip = assigned.ip.or(node.internal_ip);
        assigned.kubelet_version = kubelet_version(&node.kubelet_version);
    }
    let is_range_unknown = node.pod_cidr.is_none() && lists.cilium_nodes.is_none();
    match worker(node, &scope.managed) {
        Ok(_) if is_range_unknown => {
            observation.unread(key, Source::Kubernetes, without_range(node));
        }
        Ok(worker) => observation.inventory.note(key, Resource::Worker(worker.into()), ownership),
        Err(failure) => observation.unread(key, Source::Kubernetes, failure),
    }
}

/// Only its CiliumNode would report the range of its pods.
fn without_range(node: &NodeFacts) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!(
            "the Node {} has no podCIDR, and its CiliumNode, which records the range of its pods, \
             could not be read",
            node.name
        ),
        "allow the credentials to list `ciliumnodes` of the API group cilium.io",
    )
}

/// The ownership of a worker's Node, by its labels.
pub(super) fn node_ownership(node: &NodeFacts, owner: &Owner) -> Ownership {
    let site = node.labels.get(DATACENTER_LABEL).or_else(|| node.labels.get(SITE_LABEL));
    let site = SiteName(site.map_or("cluster", String::as_str).to_owned());
    owner.ownership(node.labels.get(TOPOLOGY_LABEL).map(String::as_str), site)
}

/// The worker that a Node represents. Labels and taints that other field managers set (the
/// kubelet, controllers) are omitted.
///
/// # Errors
///
/// The Node lacks a field that every Node has: it exists, with unknown content.
pub(super) fn worker(
    node: &NodeFacts,
    managed: &ManagedNodeFields,
) -> Result<JoinedWorker, Failure> {
    let lacks = |what: &str| {
        Failure::new(
            Code::SourceGap,
            format!("the Node {} has no {what}", node.name),
            format!(
                "`kubectl get node {} -o yaml` shows its status; `journalctl -u kubelet` on the \
                 worker shows why its kubelet does not report it",
                node.name
            ),
        )
    };
    let annotation = |name: &str| node.annotations.get(name).cloned().unwrap_or_default();
    Ok(JoinedWorker {
        name: node.name.clone(),
        ip: node.internal_ip.ok_or_else(|| lacks("IPv4 address of the type InternalIP"))?,
        pod_cidr: node.pod_cidr.unwrap_or(JoinedWorker::NO_POD_CIDR),
        provider_id: node.provider_id.clone().unwrap_or_default(),
        labels: node
            .labels
            .iter()
            .filter(|(name, _)| managed.labels.contains(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        taints: node.taints.intersection(&managed.taints).cloned().collect(),
        kubelet_version: kubelet_version(&node.kubelet_version)
            .ok_or_else(|| lacks("readable version of a kubelet"))?,
        profile_digest: annotation(PROFILE_DIGEST_ANNOTATION),
        routes: annotation(KERNEL_ROUTES_ANNOTATION),
        ready: node.ready,
        cordoned_for_work: node.is_cordoned_for_work(),
        protected_by: node.annotations.get(PROTECT_ANNOTATION).and_then(|text| record(text)),
        host: Observable::unobserved(),
    })
}

/// The version of a kubelet. Distributions and release candidates add a suffix, as
/// in `v1.33.5-rc.1` and `v1.33.5+k3s1`.
fn kubelet_version(text: &str) -> Option<KubernetesVersion> {
    text.split(['-', '+']).next()?.parse().ok()
}

impl Observation {
    fn note_manifest(&mut self, live: LiveManifest) {
        let key = ObjectKey::Kubernetes(live.manifest.object_name());
        if live.manifest.kind == ManifestKind::Server && live.object["status"]["state"] == "error" {
            self.inventory.failed_before.insert(live.manifest.name.clone());
        }
        let value = Resource::Manifest(live.manifest.clone());
        self.inventory.note(key.clone(), value, live.ownership.clone());
        self.manifests.insert(key, live);
    }

    /// Reads the cluster's objects again once the desired state is known: for the fields
    /// that other managers took over, and for foreign objects with the name of a missing
    /// one.
    pub(super) async fn refresh_manifests(&mut self, desired: &DesiredSet) {
        let manifests: BTreeMap<&ObjectKey, &Manifest> = desired
            .iter()
            .filter_map(|desired| match (&desired.key, &desired.resource) {
                (Some(key), Resource::Manifest(manifest)) => Some((key, manifest)),
                _ => None,
            })
            .collect();
        let missing: BTreeSet<ManifestKind> = manifests
            .iter()
            .filter(|(key, _)| !self.manifests.contains_key(key))
            .map(|(_, manifest)| manifest.kind)
            .collect();
        self.find_foreign(missing, &manifests).await;
        for (key, live) in &self.manifests {
            let Some(desired) = manifests.get(key) else { continue };
            let value = Resource::Manifest(live.with_desired_fields(desired));
            self.inventory.note(key.clone(), value, live.ownership.clone());
        }
    }

    /// One list a kind, and none where nothing is missing.
    async fn find_foreign(
        &mut self,
        kinds: BTreeSet<ManifestKind>,
        desired: &BTreeMap<&ObjectKey, &Manifest>,
    ) {
        let Some(access) = self.access.clone() else { return };
        let listed = kinds.into_iter().filter(|it| {
            // It is known that it cannot be listed.
            self.inventory.kind_gap((*it).into()).is_none()
        });
        let client = access.client.as_ref();
        let lists = listed.map(|kind| async move { (kind, client.list_all(kind).await) });
        for (kind, list) in join_all(lists).await {
            match list {
                Ok(list) => {
                    for live in list {
                        let key = ObjectKey::Kubernetes(live.manifest.object_name());
                        if desired.contains_key(&key) {
                            self.note_manifest(live);
                        }
                    }
                }
                Err(error) => self.kind_gap(kind.into(), Source::Kubernetes, error),
            }
        }
    }

    /// The client of the cluster, if it could be read.
    pub fn cluster_access(&self) -> Option<&ClusterAccess> {
        self.access.as_ref()
    }
}
