//! Credentials for each service, from the usual environment variables.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::RequestError;
use super::http::Api;
use super::secret::Secret;

/// Looks up a variable of the environment.
pub type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// A token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(300);
/// The longest time that a token is used.
const MAX_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The wait between two attempts to renew a token that is still valid.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// A source of bearer tokens.
#[async_trait]
pub trait TokenSource: Send + Sync + fmt::Debug {
    /// A token that is valid for at least some minutes.
    ///
    /// # Errors
    ///
    /// Credentials are missing, or the identity provider did not accept them.
    async fn token(&self) -> Result<Secret, RequestError>;

    /// Notes that the service did not accept a token: the next one is another, if the source
    /// can fetch one.
    async fn forget(&self, _: &Secret) {}
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

/// A sign-in that failed: every token has its error.
#[derive(Debug, Clone)]
pub struct FailedSignIn(pub RequestError);

#[async_trait]
impl TokenSource for FailedSignIn {
    async fn token(&self) -> Result<Secret, RequestError> {
        Err(self.0.clone())
    }
}

/// A token that is renewed before it expires.
#[derive(Debug, Default)]
pub(crate) struct TokenCache(Mutex<Cached>);

#[derive(Debug, Default)]
struct Cached {
    token: Option<CachedToken>,
    /// The last failure, and when it was.
    failure: Option<(RequestError, Instant)>,
}

#[derive(Debug)]
struct CachedToken {
    token: Secret,
    renewed_after: Instant,
    expires: Instant,
}

impl TokenCache {
    /// The cached token, or a new one: `fetch` returns it with its lifetime. If the service
    /// that issues tokens is unavailable, the cached one is used until it expires.
    pub(crate) async fn get<F>(&self, fetch: F) -> Result<Secret, RequestError>
    where
        F: Future<Output = Result<(Secret, Duration), RequestError>>,
    {
        let called_at = Instant::now();
        // Held while fetching, so that concurrent callers send one request.
        let mut cached = self.0.lock().await;
        if let Some(valid) = cached.token.as_ref().filter(|it| called_at < it.renewed_after) {
            return Ok(valid.token.clone());
        }
        // It was fetched for this caller, too. Each caller fetching again would wait once more.
        if let Some((error, _)) = cached.failure.as_ref().filter(|(_, at)| *at > called_at) {
            return Err(error.clone());
        }
        let result = fetch.await;
        let now = Instant::now();
        match (result, cached.token.as_mut()) {
            (Ok((token, lifetime)), _) => {
                cached.token = Some(CachedToken::new(token.clone(), lifetime, now));
                Ok(token)
            }
            (Err(error), Some(valid)) if error.is_unavailable() && now < valid.expires => {
                tracing::warn!(%error, "the token cannot be renewed yet");
                valid.renewed_after = now + RENEWAL_PAUSE;
                Ok(valid.token.clone())
            }
            (Err(error), _) => {
                cached.failure = Some((error.clone(), now));
                Err(error)
            }
        }
    }

