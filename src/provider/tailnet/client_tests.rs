//! The client against scripted answers.

use serde_json::{Value, json};

use super::*;
use crate::diagnostics::{Code, Failure};
use crate::provider::scripted::{Scripted, ScriptedStep};

fn client(
    credentials: TailnetCredentials,
    steps: Vec<ScriptedStep>,
) -> (TailnetClient, Arc<Scripted>) {
    let script = Arc::new(Scripted::new(steps));
    let seam: Arc<dyn Transport> = Arc::<Scripted>::clone(&script);
    let limits = Limits::published();
    let count = RequestCount::default();
    (TailnetClient::new(seam, "http://ts.test/", "-", credentials, limits, count), script)
}

fn key() -> TailnetCredentials {
    TailnetCredentials::ApiKey(Secret::new("tskey-api-marked"))
}

fn oauth() -> TailnetCredentials {
    TailnetCredentials::OAuthClient { id: "id".into(), secret: Secret::new("marked&secret") }
}

fn prefixes(texts: &[&str]) -> BTreeSet<Ipv4Net> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn reads_devices_with_missing_or_odd_fields() {
    let devices = json!({"devices": [
        {"id": "9", "nodeId": "n9CNTRL", "hostname": "r", "name": "r.tail.ts.net", "user": "x",
         "tags": ["tag:a"], "addresses": ["100.87.74.78", "fd7a:115c:a1e0::1"],
         "advertisedRoutes": ["10.0.0.0/16", "fd00::/64"], "enabledRoutes": ["10.0.0.0/16"],
         "connectedToControl": true, "authorized": true, "created": "2026-01-02T03:04:05Z"},
        {"id": 7, "hostname": "", "tags": null, "created": "", "authorized": false,
         "lastSeen": "2026-01-01T00:00:00Z", "enabledRoutes": null},
    ]});
    let (client, script) = client(
        key(),
        vec![
            ScriptedStep::new("GET", "/api/v2/tailnet/-/devices?fields=all").respond(200, devices),
        ],
    );
    let devices = client.devices().await.unwrap();
    assert_eq!(devices[0].advertised, prefixes(&["10.0.0.0/16"]));
    assert_eq!(devices[0].enabled, prefixes(&["10.0.0.0/16"]));
    assert_eq!(devices[0].addresses, ["100.87.74.78".parse::<std::net::Ipv4Addr>().unwrap()]);
    assert!(devices[0].online && devices[0].authorized && devices[0].created.is_some());
    assert_eq!((devices[1].id.as_str(), devices[1].node_id.as_str()), ("7", "7"));
    assert!(!devices[1].online && !devices[1].authorized && devices[1].created.is_none());
    // "tskey-api-marked:" in base64.
    let header = script.seen_header(0, "authorization").unwrap();
    assert_eq!(header, "Basic dHNrZXktYXBpLW1hcmtlZDo=");
}

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_once_and_renewed_before_it_lapses() {
    let token = |token: &str| {
        ScriptedStep::new("POST", "/api/v2/oauth/token").respond(
            200,
            json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600}),
        )
    };
    let device =
        || ScriptedStep::new("GET", "/api/v2/device/n1").respond(404, json!({"message": "no"}));
    let (client, script) =
        client(oauth(), vec![token("one"), device(), device(), token("two"), device()]);
    for _ in 0..2 {
        assert_eq!(client.device("n1").await.unwrap(), None);
    }
    tokio::time::advance(Duration::from_secs(3400)).await;
    client.device("n1").await.unwrap();
    assert!(script.seen_body(0).contains("client_secret=marked%26secret"));
    assert_eq!(script.seen_header(2, "authorization").as_deref(), Some("Bearer one"));
    assert_eq!(script.seen_header(4, "authorization").as_deref(), Some("Bearer two"));
    assert!(!format!("{client:?} {:?} {:?}", client.credentials, client.tokens).contains("marked"));
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn approving_is_repeated_after_a_drop_and_says_both_lists() {
    let path = "/api/v2/device/n1/routes";
    let both = json!({"advertisedRoutes": [], "enabledRoutes": ["10.0.0.0/16"]});
    let (client, script) = client(
        key(),
        vec![
            ScriptedStep::new("POST", path).dropped(),
            ScriptedStep::new("POST", path).respond(200, both),
        ],
    );
    let desired = prefixes(&["10.0.0.0/16"]);
    let (advertised, enabled) = client.set_enabled_routes("n1", &desired).await.unwrap();
    assert_eq!((advertised, enabled), (BTreeSet::new(), desired));
    assert_eq!(script.seen_body(1), r#"{"routes":["10.0.0.0/16"]}"#);
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_key_is_for_one_machine_within_the_hour() {
    let (client, script) = client(
        key(),
        vec![
            ScriptedStep::new("POST", "/api/v2/tailnet/-/keys")
                .respond(200, json!({"key": "tskey-auth-marked"})),
            ScriptedStep::new("POST", "/api/v2/tailnet/-/keys").dropped(),
            ScriptedStep::new("POST", "/api/v2/tailnet/-/keys")
                .respond(200, json!({"key": "tskey-auth-second"})),
        ],
    );
    let key = client.create_auth_key("tag:a", &"router_1/".repeat(9)).await.unwrap();
    assert_eq!(key.expose(), "tskey-auth-marked");
    let body: Value = serde_json::from_str(&script.seen_body(0)).unwrap();
    let create = &body["capabilities"]["devices"]["create"];
    assert_eq!(create["tags"], json!(["tag:a"]));
    assert_eq!((&create["reusable"], &create["preauthorized"]), (&json!(false), &json!(true)));
    assert_eq!(body["expirySeconds"], 3600);
    let description = body["description"].as_str().unwrap();
    assert!(description.len() <= 50 && !description.contains(['/', '_']));
    // It is unknown whether a key was created: an unused key expires.
    let second = client.create_auth_key("tag:a", "x").await.unwrap();
    assert_eq!(second.expose(), "tskey-auth-second");
    script.assert_finished();
}

#[tokio::test]
async fn an_absent_device_counts_as_deleted_and_tags_have_no_response() {
    let (client, script) = client(
        key(),
        vec![
            ScriptedStep::new("DELETE", "/api/v2/device/n1").respond(404, json!({"message": "no"})),
            ScriptedStep::new("DELETE", "/api/v2/device/n1")
                .respond(501, json!({"message": "not yours"})),
            ScriptedStep::new("POST", "/api/v2/device/n1/tags").respond(200, Value::Null),
        ],
    );
    client.delete_device("n1").await.unwrap();
    assert!(client.delete_device("n1").await.unwrap_err().to_string().contains("not yours"));
    client.set_tags("n1", &BTreeSet::from(["tag:a".to_owned()])).await.unwrap();
    assert!(client.delete_device("../tailnet").await.is_err());
    script.assert_finished();
}

#[tokio::test]
async fn the_policy_is_asked_for_without_comments() {
    let policy = json!({"tagOwners": {"tag:a": [], "tag:b": ["tag:a"]}, "acls": [{}],
        "autoApprovers": {"routes": {"10.0.0.0/8": ["tag:a"], "::/0": []}, "exitNode": []}});
    let (client, script) = client(
        key(),
        vec![
            ScriptedStep::new("GET", "/api/v2/tailnet/-/acl").respond(200, policy),
            ScriptedStep::new("GET", "/api/v2/tailnet/-/acl")
                .respond(200, json!({"tagOwners": null})),
            ScriptedStep::new("GET", "/api/v2/tailnet/-/acl")
                .respond(403, json!({"message": "no permission"})),
            ScriptedStep::new("GET", "/api/v2/tailnet/-/acl").respond(401, json!({})),
        ],
    );
    let policy = client.policy().await.unwrap();
    assert!(policy.tag_owners.contains("tag:b"));
    assert_eq!(policy.auto_approver_routes.len(), 1);
    assert_eq!(script.seen_header(0, "accept").as_deref(), Some("application/json"));
    assert_eq!(client.policy().await.unwrap(), TailnetPolicy::default());
    for _ in 0..2 {
        let error = client.policy().await.unwrap_err();
        assert!(error.is_refused() && !Failure::from(&error).remedy.is_empty());
        assert_eq!(Failure::from(&error).code, Code::TailscaleRefused);
    }
}

#[tokio::test]
async fn a_refused_oauth_client_is_a_matter_of_credentials() {
    let (client, _) = client(
        oauth(),
        vec![
            ScriptedStep::new("POST", "/api/v2/oauth/token")
                .respond(401, json!({"error": "invalid_client"})),
        ],
    );
    let error = client.devices().await.unwrap_err();
    assert!(matches!(error, RequestError::Credentials { .. }));
    assert_eq!(Failure::from(&error).code, Code::TailscaleRefused);
    assert!(error.to_string().contains("invalid_client") && !error.to_string().contains("marked"));
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let token = |token: &str| {
        let body = json!({"access_token": token, "expires_in": 3600});
        ScriptedStep::new("POST", "/api/v2/oauth/token").respond(200, body)
    };
    let device = |status: u16| {
        ScriptedStep::new("GET", "/api/v2/device/n1").respond(status, json!({"message": "no"}))
    };
    let steps = vec![token("one"), device(401), token("two"), device(404)];
    let (client, script) = client(oauth(), steps);
    assert_eq!(client.device("n1").await.unwrap(), None);
    assert_eq!(script.seen_header(3, "authorization").as_deref(), Some("Bearer two"));
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_twice_is_an_error() {
    let token = || {
        let body = json!({"access_token": "one", "expires_in": 3600});
        ScriptedStep::new("POST", "/api/v2/oauth/token").respond(200, body)
    };
    let refused = || {
        ScriptedStep::new("GET", "/api/v2/device/n1").respond(401, json!({"message": "invalid"}))
    };
    let (client, script) = client(oauth(), vec![token(), refused(), token(), refused()]);
    assert!(client.device("n1").await.unwrap_err().is_refused());
    script.assert_finished();
}
