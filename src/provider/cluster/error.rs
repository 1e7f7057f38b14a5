//! What can go wrong with the cluster's API server.

/// How an API server begins to say that an applied object has a field too many.
const NOT_IN_SCHEMA: &str = "failed to create typed patch object";

/// A request to the cluster failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {kind} {name}: {reason}")]
pub struct ClusterError {
    /// What was being done, as in `apply`.
    pub doing: &'static str,
    /// The kind of the object.
    pub kind: String,
    /// Its name, with the namespace of a namespaced one.
    pub name: String,
    /// What kind of failure it is.
    pub cause: ClusterCause,
    /// What happened, in words; never a secret.
    pub reason: String,
}

/// The kind of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterCause {
    /// There is no such object, or no such API.
    NotFound,
    /// Another field manager holds a field.
    FieldConflict {
        /// The other manager.
        manager: String,
    },
    /// The object changed in the meantime, or exists already.
    Conflict,
    /// The API server gave no answer, or asked to come back later.
    Unavailable,
    /// The credential may not do that.
    Refused,
    /// The API server took the request for wrong, or answered what cannot be
    /// understood.
    Other,
}

impl ClusterError {
    /// Whether the object or its API is not there.
    pub fn is_not_found(&self) -> bool {
        self.cause == ClusterCause::NotFound
    }

    /// The other field manager, where one holds a field.
    pub fn conflicting_manager(&self) -> Option<&str> {
        match &self.cause {
            ClusterCause::FieldConflict { manager } => Some(manager),
            _ => None,
        }
    }

    /// Whether another writer was faster, or holds a field.
    pub fn is_conflict(&self) -> bool {
        matches!(self.cause, ClusterCause::Conflict | ClusterCause::FieldConflict { .. })
    }

    /// Whether trying again later may help.
    pub fn is_unavailable(&self) -> bool {
        self.cause == ClusterCause::Unavailable
    }

    /// Whether the credential may not do that.
    pub fn is_refused(&self) -> bool {
        self.cause == ClusterCause::Refused
    }
}

/// What a request is about, for its error.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub(super) doing: &'static str,
    pub(super) kind: String,
    pub(super) name: String,
}

impl About {
    pub(super) fn new(doing: &'static str, kind: &str, name: &str) -> Self {
        Self { doing, kind: kind.to_owned(), name: name.to_owned() }
    }

    /// An error of our own finding.
    pub(super) fn error(&self, cause: ClusterCause, reason: impl Into<String>) -> ClusterError {
        ClusterError {
            doing: self.doing,
            kind: self.kind.clone(),
            name: self.name.clone(),
            cause,
            reason: reason.into(),
        }
    }

    /// An answer that lacks what it must have.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> ClusterError {
        self.error(ClusterCause::Other, reason)
    }

    /// What kube reports, sorted.
    pub(super) fn failed(&self, error: &kube::Error) -> ClusterError {
        let kube::Error::Api(status) = error else {
            let cause = match error {
                kube::Error::HyperError(_) | kube::Error::Service(_) => ClusterCause::Unavailable,
                kube::Error::Auth(_) => ClusterCause::Refused,
                _ => ClusterCause::Other,
            };
            return self.error(cause, chain(error));
        };
        let cause = match status.code {
            404 => ClusterCause::NotFound,
            401 | 403 => ClusterCause::Refused,
            409 => field_conflict(status)
                .map_or(ClusterCause::Conflict, |manager| ClusterCause::FieldConflict { manager }),
            // An apply of a field that the API server does not know is answered
            // 500, and stays wrong however often it is sent.
            500 if status.message.starts_with(NOT_IN_SCHEMA) => ClusterCause::Other,
            408 | 429 | 500 | 502..=504 => ClusterCause::Unavailable,
            _ => ClusterCause::Other,
        };
        let reason = if status.message.is_empty() {
            format!("the API server answered {}", status.code)
        } else {
            status.message.clone()
        };
        self.error(cause, reason)
    }
}

/// The error with those below it: the outermost alone says little more than
/// "service error".
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
mod tests {
    use super::*;

    fn failed(body: serde_json::Value) -> ClusterError {
        let status: kube::core::Status = serde_json::from_value(body).unwrap();
        About::new("apply", "DaemonSet", "a/b").failed(&kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_field_conflict_names_the_other_manager() {
        let error = failed(serde_json::json!({
            "status": "Failure", "code": 409, "reason": "Conflict",
            "message": "Apply failed with 1 conflict: conflict with \"kubectl\" using v1: .spec.x",
            "details": { "causes": [{
                "reason": "FieldManagerConflict", "field": ".spec.x",
                "message": "conflict with \"kubectl\" using v1",
            }]},
        }));
        assert_eq!(error.conflicting_manager(), Some("kubectl"));
        assert!(error.is_conflict());
        assert!(error.to_string().starts_with("cannot apply DaemonSet a/b: Apply failed"));
    }

    #[test]
    fn statuses_are_told_apart() {
        for (code, cause) in [
            (404, ClusterCause::NotFound),
            (403, ClusterCause::Refused),
            (409, ClusterCause::Conflict),
            (429, ClusterCause::Unavailable),
            (422, ClusterCause::Other),
        ] {
            let error = failed(serde_json::json!({ "status": "Failure", "code": code }));
            assert_eq!(error.cause, cause, "{code}");
        }
        for (message, cause) in [
            ("etcdserver: request timed out", ClusterCause::Unavailable),
            (
                "failed to create typed patch object (a/b; stargate.io/v1alpha1, Kind=Server): \
                 .spec.c: field not declared in schema",
                ClusterCause::Other,
            ),
        ] {
            let status =
                serde_json::json!({ "status": "Failure", "code": 500, "message": message });
            assert_eq!(failed(status).cause, cause, "{message}");
        }
    }
}
