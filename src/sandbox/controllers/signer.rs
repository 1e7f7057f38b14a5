//! The cluster's signer of kubelet client certificates, and its own approver.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::certificates;
use super::cluster::{Cluster, name};
use super::reconciled::Since;
use crate::sandbox::kubernetes::{Attributes, UserInfo};

pub(super) const REQUEST: (&str, &str) = ("certificates.k8s.io/v1", "CertificateSigningRequest");
pub(super) const CLUSTER_ROLE: (&str, &str) = ("rbac.authorization.k8s.io/v1", "ClusterRole");
pub(super) const CLUSTER_ROLE_BINDING: (&str, &str) =
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding");
pub(super) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Approves what the bindings let approve by itself, and issues what is approved.
pub(super) fn reconcile(cluster: &mut Cluster<'_>, instance: &str, since: Since, now: Timestamp) {
    let requests = concerned(cluster, since);
    if !requests.is_empty() {
        forget_old(cluster, now);
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
            let asked = request["spec"]["request"].as_str().unwrap_or_default();
            if let Some(certificate) = certificates::issue(instance, asked) {
                request["status"]["certificate"] = json!(certificate);
            }
        }
        cluster.put(request);
    }
}

/// The cluster's cleaner deletes requests an hour after they were decided about,
/// and a day after they were made where nobody has.
fn forget_old(cluster: &mut Cluster<'_>, now: Timestamp) {
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
