//! Errors of requests to Azure and Tailscale; [`super::refusal`] explains them.

use std::fmt;

use serde_json::Value;

use super::http::{Api, TransportError};

/// A request to a service failed. `Failure::from` gives it a code and a remedy.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestError {
    /// The service answered with an error status.
    #[error("{activity}: {} answered {status}{}", api.title(), ErrorDetails { code, message, details })]
    Response {
        /// The service.
        api: Api,
        /// The HTTP status.
        status: u16,
        /// The service's own code, empty if the answer has none.
        code: String,
        /// The service's message.
        message: String,
        /// Nested causes, the outermost first.
        details: Vec<Detail>,
        /// The request, as in `PUT route table stargate-workers-rt`.
        activity: String,
    },
    /// The service did not answer, after all attempts.
    #[error("{activity}: {}: {source}", api.title())]
    Transport {
        /// The service.
        api: Api,
        /// The request.
        activity: String,
        /// The error of the connection.
        source: TransportError,
    },
    /// Credentials are missing, or the identity provider did not accept them.
    #[error("cannot authenticate to {}: {reason}", api.title())]
    Credentials {
        /// The service.
        api: Api,
        /// The missing or refused part.
        reason: String,
        /// True if credentials were found and were not accepted.
        refused: bool,
        /// The remedy.
        remedy: String,
    },
    /// The answer does not follow the documented API.
    #[error("{activity}: unexpected response from {}: {reason}", api.title())]
    Malformed {
        /// The service.
        api: Api,
        /// The request.
        activity: String,
        /// The error in the response.
        reason: String,
    },
    /// The request was accepted, and its long-running operation failed.
    #[error("{activity}: the operation ended as {status}{}", ErrorDetails { code, message, details })]
    Operation {
        /// The service.
        api: Api,
        /// The request.
        activity: String,
        /// `Failed`, `Canceled` or `TimedOut`.
        status: String,
        /// The service's own code.
        code: String,
        /// The service's message.
        message: String,
        /// Nested causes, the outermost first.
        details: Vec<Detail>,
    },
}

/// A cause nested in a service's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The service's own code, or the user that Tailscale names.
    pub code: String,
    /// The service's message.
    pub message: String,
}

impl fmt::Display for Detail {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.message.as_str()) {
            ("", text) | (text, "") => formatter.write_str(text),
            (code, message) => write!(formatter, "{code}: {message}"),
        }
    }
}

/// Code, message and the first nested cause; the others are the failure's source.
struct ErrorDetails<'a> {
    code: &'a str,
    message: &'a str,
    details: &'a [Detail],
}

impl fmt::Display for ErrorDetails<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.code.is_empty() {
            write!(formatter, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(formatter, ": {}", self.message)?;
        }
        self.details.first().map_or(Ok(()), |detail| write!(formatter, "; {detail}"))
    }
}

impl RequestError {
    /// The HTTP status, if the service answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Response { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's own code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Response { code, .. } | Self::Operation { code, .. } => Some(code),
            _ => None,
        }
    }

    /// True if the service said that the object does not exist.
    ///
    /// A 404 for the subscription, the tenant, the provider or the type of the
    /// object says nothing about the object.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
            && !self.code().is_some_and(|code| NOT_THE_OBJECT.contains(&code))
    }

    /// True if the state of the object does not allow the request.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409) && !self.is_precondition_failed()
    }

    /// True if the object changed after it was read.
    ///
    /// AKS answers 409 with the code `EtagMismatch`, other services 412.
    pub fn is_precondition_failed(&self) -> bool {
        self.status() == Some(412)
            || (self.status() == Some(409) && self.code() == Some("EtagMismatch"))
    }

    /// True if the credentials are missing, not accepted or not sufficient.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Credentials { .. }) || matches!(self.status(), Some(401 | 403))
    }

    /// True if the service is down: it answers 503, or does not answer.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Transport { .. }) || self.status() == Some(503)
    }

    /// Reads an error answer, in any of the shapes of [`ServiceError::parse`].
    ///
    /// A 404 in another shape is not the service's: a proxy or a wrong address
    /// sends one too, and it must not pass for the absence of an object.
    pub fn from_response(api: Api, activity: &str, status: u16, body: &[u8]) -> Self {
        let parsed = ServiceError::parse(body);
        if status == 404 && !parsed.is_of_service(api) {
            let reason = format!("status 404 without an error of its API: {}", parsed.message);
            return Self::Malformed { api, activity: activity.to_owned(), reason };
        }
        Self::Response {
            api,
            status,
            code: parsed.code,
            message: parsed.message,
            details: parsed.details,
            activity: activity.to_owned(),
        }
    }
}

/// Codes of ARM with status 404 that are not about the object: the subscription
/// was not found or belongs to another tenant, or the request named a provider
/// or a type that ARM does not know
/// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>).
const NOT_THE_OBJECT: [&str; 6] = [
    "SubscriptionNotFound",
    "InvalidSubscriptionId",
    "TenantNotFound",
    "InvalidResourceNamespace",
    "InvalidResourceType",
    "ResourceProviderNotFound",
];
/// How deep causes may be nested; ARM's template deployments use three levels.
const MAX_DEPTH: usize = 8;

/// The body of an error answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceError {
    /// The service's own code, empty if the body has none.
    pub code: String,
    /// The service's message.
    pub message: String,
    /// Nested causes, the outermost first.
    pub details: Vec<Detail>,
    /// True if the body was a JSON object.
    pub(super) is_object: bool,
}

