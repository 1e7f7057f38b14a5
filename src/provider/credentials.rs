//! Credentials for each service, from the usual environment variables.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::time::OffsetDateTime;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::RequestError;
use super::http::Api;
use super::reqwest_transport::install_cryptography;
use super::secret::Secret;

/// Looks up a variable of the environment.
pub type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(300);
/// The origin of credentials if the environment has none.
const AZURE_CLI: &str = "the Azure CLI's login";
const ARM_SCOPE: &str = "https://management.azure.com/.default";

/// A source of bearer tokens.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A token that is valid for at least some minutes.
    ///
    /// # Errors
    ///
    /// Credentials are missing, or the identity provider did not accept them.
    async fn token(&self) -> Result<Secret, RequestError>;
}

/// A token that never changes.
#[derive(Debug, Clone)]
pub struct StaticToken(pub Secret);

#[async_trait]
impl TokenSource for StaticToken {
    async fn token(&self) -> Result<Secret, RequestError> {
        Ok(self.0.clone())
    }
}

/// A token and the end of its use; after it, a new token is fetched.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(Mutex<Option<(Secret, Instant)>>);

impl TokenCache {
    /// The cached token, or a new one: `fetch` returns it with its lifetime.
    pub(crate) async fn get<F>(&self, fetch: F) -> Result<Secret, RequestError>
    where
        F: Future<Output = Result<(Secret, Duration), RequestError>>,
    {
        // Held while fetching, so that concurrent callers send one request.
        let mut cached = self.0.lock().await;
        if let Some((token, until)) = cached.as_ref()
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let (token, lifetime) = fetch.await?;
        // A lifetime shorter than the margin would fetch a token for every request.
        let usable = lifetime.checked_sub(MARGIN).unwrap_or(lifetime / 2);
        *cached = Some((token.clone(), Instant::now() + usable));
        Ok(token)
    }
}

/// Tokens for Azure Resource Manager.
pub struct AzureTokens {
    credential: Arc<dyn TokenCredential>,
    origin: &'static str,
    cache: TokenCache,
}

impl fmt::Debug for AzureTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AzureTokens").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl AzureTokens {
    /// A service principal's secret or a workload identity from `AZURE_*`, else
    /// the login of the Azure CLI.
    pub fn from_environment(lookup: Lookup<'_>) -> Result<Self, RequestError> {
        install_cryptography();
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let tenant = value("AZURE_TENANT_ID");
        let client = value("AZURE_CLIENT_ID");
        if let Some(secret) = value("AZURE_CLIENT_SECRET") {
            let tenant = required(tenant, "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")?;
            let client = required(client, "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")?;
            return Self::client_secret(&tenant, client, secret);
        }
        if let Some(file) = value("AZURE_FEDERATED_TOKEN_FILE") {
            let tenant = required(tenant, "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")?;
            let client = required(client, "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE")?;
            return Self::workload_identity(tenant, client, file);
        }
        let credential = azure_identity::AzureCliCredential::new(None)
            .map_err(|error| no_token(&error, AZURE_CLI))?;
        Ok(Self::new(credential, AZURE_CLI))
    }

    fn client_secret(tenant: &str, client: String, secret: String) -> Result<Self, RequestError> {
        let credential =
            azure_identity::ClientSecretCredential::new(tenant, client, secret.into(), None)
                .map_err(|error| no_token(&error, "AZURE_CLIENT_SECRET"))?;
        Ok(Self::new(credential, "AZURE_CLIENT_SECRET"))
    }

    fn workload_identity(
        tenant: String,
        client: String,
        file: String,
    ) -> Result<Self, RequestError> {
        let options = azure_identity::WorkloadIdentityCredentialOptions {
            client_id: Some(client),
            tenant_id: Some(tenant),
            token_file_path: Some(file.into()),
            ..Default::default()
        };
        let credential = azure_identity::WorkloadIdentityCredential::new(Some(options))
            .map_err(|error| no_token(&error, "AZURE_FEDERATED_TOKEN_FILE"))?;
        Ok(Self::new(credential, "AZURE_FEDERATED_TOKEN_FILE"))
    }

    fn new(credential: Arc<dyn TokenCredential>, origin: &'static str) -> Self {
        Self { credential, origin, cache: TokenCache::default() }
    }

    /// Where the credentials come from, for messages.
    pub fn origin(&self) -> &'static str {
        self.origin
    }
}

#[async_trait]
impl TokenSource for AzureTokens {
    async fn token(&self) -> Result<Secret, RequestError> {
        let fetch = async {
            let token = self.credential.get_token(&[ARM_SCOPE], None).await;
            let token = token.map_err(|error| no_token(&error, self.origin))?;
            let left = token.expires_on - OffsetDateTime::now_utc();
            let lifetime = Duration::try_from(left).unwrap_or_default();
            Ok((Secret::new(token.token.secret()), lifetime))
        };
        self.cache.get(fetch).await
    }
}

