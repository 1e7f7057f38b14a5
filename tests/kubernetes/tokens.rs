//! Bootstrap tokens: what they open, and that they end.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stargate::provider::cluster::BootstrapToken;
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::REQUESTS;
use crate::verdicts::Verdicts;

const SECRETS: &str = "/api/v1/namespaces/kube-system/secrets";
const WHO_AM_I: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
/// An API server may remember for ten seconds that a token was good.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(20);

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    let worker = WorkerName::new("token-a");
    let made = server.door.create_bootstrap_token(&worker, Timestamp::now()).await;
    let Some(token) = verdicts.well("a token is made", made) else { return };
    what_is_written(server, verdicts, &token).await;
    let caller = server.with_token(&token.secret).await;
    what_it_opens(&caller, verdicts, &token).await;
    wrong_ones(server, verdicts, &token).await;
    stale_ones(server, verdicts).await;
    let deleted = server.door.delete_bootstrap_token(&token.id).await;
    verdicts.same("the token is deleted", deleted, Ok(()));
    let deleted = server.door.delete_bootstrap_token(&token.id).await;
    verdicts.same("once", deleted, Ok(()));
    verdicts.same("and refused from then on", refused_soon(&caller).await, true);
}

/// Whether requests with a token come to be refused.
pub(crate) async fn refused_soon(caller: &Caller) -> bool {
    let deadline = tokio::time::Instant::now() + FORGOTTEN_WITHIN;
    while tokio::time::Instant::now() < deadline {
        if caller.get(REQUESTS).await.verdict() == "401 Unauthorized" {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

async fn what_is_written(server: &ApiServer, verdicts: &mut Verdicts, token: &BootstrapToken) {
    let secret = server.admin.get(&format!("{SECRETS}/bootstrap-token-{}", token.id)).await;
    let kind = secret.body["type"].clone();
    verdicts.same("it is of the right type", kind, json!("bootstrap.kubernetes.io/token"));
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
    verdicts.same("it can do nothing but authenticate", fields, expected);
    let expiry = secret.body["metadata"]["annotations"]["stargate.io/expires"].as_str();
    let expiry: Option<Timestamp> = expiry.and_then(|text| text.parse().ok());
    let soon = expiry.is_some_and(|it| it <= Timestamp::now() + SignedDuration::from_hours(1));
    verdicts.holds("it ends within the hour", soon, &expiry);
}

async fn what_it_opens(caller: &Caller, verdicts: &mut Verdicts, token: &BootstrapToken) {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let me = caller.post(WHO_AM_I, &review).await;
    let user = &me.body["status"]["userInfo"];
    let name = format!("system:bootstrap:{}", token.id);
    verdicts.same("its user is named after it", user["username"].clone(), json!(name));
    let mut groups: Vec<&str> =
        user["groups"].as_array().into_iter().flatten().filter_map(|it| it.as_str()).collect();
    groups.sort_unstable();
    let expected =
        vec!["system:authenticated", "system:bootstrappers", "system:bootstrappers:stargate"];
    verdicts.same("it is in stargate's group", groups, expected);
    verdicts.same("it reads requests", caller.get(REQUESTS).await.code, 200);
    for path in [
        SECRETS,
        "/api/v1/nodes",
        "/api/v1/namespaces/kube-system/pods",
        "/apis/stargate.io/v1alpha1/namespaces/stargate/servers",
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    ] {
        let answer = caller.get(path).await;
        verdicts.same(
            &format!("it does not read {path}"),
            answer.verdict(),
            "403 Forbidden".into(),
        );
    }
    let answer = caller.get(SECRETS).await;
    let sentence = format!(
        "secrets is forbidden: User \"{name}\" cannot list resource \"secrets\" in API group \"\" \
         in the namespace \"kube-system\""
    );
    verdicts.same("and is told so", answer.message(), sentence.as_str());
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "token-a" } });
    let answer = caller.post("/api/v1/nodes", &node).await;
    verdicts.same("it makes no Node", answer.verdict(), "403 Forbidden".into());
    let answer = caller.delete(&format!("{REQUESTS}/any")).await;
    verdicts.same("it deletes no request", answer.verdict(), "403 Forbidden".into());
}

async fn wrong_ones(server: &ApiServer, verdicts: &mut Verdicts, token: &BootstrapToken) {
    use stargate::provider::secret::Secret;
    for (what, text) in [
        ("another secret", format!("{}.0123456789abcdef", token.id)),
        ("another id", "zzzzzz.0123456789abcdef".to_owned()),
        ("no token at all", "nonsense".to_owned()),
    ] {
        let caller = server.with_token(&Secret::new(text)).await;
        let answer = caller.get(REQUESTS).await;
        verdicts.same(&format!("{what} is refused"), answer.verdict(), "401 Unauthorized".into());
    }
}

/// Tokens that have ended, and those left for one worker.
async fn stale_ones(server: &ApiServer, verdicts: &mut Verdicts) {
    let now = Timestamp::now();
    let (worker, other) = (WorkerName::new("token-b"), WorkerName::new("token-c"));
    let long_ago = now - SignedDuration::from_hours(2);
    let ended = server.door.create_bootstrap_token(&worker, long_ago).await;
    let Some(ended) = verdicts.well("a token that has ended is made", ended) else { return };
    let caller = server.with_token(&ended.secret).await;
    let answer = caller.get(REQUESTS).await;
    verdicts.same("it opens nothing", answer.verdict(), "401 Unauthorized".into());
    let kept = server.door.create_bootstrap_token(&worker, now).await;
    verdicts.well("another one of the worker's is made", kept);
    let nothing = server.door.delete_stale_bootstrap_tokens(Some(&other), now).await;
    verdicts.same("ended tokens are cleared away", nothing, Ok(1));
    let nothing = server.door.delete_stale_bootstrap_tokens(None, now).await;
    verdicts.same("once, and no others", nothing, Ok(0));
    let left = server.door.delete_stale_bootstrap_tokens(Some(&worker), now).await;
    verdicts.same("what is left for a worker goes with its next join", left, Ok(1));
}
