//! The signer of kubelet client certificates, and the approver of certificate requests.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::certificates;
use super::changes::Since;
use super::cluster::{ClusterObjects, name};
use crate::sandbox::kubernetes::{Attributes, UserInfo};

pub(super) const REQUEST: (&str, &str) = ("certificates.k8s.io/v1", "CertificateSigningRequest");
pub(super) const CLUSTER_ROLE: (&str, &str) = ("rbac.authorization.k8s.io/v1", "ClusterRole");
pub(super) const CLUSTER_ROLE_BINDING: (&str, &str) =
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
pub(super) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Approves the requests that role bindings allow to be approved automatically, and issues
/// certificates for approved requests.
pub(super) fn reconcile(
    cluster: &mut ClusterObjects<'_>,
    instance: &str,
    since: Since,
    now: Timestamp,
) {
    let requests = affected(cluster, since);
    if !requests.is_empty() {
        delete_old_requests(cluster, now);
    }
    for mut request in requests {
        let is_there = cluster.store.get(REQUEST.0, REQUEST.1, None, name(&request)).is_some();
        if !is_there || request["spec"]["signerName"] != CLIENT_SIGNER {
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
            let requested = request["spec"]["request"].as_str().unwrap_or_default();
            if let Some(certificate) = certificates::issue(instance, requested) {
                request["status"]["certificate"] = json!(certificate);
            }
        }
        cluster.put(request);
    }
}

/// Deletes requests as the cleaner of kube-controller-manager does: an hour after a decision, or a
/// day after creation without one.
fn delete_old_requests(cluster: &mut ClusterObjects<'_>, now: Timestamp) {
    let before = |hours: i64| {
        let limit = now.saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(now);
        limit.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let (decided, undecided) = (before(1), before(24));
    let is_old = |request: &Value| {
        let made = request.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        let open = condition(request, "Approved").or(condition(request, "Denied")).is_none();
        made.is_some_and(|made| made < if open { undecided.as_str() } else { decided.as_str() })
    };
    let all = cluster.store.list(REQUEST.0, REQUEST.1, None).into_iter();
    let old: Vec<String> =
        all.filter(|it| is_old(it)).map(|request| name(request).to_owned()).collect();
    for request in old {
        cluster.delete(REQUEST, None, &request);
    }
}

/// The new requests, or all requests if a changed binding may allow more automatic approvals.
fn affected(cluster: &ClusterObjects<'_>, since: Since) -> Vec<Value> {
    let same = |kind| since.deltas(cluster.store, kind).is_some_and(|deltas| deltas.is_empty());
    match since.deltas(cluster.store, REQUEST) {
        Some(deltas) if same(CLUSTER_ROLE) && same(CLUSTER_ROLE_BINDING) => {
            deltas.into_iter().filter_map(|deltas| Some((*deltas.after?).clone())).collect()
        }
        _ => cluster.all(REQUEST),
    }
}

/// The condition of the given type on a request.
pub(super) fn condition<'a>(request: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = request.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn approves_itself(cluster: &ClusterObjects<'_>, request: &Value) -> bool {
    let user = &request["spec"];
    let groups = user["groups"].as_array().cloned().unwrap_or_default();
    let requester = UserInfo {
        name: user["username"].as_str().unwrap_or_default().to_owned(),
        groups: groups.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect(),
    };
    let requested = request["spec"]["request"].as_str().unwrap_or_default();
    let node = certificates::requested_node(requested);
    let own = node.is_some_and(|node| requester.name == format!("system:node:{node}"));
    may_create(cluster, &requester, if own { "selfnodeclient" } else { "nodeclient" })
}

/// Whether a user may create requests, or requests that are approved automatically.
pub(super) fn may_create(cluster: &ClusterObjects<'_>, user: &UserInfo, subresource: &str) -> bool {
    let attributes = Attributes {
        verb: "create".to_owned(),
        group: "certificates.k8s.io".to_owned(),
        resource: "certificatesigningrequests".to_owned(),
        subresource: subresource.to_owned(),
        ..Attributes::default()
    };
    cluster.store.authorize(user, &attributes).is_some()
}

/// Whether the certificate of a stored request was issued.
pub(super) fn is_issued(request: &Value) -> bool {
    !name(request).is_empty() && request.pointer("/status/certificate").is_some()
}
