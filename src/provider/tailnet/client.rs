//! Calls to the Tailscale API.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use ipnet::Ipv4Net;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::model::{
    CreatedKey, DeviceJson, DeviceList, GrantedToken, KeyDetails, KeyList, PolicyBody, Routes,
    TailnetDevice, TailnetPolicy,
};
use crate::diagnostics::service_text::safe_refusal;
use crate::provider::credentials::{TailnetCredentials, TokenCache};
use crate::provider::error::RequestError;
use crate::provider::http::{Api, RequestCount, Transport};
use crate::provider::http_client::{self, ApiCall, HttpClient, RetryClass};
use crate::provider::limits::Limits;
use crate::provider::request_policy::RequestPolicy;
use crate::provider::secret::Secret;
use crate::provider::settings::ClientSettings;

/// Tailscale's own service.
pub const PUBLIC_SERVICE: &str = "https://api.tailscale.com";
/// An auth key lives as long as a machine may take to boot.
const KEY_LIFETIME: Duration = Duration::from_secs(3600);
const MAX_DESCRIPTION: usize = 50;

/// A client of the Tailscale API for one tailnet.
pub struct TailnetClient {
    http: HttpClient,
    pub(super) base_url: String,
    tailnet: String,
    pub(super) credentials: TailnetCredentials,
    tokens: TokenCache,
    /// The scopes of the last token, if the server reported them.
    scopes: Mutex<Option<BTreeSet<String>>>,
}

impl fmt::Debug for TailnetClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TailnetClient")
            .field("base_url", &self.base_url)
            .field("tailnet", &self.tailnet)
            .finish_non_exhaustive()
    }
}

impl TailnetClient {
    /// A client of the service at that URL (without `/api/v2`); the tailnet `-`
    /// is the credentials' own.
    pub fn new(
        transport: Arc<dyn Transport>,
        base_url: &str,
        tailnet: impl Into<String>,
        credentials: TailnetCredentials,
        limits: Limits,
        count: RequestCount,
    ) -> Self {
        let policy = RequestPolicy::new(Api::Tailscale, limits, count, ClientSettings::default());
        Self {
            http: HttpClient::new(transport, policy),
            base_url: base_url.trim_end_matches('/').to_owned(),
            tailnet: tailnet.into(),
            credentials,
            tokens: TokenCache::default(),
            scopes: Mutex::default(),
        }
    }

    /// The client with other timeouts and limits.
    #[must_use]
    pub fn with_settings(mut self, settings: ClientSettings) -> Self {
        self.http.set_policy(self.http.policy().with_settings(settings));
        self
    }

    /// All devices with all their fields, in one request.
    pub async fn devices(&self) -> Result<Vec<TailnetDevice>, RequestError> {
        let path = self.tailnet_path("devices?fields=all")?;
        let call = ApiCall::new(Method::GET, path, "GET devices of the tailnet");
        let activity = call.activity.clone();
        let list: DeviceList = self.fetch(call).await?;
        let devices = list.devices.into_iter().map(TailnetDevice::of_list);
        devices.collect::<Result<_, _>>().map_err(|reason| malformed(&activity, &reason))
    }

