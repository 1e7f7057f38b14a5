//! Responses in the format of the API.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// A JSON response.
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    response(status, "application/json", Bytes::from(body.to_string()))
}

/// An error in the format of the API.
pub(super) fn failure(status: StatusCode, message: impl Into<String>) -> Response<Bytes> {
    json_response(status, &json!({ "message": message.into() }))
}

/// A response with any content type.
pub(super) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let value = header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
