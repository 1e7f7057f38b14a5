//! The cluster's signer of kubelet client certificates, and its own approver.

use serde_json::{Value, json};

use super::certificates;
use super::cluster::{Cluster, name};
use super::settled::Since;
use crate::sandbox::kubernetes::{Attributes, UserInfo};

pub(super) const REQUEST: (&str, &str) = ("certificates.k8s.io/v1", "CertificateSigningRequest");
pub(super) const CLUSTER_ROLE: (&str, &str) = ("rbac.authorization.k8s.io/v1", "ClusterRole");
pub(super) const CLUSTER_ROLE_BINDING: (&str, &str) =
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
pub(super) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Approves what the bindings let approve by itself, and issues what is approved.
pub(super) fn settle(cluster: &mut Cluster<'_>, instance: &str, since: Since) {
    for mut request in concerned(cluster, since) {
        if request["spec"]["signerName"] != CLIENT_SIGNER {
            continue;
        }
        let untouched = condition(&request, "Approved").or(condition(&request, "Denied")).is_none();
        if untouched && approves_itself(cluster, &request) {
            request["status"]["conditions"] = json!([{
                "type": "Approved",
                "status": "True",
                "reason": "AutoApproved",
                "message": "Auto approving kubelet client certificate after SubjectAccessReview.",
                "lastUpdateTime": cluster.now,
                "lastTransitionTime": cluster.now,
            }]);
        }
        let issued = request.pointer("/status/certificate").is_some();
        if condition(&request, "Approved").is_some() && !issued {
            let asked = request["spec"]["request"].as_str().unwrap_or_default();
            if let Some(certificate) = certificates::issue(instance, asked) {
                request["status"]["certificate"] = json!(certificate);
            }
        }
        cluster.put(request);
    }
}

/// The requests that are new, or all where others may approve themselves now.
fn concerned(cluster: &Cluster<'_>, since: Since) -> Vec<Value> {
    let same = |kind| since.news(cluster.store, kind).is_some_and(|news| news.is_empty());
    match since.news(cluster.store, REQUEST) {
        Some(news) if same(CLUSTER_ROLE) && same(CLUSTER_ROLE_BINDING) => {
            news.into_iter().filter_map(|news| Some((*news.after?).clone())).collect()
        }
        _ => cluster.all(REQUEST),
    }
}

/// A condition that is set on a request.
pub(super) fn condition<'a>(request: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = request.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn approves_itself(cluster: &Cluster<'_>, request: &Value) -> bool {
    let user = &request["spec"];
    let groups = user["groups"].as_array().cloned().unwrap_or_default();
    let requester = UserInfo {
        name: user["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect(),
    };
    let asked = request["spec"]["request"].as_str().unwrap_or_default();
    let node = certificates::requested_node(asked);
    let own = node.is_some_and(|node| requester.name == format!("system:node:{node}"));
    may_create(cluster, &requester, if own { "selfnodeclient" } else { "nodeclient" })
}

/// Whether a user may create requests, or such as approve themselves.
pub(super) fn may_create(cluster: &Cluster<'_>, user: &UserInfo, subresource: &str) -> bool {
    let attributes = Attributes {
        verb: "create".to_owned(),
        group: "certificates.k8s.io".to_owned(),
        resource: "certificatesigningrequests".to_owned(),
        subresource: subresource.to_owned(),
        ..Attributes::default()
    };
    cluster.store.authorize(user, &attributes).is_some()
}

/// The name of a stored request whose certificate was issued.
pub(super) fn is_issued(request: &Value) -> bool {
    !name(request).is_empty() && request.pointer("/status/certificate").is_some()
}
