//! Bootstrap tokens: their permissions, and their expiry.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stargate::provider::cluster::BootstrapToken;
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::REQUESTS;
use crate::check_log::CheckLog;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const SELF_REVIEWS: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// An API server may cache for ten seconds that a token is valid.
const CACHE_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let worker = WorkerName::new("token-a");
    let made = server.stargate_client.create_bootstrap_token(&worker, Timestamp::now()).await;
    let Some(token) = check_log.succeeds("a token is created", made) else { return };
    check_secret(server, check_log, &token).await;
    let caller = server.with_token(&token.secret).await;
    check_permissions(&caller, check_log, &token).await;
    check_wrong_tokens(server, check_log, &token).await;
    check_stale_tokens(server, check_log).await;
    let deleted = server.stargate_client.delete_bootstrap_token(&token.id).await;
    check_log.equals("the token is deleted", deleted, Ok(()));
    let deleted = server.stargate_client.delete_bootstrap_token(&token.id).await;
    check_log.equals("once", deleted, Ok(()));
    check_log.equals("and refused from then on", is_eventually_refused(&caller).await, true);
}

/// Whether requests with a token are eventually refused.
pub(crate) async fn is_eventually_refused(caller: &Caller) -> bool {
    let deadline = tokio::time::Instant::now() + CACHE_TIMEOUT;
    while tokio::time::Instant::now() < deadline {
        if caller.get(REQUESTS).await.summary() == "401 Unauthorized" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

async fn check_secret(server: &ApiServer, check_log: &mut CheckLog, token: &BootstrapToken) {
    let secret = server.admin.get(&format!("{SECRETS}/bootstrap-token-{}", token.id)).await;
    let kind = secret.body["type"].clone();
    check_log.equals("it is of the right type", kind, json!("bootstrap.kubernetes.io/token"));
    let data = secret.body["data"].as_object().cloned().unwrap_or_default();
    let mut fields: Vec<&str> = data.keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = vec![
        "auth-extra-groups",
        "description",
        "expiration",
        "token-id",
        "token-secret",
        "usage-bootstrap-authentication",
    ];
    check_log.equals("it can do nothing but authenticate", fields, expected);
    let expiry = secret.body["metadata"]["annotations"]["stargate.io/expires"].as_str();
    let expiry: Option<Timestamp> = expiry.and_then(|text| text.parse().ok());
    let soon = expiry.is_some_and(|it| it <= Timestamp::now() + SignedDuration::from_hours(1));
    check_log.is_true("it expires within an hour", soon, &expiry);
}

async fn check_permissions(caller: &Caller, check_log: &mut CheckLog, token: &BootstrapToken) {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let me = caller.post(SELF_REVIEWS, &review).await;
    let user = &me.body["status"]["userInfo"];
    let name = format!("system:bootstrap:{}", token.id);
    check_log.equals("its user is named after it", user["username"].clone(), json!(name));
    let mut groups: Vec<&str> =
        user["groups"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
    groups.sort_unstable();
    let expected =
        vec!["system:authenticated", "system:bootstrappers", "system:bootstrappers:stargate"];
    check_log.equals("it is in stargate's group", groups, expected);
    check_log.equals("it reads requests", caller.get(REQUESTS).await.code, 200);
    for path in [
        SECRETS,
        "/api/v1/nodes",
        "/api/v1/namespaces/kube-system/pods",
        "/apis/stargate.io/v1alpha1/namespaces/stargate/servers",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ] {
        let response = caller.get(path).await;
        check_log.equals(
            &format!("it does not read {path}"),
            response.summary(),
            "403 Forbidden".into(),
        );
    }
    let response = caller.get(SECRETS).await;
    let sentence = format!(
        "secrets is forbidden: User \"{name}\" cannot list resource \"secrets\" in API group \"\" \
         in the namespace \"kube-system\""
    );
    check_log.equals("with this message", response.message(), sentence.as_str());
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "token-a" } });
    let response = caller.post("/api/v1/nodes", &node).await;
    check_log.equals("it cannot create a Node", response.summary(), "403 Forbidden".into());
    let response = caller.delete(&format!("{REQUESTS}/any")).await;
    check_log.equals("it deletes no request", response.summary(), "403 Forbidden".into());
}

async fn check_wrong_tokens(server: &ApiServer, check_log: &mut CheckLog, token: &BootstrapToken) {
    use stargate::provider::secret::Secret;
    for (what, text) in [
        ("another secret", format!("{}.0123456789abcdef", token.id)),
        ("another id", "zzzzzz.0123456789abcdef".to_owned()),
        ("no token at all", "nonsense".to_owned()),
    ] {
        let caller = server.with_token(&Secret::new(text)).await;
        let response = caller.get(REQUESTS).await;
        check_log.equals(
            &format!("{what} is refused"),
            response.summary(),
            "401 Unauthorized".into(),
        );
    }
}

/// Expired tokens, and other tokens of one worker.
async fn check_stale_tokens(server: &ApiServer, check_log: &mut CheckLog) {
    let now = Timestamp::now();
    let (worker, other) = (WorkerName::new("token-b"), WorkerName::new("token-c"));
    let long_ago = now - SignedDuration::from_hours(2);
    let ended = server.stargate_client.create_bootstrap_token(&worker, long_ago).await;
    let Some(ended) = check_log.succeeds("an expired token is created", ended) else { return };
    let caller = server.with_token(&ended.secret).await;
    let response = caller.get(REQUESTS).await;
    check_log.equals("it authenticates no request", response.summary(), "401 Unauthorized".into());
    let kept = server.stargate_client.create_bootstrap_token(&worker, now).await;
    check_log.succeeds("another token of the worker is created", kept);
    let nothing = server.stargate_client.delete_stale_bootstrap_tokens(Some(&other), now).await;
    check_log.equals("expired tokens are deleted", nothing, Ok(1));
    let nothing = server.stargate_client.delete_stale_bootstrap_tokens(None, now).await;
    check_log.equals("once, and no others", nothing, Ok(0));
    let left = server.stargate_client.delete_stale_bootstrap_tokens(Some(&worker), now).await;
    check_log.equals("other tokens of a worker are deleted with its next join", left, Ok(1));
}
