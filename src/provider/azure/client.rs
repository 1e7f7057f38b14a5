//! Calls to Azure Resource Manager, each followed until its operation ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use super::api_version;
use super::operation::{OperationProgress, PollInterval};
use super::page::{Entries, Page, identity, same_origin, same_service};
use crate::provider::credentials::TokenSource;
use crate::provider::error::RequestError;
use crate::provider::http::{Api, RequestCount, Transport, TransportError, TransportFault};
use crate::provider::http_client::{self, ApiCall, HttpClient, RetryClass};
use crate::provider::limits::Limits;
use crate::provider::listing::Listing;
use crate::provider::request_policy::RequestPolicy;
use crate::provider::secret::Secret;
use crate::provider::settings::ClientSettings;
use crate::resource::arm_type::RESOURCES;
use crate::resource::{ArmId, Kind};

/// How long a write usually takes; Azure answers a creation with 201.
fn usual_duration(id: &ArmId, status: StatusCode) -> Duration {
    let kind = id.resource_type().and_then(|resource_type| Kind::of_arm_type(&resource_type));
    let seconds = kind.map(|kind| kind.facts().seconds);
    let seconds =
        seconds.map(|it| if status == StatusCode::CREATED { it.create } else { it.update });
    Duration::from_secs(seconds.unwrap_or_default())
}

/// The precondition of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// The object still has this etag.
    IfMatch(String),
    /// The object does not exist.
    IfNoneMatch,
}

/// A client of Azure Resource Manager.
pub struct ArmClient {
    http: HttpClient,
    base_url: String,
    tokens: Arc<dyn TokenSource>,
}

impl fmt::Debug for ArmClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ArmClient")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

impl ArmClient {
    /// A client of the service at that URL.
    pub fn new(
        transport: Arc<dyn Transport>,
        base_url: &str,
        tokens: Arc<dyn TokenSource>,
        limits: Limits,
        count: RequestCount,
    ) -> Self {
        let policy = RequestPolicy::new(Api::Azure, limits, count, ClientSettings::default());
        let http = HttpClient::new(transport, policy);
        Self { http, base_url: base_url.trim_end_matches('/').to_owned(), tokens }
    }

    /// The client with other timeouts and limits.
    #[must_use]
    pub fn with_settings(mut self, settings: ClientSettings) -> Self {
        self.http.set_policy(self.http.policy().with_settings(settings));
        self
    }

    /// All objects of a list such as `/subscriptions/S/resourceGroups`; the path
    /// may carry a query, percent-encoded.
    pub async fn list(&self, path: &str, api_version: &str) -> Result<Vec<Value>, RequestError> {
        self.pages(path, api_version, Entries::Objects).await
    }

    /// All entries of a list of values without ids, such as quotas.
    pub async fn list_values(
        &self,
        path: &str,
        api_version: &str,
    ) -> Result<Vec<Value>, RequestError> {
        self.pages(path, api_version, Entries::Values).await
    }

    async fn pages(
        &self,
        path: &str,
        api_version: &str,
        entries: Entries,
    ) -> Result<Vec<Value>, RequestError> {
        let activity = format!("GET {path}");
        check_path(path.split('?').next().unwrap_or_default(), &activity)?;
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut url = format!("{}{path}{joint}api-version={api_version}", self.base_url);
        let mut list = Listing::new(self.http.policy().settings(), identity);
        loop {
            let response = self.call(ApiCall::new(Method::GET, &url, &activity)).await?;
            let response = self.successful(response, &activity)?;
            let page = Page::read(response.body(), &activity, entries)?;
            list.add(page.value).map_err(|fault| malformed(&activity, &fault.to_string()))?;
            let Some(link) = page.next else { return Ok(list.finish()) };
            list.follow(&link).map_err(|fault| malformed(&activity, &fault.to_string()))?;
            if !same_origin(&self.base_url, &link) {
                return Err(malformed(&activity, "the next page is on another host"));
            }
            url = link;
        }
    }

    /// The object exactly as Azure sent it, to be written back, or `None` if it
    /// does not exist. Its text is not safe to print.
    pub async fn get(&self, id: &ArmId) -> Result<Option<Value>, RequestError> {
        let activity = format!("GET {}", api_version::describe(id));
        Ok(self.get_with_headers(id, &activity).await?.map(|(body, _)| body))
    }

