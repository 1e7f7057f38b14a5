//! A parsed request and its context.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use serde_json::Value;

use super::errors::ArmError;
use super::json;

/// The parts of a request other than its path.
#[derive(Debug)]
pub(super) struct ArmRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) api_version: String,
    uri: &'a Uri,
    body: &'a Bytes,
}

impl<'a> ArmRequest<'a> {
    pub(super) fn new(request: &'a Request<Bytes>) -> Self {
        let mut call = Self {
            method: request.method(),
            headers: request.headers(),
            api_version: String::new(),
            uri: request.uri(),
            body: request.body(),
        };
        call.api_version = call.parameter("api-version").unwrap_or_default();
        call
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// A decoded query parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query().as_bytes())
            .find(|(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.into_owned())
    }

    /// The body without null members.
    pub(super) fn json(&self) -> Result<Value, ArmError> {
        let mut value: Value = serde_json::from_slice(self.body).map_err(|error| {
            let message = format!(
                "The request content was invalid and could not be deserialized: '{error}'."
            );
            ArmError::bad("InvalidRequestContent", message)
        })?;
        if !value.is_object() {
            let message = "The request content was invalid: it is not an object.";
            return Err(ArmError::bad("InvalidRequestContent", message));
        }
        json::strip_nulls(&mut value);
        Ok(value)
    }
}

/// The context of one request.
pub struct ArmContext<'a> {
    /// The base URL of the service, without a trailing slash.
    pub base_url: &'a str,
    /// The time of the request.
    pub now: jiff::Timestamp,
    /// The `Retry-After` sent to clients, in seconds.
    pub pause: u32,
    /// Generates GUIDs.
    pub guid: &'a mut dyn FnMut() -> String,
}