impl ServiceError {
    /// True if the body has the shape in which the service describes errors: ARM
    /// always gives a code, the Tailscale API a message.
    fn is_of_service(&self, api: Api) -> bool {
        self.is_object
            && match api {
                Api::Azure => !self.code.is_empty(),
                _ => !self.message.is_empty(),
            }
    }

    /// Reads ARM's `error` object, the same without the wrapper (AKS), Tailscale's
    /// `message` and `data`, and RFC 6749's `error`. Any other text, such as the
    /// page of a proxy, becomes the message.
    pub fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::from_value(&value),
            Err(_) => {
                Self { message: shortened(&String::from_utf8_lossy(body)), ..Self::default() }
            }
        }
    }

    /// The same for a body that was already read as JSON.
    pub fn from_value(value: &Value) -> Self {
        let error = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
        let code = text(error, "code").or_else(|| text(value, "error")).unwrap_or_default();
        let message =
            text(error, "message").or_else(|| text(value, "error_description")).unwrap_or_default();
        let mut details = Vec::new();
        nested(error, MAX_DEPTH, &mut details);
        details.extend(list(value, "data").flat_map(tailnet_details));
        Self { code, message, details, is_object: value.is_object() }
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The causes below an error of ARM. Compute nests them in `details`, others in
/// `innererror`, and template deployments several levels deep.
fn nested(error: &Value, depth: usize, found: &mut Vec<Detail>) {
    if depth == 0 {
        return;
    }
    let inner = error.get("innererror").into_iter();
    for cause in list(error, "details").chain(inner) {
        let detail = Detail {
            code: text(cause, "code").unwrap_or_default(),
            message: text(cause, "message").unwrap_or_default(),
        };
        if !(detail.code.is_empty() && detail.message.is_empty()) {
            found.push(detail);
        }
        nested(cause, depth - 1, found);
    }
}

fn tailnet_details(entry: &Value) -> Vec<Detail> {
    let user = text(entry, "user").unwrap_or_default();
    list(entry, "errors")
        .filter_map(Value::as_str)
        .map(|message| Detail { code: user.clone(), message: message.to_owned() })
        .collect()
}

/// A proxy's error page can be long; its beginning is enough to recognise it.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 300;
    let trimmed = text.trim();
    match trimmed.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &trimmed[..end]),
        None => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> RequestError {
        RequestError::from_response(Api::Azure, "PUT route table t", status, body.as_bytes())
    }

    #[test]
    fn code_message_and_details_reach_the_user() {
        let error = response(
            429,
            r#"{"error":{"code":"RetryableError","message":"A retryable error occured.","details":[{"code":"ReferencedResourceNotProvisioned","message":"subnet x is Updating"}]}}"#,
        );
        let displayed = error.to_string();
        for part in ["PUT route table t", "429", "RetryableError", "subnet x is Updating"] {
            assert!(displayed.contains(part), "{displayed}");
        }
    }

    #[test]
    fn only_the_services_own_answer_says_that_an_object_is_missing() {
        let arm = |code: &str| format!(r#"{{"error":{{"code":"{code}","message":"x"}}}}"#);
        for code in ["ResourceNotFound", "ResourceGroupNotFound", "NotFound"] {
            assert!(response(404, &arm(code)).is_not_found(), "{code}");
        }
        for body in NOT_THE_OBJECT.map(arm) {
            assert!(!response(404, &body).is_not_found(), "{body}");
        }
        for body in ["", "<html>Not Found</html>", "[]", "{}", r#"{"message":"no Route matched"}"#]
        {
            let error = response(404, body);
            assert!(!error.is_not_found() && error.to_string().contains("404"), "{error}");
        }
        let tailscale = |body: &[u8]| RequestError::from_response(Api::Tailscale, "GET", 404, body);
        assert!(tailscale(br#"{"message":"not found"}"#).is_not_found());
        assert!(!tailscale(b"not found").is_not_found());
    }

    #[test]
    fn an_etag_mismatch_of_aks_is_a_failed_precondition() {
        let error = response(
            409,
            r#"{"code":"EtagMismatch","details":[{"code":"Unspecified","message":"rpc error"}],"message":"Operation is not allowed","subcode":"x"}"#,
        );
        assert!(error.is_precondition_failed());
        assert!(!error.is_conflict());
    }

    #[test]
    fn nested_causes_are_read_at_every_level() {
        let parsed = ServiceError::parse(
            br#"{"error":{"code":"InvalidTemplateDeployment","message":"m","details":[
            {"code":"PreflightFailed","message":"n","details":[{"code":"QuotaExceeded","message":"o"}]}],
            "innererror":{"code":"Inner","message":"p"}}}"#,
        );
        let codes: Vec<_> = parsed.details.iter().map(|detail| detail.code.as_str()).collect();
        assert_eq!(codes, ["PreflightFailed", "QuotaExceeded", "Inner"]);
    }

    #[test]
    fn pages_that_are_no_json_are_kept_as_text() {
        let error = response(502, &"<html>bad gateway</html>".repeat(100));
        assert!(error.to_string().contains("bad gateway"));
        assert!(error.to_string().len() < 500);
    }

    #[test]
    fn tailscale_and_token_endpoints_are_understood() {
        let parsed = ServiceError::parse(
            br#"{"message":"precondition failed","data":[{"user":"a@b","errors":["no"]}]}"#,
        );
        assert_eq!(parsed.message, "precondition failed");
        assert_eq!(parsed.details[0].message, "no");
        let parsed =
            ServiceError::parse(br#"{"error":"invalid_client","error_description":"gone"}"#);
        assert_eq!((parsed.code.as_str(), parsed.message.as_str()), ("invalid_client", "gone"));
    }
}
