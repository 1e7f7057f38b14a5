//! The policy file: read, write, validate.

use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use serde_json::json;

use super::super::response::{failure, json_response, response};
use super::super::{AccessPolicy, TailnetStore};
use super::{ApiRequest, empty_response, not_found};

impl TailnetStore {
    pub(super) fn acl_call(
        &mut self,
        call: &ApiRequest<'_>,
        method: &Method,
        rest: &[&str],
    ) -> Response<Bytes> {
        match (method, rest) {
            (&Method::GET, []) => self.show_policy(call),
            (&Method::POST, []) => self.write_policy(call),
            (&Method::POST, ["validate"]) => check_policy(call),
            _ => not_found(),
        }
    }

    fn show_policy(&self, call: &ApiRequest<'_>) -> Response<Bytes> {
        let as_json = call.header(header::ACCEPT).is_some_and(|kind| kind.contains("/json"));
        let rendered = if as_json {
            json_response(StatusCode::OK, &self.policy().value())
        } else {
            let text = Bytes::copy_from_slice(self.policy().text().as_bytes());
            response(StatusCode::OK, "application/hujson", text)
        };
        self.with_etag(rendered)
    }

    fn write_policy(&mut self, call: &ApiRequest<'_>) -> Response<Bytes> {
        let expected = call.header(header::IF_MATCH);
        if expected.is_some_and(|expected| !self.policy().matches(expected)) {
            let message = "precondition failed, invalid old hash";
            return failure(StatusCode::PRECONDITION_FAILED, message);
        }
        let text = String::from_utf8_lossy(call.request.body()).into_owned();
        match self.policy_mut().write(&text) {
            Ok(()) => self.show_policy(call),
            Err(message) => failure(StatusCode::BAD_REQUEST, message),
        }
    }

    fn with_etag(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        if let Ok(etag) = header::HeaderValue::from_str(&self.policy().etag()) {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}

/// Validates a policy. The status is 200 either way; an invalid policy is reported by a message.
fn check_policy(call: &ApiRequest<'_>) -> Response<Bytes> {
    let text = String::from_utf8_lossy(call.request.body());
    if text.trim_start().starts_with('[') {
        return empty_response();
    }
    match AccessPolicy::check(&text) {
        Ok(()) => empty_response(),
        Err(message) => json_response(StatusCode::OK, &json!({ "message": message })),
    }
}