    /// Creates or replaces an object, waits until that is done, and returns the
    /// object as it then is.
    pub async fn put(
        &self,
        id: &ArmId,
        body: &Value,
        precondition: Precondition,
    ) -> Result<Value, RequestError> {
        let activity = format!("PUT {}", api_version::describe(id));
        let call = ApiCall::new(Method::PUT, self.url_of(id, "", &activity)?, &activity).json(body);
        let response = self.call(guarded(call, &precondition, &activity)?).await?;
        let response = self.successful(response, &activity)?;
        let mut pace = PollInterval::of_operation(usual_duration(id, response.status()));
        self.follow(&response, &activity, &mut pace).await?;
        self.wait_provisioned(id, &activity, &mut pace).await
    }

    /// Polls an object until no operation runs on it, and returns its final state,
    /// successful or not; `None` if it is deleted.
    pub async fn wait_until_idle(&self, id: &ArmId) -> Result<Option<Value>, RequestError> {
        let activity = format!("GET {}", api_version::describe(id));
        let mut pace = PollInterval::new();
        while let Some((body, headers)) = self.get_with_headers(id, &activity).await? {
            if OperationProgress::of_resource(&body) != OperationProgress::Running {
                return Ok(Some(body));
            }
            pace.wait(&headers, &activity).await?;
        }
        Ok(None)
    }

