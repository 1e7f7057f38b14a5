//! The permissions of bootstrap tokens, and cluster bindings that allow more than stargate wants.

use serde_json::json;

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const APPROVES_FIRST: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const APPROVES_RENEWAL: &str =
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    for (verb, subresource, expected) in [
        ("create", "", true),
        ("get", "", true),
        ("delete", "", false),
        ("create", "nodeclient", false),
        ("update", "approval", false),
    ] {
        let allowed = may(server, verb, subresource).await;
        let what = format!("a token may {verb} requests/{subresource}");
        check_log.equals(&what, allowed, expected);
    }
    let no_approval = server.stargate_client.review_bootstrap_auto_approval().await;
    check_log.equals("no binding approves automatically", no_approval, Ok(false));
    bind(server, check_log, "lab:approves-first", APPROVES_FIRST, "system:bootstrappers").await;
    let mut warned = server.stargate_client.review_bootstrap_auto_approval().await;
    // The authoriser sees a new binding with a short delay.
    for _ in 0..50 {
        if warned == Ok(true) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        warned = server.stargate_client.review_bootstrap_auto_approval().await;
    }
    check_log.equals("a foreign binding that approves is detected", warned, Ok(true));
    let deleted = server.admin.delete(&format!("{BINDINGS}/lab:approves-first")).await;
    check_log.equals("the binding is deleted", deleted.code, 200);
    for _ in 0..50 {
        if server.stargate_client.review_bootstrap_auto_approval().await == Ok(false) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // As in AKS, a node renews its own certificate.
    bind(server, check_log, "lab:approves-renewals", APPROVES_RENEWAL, "system:nodes").await;
}

async fn may(server: &ApiServer, verb: &str, subresource: &str) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "spec": {
            "user": "system:bootstrap:abcdef",
            "groups": ["system:bootstrappers", "system:bootstrappers:stargate"],
            "resourceAttributes": {
                "group": "certificates.k8s.io", "resource": "certificatesigningrequests",
                "subresource": subresource, "verb": verb,
            },
        },
    });
    server.admin.post(REVIEWS, &review).await.body["status"]["allowed"] == true
}

async fn bind(server: &ApiServer, check_log: &mut CheckLog, name: &str, role: &str, group: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
    });
    let made = server.admin.post(BINDINGS, &binding).await;
    check_log.equals(&format!("{name} is bound"), made.summary(), "201".into());
}