fn required(value: Option<String>, name: &str, beside: &str) -> Result<String, RequestError> {
    value.ok_or_else(|| RequestError::Credentials {
        api: Api::Azure,
        reason: format!("{beside} is set, and {name} is not"),
        refused: false,
        remedy: format!("set {name}, or unset {beside} to use the login of `az login`"),
    })
}

/// Without a login of the Azure CLI, credentials are missing rather than refused.
fn no_token(error: &azure_core::Error, origin: &str) -> RequestError {
    RequestError::Credentials {
        api: Api::Azure,
        reason: error.to_string(),
        refused: origin != AZURE_CLI,
        remedy: "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and either \
                 AZURE_CLIENT_SECRET or AZURE_FEDERATED_TOKEN_FILE"
            .to_owned(),
    }
}

/// Credentials for the Tailscale API.
#[derive(Debug, Clone)]
pub enum TailnetCredentials {
    /// An API access token.
    ApiKey(Secret),
    /// An OAuth client, which fetches tokens of an hour.
    OAuthClient {
        /// The client's id.
        id: String,
        /// Its secret.
        secret: Secret,
    },
}

impl TailnetCredentials {
    /// `TAILSCALE_API_KEY`, or an OAuth client in either spelling.
    pub fn from_environment(lookup: Lookup<'_>) -> Result<Self, RequestError> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        if let Some(key) = value("TAILSCALE_API_KEY") {
            return Ok(Self::ApiKey(Secret::new(key)));
        }
        let pair = |id: &str, secret: &str| Some((value(id)?, value(secret)?));
        pair("TAILSCALE_CLIENT_ID", "TAILSCALE_CLIENT_SECRET")
            .or_else(|| pair("TAILSCALE_OAUTH_CLIENT_ID", "TAILSCALE_OAUTH_CLIENT_SECRET"))
            .map(|(id, secret)| Self::OAuthClient { id, secret: Secret::new(secret) })
            .ok_or_else(|| RequestError::Credentials {
                api: Api::Tailscale,
                reason: "TAILSCALE_API_KEY and TAILSCALE_OAUTH_CLIENT_ID are not set".to_owned(),
                refused: false,
                remedy: "set TAILSCALE_API_KEY, or TAILSCALE_OAUTH_CLIENT_ID and \
                         TAILSCALE_OAUTH_CLIENT_SECRET of an OAuth client with the scopes \
                         auth_keys, devices:core and devices:routes"
                    .to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use azure_core::credentials::{AccessToken, TokenRequestOptions};

    use super::*;
    use crate::diagnostics::Failure;

    #[derive(Debug, Default)]
    struct Counting(AtomicU64);

    #[async_trait]
    impl TokenCredential for Counting {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            assert_eq!(scopes, [ARM_SCOPE]);
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            let lapses = OffsetDateTime::now_utc() + Duration::from_secs(3600);
            Ok(AccessToken::new(format!("marked-{number}"), lapses))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_lapses() {
        let tokens = AzureTokens::new(Arc::new(Counting::default()), "test");
        assert_eq!(tokens.token().await.unwrap().expose(), "marked-0");
        tokio::time::advance(Duration::from_secs(3000)).await;
        assert_eq!(tokens.token().await.unwrap().expose(), "marked-0");
        tokio::time::advance(Duration::from_secs(400)).await;
        assert_eq!(tokens.token().await.unwrap().expose(), "marked-1");
        assert!(!format!("{tokens:?} {:?}", tokens.cache).contains("marked"));
    }

    #[test]
    fn the_chain_follows_the_environment() {
        let tenant = "00000000-0000-0000-0000-000000000001";
        let set = |names: &'static [&'static str]| {
            move |name: &str| names.contains(&name).then(|| tenant.to_owned())
        };
        let azure = |names| AzureTokens::from_environment(&set(names));
        assert_eq!(azure(&[]).unwrap().origin(), "the Azure CLI's login");
        let all = azure(&["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]).unwrap();
        assert_eq!(all.origin(), "AZURE_CLIENT_SECRET");
        let error = azure(&["AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID"]).unwrap_err();
        assert!(
            Failure::from(&error).remedy.contains("AZURE_TENANT_ID"),
            "{}",
            Failure::from(&error).remedy
        );
        assert!(error.is_refused());
    }

    #[test]
    fn the_tailnet_takes_either_spelling_and_names_missing_variables() {
        let lookup = |name: &str| name.contains("OAUTH").then(|| "marked".to_owned());
        let found = TailnetCredentials::from_environment(&lookup).unwrap();
        assert!(matches!(&found, TailnetCredentials::OAuthClient { id, .. } if id == "marked"));
        let key = |name: &str| (name == "TAILSCALE_API_KEY").then(|| "tskey-marked".to_owned());
        let found = TailnetCredentials::from_environment(&key).unwrap();
        assert!(!format!("{found:?}").contains("tskey-marked"));
        let error = TailnetCredentials::from_environment(&|_| None).unwrap_err();
        assert!(Failure::from(&error).remedy.contains("TAILSCALE_API_KEY"));
    }
}
