//! The code and the remedy of every known error.

use super::*;
use crate::provider::error::ServiceError;
use crate::provider::http::TransportError;

fn response(api: Api, status: u16, body: &str) -> Failure {
    Failure::from(RequestError::from_response(api, "PUT subnet s", status, body.as_bytes()))
}

fn azure(status: u16, code: &str, message: &str) -> Code {
    let body = serde_json::json!({"error": {"code": code, "message": message}});
    response(Api::Azure, status, &body.to_string()).code
}

#[test]
fn the_code_of_azure_decides_before_the_status() {
    let table = [
        (403, "AuthorizationFailed", Code::AzureRefused),
        (401, "InvalidAuthenticationTokenTenant", Code::SubscriptionUnusable),
        (403, "RequestDisallowedByPolicy", Code::PolicyDenied),
        (403, "DenyAssignmentAuthorizationFailed", Code::DenyAssignment),
        (409, "ScopeLocked", Code::ManagementLock),
        (409, "MissingSubscriptionRegistration", Code::ProviderNotRegistered),
        (409, "AnotherOperationInProgress", Code::OperationInProgress),
        (409, "ResourceGroupBeingDeleted", Code::OperationInProgress),
        (409, "EtagMismatch", Code::ChangedSinceRead),
        (412, "PreconditionFailed", Code::ChangedSinceRead),
        (429, "RetryableError", Code::OperationInProgress),
        (429, "SubscriptionRequestsThrottled", Code::Throttled),
        (400, "InUseSubnetCannotBeDeleted", Code::ObjectInUse),
        (400, "InvalidParameter", Code::InvalidRequest),
        (404, "ResourceNotFound", Code::ObjectMissing),
        (404, "SubscriptionNotFound", Code::SubscriptionUnusable),
        (409, "SkuNotAvailable", Code::SkuUnavailable),
        (409, "SomethingNew", Code::Conflict),
        (503, "ServerTimeout", Code::ServiceUnavailable),
        (405, "MethodNotAllowed", Code::RequestError),
    ];
    for (status, name, code) in table {
        assert_eq!(azure(status, name, "m"), code, "{status} {name}");
    }
}

#[test]
fn operation_not_allowed_is_a_quota_or_a_running_operation() {
    let cases = [
        (
            "Operation could not be completed as it results in exceeding approved Total Regional \
          Cores quota",
            Code::QuotaExceeded,
        ),
        (
            "Operation is not allowed: Another operation (nodepool1 - Updating) is in progress",
            Code::OperationInProgress,
        ),
        ("Stopping is not allowed", Code::Conflict),
    ];
    for (message, code) in cases {
        assert_eq!(azure(409, "OperationNotAllowed", message), code, "{message}");
    }
}

#[test]
fn the_innermost_known_code_decides_and_the_others_are_the_source() {
    let body = r#"{"error":{"code":"InvalidTemplateDeployment","message":"see details","details":[
        {"code":"PreflightValidationFailed","message":"preflight","details":[
        {"code":"QuotaExceeded","message":"10 cores, 12 needed"}]}]}}"#;
    let failure = response(Api::Azure, 400, body);
    assert_eq!(failure.code, Code::QuotaExceeded);
    assert!(failure.message.contains("PreflightValidationFailed: preflight"), "{failure}");
    assert_eq!(failure.source, ["QuotaExceeded: 10 cores, 12 needed"]);
}

#[test]
fn tailscale_and_proxies_have_codes_too() {
    let table = [
        (
            400,
            r#"{"message":"requested tags [tag:x] are invalid or not permitted"}"#,
            Code::TagOwnersMissing,
        ),
        (400, r#"{"message":"bad route"}"#, Code::InvalidRequest),
        (401, r#"{"message":"API token invalid"}"#, Code::TailscaleRefused),
        (
            403,
            r#"{"message":"calling actor does not have enough permissions"}"#,
            Code::TailscaleRefused,
        ),
        (404, r#"{"message":"not found"}"#, Code::ObjectMissing),
        (412, r#"{"message":"precondition failed, invalid old hash"}"#, Code::ChangedSinceRead),
        (429, "", Code::Throttled),
        (504, "<html>took too long, try again</html>", Code::ServiceUnavailable),
    ];
    for (status, body, code) in table {
        let failure = response(Api::Tailscale, status, body);
        assert_eq!(failure.code, code, "{status} {body}");
        assert!(!failure.remedy.is_empty() && !failure.message.ends_with(": "), "{failure}");
    }
}

#[test]
fn failures_without_an_answer_have_codes() {
    let source = TransportError::lost("h:443", "refused");
    let error = RequestError::Transport { api: Api::Azure, activity: "GET x".to_owned(), source };
    let failure = Failure::from(&error);
    assert_eq!(failure.code, Code::ServiceUnreachable);
    assert!(failure.message.ends_with("no answer from h:443: refused"), "{failure}");
    let parsed = ServiceError::parse(br#"{"code":"C","message":"M"}"#);
    let error = RequestError::Operation {
        api: Api::Azure,
        activity: "PUT x".to_owned(),
        status: "Failed".to_owned(),
        code: parsed.code,
        message: parsed.message,
        details: parsed.details,
    };
    assert_eq!(Failure::from(error).code, Code::OperationFailed);
    for api in Api::ALL {
        assert_ne!(credentials(api, true), credentials(api, false));
    }
}
