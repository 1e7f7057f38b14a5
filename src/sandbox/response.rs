//! Responses of the emulated APIs.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::kubernetes::WatchRequest;

/// The response of an emulated API.
#[derive(Debug)]
pub enum ApiResponse {
    /// A complete response.
    Complete(Response<Bytes>),
    /// A stream of Kubernetes watch events.
    Watch(WatchRequest),
}

/// A response with a JSON body.
pub(super) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
