//! Errors of requests to the Kubernetes API server, with their codes and remedies.

use super::entra_refusal::{EntraRefusal, is_of_admission};
use crate::diagnostics::{Code, Failure, ServiceText};
use crate::provider::error::RequestError;
use crate::provider::http::TransportError;
use crate::provider::request_policy::NOT_IN_SCHEMA;

/// The remedy for credentials that the API server does not accept for a request.
pub(in crate::provider) const CLUSTER_ROLES: &str = "use a kubeconfig of a cluster administrator, or assign the identity the role `Azure \
     Kubernetes Service RBAC Cluster Admin`; `kubectl auth can-i --list` shows what the \
     credentials allow";

/// A request to the cluster failed. `Failure::from` gives it a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {activity} {kind} {name}: {reason}")]
pub struct ClusterError {
    /// The activity that failed, as in `apply`.
    pub activity: &'static str,
    /// The kind of the object.
    pub kind: Box<str>,
    /// Its name, with the namespace of a namespaced one.
    pub name: Box<str>,
    /// The cause, which callers decide on.
    pub cause: ClusterCause,
    /// The stable code; finer than the cause.
    pub code: Code,
    /// The API server's message, or the error of the connection; never a secret.
    pub reason: String,
    /// The causes that the API server lists, as `field: message`.
    pub details: Box<[String]>,
}

/// The causes that callers distinguish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterCause {
    /// The object or its API does not exist.
    NotFound,
    /// Another field manager owns a field.
    FieldConflict {
        /// The other manager.
        manager: String,
    },
    /// The object changed after it was read, or exists already.
    Conflict,
    /// The API server did not answer, or is overloaded.
    Unavailable,
    /// The credentials do not allow the request.
    Refused,
    /// The sign-in to the cluster failed, or the identity lacks a role.
    SignIn(Box<SignInFailure>),
    /// The API server rejected the request, or its answer is not understood.
    Other,
}

/// How a failed sign-in can succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInFailure {
    /// The remedy.
    pub remedy: String,
    /// Whether the service that signs in did not answer.
    pub unavailable: bool,
}

impl ClusterError {
    /// True if the object or its API does not exist.
    pub fn is_not_found(&self) -> bool {
        self.cause == ClusterCause::NotFound
    }

    /// The other field manager, if one owns a field.
    pub fn conflicting_manager(&self) -> Option<&str> {
        match &self.cause {
            ClusterCause::FieldConflict { manager } => Some(manager),
            _ => None,
        }
    }

    /// True if another writer was faster, or owns a field.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, ClusterCause::Conflict | ClusterCause::FieldConflict { .. })
    }

    /// True if the same request may succeed later.
    pub fn is_unavailable(&self) -> bool {
        match &self.cause {
            ClusterCause::SignIn(failure) => failure.unavailable,
            cause => *cause == ClusterCause::Unavailable,
        }
    }

    /// True if the credentials do not allow the request.
    pub fn is_refused(&self) -> bool {
        match &self.cause {
            ClusterCause::SignIn(failure) => !failure.unavailable,
            cause => *cause == ClusterCause::Refused,
        }
    }
}

impl From<&ClusterError> for Failure {
    fn from(error: &ClusterError) -> Self {
        let failure = Self::new(error.code, error.to_string(), remedy(error));
        error.details.iter().fold(failure, Self::caused_by)
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        Self::from(&error)
    }
}

