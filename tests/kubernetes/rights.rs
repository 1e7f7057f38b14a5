//! What bootstrap tokens may do, and whether the cluster would do more with
//! them than stargate wants.

use serde_json::json;

use crate::api_server::ApiServer;
use crate::verdicts::Verdicts;

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const APPROVES_FIRST: &str = "system:certificates.k8s.io:certificatesigningrequests:nodeclient";
const APPROVES_RENEWAL: &str =
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    for (verb, subresource, expected) in [
        ("create", "", true),
        ("get", "", true),
        ("delete", "", false),
        ("create", "nodeclient", false),
        ("update", "approval", false),
    ] {
        let allowed = may(server, verb, subresource).await;
        let what = format!("a token may {verb} requests/{subresource}");
        verdicts.same(&what, allowed, expected);
    }
    let quiet = server.door.subject_access_review_bootstrap_autoapproves().await;
    verdicts.same("nobody approves by itself", quiet, Ok(false));
    bind(server, verdicts, "lab:approves-first", APPROVES_FIRST, "system:bootstrappers").await;
    let mut warned = server.door.subject_access_review_bootstrap_autoapproves().await;
    // The authoriser hears of a binding a moment after it was written.
    for _ in 0..50 {
        if warned == Ok(true) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        warned = server.door.subject_access_review_bootstrap_autoapproves().await;
    }
    verdicts.same("a binding of another's that approves is noticed", warned, Ok(true));
    let gone = server.admin.delete(&format!("{BINDINGS}/lab:approves-first")).await;
    verdicts.same("the binding goes", gone.code, 200);
    for _ in 0..50 {
        if server.door.subject_access_review_bootstrap_autoapproves().await == Ok(false) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // As AKS has it: a node renews its own certificate.
    bind(server, verdicts, "lab:approves-renewals", APPROVES_RENEWAL, "system:nodes").await;
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

async fn bind(server: &ApiServer, verdicts: &mut Verdicts, name: &str, role: &str, group: &str) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group }],
    });
    let made = server.admin.post(BINDINGS, &binding).await;
    verdicts.same(&format!("{name} is bound"), made.verdict(), "201".into());
}
