//! Tokens of the identity of a VM or an app.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

use super::endpoints::AzureEndpoints;
use super::method::{IdentitySource, ManagedIdentity, missing};
use super::{SignInClient, seconds};
use crate::diagnostics::service_text::safe_refusal;
use crate::net::service_url;
use crate::provider::error::{RequestError, ServiceError};
use crate::provider::http::Api;
use crate::provider::http_client::{ApiCall, malformed, raw_object};
use crate::provider::secret::Secret;

/// How long the service may take, with its retries: it is on the machine's host, and away
/// from Azure its address does not answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(8);
/// The version of the metadata service, of *How to use managed identities on an Azure VM*.
const IMDS_VERSION: &str = "2018-02-01";
/// The version of the endpoint of App Service, of *How to use managed identities for App
/// Service*.
const APP_SERVICE_VERSION: &str = "2019-08-01";
/// How the metadata service recognises requests that were not forwarded to it.
const METADATA: HeaderName = HeaderName::from_static("metadata");
const IDENTITY: HeaderName = HeaderName::from_static("x-identity-header");

/// App Service refuses requests with another header.
const KEEP_HEADER: &str = "leave IDENTITY_ENDPOINT and IDENTITY_HEADER as the app sets them";

const ACTIVITY: &str = "GET token of the managed identity";

/// A token, with its lifetime.
pub(super) async fn token(
    client: &SignInClient,
    endpoints: &AzureEndpoints,
    identity: &ManagedIdentity,
) -> Result<(Secret, Duration), RequestError> {
    let call = call(identity, &endpoints.audience)?;
    let response = client.send(&call).await.map_err(|error| unreachable(identity, error))?;
    match response.status() {
        status if status.is_success() => granted(response.body()),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let error = ServiceError::parse(&safe_refusal(response.body()));
            Err(refused(identity, response.status(), &error))
        }
        _ => Err(client.http.refusal(ACTIVITY, &response)),
    }
}

fn call(identity: &ManagedIdentity, audience: &str) -> Result<ApiCall, RequestError> {
    let (base, version) = match &identity.source {
        IdentitySource::Imds(host) => {
            (format!("{host}/metadata/identity/oauth2/token"), IMDS_VERSION)
        }
        IdentitySource::AppService { url, .. } => (url.clone(), APP_SERVICE_VERSION),
    };
    let no_url = || {
        missing(
            format!("the endpoint of the managed identity, `{base}`, is no URL"),
            "correct IDENTITY_ENDPOINT or AZURE_POD_IDENTITY_AUTHORITY_HOST, or unset it",
        )
    };
    let mut url: url::Url = base.parse().map_err(|_| no_url())?;
    check_endpoint(&url)?;
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", audience);
    if let Some(id) = &identity.client {
        url.query_pairs_mut().append_pair("client_id", id);
    }
    let call = ApiCall::new(Method::GET, url, ACTIVITY);
    Ok(match &identity.source {
        IdentitySource::Imds(_) => call.header(METADATA, HeaderValue::from_static("true")),
        IdentitySource::AppService { header, .. } => {
            let mut value = HeaderValue::try_from(header.expose()).map_err(|_| {
                missing("IDENTITY_HEADER cannot be sent as a header".to_owned(), KEEP_HEADER)
            })?;
            value.set_sensitive(true);
            call.header(IDENTITY, value)
        }
    })
}

/// Tokens do not cross a network in clear text, but the link of the machine.
fn check_endpoint(url: &url::Url) -> Result<(), RequestError> {
    let is_on_link =
        matches!(url.host(), Some(url::Host::Ipv4(address)) if address.is_link_local());
    match service_url::check_transport(url) {
        Err(error) if !is_on_link => Err(missing(
            format!("the endpoint of the managed identity cannot be used: {error}"),
            "correct IDENTITY_ENDPOINT or AZURE_POD_IDENTITY_AUTHORITY_HOST, or unset it",
        )),
        _ => Ok(()),
    }
}

/// The metadata service writes numbers as strings; App Service sends no `expires_in`.
fn granted(body: &[u8]) -> Result<(Secret, Duration), RequestError> {
    let body: Value = raw_object(Api::Azure, body, ACTIVITY)?;
    let token = body["access_token"].as_str().filter(|token| !token.is_empty());
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
    let end = || seconds(&body["expires_on"]).map(|end| end.saturating_sub(now));
    match (token, seconds(&body["expires_in"]).or_else(end)) {
        (Some(token), Some(lifetime)) => Ok((Secret::new(token), Duration::from_secs(lifetime))),
        _ => Err(malformed(Api::Azure, ACTIVITY, "the response has no token and its lifetime")),
    }
}

fn unreachable(identity: &ManagedIdentity, error: RequestError) -> RequestError {
    let RequestError::Transport { source, .. } = error else { return error };
    let remedy = match identity.source {
        IdentitySource::Imds(_) => {
            "run stargate on an Azure VM with a managed identity; elsewhere unset \
             AZURE_TOKEN_CREDENTIALS and run `az login`, or use a service principal"
        }
        IdentitySource::AppService { .. } => {
            "run stargate in the app, or unset IDENTITY_ENDPOINT and run `az login`"
        }
    };
    missing(format!("{ACTIVITY}: {source}"), remedy)
}

fn refused(identity: &ManagedIdentity, status: StatusCode, error: &ServiceError) -> RequestError {
    let command = match identity.source {
        IdentitySource::Imds(_) => "`az vm identity assign`",
        IdentitySource::AppService { .. } => "`az webapp identity assign`",
    };
    let which = match &identity.client {
        Some(id) => format!("the identity with the client ID {id} (AZURE_CLIENT_ID)"),
        None => "a system-assigned identity, or set AZURE_CLIENT_ID to that of a user-assigned \
                 one, and assign it"
            .to_owned(),
    };
    RequestError::Credentials {
        api: Api::Azure,
        reason: format!("{ACTIVITY}: {} {}", error.code, error.message),
        refused: true,
        remedy: match identity.source {
            IdentitySource::AppService { .. } if status == StatusCode::UNAUTHORIZED => {
                KEEP_HEADER.to_owned()
            }
            _ => format!("assign {which} to this machine: {command}"),
        },
    }
}