fn remedy(error: &ClusterError) -> String {
    if let ClusterCause::SignIn(failure) = &error.cause {
        return failure.remedy.clone();
    }
    let text = match error.code {
        Code::FieldConflict => {
            let manager = error.conflicting_manager().unwrap_or("the other manager");
            return format!(
                "remove the field from the configuration of `{manager}`, or delete the object and \
                 run `stargate apply` again"
            );
        }
        Code::ClusterRefused => CLUSTER_ROLES,
        Code::AdmissionRefused => {
            "add an exception for the object to the admission webhook or policy that the message \
             names, then run `stargate apply` again"
        }
        Code::ObjectMissing | Code::ChangedSinceRead | Code::Conflict => {
            "run `stargate plan` again: it reads the live state again"
        }
        Code::Throttled => "wait a few minutes, then run the same command again",
        Code::ServiceUnreachable => {
            "check that this machine reaches the cluster's API server: `kubectl get --raw /readyz`"
        }
        Code::ServiceUnavailable => {
            "check the API server's health with `kubectl get --raw /readyz?verbose`, then run the \
             same command again"
        }
        Code::StepFailed => {
            "correct the fault of the machine that stargate runs on, then run the same command \
             again"
        }
        Code::InvalidRequest => {
            "compare the object with its schema (`kubectl explain KIND`); an older stargate may \
             have installed the CRD"
        }
        _ => "run the same command again; `-v` prints the causes",
    };
    text.to_owned()
}

/// The request that an error is about.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) activity: &'static str,
    pub(super) kind: String,
    pub(super) name: String,
}

impl About {
    pub(super) fn new(activity: &'static str, kind: &str, name: &str) -> Self {
        Self { activity, kind: kind.to_owned(), name: name.to_owned() }
    }

    /// An error that stargate itself found.
    pub(super) fn error(&self, cause: ClusterCause, reason: impl Into<String>) -> ClusterError {
        let code = match cause {
            ClusterCause::NotFound => Code::ObjectMissing,
            ClusterCause::FieldConflict { .. } => Code::FieldConflict,
            ClusterCause::Conflict => Code::Conflict,
            ClusterCause::Unavailable => Code::ServiceUnavailable,
            ClusterCause::Refused | ClusterCause::SignIn(_) => Code::ClusterRefused,
            ClusterCause::Other => Code::UnexpectedResponse,
        };
        self.coded(cause, code, reason)
    }

    fn coded(&self, cause: ClusterCause, code: Code, reason: impl Into<String>) -> ClusterError {
        ClusterError {
            activity: self.activity,
            kind: self.kind.as_str().into(),
            name: self.name.as_str().into(),
            cause,
            code,
            reason: reason.into(),
            details: Box::default(),
        }
    }

    /// A fault of the machine that stargate runs on: nothing was sent.
    pub(super) fn local(&self, reason: impl Into<String>) -> ClusterError {
        self.coded(ClusterCause::Other, Code::StepFailed, reason)
    }

    /// The error of a response without a field that the API requires.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> ClusterError {
        self.error(ClusterCause::Other, reason)
    }

    /// The error of a request that has no token, or whose credential cannot be fetched.
    pub(super) fn not_signed_in(&self, error: &RequestError) -> ClusterError {
        let failure = Failure::from(error);
        let (remedy, unavailable) = (failure.remedy, error.is_unavailable());
        let cause = ClusterCause::SignIn(Box::new(SignInFailure { remedy, unavailable }));
        self.coded(cause, failure.code, error.to_string())
    }

    /// An error of kube, classified, with text that is safe to print.
    pub(super) fn failed(&self, mut error: kube::Error) -> ClusterError {
        if let kube::Error::Api(status) = &mut error {
            make_printable(status);
        }
        let (cause, code) = match &error {
            kube::Error::Api(status) => return self.answered(status),
            kube::Error::Service(source)
                if source.is::<EntraRefusal>() || source.is::<RequestError>() =>
            {
                return self.refused_sign_in(source.as_ref());
            }
            kube::Error::Service(source) if is_permanent(source.as_ref()) => {
                return self.malformed(String::from(ServiceText::message(&source.to_string())));
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) => {
                (ClusterCause::Unavailable, Code::ServiceUnreachable)
            }
            kube::Error::Auth(_) => (ClusterCause::Refused, Code::ClusterRefused),
            _ => (ClusterCause::Other, Code::UnexpectedResponse),
        };
        self.coded(cause, code, String::from(ServiceText::message(&chain(&error))))
    }

    fn refused_sign_in(&self, source: &(dyn std::error::Error + 'static)) -> ClusterError {
        if let Some(error) = source.downcast_ref::<RequestError>() {
            return self.not_signed_in(error);
        }
        let refusal = source.downcast_ref::<EntraRefusal>();
        let remedy = refusal.map_or(CLUSTER_ROLES, |refusal| &refusal.remedy).to_owned();
        let cause = ClusterCause::SignIn(Box::new(SignInFailure { remedy, unavailable: false }));
        self.coded(cause, Code::ClusterRefused, source.to_string())
    }

    fn answered(&self, status: &kube::core::Status) -> ClusterError {
        let (cause, code) = classify(status);
        let reason = if status.message.is_empty() {
            format!("the API server answered {}", status.code)
        } else {
            status.message.clone()
        };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let details = causes.map(|cause| match cause.field.as_str() {
            "" => cause.message.clone(),
            field => format!("{field}: {}", cause.message),
        });
        ClusterError { details: details.collect(), ..self.coded(cause, code, reason) }
    }
}

