//! What can go wrong between stargate and a service, and what mends it.

use std::fmt;

use serde_json::Value;

use super::http::{Api, TransportError};
use crate::diagnostics::Code;

/// A call to a service did not do what it was made for.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// The service answered, and the answer is a refusal.
    #[error("{doing}: {api} answered {status}{}: {message}{}", Coded(code), Listed(details))]
    Answer {
        /// The service.
        api: Api,
        /// The HTTP status.
        status: u16,
        /// The service's own code, empty where it gave none.
        code: String,
        /// The service's words.
        message: String,
        /// Causes below the first one.
        details: Vec<Detail>,
        /// What was asked, as in `PUT route table stargate-workers-rt`.
        doing: String,
    },
    /// There was no answer, however often it was tried.
    #[error("{doing}: {api}: {source}")]
    Transport {
        /// The service.
        api: Api,
        /// What was asked.
        doing: String,
        /// What went wrong on the wire.
        source: TransportError,
    },
    /// There is nothing to prove who we are with, or it was not taken.
    #[error("{api}: {reason}")]
    Credentials {
        /// The service.
        api: Api,
        /// What is missing or was refused.
        reason: String,
        /// Whether there was something, and it was not taken.
        refused: bool,
        /// What the user can do.
        remedy: String,
    },
    /// The answer is not what the service promises.
    #[error("{doing}: {api} answered something unexpected: {reason}")]
    Malformed {
        /// The service.
        api: Api,
        /// What was asked.
        doing: String,
        /// What is odd about it.
        reason: String,
    },
    /// The request was taken, and the work it started failed.
    #[error("{doing}: the operation ended as {status}: {code}: {message}{}", Listed(details))]
    Operation {
        /// The service.
        api: Api,
        /// What was asked.
        doing: String,
        /// `Failed`, `Canceled` or `TimedOut`.
        status: String,
        /// The service's own code.
        code: String,
        /// The service's words.
        message: String,
        /// Causes below the first one.
        details: Vec<Detail>,
    },
}

/// One cause among several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// The service's own code.
    pub code: String,
    /// The service's words.
    pub message: String,
}

/// A service's own code, where it gave one.
struct Coded<'a>(&'a str);

impl fmt::Display for Coded<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(formatter, " {}", self.0) }
    }
}

struct Listed<'a>(&'a [Detail]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|detail| write!(formatter, "; {}: {}", detail.code, detail.message))
    }
}

impl ApiError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's own code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Answer { code, .. } | Self::Operation { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the object is in another state than the request needs.
    pub fn is_conflict(&self) -> bool {
        self.status() == Some(409) && !self.is_precondition_failed()
    }

    /// Whether somebody changed the object since it was read.
    ///
    /// AKS says so with 409 and a code of its own.
    pub fn is_precondition_failed(&self) -> bool {
        self.status() == Some(412)
            || (self.status() == Some(409) && self.code() == Some("EtagMismatch"))
    }

    /// Whether the service asked for patience for longer than we had.
    pub fn is_throttled(&self) -> bool {
        self.status() == Some(429)
    }

    /// The stable code that the user reads.
    pub fn stable_code(&self) -> Code {
        match self {
            Self::Credentials { api: Api::Tailscale, refused: false, .. } => {
                Code::TailscaleCredentialsMissing
            }
            Self::Credentials { refused: false, .. } => Code::AzureCredentialsMissing,
            Self::Credentials { api, refused: true, .. }
            | Self::Answer { api, status: 401 | 403, .. } => match api {
                Api::Azure => Code::AzureRefused,
                Api::Tailscale => Code::TailscaleRefused,
                Api::Kubernetes => Code::ApiError,
            },
            Self::Answer { status: 429, .. } => Code::Throttled,
            _ => Code::ApiError,
        }
    }

    /// Whether the credentials do not suffice.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Credentials { .. }) || matches!(self.status(), Some(401 | 403))
    }

    /// Whether the service is away: it answers 503, or nothing at all.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Transport { .. }) || self.status() == Some(503)
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Credentials { remedy, .. } => remedy.clone(),
            Self::Answer { api, status: 401 | 403, .. } => refused_remedy(*api).to_owned(),
            Self::Answer { status: 429, .. } => {
                "wait a few minutes: the service limits how often it may be asked".to_owned()
            }
            Self::Answer { status: 500.., .. } => {
                "wait a while and run it again: the service is in trouble itself".to_owned()
            }
            Self::Answer { code, .. } | Self::Operation { code, .. } => code_remedy(code),
            Self::Transport { source, .. } => {
                format!("check that {} can be reached from here, then run it again", source.host)
            }
            Self::Malformed { .. } => {
                "run it again; if it persists, a proxy may be answering in the service's place"
                    .to_owned()
            }
        }
    }

    /// Reads a refusal off an answer's body, whatever shape the service chose.
    pub fn from_answer(api: Api, doing: &str, status: u16, body: &[u8]) -> Self {
        let parsed = ServiceError::parse(body);
        Self::Answer {
            api,
            status,
            code: parsed.code,
            message: parsed.message,
            details: parsed.details,
            doing: doing.to_owned(),
        }
    }
}