    /// Drops the cached token if it is this one. Another task may have renewed it.
    pub(crate) async fn forget(&self, token: &Secret) {
        let mut cached = self.0.lock().await;
        if cached.token.as_ref().is_some_and(|cached| cached.token == *token) {
            cached.token = None;
        }
    }
}

impl CachedToken {
    fn new(token: Secret, lifetime: Duration, now: Instant) -> Self {
        // No service issues longer ones, and a time further away could not be represented.
        let lifetime = lifetime.min(MAX_LIFETIME);
        // A lifetime shorter than the margin would fetch a token for every request.
        let usable = lifetime.checked_sub(MARGIN).unwrap_or(lifetime / 2);
        Self { token, renewed_after: now + usable, expires: now + lifetime }
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
        let missing = match ["TAILSCALE_OAUTH_CLIENT_ID", "TAILSCALE_CLIENT_ID"].map(value) {
            [None, None] => "TAILSCALE_API_KEY and TAILSCALE_OAUTH_CLIENT_ID are not set",
            _ => "the ID of an OAuth client is set, and TAILSCALE_OAUTH_CLIENT_SECRET is not",
        };
        pair("TAILSCALE_CLIENT_ID", "TAILSCALE_CLIENT_SECRET")
            .or_else(|| pair("TAILSCALE_OAUTH_CLIENT_ID", "TAILSCALE_OAUTH_CLIENT_SECRET"))
            .map(|(id, secret)| Self::OAuthClient { id, secret: Secret::new(secret) })
            .ok_or_else(|| RequestError::Credentials {
                api: Api::Tailscale,
                reason: missing.to_owned(),
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
    use super::*;
    use crate::diagnostics::Failure;
    use crate::provider::http::TransportError;

    fn granted(token: &str) -> Result<(Secret, Duration), RequestError> {
        Ok((Secret::new(token), Duration::from_secs(3600)))
    }

    fn unavailable() -> Result<(Secret, Duration), RequestError> {
        let source = TransportError::lost("login.example", "reset");
        Err(RequestError::Transport { api: Api::Azure, activity: "sign in".to_owned(), source })
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_it_expires() {
        let cache = TokenCache::default();
        let get = async |next: &str| cache.get(async { granted(next) }).await.unwrap();
        assert_eq!(get("marked-0").await.expose(), "marked-0");
        tokio::time::advance(Duration::from_secs(3000)).await;
        assert_eq!(get("marked-1").await.expose(), "marked-0");
        tokio::time::advance(Duration::from_secs(400)).await;
        assert_eq!(get("marked-1").await.expose(), "marked-1");
        assert!(!format!("{cache:?}").contains("marked"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_renewed_is_used_until_it_expires() {
        let cache = TokenCache::default();
        cache.get(async { granted("first") }).await.unwrap();
        tokio::time::advance(Duration::from_secs(3400)).await;
        let kept = cache.get(async { unavailable() }).await.unwrap();
        assert_eq!(kept.expose(), "first");
        tokio::time::advance(Duration::from_secs(10)).await;
        let kept = cache.get(async { granted("second") }).await.unwrap();
        assert_eq!(kept.expose(), "first", "the service has a pause");
        let refused = async {
            Err(RequestError::Credentials {
                api: Api::Azure,
                reason: "disabled".to_owned(),
                refused: true,
                remedy: String::new(),
            })
        };
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(cache.get(refused).await.is_err(), "a refusal is final");
        tokio::time::advance(Duration::from_secs(200)).await;
        assert!(cache.get(async { unavailable() }).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_never_expires_is_renewed_after_a_day() {
        let cache = TokenCache::default();
        let endless = async { Ok((Secret::new("first"), Duration::from_secs(u64::MAX))) };
        cache.get(endless).await.unwrap();
        tokio::time::advance(MAX_LIFETIME).await;
        assert_eq!(cache.get(async { granted("second") }).await.unwrap().expose(), "second");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_waited_for_a_failure_share_it() {
        let cache = TokenCache::default();
        let fetched = std::sync::atomic::AtomicU32::new(0);
        let get = || {
            cache.get(async {
                fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                tokio::time::sleep(Duration::from_secs(12)).await;
                unavailable()
            })
        };
        let all = tokio::join!(get(), get(), get());
        assert!(all.0.is_err() && all.1.is_err() && all.2.is_err());
        assert_eq!(fetched.load(std::sync::atomic::Ordering::Relaxed), 1);
        assert!(get().await.is_err());
        assert_eq!(fetched.load(std::sync::atomic::Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_refused_token_is_dropped() {
        let cache = TokenCache::default();
        let first = cache.get(async { granted("first") }).await.unwrap();
        cache.forget(&Secret::new("another")).await;
        assert_eq!(cache.get(async { granted("second") }).await.unwrap(), first);
        cache.forget(&first).await;
        assert_eq!(cache.get(async { granted("second") }).await.unwrap().expose(), "second");
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
        let id = |name: &str| (name == "TAILSCALE_CLIENT_ID").then(|| "marked".to_owned());
        let error = TailnetCredentials::from_environment(&id).unwrap_err();
        let message = Failure::from(&error).message;
        assert!(message.contains("TAILSCALE_OAUTH_CLIENT_SECRET is not"), "{message}");
    }
}