/// Whether the request fails however often it is sent, as for a response that is too large.
fn is_permanent(source: &(dyn std::error::Error + 'static)) -> bool {
    source.downcast_ref::<TransportError>().is_some_and(|source| !source.is_transient())
}

fn make_printable(status: &mut kube::core::Status) {
    for text in [&mut status.message, &mut status.reason] {
        *text = ServiceText::message(text).into();
    }
    for cause in status.details.iter_mut().flat_map(|details| &mut details.causes) {
        cause.message = ServiceText::message(&cause.message).into();
    }
}

fn classify(status: &kube::core::Status) -> (ClusterCause, Code) {
    let admission = is_of_admission(&status.message);
    match status.code {
        404 if says_not_found(status) => (ClusterCause::NotFound, Code::ObjectMissing),
        404 => (ClusterCause::Other, Code::UnexpectedResponse),
        401 => (ClusterCause::Refused, Code::ClusterRefused),
        403 if !admission => (ClusterCause::Refused, Code::ClusterRefused),
        403 => (ClusterCause::Refused, Code::AdmissionRefused),
        400 | 422 if admission => (ClusterCause::Other, Code::AdmissionRefused),
        409 => match field_conflict(status) {
            Some(manager) => (ClusterCause::FieldConflict { manager }, Code::FieldConflict),
            None if status.reason == "AlreadyExists" => (ClusterCause::Conflict, Code::Conflict),
            None => (ClusterCause::Conflict, Code::ChangedSinceRead),
        },
        // An apply of a field that the API server does not know is answered 500,
        // and fails however often it is sent.
        500 if status.message.starts_with(NOT_IN_SCHEMA) => {
            (ClusterCause::Other, Code::InvalidRequest)
        }
        429 => (ClusterCause::Unavailable, Code::Throttled),
        408 | 500 | 502..=504 => (ClusterCause::Unavailable, Code::ServiceUnavailable),
        400 | 413 | 415 | 422 => (ClusterCause::Other, Code::InvalidRequest),
        _ => (ClusterCause::Other, Code::RequestError),
    }
}

/// True if the API server itself says that the object or its API does not exist.
///
/// It answers a path that it does not serve with a line of text, as Go's
/// `http.NotFound` does. A proxy's 404 must not pass for the absence of an object.
fn says_not_found(status: &kube::core::Status) -> bool {
    status.reason == "NotFound" || status.message.trim() == "404 page not found"
}

/// The error with its sources: kube's own message is little more than "service
/// error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    text
}

/// The manager that a conflict of server-side apply names, as in
/// `conflict with "kubectl" using apps/v1`.
fn field_conflict(status: &kube::core::Status) -> Option<String> {
    let details = status.details.as_ref()?;
    let cause = details.causes.iter().find(|cause| cause.reason == "FieldManagerConflict")?;
    let manager = cause.message.split('"').nth(1).unwrap_or("another manager");
    Some(manager.to_owned())
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