fn refused_remedy(api: Api) -> &'static str {
    match api {
        Api::Azure => {
            "log in again (`az login`), or give the identity the roles Contributor and \
             Azure Kubernetes Service Cluster User on the subscription"
        }
        Api::Tailscale => {
            "use an API key, or an OAuth client with the scopes auth_keys, devices:core and \
             devices:routes that carries the topology's tag"
        }
        Api::Kubernetes => "use a kubeconfig whose user may administer the cluster",
    }
}

fn code_remedy(code: &str) -> String {
    let remedy = match code {
        "ResourceGroupBeingDeleted" => "wait until the resource group is gone, then apply again",
        "AnotherOperationInProgress" | "OperationNotAllowed" => {
            "wait until the other operation has ended, then apply again"
        }
        "EtagMismatch" => "plan again: somebody changed the object in the meantime",
        "QuotaExceeded" | "SkuNotAvailable" => {
            "choose another VM size or region, or have the quota raised"
        }
        "InUseSubnetCannotBeDeleted" | "NicInUse" | "InUseRouteTableCannotBeDeleted" => {
            "remove what still uses the object, then apply again"
        }
        "ScopeLocked" => "remove the management lock, or leave the object to its owner",
        _ => "apply again: what was done stays done, and the rest is planned anew",
    };
    remedy.to_owned()
}

/// A refusal as services write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceError {
    /// The service's own code, empty where it gave none.
    pub code: String,
    /// The service's words.
    pub message: String,
    /// Causes below the first one.
    pub details: Vec<Detail>,
}

impl ServiceError {
    /// Understands ARM's `error` object, the same unwrapped (AKS), Tailscale's
    /// `message` and `data`, RFC 6749's `error`, and keeps other text as it is.
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
        let mut details: Vec<Detail> = list(error, "details").map(detail).collect();
        details.extend(list(value, "data").flat_map(tailnet_details));
        Self { code, message, details }
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn detail(value: &Value) -> Detail {
    Detail {
        code: text(value, "code").unwrap_or_default(),
        message: text(value, "message").unwrap_or_default(),
    }
}

fn tailnet_details(entry: &Value) -> Vec<Detail> {
    let user = text(entry, "user").unwrap_or_default();
    list(entry, "errors")
        .filter_map(Value::as_str)
        .map(|message| Detail { code: user.clone(), message: message.to_owned() })
        .collect()
}

/// A proxy's error page can be long; its beginning says what there is to say.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    let trimmed = text.trim();
    match trimmed.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &trimmed[..end]),
        None => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ApiError {
        ApiError::from_answer(Api::Azure, "PUT route table t", status, body.as_bytes())
    }

    #[test]
    fn code_message_and_details_reach_the_user() {
        let error = answer(
            429,
            r#"{"error":{"code":"RetryableError","message":"A retryable error occured.","details":[{"code":"ReferencedResourceNotProvisioned","message":"subnet x is Updating"}]}}"#,
        );
        let shown = error.to_string();
        for part in ["PUT route table t", "429", "RetryableError", "subnet x is Updating"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert!(error.is_throttled());
    }

    #[test]
    fn an_etag_mismatch_of_aks_is_a_failed_precondition() {
        let error = answer(
            409,
            r#"{"code":"EtagMismatch","details":[{"code":"Unspecified","message":"rpc error"}],"message":"Operation is not allowed","subcode":"x"}"#,
        );
        assert!(error.is_precondition_failed());
        assert!(!error.is_conflict());
        assert!(error.remedy().contains("plan again"));
    }

    #[test]
    fn pages_that_are_no_json_are_kept_as_text() {
        let error = answer(502, &"<html>bad gateway</html>".repeat(100));
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
