//! Calls to an API over a [`Transport`], under the API's request policy.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{RequestError, ServiceError};
use super::http::{Api, Transport, TransportError, TransportFault};
pub use super::request_policy::RetryClass;
pub(crate) use super::request_policy::{MIN_DELAY, retry_after};
use super::request_policy::{RequestKind, RequestPolicy};
use crate::diagnostics::ServiceText;
use crate::diagnostics::service_text::{Breaks, make_safe, safe_refusal};

/// One call.
pub struct ApiCall {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers, the authorisation among them.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
    /// Its purpose, in words for the user.
    pub activity: String,
    /// When it may be sent again.
    pub repeat: RetryClass,
}

impl ApiCall {
    /// A call without headers and body that may be repeated as its method allows.
    pub fn new(method: Method, url: impl Into<String>, activity: impl Into<String>) -> Self {
        let repeat = RetryClass::of(&method);
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            activity: activity.into(),
            repeat,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a JSON body.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Says when it may be sent again.
    pub fn repeat(mut self, repeat: RetryClass) -> Self {
        self.repeat = repeat;
        self
    }
}

/// Sends calls to one API.
#[derive(Debug)]
pub struct HttpClient {
    transport: Arc<dyn Transport>,
    policy: RequestPolicy,
}

impl HttpClient {
    /// Calls go over this transport under this policy.
    pub fn new(transport: Arc<dyn Transport>, policy: RequestPolicy) -> Self {
        Self { transport, policy }
    }

    /// The API.
    pub fn api(&self) -> Api {
        self.policy.api()
    }

    /// The policy.
    pub fn policy(&self) -> &RequestPolicy {
        &self.policy
    }

    /// Replaces the policy.
    pub fn set_policy(&mut self, policy: RequestPolicy) {
        self.policy = policy;
    }

    /// Sends a call, retries it if that is safe and useful, and returns the last
    /// answer regardless of its status.
    ///
    /// # Errors
    ///
    /// There was no answer in time, or it is larger than the limits allow.
    pub async fn send(&self, call: &ApiCall) -> Result<http::Response<Bytes>, RequestError> {
        let uri: http::Uri = call.url.parse().map_err(|error| {
            self.malformed(&call.activity, &format!("the URL of the request is invalid: {error}"))
        })?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let kind = RequestKind {
            method: &call.method,
            retry: call.repeat,
            host: &host,
            activity: &call.activity,
        };
        let send = || {
            let mut request = http::Request::new(call.body.clone());
            *request.method_mut() = call.method.clone();
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = call.headers.clone();
            self.transport.send(request)
        };
        let outcome = self.policy.run(kind, &AtomicU32::new(0), send).await;
        let response = outcome.map_err(|source| self.no_response(&call.activity, source))?;
        self.policy.note_date(response.headers());
        Ok(response)
    }

    fn no_response(&self, activity: &str, source: TransportError) -> RequestError {
        match source.fault {
            TransportFault::TooLarge { .. } | TransportFault::BadRequest { .. } => {
                self.malformed(activity, &source.fault.to_string())
            }
            _ => RequestError::Transport { api: self.api(), activity: activity.to_owned(), source },
        }
    }

    /// The error of a response that is not one of the service.
    pub fn malformed(&self, activity: &str, reason: &str) -> RequestError {
        malformed(self.api(), activity, reason)
    }

    /// A refusal as an error, its text made safe to print.
    pub fn refusal(&self, activity: &str, response: &http::Response<Bytes>) -> RequestError {
        let body = safe_refusal(response.body());
        RequestError::from_response(self.api(), activity, response.status().as_u16(), &body)
    }
}

/// The error of a response that is not one of the service.
pub(super) fn malformed(api: Api, activity: &str, reason: &str) -> RequestError {
    let reason = ServiceText::message(reason).into();
    RequestError::Malformed { api, activity: activity.to_owned(), reason }
}

/// Reads a JSON object off a body, exactly as the service sent it.
///
/// # Errors
///
/// It is no JSON, no object, or an error with a status of success.
pub(super) fn raw_object(api: Api, body: &[u8], activity: &str) -> Result<Value, RequestError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| malformed(api, activity, &format!("the response is not JSON: {error}")))?;
    let Some(fields) = value.as_object() else {
        let what = kind_of(&value);
        return Err(malformed(api, activity, &format!("the response is {what}, not an object")));
    };
    let is_error = fields.get("error").is_some_and(|error| !error.is_null());
    if is_error && !fields.contains_key("id") && !fields.contains_key("status") {
        let error = ServiceError::parse(&safe_refusal(body));
        let reason = format!("the response is an error: {} {}", error.code, error.message);
        return Err(malformed(api, activity, &reason));
    }
    Ok(value)
}

/// Reads a JSON object off a body and makes its text safe to print.
///
/// # Errors
///
/// As [`raw_object`].
pub(super) fn object(api: Api, body: &[u8], activity: &str) -> Result<Value, RequestError> {
    let mut value = raw_object(api, body, activity)?;
    make_safe(&mut value, Breaks::Escape);
    Ok(value)
}

/// Reads a typed value off a body; its text is safe to print.
///
/// # Errors
///
/// As [`raw_object`], or a field is missing or of another type.
pub(super) fn typed<T: DeserializeOwned>(
    api: Api,
    body: &[u8],
    activity: &str,
) -> Result<T, RequestError> {
    let value = object(api, body, activity)?;
    serde_json::from_value(value).map_err(|error| malformed(api, activity, &error.to_string()))
}

/// The type of a JSON value, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
