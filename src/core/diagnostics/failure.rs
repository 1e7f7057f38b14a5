//! Why something could not be done: one type from the client to the screen.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::redact::redact;
use super::{Code, ServiceText};

/// Why a request, a step or a check failed, for the person who must act.
///
/// Every error of a client becomes a `Failure` in one place, its `From` implementation,
/// which alone chooses the code. Plans, steps and commands pass it on unchanged, so the
/// same refusal always has the same code.
///
/// The constructors mask text that resembles a secret (see [`redact`]); a `Failure` can be
/// printed, logged and saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code of the cause; `stargate explain` describes it.
    pub code: Code,
    /// The activity, the resource, and the service's response.
    pub message: String,
    /// The remedy, with a command where there is one.
    pub remedy: String,
    /// The causes below the message, the nearest first, as `-v` prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<String>,
}

/// Masks secrets in the text, and removes characters that could control a terminal or a
/// log.
fn printable(text: &str) -> String {
    ServiceText::lines(&redact(text)).into()
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(code: Code, message: impl AsRef<str>, remedy: impl Into<String>) -> Self {
        Self {
            code,
            message: printable(message.as_ref()),
            remedy: remedy.into(),
            source: Vec::new(),
        }
    }

    /// A failure with the message and the chain of sources of an error.
    pub fn of(code: Code, error: &dyn Error, remedy: impl Into<String>) -> Self {
        let mut failure = Self::new(code, error.to_string(), remedy);
        let mut source = error.source();
        while let Some(cause) = source {
            failure = failure.caused_by(cause.to_string());
            source = cause.source();
        }
        failure
    }

    /// Adds a cause below those that are there already. An empty text and a
    /// repetition of the cause above it are left out.
    #[must_use]
    pub fn caused_by(mut self, cause: impl AsRef<str>) -> Self {
        let cause = printable(cause.as_ref());
        let above = self.source.last().unwrap_or(&self.message);
        if !cause.is_empty() && *above != cause {
            self.source.push(cause);
        }
        self
    }

    /// The same failure as the cause of a larger one: the message becomes the
    /// first cause; code and remedy stay.
    #[must_use]
    pub fn within(self, message: impl AsRef<str>) -> Self {
        let wrapped = Self::new(self.code, message, self.remedy).caused_by(self.message);
        self.source.into_iter().fold(wrapped, Self::caused_by)
    }

    /// The same failure in other words, which are masked as those of a new one are.
    #[must_use]
    pub fn with_message(self, message: impl AsRef<str>) -> Self {
        Self { message: printable(message.as_ref()), ..self }
    }

    /// The same failure with another remedy.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("connecting with Bearer marked-marked failed")]
    struct Inner;

    #[test]
    fn the_chain_of_an_error_is_kept_and_masked() {
        let failure = Failure::of(Code::ServiceUnreachable, &Outer(Inner), "try again");
        assert_eq!(failure.message, "outer");
        assert_eq!(failure.source, ["connecting with Bearer ************* failed"]);
    }

    #[test]
    fn a_wrapped_failure_keeps_code_remedy_and_causes() {
        let inner = Failure::new(Code::Throttled, "429", "wait").caused_by("limit 5");
        let outer = inner.within("cannot list devices");
        assert_eq!((outer.code, outer.remedy.as_str()), (Code::Throttled, "wait"));
        assert_eq!(outer.source, ["429", "limit 5"]);
    }

    /// No way to build a failure passes a secret or a control character on.
    #[test]
    fn a_message_is_masked_wherever_it_is_set() {
        let failure = Failure::new(Code::RequestError, "a", "b");
        let failure = failure.with_message("Bearer marked-marked \u{1b}[2J");
        assert!(!failure.message.contains("marked") && !failure.message.contains('\u{1b}'));
        assert_eq!(failure.clone().with_message(&failure.message), failure);
    }

    #[test]
    fn repeated_and_empty_causes_are_omitted() {
        let failure = Failure::new(Code::RequestError, "a", "b").caused_by("a").caused_by("");
        assert_eq!(failure.source, [] as [&str; 0]);
    }

    #[test]
    fn a_failure_survives_a_saved_plan() {
        let failure = Failure::new(Code::AzureRefused, "a", "b").caused_by("c");
        let text = serde_json::to_string(&failure).unwrap();
        assert_eq!(text, r#"{"code":"SG0602","message":"a","remedy":"b","source":["c"]}"#);
        assert_eq!(serde_json::from_str::<Failure>(&text).unwrap(), failure);
    }
}
