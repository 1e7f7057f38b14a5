//! Sign-in over a scripted transport.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::diagnostics::Failure;
use crate::provider::scripted::{Scripted, ScriptedStep};
use crate::resource::settings::AzureCloud;

fn tokens(sign_in: SignIn, steps: Vec<ScriptedStep>) -> (AzureTokens, Arc<Scripted>) {
    let script = Arc::new(Scripted::new(steps));
    let transport: Arc<dyn Transport> = Arc::<Scripted>::clone(&script);
    let mut endpoints = AzureEndpoints::of_cloud(AzureCloud::UsGovernment);
    endpoints.authority = "http://login.test".to_owned();
    (AzureTokens::new(sign_in, endpoints, transport, RequestCount::default()), script)
}

fn application(proof: Proof) -> SignIn {
    let (tenant, client) = ("the-tenant".to_owned(), "the-client".to_owned());
    SignIn::Application(Application { tenant, client, proof })
}

fn form(script: &Scripted, index: usize) -> Vec<(String, String)> {
    url::form_urlencoded::parse(script.seen_body(index).as_bytes()).into_owned().collect()
}

fn field(script: &Scripted, index: usize, name: &str) -> String {
    let found = form(script, index).into_iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

const TOKEN_PATH: &str = "/the-tenant/oauth2/v2.0/token";

fn granted(token: &str) -> ScriptedStep {
    let body = json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" });
    ScriptedStep::new("POST", TOKEN_PATH).respond(200, body)
}

#[tokio::test]
async fn a_secret_is_sent_to_the_tenant_with_the_scope_of_the_cloud() {
    let sign_in = application(Proof::Secret(Secret::new("a&b")));
    let (tokens, script) = tokens(sign_in, vec![granted("marked")]);
    assert_eq!(tokens.token().await.unwrap().expose(), "marked");
    assert_eq!(tokens.token().await.unwrap().expose(), "marked");
    assert_eq!(field(&script, 0, "client_secret"), "a&b");
    assert_eq!(field(&script, 0, "client_id"), "the-client");
    assert_eq!(field(&script, 0, "scope"), "https://management.usgovcloudapi.net/.default");
    assert!(!format!("{tokens:?}").contains("marked"));
    script.assert_finished();
}

#[tokio::test]
async fn a_forgotten_token_is_replaced_and_the_token_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first\n").unwrap();
    let sign_in = application(Proof::TokenFile(file.clone()));
    let (tokens, script) = tokens(sign_in, vec![granted("one"), granted("two")]);
    let token = tokens.token().await.unwrap();
    std::fs::write(&file, "second\n").unwrap();
    tokens.forget(&token).await;
    assert_eq!(tokens.token().await.unwrap().expose(), "two");
    assert_eq!(field(&script, 0, "client_assertion"), "first");
    assert_eq!(field(&script, 1, "client_assertion"), "second");
    std::fs::write(&file, "").unwrap();
    let error = tokens.check_local().await.unwrap_err().to_string();
    assert!(error.contains("is empty"), "{error}");
}

#[tokio::test]
async fn the_tokens_of_jobs_stand_for_the_application() {
    let token = || Secret::new("job");
    let github = Proof::GitHub { url: "https://job.test/token?id=1".to_owned(), token: token() };
    let issued =
        ScriptedStep::new("GET", "/token?id=1&audience=api%3A%2F%2FAzureADTokenExchangeUSGov")
            .respond(200, json!({ "value": "from-github" }));
    let (github, script) = tokens(application(github), vec![issued, granted("one")]);
    github.token().await.unwrap();
    assert_eq!(script.seen_header(0, "authorization").as_deref(), Some("Bearer job"));
    assert_eq!(field(&script, 1, "client_assertion"), "from-github");

    let pipelines = Proof::AzurePipelines {
        url: "https://job.test/oidc".to_owned(),
        connection: "c-1".to_owned(),
        token: token(),
    };
    let path = "/oidc?api-version=7.1&serviceConnectionId=c-1";
    let issued =
        ScriptedStep::new("POST", path).respond(200, json!({ "oidcToken": "from-pipelines" }));
    let (tokens, script) = tokens(application(pipelines), vec![issued, granted("one")]);
    tokens.token().await.unwrap();
    assert_eq!(field(&script, 1, "client_assertion"), "from-pipelines");
}

#[tokio::test]
async fn a_job_without_permission_is_refused_with_its_remedy() {
    let url = "https://job.test/token".to_owned();
    let proof = Proof::GitHub { url, token: Secret::new("job") };
    let step = ScriptedStep::new("GET", "/token").respond(403, json!({ "message": "no" }));
    let (tokens, _) = tokens(application(proof), vec![step]);
    let failure = Failure::from(tokens.token().await.unwrap_err());
    assert!(failure.remedy.contains("id-token: write"), "{failure:?}");
}

