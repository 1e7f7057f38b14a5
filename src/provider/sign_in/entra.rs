//! Tokens of Microsoft Entra ID for an application.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use jiff::Timestamp;
use serde_json::Value;

use super::cause;
use super::certificate::{Claims, ClientCertificate};
use super::endpoints::AzureEndpoints;
use super::method::{Application, Proof, missing};
use super::{SignInClient, seconds};
use crate::diagnostics::service_text::safe_refusal;
use crate::net::service_url;
use crate::provider::error::{RequestError, ServiceError};
use crate::provider::files::unreadable;
use crate::provider::http::Api;
use crate::provider::http_client::{ApiCall, RetryClass, malformed, raw_object};
use crate::provider::secret::Secret;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The version of the API of Azure Pipelines that issues OIDC tokens.
const PIPELINES_VERSION: &str = "7.1";
/// Without it, Azure Pipelines redirects an unauthorized request to a sign-in page.
const NO_REDIRECT: HeaderName = HeaderName::from_static("x-tfs-fedauthredirect");

/// A token, with its lifetime.
pub(super) async fn token(
    client: &SignInClient,
    endpoints: &AzureEndpoints,
    application: &Application,
) -> Result<(Secret, Duration), RequestError> {
    let activity = format!("POST token with {}", application.proof.origin());
    let url = format!("{}/{}/oauth2/v2.0/token", endpoints.authority, application.tenant);
    let proof = match &application.proof {
        Proof::Secret(secret) => vec![("client_secret", secret.clone())],
        other => {
            let assertion = assertion(client, endpoints, &application.client, other, &url).await?;
            vec![
                ("client_assertion_type", Secret::new(ASSERTION_TYPE)),
                ("client_assertion", assertion),
            ]
        }
    };
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", &application.client)
        .append_pair("scope", &endpoints.scope())
        .extend_pairs(proof.iter().map(|(name, value)| (name, value.expose())))
        .finish();
    // A token that is fetched twice does no harm.
    let mut call = ApiCall::new(Method::POST, &url, &activity).repeat(RetryClass::Read).header(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    call.body = Bytes::from(form);
    let response = client.send(&call).await?;
    match response.status().as_u16() {
        200..=299 => granted(response.body(), &activity),
        400..=403 => {
            let error = ServiceError::parse(&safe_refusal(response.body()));
            Err(cause::refusal(application, &error))
        }
        _ => Err(client.http.refusal(&activity, &response)),
    }
}

fn granted(body: &[u8], activity: &str) -> Result<(Secret, Duration), RequestError> {
    let body = raw_object(Api::Azure, body, activity)?;
    let token = body["access_token"].as_str().filter(|token| !token.is_empty());
    match (token, seconds(&body["expires_in"])) {
        (Some(token), Some(lifetime)) => Ok((Secret::new(token), Duration::from_secs(lifetime))),
        _ => Err(malformed(Api::Azure, activity, "the response has no token and its lifetime")),
    }
}

/// Checks the file of a proof.
pub(super) async fn check_file(proof: &Proof) -> Result<(), RequestError> {
    match proof {
        Proof::Certificate { path, .. } => ClientCertificate::read(path).await.map(drop),
        Proof::TokenFile(path) => read_token(path).await.map(drop),
        Proof::Secret(_) | Proof::GitHub { .. } | Proof::AzurePipelines { .. } => Ok(()),
    }
}

/// The assertion that stands for a secret.
async fn assertion(
    client: &SignInClient,
    endpoints: &AzureEndpoints,
    id: &str,
    proof: &Proof,
    audience: &str,
) -> Result<Secret, RequestError> {
    match proof {
        Proof::Secret(secret) => Ok(secret.clone()),
        Proof::Certificate { path, send_chain } => {
            let certificate = ClientCertificate::read(path).await?;
            let claims = Claims { audience, client: id, id: &random_id(), now: Timestamp::now() };
            let assertion = certificate.assertion(claims, *send_chain);
            assertion.map(Secret::new).ok_or_else(|| {
                missing(
                    format!("the key in `{}` cannot sign an assertion", path.display()),
                    "use an RSA key of at least 2048 bits",
                )
            })
        }
        Proof::TokenFile(path) => read_token(path).await,
        Proof::GitHub { url, token } => {
            let mut url = oidc_url(url, "ACTIONS_ID_TOKEN_REQUEST_URL")?;
            url.query_pairs_mut().append_pair("audience", endpoints.exchange_audience);
            let call = ApiCall::new(Method::GET, url, "GET OIDC token of GitHub Actions");
            let remedy = "give the job the permission `id-token: write`";
            oidc_token(client, call, (token, "value"), remedy).await
        }
        Proof::AzurePipelines { url, connection, token } => {
            let mut url = oidc_url(url, "SYSTEM_OIDCREQUESTURI")?;
            url.query_pairs_mut()
                .append_pair("api-version", PIPELINES_VERSION)
                .append_pair("serviceConnectionId", connection);
            let call = ApiCall::new(Method::POST, url, "POST OIDC token of Azure Pipelines")
                .repeat(RetryClass::Read)
                .header(NO_REDIRECT, HeaderValue::from_static("Suppress"))
                .header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            let remedy = "run stargate in a task with the service connection, and map \
                          `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` into its environment";
            oidc_token(client, call, (token, "oidcToken"), remedy).await
        }
    }
}

/// The file is read for every sign-in, because its issuer renews it.
async fn read_token(path: &Path) -> Result<Secret, RequestError> {
    let remedy = "correct AZURE_FEDERATED_TOKEN_FILE: in a pod, the webhook of AKS workload \
                  identity sets it and mounts the file";
    let problem = match tokio::fs::read_to_string(path).await {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Ok(_) => "is empty".to_owned(),
        Err(error) => unreadable(&error),
    };
    Err(missing(format!("the token file `{}` {problem}", path.display()), remedy))
}

fn oidc_url(text: &str, variable: &str) -> Result<url::Url, RequestError> {
    let remedy = "leave the variable as the job sets it";
    let url: url::Url =
        text.parse().map_err(|_| missing(format!("{variable} is not a URL"), remedy))?;
    match service_url::check_transport(&url) {
        Ok(()) => Ok(url),
        Err(error) => Err(missing(format!("{variable} cannot be used: {error}"), remedy)),
    }
}

/// Asks the service of a job for an OIDC token: sends the job's authorization, and reads the
/// field of the answer.
async fn oidc_token(
    client: &SignInClient,
    call: ApiCall,
    (authorization, field): (&Secret, &str),
    remedy: &str,
) -> Result<Secret, RequestError> {
    let refused = |reason: String| RequestError::Credentials {
        api: Api::Azure,
        reason,
        refused: true,
        remedy: remedy.to_owned(),
    };
    let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", authorization.expose())) else {
        return Err(refused(format!("{}: the authorization is no header", call.activity)));
    };
    value.set_sensitive(true);
    let call = call
        .header(header::AUTHORIZATION, value)
        .header(header::ACCEPT, HeaderValue::from_static("application/json"));
    let response = client.send(&call).await?;
    let status = response.status().as_u16();
    if matches!(status, 300..=499) && status != 429 {
        return Err(refused(format!(
            "{}: the service of the job answered {status}",
            call.activity
        )));
    }
    if status >= 400 {
        return Err(client.http.refusal(&call.activity, &response));
    }
    let body: Value = raw_object(Api::Azure, response.body(), &call.activity)?;
    let token = body[field].as_str().filter(|token| !token.is_empty());
    token.map(Secret::new).ok_or_else(|| {
        malformed(Api::Azure, &call.activity, &format!("the response has no `{field}`"))
    })
}

/// A value that no other assertion has.
fn random_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness, the ID is the same, and Microsoft Entra ID accepts it.
    let _filled = getrandom::fill(&mut bytes);
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
