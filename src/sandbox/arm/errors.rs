//! Errors in ARM's format.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::ArmKind;
use super::responses;
use crate::resource::ArmId;

/// An error response.
#[derive(Debug, Clone)]
pub(super) struct ArmError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    details: Vec<(&'static str, String)>,
    header: Option<(&'static str, &'static str)>,
}

/// The error of a failed operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OperationFailure {
    /// The error code, such as `SkuNotAvailable`.
    pub code: String,
    /// The message for users.
    pub message: String,
}

impl OperationFailure {
    pub(super) fn body(&self) -> Value {
        json!({"code": self.code, "message": self.message, "details": []})
    }
}

impl ArmError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Vec::new(), header: None }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn detail(mut self, code: &'static str, message: impl Into<String>) -> Self {
        self.details.push((code, message.into()));
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    /// An object of a resource group does not exist. The gateway reports this, not the provider.
    pub(super) fn resource_not_found(kind: ArmKind, id: &ArmId) -> Self {
        let group = id.resource_group_name().unwrap_or_default();
        let message = format!(
            "The Resource '{}/{}' under resource group '{group}' was not found. For more details \
             please go to https://aka.ms/ARMResourceNotFoundFix",
            kind.resource_type(),
            id.name(),
        );
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
            .header("x-ms-failure-cause", "gateway")
    }

    /// A child does not exist. The provider reports this.
    pub(super) fn child_not_found(id: &ArmId) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("Resource {id} not found."))
    }

    pub(super) fn group_not_found(group: &str) -> Self {
        let message = format!("Resource group '{group}' could not be found.");
        Self::new(StatusCode::NOT_FOUND, "ResourceGroupNotFound", message)
            .header("x-ms-failure-cause", "gateway")
    }

    pub(super) fn invalid_reference(target: &str, source: &str) -> Self {
        let message = format!(
            "Resource {target} referenced by resource {source} was not found. Please make sure \
             that the referenced resource exists, and that both resources are in the same region."
        );
        Self::bad("InvalidResourceReference", message)
    }

    /// An operation on a referenced object is still running.
    pub(super) fn not_provisioned(target: &str, source: &str, state: &str, verb: &str) -> Self {
        let detail = format!(
            "Cannot proceed with operation because resource {target} used by resource {source} is \
             not in Succeeded state. Resource is in {state} state and the last operation that \
             updated/is updating the resource is {verb}."
        );
        // The spelling is Azure's.
        let message = "A retryable error occured.";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "RetryableError", message)
            .detail("ReferencedResourceNotProvisioned", detail)
    }

    pub(super) fn another_operation(url: &str) -> Self {
        let message = format!(
            "Another operation on this or dependent resource is in progress. To retrieve status \
             of the operation use uri: {url}."
        );
        Self::conflict("AnotherOperationInProgress", message)
    }

    pub(super) fn pending_pool(name: &str, state: &str) -> Self {
        let message = format!(
            "Operation is not allowed: Another operation ({name} - {state}) is in progress, \
             please wait for it to finish before starting a new operation. See \
             https://aka.ms/aks-pending-operation for more details"
        );
        Self::conflict("OperationNotAllowed", message)
    }

    pub(super) fn etag_mismatch(requested: &str, present: &str) -> Self {
        let message = "Precondition failed.";
        let detail = format!(
            "Etag provided in if-match header {requested} does not match etag {present} of resource."
        );
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
            .detail("PreconditionFailedEtagMismatch", detail)
    }

    pub(super) fn already_there(id: &ArmId) -> Self {
        let message = format!("The resource {id} exists already, and If-None-Match is *.");
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "The requested resource does not support the HTTP method.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    pub(super) fn property_change(status: StatusCode, property: &str) -> Self {
        let message = format!("Changing property '{property}' is not allowed.");
        Self::new(status, "PropertyChangeNotAllowed", message)
    }

    /// Converts the error into a response.
    pub(super) fn into_response(self) -> Response<Bytes> {
        let details: Vec<Value> = self
            .details
            .iter()
            .map(|(code, message)| json!({"code": code, "message": message}))
            .collect();
        let mut error = json!({"code": self.code, "message": self.message});
        // Only providers list details. The gateway's own errors have none.
        if self.header.is_none()
            && let Some(map) = error.as_object_mut()
        {
            map.insert("details".to_owned(), Value::Array(details));
        }
        let mut response = responses::json(self.status, &json!({"error": error}));
        if let Some((name, value)) = self.header {
            responses::header(&mut response, name, value);
        }
        response
    }
}
