//! The lists of the cluster, read as soon as Azure has listed the cluster itself: the other
//! lists of a large subscription take longer.

use std::collections::BTreeMap;

use futures::future::join_all;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{Clock, Scope, unsupported_cluster};
use crate::provider::access::{self, AccessError, ClusterAccess, ServerName};
use crate::provider::azure::codec::cluster_profile;
use crate::provider::clients::ReadClients;
use crate::provider::cluster::{ClusterError, LiveManifest, NodeFacts};
use crate::provider::read_write::ClusterRead;
use crate::resource::kubernetes::ManifestKind;

/// The answers of an API server.
pub(super) struct ClusterAnswer {
    /// The name that the cluster's object gave it.
    pub(super) name: ServerName,
    /// When it answered the last list.
    pub(super) at: Timestamp,
    /// Its clients and the answers to its lists.
    pub(super) opened: Result<(ClusterAccess, ClusterResponses), AccessError>,
}

/// The response of the cluster to each list.
pub(super) struct ClusterResponses {
    pub(super) nodes: Result<Vec<NodeFacts>, ClusterError>,
    pub(super) network_configs: Result<BTreeMap<String, Ipv4Net>, ClusterError>,
    pub(super) cilium_nodes: Result<BTreeMap<String, Vec<Ipv4Net>>, ClusterError>,
    pub(super) manifests: Vec<(ManifestKind, Result<Vec<LiveManifest>, ClusterError>)>,
    pub(super) auto_approves: Result<bool, ClusterError>,
}

impl ClusterResponses {
    /// Why the cluster could not be read, if no list was answered.
    pub(super) fn failure(&self) -> Option<&ClusterError> {
        let ClusterResponses { nodes, network_configs, cilium_nodes, manifests, .. } = self;
        let is_answered = network_configs.is_ok()
            || cilium_nodes.is_ok()
            || manifests.iter().any(|(_, list)| list.is_ok());
        nodes.as_ref().err().filter(|_| !is_answered)
    }
}

/// Reads the cluster that Azure lists, before the rest of Azure is read. There is no answer if
/// Azure does not list it, or its object cannot be read: [`super::cluster_facts`] says why.
pub(super) async fn read_listed(
    clients: &ReadClients,
    scope: &Scope<'_>,
    (listed, now): (oneshot::Receiver<Value>, &Clock),
) -> Option<ClusterAnswer> {
    let cluster = listed.await.ok().filter(may_answer)?;
    let is_supported = scope.options.destroy
        || unsupported_cluster::reasons(&scope.cluster_id(), &cluster).is_empty();
    let profile = cluster_profile::decode(&cluster).ok()?;
    if profile.stopped || !is_supported {
        return None;
    }
    let is_public_of_private = profile.private && profile.has_public_name;
    let name = ServerName { fqdn: profile.fqdn, is_public_of_private };
    Some(read(clients, scope, (name, now)).await)
}

/// Whether the cluster's API server can be expected to answer.
fn may_answer(cluster: &Value) -> bool {
    !matches!(cluster_profile::provisioning_state(cluster), Some("Creating" | "Deleting"))
}

/// Reads the cluster whose API server has this name.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    (name, now): (ServerName, &Clock),
) -> ClusterAnswer {
    let opened = match access::open(clients, &scope.cluster_id(), &name, scope.owner()).await {
        Ok(access) => {
            let responses = lists(access.client.as_ref()).await;
            Ok((access, responses))
        }
        Err(error) => Err(error),
    };
    ClusterAnswer { name, at: now(), opened }
}

/// Reads all lists side by side. A list that cannot be read hides the objects of its kind
/// and no others.
async fn lists(client: &dyn ClusterRead) -> ClusterResponses {
    let kinds = ManifestKind::ALL.iter().copied();
    let manifests = join_all(kinds.map(|kind| async move { (kind, client.list_ours(kind).await) }));
    // A check alone: that it may not be made hides nothing of the cluster.
    let mut review = std::pin::pin!(client.review_bootstrap_auto_approval());
    let mut reviewed = None;
    let mut lists = std::pin::pin!(async {
        tokio::join!(
            client.nodes(),
            client.node_network_configs(),
            client.cilium_nodes(),
            manifests
        )
    });
    let (nodes, network_configs, cilium_nodes, manifests) = loop {
        tokio::select! {
            biased;
            answer = &mut review, if reviewed.is_none() => reviewed = Some(answer),
            lists = &mut lists => break lists,
        }
    };
    let auto_approves = Ok(false);
    let responses =
        ClusterResponses { nodes, network_configs, cilium_nodes, manifests, auto_approves };
    let auto_approves = match reviewed {
        Some(answer) => answer,
        // A cluster that answers no list is not waited for.
        None if responses.failure().is_some() => Ok(false),
        None => review.await,
    };
    ClusterResponses { auto_approves, ..responses }
}
