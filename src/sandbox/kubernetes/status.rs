//! Errors in the format that clients know: `meta/v1` Status.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::definition::Definition;

/// The reason of an error, with the names of the API conventions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusReason {
    /// The request is malformed.
    BadRequest,
    /// The user may not make the request.
    Forbidden,
    /// The object does not exist, or a group of Kubernetes' own has no such resource.
    NotFound,
    /// The path does not exist. The response is a line of text instead of a Status.
    NoSuchPage,
    /// An object of that name exists.
    AlreadyExists,
    /// The object changed, or another manager owns the field.
    Conflict,
    /// The requested version is older than the change log.
    Expired,
    /// The object is invalid.
    Invalid,
    /// A budget forbids the request at this time.
    TooManyRequests,
    /// The media type of the body is not supported.
    UnsupportedMediaType,
    /// The resource does not support the verb.
    MethodNotAllowed,
    /// Another error of the server.
    InternalError,
}

impl StatusReason {
    /// The value of `status.reason`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::NoSuchPage | Self::InternalError => "",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::MethodNotAllowed => "MethodNotAllowed",
        }
    }

    /// The HTTP status code.
    #[must_use]
    pub fn code(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NoSuchPage => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Conflict => StatusCode::CONFLICT,
            Self::Expired => StatusCode::GONE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// One cause of an error, for one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusCause {
    /// `FieldValueInvalid`, `FieldManagerConflict` and so on.
    pub reason: &'static str,
    /// The message for users.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

impl StatusCause {
    pub(super) fn new(reason: &'static str, field: &str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), field: field.to_owned() }
    }

    pub(super) fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self::new("FieldValueInvalid", field, message)
    }

    pub(super) fn forbidden(field: &str, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub(super) fn required(field: &str, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self::new("FieldValueRequired", field, message)
    }
}

/// An error response.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct StatusError {
    /// The machine-readable reason.
    pub reason: StatusReason,
    /// The message for users.
    pub message: String,
    /// `status.details`, an object or null.
    pub details: Box<Value>,
}

impl StatusError {
    pub(super) fn new(reason: StatusReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), details: Box::new(Value::Null) }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusReason::BadRequest, message)
    }

    pub(super) fn unknown_path() -> Self {
        Self::new(StatusReason::NotFound, "the server could not find the requested resource")
    }

    pub(super) fn no_such_page() -> Self {
        Self::new(StatusReason::NoSuchPage, "404 page not found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusReason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )
    }

    fn about(reason: StatusReason, definition: &Definition, name: &str, message: String) -> Self {
        Self {
            reason,
            message,
            details: Box::new(
                json!({"name": name, "group": definition.group, "kind": definition.plural}),
            ),
        }
    }

    pub(super) fn not_found(definition: &Definition, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", definition.qualified_resource());
        Self::about(StatusReason::NotFound, definition, name, message)
    }

    pub(super) fn already_exists(definition: &Definition, name: &str) -> Self {
        let resource = definition.qualified_resource();
        let message = format!("{resource} \"{name}\" already exists");
        Self::about(StatusReason::AlreadyExists, definition, name, message)
    }

    pub(super) fn forbidden(definition: &Definition, name: &str, detail: &str) -> Self {
        let resource = definition.qualified_resource();
        let message = format!("{resource} \"{name}\" is forbidden: {detail}");
        Self::about(StatusReason::Forbidden, definition, name, message)
    }

    pub(super) fn conflict(definition: &Definition, name: &str, detail: &str) -> Self {
        let resource = definition.qualified_resource();
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {detail}");
        Self::about(StatusReason::Conflict, definition, name, message)
    }

    pub(super) fn modified(definition: &Definition, name: &str) -> Self {
        Self::conflict(
            definition,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(super) fn invalid(definition: &Definition, name: &str, causes: &[StatusCause]) -> Self {
        let sentences: Vec<String> =
            causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let detail = match sentences.as_slice() {
            [only] => only.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let kind = definition.qualified_kind();
        Self {
            reason: StatusReason::Invalid,
            message: format!("{kind} \"{name}\" is invalid: {detail}"),
            details: Box::new(json!({
                "name": name, "group": definition.group, "kind": definition.kind, "causes": causes,
            })),
        }
    }

    pub(super) fn with_causes(mut self, causes: &[StatusCause]) -> Self {
        self.details = Box::new(json!({"causes": causes}));
        self
    }

    /// The error as a `meta/v1` Status.
    #[must_use]
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.reason.code().as_u16(),
        });
        if !self.reason.word().is_empty() {
            status["reason"] = Value::from(self.reason.word());
        }
        if let (Value::Object(fields), Value::Object(_)) = (&mut status, &*self.details) {
            fields.insert("details".to_owned(), (*self.details).clone());
        }
        status
    }

    pub(super) fn to_response(&self) -> Response<Bytes> {
        if self.reason == StatusReason::NoSuchPage {
            let line = Bytes::from(format!("{}\n", self.message));
            return respond_bytes(self.reason.code(), "text/plain; charset=utf-8", line);
        }
        respond(self.reason.code(), &self.to_status())
    }
}

/// Returns an error if there are causes.
pub(super) fn verdict(
    definition: &Definition,
    name: &str,
    causes: &[StatusCause],
) -> Result<(), StatusError> {
    if causes.is_empty() { Ok(()) } else { Err(StatusError::invalid(definition, name, causes)) }
}

/// A JSON response.
pub(super) fn respond<T: Serialize + ?Sized>(code: StatusCode, body: &T) -> Response<Bytes> {
    respond_bytes(code, "application/json", encode(body))
}

/// Serialises a value with string keys, which cannot fail.
pub(super) fn encode<T: Serialize + ?Sized>(body: &T) -> Bytes {
    serde_json::to_vec(body).map_or_else(|_| Bytes::from_static(b"null"), Bytes::from)
}

/// A response of the given media type.
pub(super) fn respond_bytes(code: StatusCode, media: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media));
    response
}