    /// One device, or `None` if it does not exist.
    pub async fn device(&self, id: &str) -> Result<Option<TailnetDevice>, RequestError> {
        let url = self.device_path(id, "?fields=all")?;
        let call = ApiCall::new(Method::GET, url, format!("GET device {id}"));
        let activity = call.activity.clone();
        match self.fetch::<DeviceJson>(call).await {
            Ok(device) => known(device, &activity).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the approved prefixes of a device to exactly these, and returns its advertised
    /// and approved prefixes.
    pub async fn set_enabled_routes(
        &self,
        id: &str,
        routes: &BTreeSet<Ipv4Net>,
    ) -> Result<(BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>), RequestError> {
        let url = self.device_path(id, "/routes")?;
        let call = ApiCall::new(Method::POST, url, format!("POST routes of device {id}"))
            .json(&json!({ "routes": routes }))
            .repeat(RetryClass::Idempotent);
        let activity = call.activity.clone();
        let response: Value = self.fetch(call).await?;
        if response.get("enabledRoutes").is_none() {
            return Err(malformed(&activity, "the response has no `enabledRoutes`"));
        }
        let routes: Routes = serde_json::from_value(response)
            .map_err(|error| malformed(&activity, &error.to_string()))?;
        Ok(routes.sets())
    }

    /// Makes a key with which one machine may join once within the hour.
    pub async fn create_auth_key(
        &self,
        tag: &str,
        description: &str,
    ) -> Result<Secret, RequestError> {
        let create = json!({
            "reusable": false, "ephemeral": false, "preauthorized": true, "tags": [tag],
        });
        let body = json!({
            "capabilities": { "devices": { "create": create } },
            "expirySeconds": KEY_LIFETIME.as_secs(),
            "description": sound_description(description),
        });
        let url = self.tailnet_path("keys")?;
        let call = ApiCall::new(Method::POST, url, format!("POST auth key with {tag}"))
            .json(&body)
            // A superfluous key stays unused and expires within the hour.
            .repeat(RetryClass::Idempotent);
        Ok(Secret::new(self.fetch::<CreatedKey>(call).await?.key))
    }

    /// The scopes of an OAuth client; `None` for an API key, and for servers that do not report
    /// scopes.
    pub async fn granted_scopes(&self) -> Result<Option<BTreeSet<String>>, RequestError> {
        if let TailnetCredentials::OAuthClient { id, secret } = &self.credentials {
            self.tokens.get(self.fetch_token(id, secret)).await?;
        }
        Ok(self.scopes.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// How many auth keys can be listed.
    pub async fn key_count(&self) -> Result<usize, RequestError> {
        Ok(self.key_list().await?.keys.len())
    }

    async fn key_list(&self) -> Result<KeyList, RequestError> {
        // Keys of OAuth clients belong to the tailnet, and are listed only with `all`.
        let path = self.tailnet_path("keys?all=true")?;
        self.fetch(ApiCall::new(Method::GET, path, "GET auth keys of the tailnet")).await
    }

    /// Whether an auth key of this description exists with which a machine can still
    /// join: a single-use key that was used is no longer listed, or is invalid.
    pub async fn has_unused_key(&self, description: &str, tag: &str) -> Result<bool, RequestError> {
        let description = sound_description(description);
        for key in self.key_list().await?.keys {
            check_segment(&key.id, "the auth key's id")?;
            let path = self.tailnet_path(&format!("keys/{}", key.id))?;
            let call = ApiCall::new(Method::GET, path, format!("GET auth key {}", key.id));
            match self.fetch::<KeyDetails>(call).await {
                Ok(key) if key.is_usable(&description, tag) => return Ok(true),
                Err(error) if !error.is_not_found() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Lets a device take part in the tailnet.
    pub async fn authorize_device(&self, id: &str) -> Result<(), RequestError> {
        self.set(id, "authorized", &json!({ "authorized": true })).await
    }

    /// Switches off the expiry of a device's node key.
    pub async fn disable_key_expiry(&self, id: &str) -> Result<(), RequestError> {
        self.set(id, "key", &json!({ "keyExpiryDisabled": true })).await
    }

    async fn set(&self, id: &str, what: &str, body: &Value) -> Result<(), RequestError> {
        let url = self.device_path(id, &format!("/{what}"))?;
        let call = ApiCall::new(Method::POST, url, format!("POST {what} of device {id}"))
            .json(body)
            .repeat(RetryClass::Idempotent);
        // The answer is `{}` or nothing at all.
        self.send(call).await.map(drop)
    }

    /// Removes a device; one that is not there is removed.
    pub async fn delete_device(&self, id: &str) -> Result<(), RequestError> {
        let url = self.device_path(id, "")?;
        let call = ApiCall::new(Method::DELETE, url, format!("DELETE device {id}"));
        match self.send(call).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets a device's tags to exactly these.
    pub async fn set_tags(&self, id: &str, tags: &BTreeSet<String>) -> Result<(), RequestError> {
        self.set(id, "tags", &json!({ "tags": tags })).await
    }

    /// The tailnet's policy.
    pub async fn policy(&self) -> Result<TailnetPolicy, RequestError> {
        let url = self.tailnet_path("acl")?;
        // Without this the answer is JSON with comments.
        let call = ApiCall::new(Method::GET, url, "GET policy of the tailnet")
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        Ok(self.fetch::<PolicyBody>(call).await?.into())
    }

    pub(super) async fn fetch<T: DeserializeOwned>(
        &self,
        call: ApiCall,
    ) -> Result<T, RequestError> {
        let activity = call.activity.clone();
        let response = self.send(call).await?;
        parse(response.body(), &activity)
    }

    async fn send(&self, call: ApiCall) -> Result<http::Response<Bytes>, RequestError> {
        let activity = call.activity.clone();
        let response = match &self.credentials {
            TailnetCredentials::ApiKey(key) => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{}:", key.expose())));
                self.http.send(&authorized(call, &basic)?).await?
            }
            TailnetCredentials::OAuthClient { id, secret } => {
                self.send_with_token(call, id, secret).await?
            }
        };
        self.successful(response, &activity)
    }

    /// Sends a call with a token. A token that the service refuses, because it was revoked or
    /// expired on the way, is replaced once.
    async fn send_with_token(
        &self,
        call: ApiCall,
        id: &str,
        secret: &Secret,
    ) -> Result<http::Response<Bytes>, RequestError> {
        let token = self.tokens.get(self.fetch_token(id, secret)).await?;
        let call = authorized(call, &format!("Bearer {}", token.expose()))?;
        let response = self.http.send(&call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.tokens.forget(&token).await;
        let token = self.tokens.get(self.fetch_token(id, secret)).await?;
        let call = authorized(call, &format!("Bearer {}", token.expose()))?;
        self.http.send(&call).await
    }

    async fn fetch_token(
        &self,
        id: &str,
        secret: &Secret,
    ) -> Result<(Secret, Duration), RequestError> {
        const DOING: &str = "POST OAuth client for a token";
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", id)
            .append_pair("client_secret", secret.expose())
            .finish();
        let url = format!("{}/api/v2/oauth/token", self.base_url);
        // A token that is fetched twice does no harm.
        let mut call = ApiCall::new(Method::POST, url, DOING).repeat(RetryClass::Read).header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        call.body = Bytes::from(form);
        let response = self.http.send(&call).await?;
        if matches!(response.status().as_u16(), 400 | 401 | 403) {
            return Err(refused_client(response.body()));
        }
        let granted: GrantedToken = parse(self.successful(response, DOING)?.body(), DOING)?;
        *self.scopes.lock().unwrap_or_else(PoisonError::into_inner) = granted.scopes();
        Ok((Secret::new(granted.access_token), Duration::from_secs(granted.expires_in)))
    }

    fn successful(
        &self,
        response: http::Response<Bytes>,
        activity: &str,
    ) -> Result<http::Response<Bytes>, RequestError> {
        match response.status() {
            status if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED => Err(RequestError::Credentials {
                api: Api::Tailscale,
                reason: format!("{activity}: the credentials were not accepted"),
                refused: true,
                remedy: "create a new API key or OAuth client and set TAILSCALE_API_KEY, or \
                         TAILSCALE_OAUTH_CLIENT_ID and TAILSCALE_OAUTH_CLIENT_SECRET"
                    .to_owned(),
            }),
            _ => Err(self.http.refusal(activity, &response)),
        }
    }

    pub(super) fn tailnet_path(&self, rest: &str) -> Result<String, RequestError> {
        check_segment(&self.tailnet, "the tailnet's name")?;
        Ok(format!("{}/api/v2/tailnet/{}/{rest}", self.base_url, self.tailnet))
    }

    fn device_path(&self, id: &str, rest: &str) -> Result<String, RequestError> {
        check_segment(id, "the device's id")?;
        Ok(format!("{}/api/v2/device/{id}{rest}", self.base_url))
    }
}

fn authorized(call: ApiCall, authorization: &str) -> Result<ApiCall, RequestError> {
    let mut value = HeaderValue::try_from(authorization).map_err(|_| {
        malformed(&call.activity, "the token contains characters that are not allowed")
    })?;
    value.set_sensitive(true);
    Ok(call.header(header::AUTHORIZATION, value))
}

/// A path's segment is checked instead of encoded: no sound one needs encoding.
pub(super) fn check_segment(text: &str, what: &str) -> Result<(), RequestError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if text.bytes().all(allowed) && !matches!(text, "" | "." | "..") {
        return Ok(());
    }
    Err(malformed(what, "it contains characters that are not allowed"))
}

/// The description of the auth key that a router joins with: it says later whether the
/// key was used.
pub fn key_description(router: &str) -> String {
    format!("stargate {router}")
}

/// At most 50 letters, digits, hyphens and spaces.
fn sound_description(text: &str) -> String {
    let sound = |letter: char| {
        if letter.is_ascii_alphanumeric() || letter == ' ' { letter } else { '-' }
    };
    text.chars().map(sound).take(MAX_DESCRIPTION).collect()
}

/// A device without an id could be neither identified nor changed.
fn known(device: DeviceJson, activity: &str) -> Result<TailnetDevice, RequestError> {
    let device = TailnetDevice::from(device);
    if device.node_id.is_empty() {
        return Err(malformed(activity, "a device in the response has no ID"));
    }
    Ok(device)
}

fn refused_client(body: &[u8]) -> RequestError {
    let error = crate::provider::error::ServiceError::parse(&safe_refusal(body));
    RequestError::Credentials {
        api: Api::Tailscale,
        reason: format!("the OAuth client was refused: {} {}", error.code, error.message),
        refused: true,
        remedy: "check TAILSCALE_OAUTH_CLIENT_ID and TAILSCALE_OAUTH_CLIENT_SECRET; the client \
                 may have been revoked"
            .to_owned(),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8], activity: &str) -> Result<T, RequestError> {
    http_client::typed(Api::Tailscale, body, activity)
}

fn malformed(activity: &str, reason: &str) -> RequestError {
    http_client::malformed(Api::Tailscale, activity, reason)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