#[tokio::test]
async fn a_refusal_with_escaped_characters_is_read() {
    let body = json!({
        "error": "invalid_client",
        "error_description": "AADSTS7000215: Invalid \"client\" secret.\r\nTrace ID: 1",
        "error_codes": [7_000_215],
    });
    let sign_in = application(Proof::Secret(Secret::new("marked")));
    let step = ScriptedStep::new("POST", TOKEN_PATH).respond(401, body);
    let (tokens, script) = tokens(sign_in, vec![step]);
    let failure = Failure::from(tokens.token().await.unwrap_err());
    assert!(failure.message.contains("AADSTS7000215: Invalid \"client\" secret."), "{failure:?}");
    assert!(!failure.message.contains("marked"));
    script.assert_finished();
}

fn managed(source: IdentitySource, step: ScriptedStep) -> (AzureTokens, Arc<Scripted>) {
    let client = Some("of-user".to_owned());
    tokens(SignIn::ManagedIdentity(ManagedIdentity { source, client }), vec![step])
}

const RESOURCE: &str = "resource=https%3A%2F%2Fmanagement.usgovcloudapi.net&client_id=of-user";

#[tokio::test(start_paused = true)]
async fn managed_identities_of_machines_and_apps() {
    let imds = || IdentitySource::Imds("http://169.254.169.254".to_owned());
    let path = format!("/metadata/identity/oauth2/token?api-version=2018-02-01&{RESOURCE}");
    let step = |status: u16, body: Value| ScriptedStep::new("GET", &path).respond(status, body);
    let body = json!({ "access_token": "one", "expires_in": "86399", "expires_on": "1" });
    let (tokens, script) = managed(imds(), step(200, body));
    assert_eq!(tokens.token().await.unwrap().expose(), "one");
    assert_eq!(script.seen_header(0, "metadata").as_deref(), Some("true"));
    tokio::time::advance(Duration::from_secs(80_000)).await;
    assert_eq!(tokens.token().await.unwrap().expose(), "one");

    let body = json!({ "error": "invalid_request", "error_description": "Identity not found" });
    let (tokens, _) = managed(imds(), step(400, body));
    let failure = Failure::from(tokens.token().await.unwrap_err());
    assert!(failure.message.contains("Identity not found"), "{failure:?}");
    assert!(failure.remedy.contains("of-user (AZURE_CLIENT_ID)"), "{failure:?}");

    let url = "http://127.0.0.1:1/msi/token".to_owned();
    let source = IdentitySource::AppService { url, header: Secret::new("h") };
    let end = jiff::Timestamp::now().as_second() + 3600;
    let body = json!({ "access_token": "two", "expires_on": end.to_string() });
    let path = format!("/msi/token?api-version=2019-08-01&{RESOURCE}");
    let (tokens, script) = managed(source, ScriptedStep::new("GET", path).respond(200, body));
    assert_eq!(tokens.token().await.unwrap().expose(), "two");
    assert_eq!(script.seen_header(0, "x-identity-header").as_deref(), Some("h"));
}

#[tokio::test]
async fn nothing_is_sent_in_clear_text_over_a_network() {
    let (url, token) = ("http://192.0.2.1/token".to_owned(), Secret::new("job"));
    let github = application(Proof::GitHub { url: url.clone(), token: token.clone() });
    let (connection, token) = ("c-1".to_owned(), token);
    let pipelines =
        application(Proof::AzurePipelines { url: url.clone(), connection, token: token.clone() });
    let source = IdentitySource::AppService { url, header: token };
    let app = SignIn::ManagedIdentity(ManagedIdentity { source, client: None });
    for sign_in in [github, pipelines, app] {
        let (tokens, _) = tokens(sign_in, Vec::new());
        let failure = Failure::from(tokens.token().await.unwrap_err());
        assert!(failure.message.contains("loopback addresses only"), "{failure:?}");
    }
}

/// A transport on which nothing answers.
#[derive(Debug)]
struct Silence;

#[async_trait]
impl Transport for Silence {
    async fn send(
        &self,
        _: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, crate::provider::http::TransportError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn services_that_do_not_answer_fail_in_time() {
    let imds = ManagedIdentity {
        source: IdentitySource::Imds("http://169.254.169.254".to_owned()),
        client: None,
    };
    let secret = || application(Proof::Secret(Secret::new("marked")));
    for (sign_in, words) in [
        (SignIn::ManagedIdentity(imds), "run stargate on an Azure VM"),
        (secret(), "login.microsoftonline.com"),
    ] {
        let endpoints = AzureEndpoints::of_cloud(AzureCloud::Public);
        let tokens =
            AzureTokens::new(sign_in, endpoints, Arc::new(Silence), RequestCount::default());
        let begin = tokio::time::Instant::now();
        let failure = Failure::from(tokens.token().await.unwrap_err());
        assert!(failure.remedy.contains(words), "{failure:?}");
        assert!(begin.elapsed() <= Duration::from_secs(15), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn tokens_for_clusters_are_fetched_and_kept_apart() {
    let sign_in = application(Proof::Secret(Secret::new("right")));
    let (tokens, script) = tokens(sign_in, vec![granted("azure"), granted("cluster")]);
    let clusters = tokens.for_clusters();
    for _ in 0..2 {
        assert_eq!(tokens.token().await.unwrap().expose(), "azure");
        assert_eq!(clusters.token().await.unwrap().expose(), "cluster");
    }
    assert_eq!(field(&script, 1, "scope"), "6dae42f8-4368-4678-94ff-3960e28e3630/.default");
}
