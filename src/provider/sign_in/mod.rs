//! Sign-in to Azure: the ways that its own clients have, under the request policy, the
//! proxies and the certificates of the other requests.
//!
//! The credentials of `azure_identity` are used for the Azure CLI alone. Of the others, it
//! cannot read a refusal whose text has an escaped character, signs with OpenSSL, reads a
//! renewed token file only after ten minutes, keeps a revoked token until it expires, and
//! waits more than a minute for a metadata service that does not exist.

mod azure_cli;
mod cause;
mod certificate;
mod endpoints;
mod entra;
mod managed_identity;
mod method;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;

use super::credentials::{TokenCache, TokenSource};
use super::error::RequestError;
use super::http::{Api, RequestCount, Transport};
use super::http_client::{ApiCall, HttpClient};
use super::limits::Limits;
use super::request_policy::RequestPolicy;
use super::secret::Secret;
use super::settings::ClientSettings;

pub use azure_cli::is_installed as is_azure_cli_installed;
pub use endpoints::{AzureEndpoints, CustomEndpoints};
pub use method::{Application, IdentitySource, ManagedIdentity, Proof, SignIn};

/// How long a sign-in may take, with its retries. A user waits for it before the first
/// result, and the sign-in services answer within a second.
const SIGN_IN_TIMEOUT: Duration = Duration::from_secs(12);
/// The wait before the second attempt.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The audience of tokens for the API servers of AKS clusters: the application *Azure
/// Kubernetes Service AAD Server*, which is the same in every cloud and tenant.
const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Tokens for one service: Azure Resource Manager, unless it is made for another.
pub struct AzureTokens {
    sign_in: SignIn,
    endpoints: AzureEndpoints,
    client: Arc<SignInClient>,
    cache: TokenCache,
}

impl fmt::Debug for AzureTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AzureTokens")
            .field("origin", &self.origin())
            .finish_non_exhaustive()
    }
}

impl AzureTokens {
    /// Tokens by a method of sign-in; none is fetched yet. `requests` shows the running sign-in.
    pub fn new(
        sign_in: SignIn,
        endpoints: AzureEndpoints,
        transport: Arc<dyn Transport>,
        requests: RequestCount,
    ) -> Self {
        let call_timeout = match sign_in {
            SignIn::ManagedIdentity(_) => managed_identity::TIMEOUT,
            _ => SIGN_IN_TIMEOUT,
        };
        let client = Arc::new(SignInClient::new(transport, requests, call_timeout));
        Self { sign_in, endpoints, client, cache: TokenCache::default() }
    }

    /// Tokens of the same identity for the API servers of AKS clusters.
    #[must_use]
    pub fn for_clusters(&self) -> Self {
        Self {
            sign_in: self.sign_in.clone(),
            endpoints: AzureEndpoints { audience: AKS_SERVER.to_owned(), ..self.endpoints.clone() },
            client: Arc::clone(&self.client),
            cache: TokenCache::default(),
        }
    }

    /// Where the credentials come from, for messages.
    pub fn origin(&self) -> &'static str {
        self.sign_in.origin()
    }

    /// Checks what is on this machine: files, and the login of the Azure CLI.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or the Azure CLI has no login.
    pub async fn check_local(&self) -> Result<(), RequestError> {
        match &self.sign_in {
            SignIn::Application(application) => entra::check_file(&application.proof).await,
            SignIn::ManagedIdentity(_) => Ok(()),
            // It is the same process that signs in, and its token is kept.
            SignIn::AzureCli => self.token().await.map(drop),
        }
    }

    async fn fetch(&self) -> Result<(Secret, Duration), RequestError> {
        let activity = format!("sign in with {}", self.origin());
        let _shown = self.client.requests.begin(Api::Azure, &activity);
        match &self.sign_in {
            SignIn::Application(application) => {
                entra::token(&self.client, &self.endpoints, application).await
            }
            SignIn::ManagedIdentity(identity) => {
                managed_identity::token(&self.client, &self.endpoints, identity).await
            }
            SignIn::AzureCli => azure_cli::token(&self.endpoints.scope(), SIGN_IN_TIMEOUT).await,
        }
    }
}

#[async_trait]
impl TokenSource for AzureTokens {
    async fn token(&self) -> Result<Secret, RequestError> {
        self.cache.get(self.fetch()).await
    }

    async fn forget(&self, token: &Secret) {
        self.cache.forget(token).await;
    }
}

/// Sends requests of a sign-in.
pub(super) struct SignInClient {
    http: HttpClient,
    requests: RequestCount,
}

impl SignInClient {
    fn new(transport: Arc<dyn Transport>, requests: RequestCount, call_timeout: Duration) -> Self {
        let settings = ClientSettings {
            call_timeout,
            attempt_timeout: call_timeout / 2,
            first_delay: FIRST_DELAY,
            ..ClientSettings::default()
        };
        // The count of the run is about Azure Resource Manager: its answers say whether that
        // service is there.
        let count = RequestCount::default();
        let policy = RequestPolicy::new(Api::Azure, Limits::unlimited(), count, settings);
        Self { http: HttpClient::new(transport, policy), requests }
    }

    async fn send(&self, call: &ApiCall) -> Result<http::Response<Bytes>, RequestError> {
        self.http.send(call).await
    }
}

/// A number that some services write as a string.
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}