    /// Deletes an object and waits until it is deleted. An absent object is no error.
    pub async fn delete(&self, id: &ArmId, precondition: Precondition) -> Result<(), RequestError> {
        let activity = format!("DELETE {}", api_version::describe(id));
        let call = ApiCall::new(Method::DELETE, self.url_of(id, "", &activity)?, &activity);
        let response = self.call(guarded(call, &precondition, &activity)?).await?;
        let Some(response) = self.unless_absent(response, &activity)? else { return Ok(()) };
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(());
        }
        let mut pace = PollInterval::new();
        let tracked = self.follow(&response, &activity, &mut pace).await?;
        self.wait_deleted(id, &activity, &mut pace, tracked).await
    }

    /// Calls an action such as `effectiveRouteTable` and returns its result,
    /// null where it has none.
    ///
    /// Actions whose name begins with `list` and those that compute something
    /// only read, and are repeated as reads are.
    pub async fn post(
        &self,
        id: &ArmId,
        action: &str,
        body: &Value,
    ) -> Result<Value, RequestError> {
        self.post_with(id, (action, ""), body).await
    }

    /// The same, with parameters beside the API version, each as `&name=value`.
    pub(crate) async fn post_with(
        &self,
        id: &ArmId,
        (action, parameters): (&str, &str),
        body: &Value,
    ) -> Result<Value, RequestError> {
        let activity = format!("POST {action} of {}", api_version::describe(id));
        let reads = action.starts_with("list") || action.starts_with("effective");
        let url = self.url_of(id, &format!("/{action}"), &activity)? + parameters;
        let mut call = ApiCall::new(Method::POST, url, &activity);
        call = if body.is_null() {
            // Without a length, front ends answer 411.
            call.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"))
        } else {
            call.json(body)
        };
        if reads {
            call = call.repeat(RetryClass::Read);
        }
        let response = self.successful(self.call(call).await?, &activity)?;
        if response.status() != StatusCode::ACCEPTED {
            return parse_or_null(response.body(), &activity);
        }
        self.result(&response, &activity).await
    }

    pub(super) async fn get_with_headers(
        &self,
        id: &ArmId,
        activity: &str,
    ) -> Result<Option<(Value, HeaderMap)>, RequestError> {
        let url = self.url_of(id, "", activity)?;
        let response = self.call(ApiCall::new(Method::GET, url, activity)).await?;
        let Some(response) = self.unless_absent(response, activity)? else { return Ok(None) };
        let body = http_client::raw_object(Api::Azure, response.body(), activity)?;
        Ok(Some((body, response.headers().clone())))
    }

    pub(super) fn successful(
        &self,
        response: http::Response<Bytes>,
        activity: &str,
    ) -> Result<http::Response<Bytes>, RequestError> {
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.http.refusal(activity, &response))
        }
    }

    /// The successful answer, or `None` if Azure said that the object does not
    /// exist.
    pub(super) fn unless_absent(
        &self,
        response: http::Response<Bytes>,
        activity: &str,
    ) -> Result<Option<http::Response<Bytes>>, RequestError> {
        match self.successful(response, activity) {
            Ok(response) => Ok(Some(response)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn tracked(&self, url: &str, activity: &str) -> Result<ApiCall, RequestError> {
        if url.starts_with('/') {
            Ok(ApiCall::new(Method::GET, format!("{}{url}", self.base_url), activity))
        } else if same_service(&self.base_url, url) {
            Ok(ApiCall::new(Method::GET, url, activity))
        } else {
            Err(malformed(activity, "the URL of the operation is on another host"))
        }
    }

    fn url_of(&self, id: &ArmId, suffix: &str, activity: &str) -> Result<String, RequestError> {
        let path = format!("{id}{suffix}");
        check_path(&path, activity)?;
        Ok(format!("{}{path}?api-version={}", self.base_url, api_version::of(id)))
    }

    /// The tags resource of an object.
    pub(super) fn tags_url(&self, id: &ArmId, activity: &str) -> Result<String, RequestError> {
        let path = format!("{id}/providers/Microsoft.Resources/tags/default");
        check_path(&path, activity)?;
        Ok(format!("{}{path}?api-version={RESOURCES}", self.base_url))
    }

    /// Sends a call with a token. A token that the service refuses, because it was revoked or
    /// expired on the way, is replaced once.
    pub(super) async fn call(&self, call: ApiCall) -> Result<http::Response<Bytes>, RequestError> {
        let token = self.token(&call.activity).await?;
        let value = bearer(&token, &call.activity)?;
        let call = call.header(header::AUTHORIZATION, value);
        let response = self.http.send(&call).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.tokens.forget(&token).await;
        let renewed = self.token(&call.activity).await?;
        if renewed == token {
            return Ok(response);
        }
        let value = bearer(&renewed, &call.activity)?;
        let call = call.header(header::AUTHORIZATION, value);
        self.http.send(&call).await
    }

    async fn token(&self, activity: &str) -> Result<Secret, RequestError> {
        let after = self.http.policy().settings().call_timeout;
        tokio::time::timeout(after, self.tokens.token()).await.unwrap_or_else(|_| {
            let fault = TransportFault::TimedOut { what: "no token", after };
            let source = TransportError { host: "the sign-in service".to_owned(), fault };
            let activity = activity.to_owned();
            Err(RequestError::Transport { api: Api::Azure, activity, source })
        })
    }
}

fn bearer(token: &Secret, activity: &str) -> Result<HeaderValue, RequestError> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| malformed(activity, "the token contains characters that are not allowed"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn guarded(
    call: ApiCall,
    precondition: &Precondition,
    activity: &str,
) -> Result<ApiCall, RequestError> {
    Ok(match precondition {
        Precondition::None => call,
        Precondition::IfNoneMatch => {
            call.header(header::IF_NONE_MATCH, HeaderValue::from_static("*"))
        }
        Precondition::IfMatch(etag) => {
            let value = HeaderValue::try_from(etag)
                .map_err(|_| malformed(activity, "the etag is not a valid header value"))?;
            call.header(header::IF_MATCH, value)
        }
    })
}

/// Names are checked instead of encoded: none that Azure takes needs encoding,
/// and an encoded one would name something else.
fn check_path(path: &str, activity: &str) -> Result<(), RequestError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.()".contains(&byte);
    let segments = path.strip_prefix('/').map(|rest| rest.split('/'));
    let sound = path.bytes().all(allowed)
        && segments.is_some_and(|mut all| all.all(|part| !matches!(part, "" | "." | "..")));
    if sound {
        Ok(())
    } else {
        Err(malformed(
            activity,
            "its ID contains characters that are not \
                                                     allowed",
        ))
    }
}

pub(super) fn parse(body: &[u8], activity: &str) -> Result<Value, RequestError> {
    http_client::object(Api::Azure, body, activity)
}

pub(super) fn parse_or_null(body: &[u8], activity: &str) -> Result<Value, RequestError> {
    if body.is_empty() { Ok(Value::Null) } else { parse(body, activity) }
}

pub(super) fn malformed(activity: &str, reason: &str) -> RequestError {
    http_client::malformed(Api::Azure, activity, reason)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
