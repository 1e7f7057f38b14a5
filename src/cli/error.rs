//! The error that ends a command.

use crate::diagnostics::redact::redact;
use crate::diagnostics::{Code, Failure};
use crate::plan::saved_plan::PlanFileError;
use crate::render::text::wrap;
use crate::render::{Role, Style};

use super::exit;

/// An error that ends a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// The stable code that `explain` describes, if there is one.
    pub code: Option<Code>,
    /// The message.
    pub message: String,
    /// Remedies, the most likely first; printed after `help:`.
    pub hints: Vec<String>,
    /// The causes below the message, the nearest first; printed with `-v`.
    pub causes: Vec<String>,
    /// The exit code of the process.
    pub exit: u8,
}

impl CliError {
    /// An error without a code.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: None,
            message: message.into(),
            hints: Vec::new(),
            causes: Vec::new(),
            exit: exit::ERROR,
        }
    }

    /// An error with a stable code.
    pub fn coded(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::new(message) }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Sets an exit code other than [`exit::ERROR`].
    #[must_use]
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// The error as lines of text, the last one ended; with the chain of causes
    /// if `verbose`.
    pub fn render(&self, style: Style, verbose: bool) -> String {
        let title = match self.code {
            Some(code) => format!("error[{code}]"),
            None => "error".to_owned(),
        };
        let message = redact(&self.message);
        let mut text = format!("{}: {message}\n", style.paint(Role::Error, title));
        for hint in &self.hints {
            for line in wrap(&format!("help: {}", redact(hint)), "  ", "    ") {
                text.push_str(&style.paint(Role::Help, line));
                text.push('\n');
            }
        }
        let causes = self.causes.iter().filter(|_| verbose);
        for line in causes.flat_map(|it| wrap(&format!("caused by: {}", redact(it)), "  ", "    "))
        {
            text.push_str(&style.paint(Role::Quiet, line));
            text.push('\n');
        }
        text
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, remedy, source } = failure;
        let hints = if remedy.is_empty() { Vec::new() } else { vec![remedy] };
        Self { hints, causes: source, ..Self::coded(code, message) }
    }
}

impl From<PlanFileError> for CliError {
    fn from(error: PlanFileError) -> Self {
        let stale = matches!(error, PlanFileError::OtherTopology(_));
        Self::coded(error.code(), error.to_string())
            .hint("create a new plan with `stargate plan --out FILE`")
            .exit(if stale { exit::STALE } else { exit::ERROR })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_hints() {
        let error = CliError::coded(Code::AzureCredentialsMissing, "no Azure credentials found")
            .hint("log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
            .hint("`--sandbox` needs no credentials");
        insta::assert_snapshot!(error.render(Style::Plain, false));
    }

    #[test]
    fn only_a_verbose_error_shows_its_causes() {
        let failure = Failure::new(Code::AzureRefused, "GET /x: Azure answered 403", "log in")
            .caused_by("PolicyDenied: by an assignment")
            .caused_by("Bearer marked-marked");
        let error = CliError::from(failure);
        let brief = error.render(Style::Plain, false);
        assert!(brief.contains("error[SG0602]") && !brief.contains("caused by"), "{brief}");
        let verbose = error.render(Style::Plain, true);
        let causes: Vec<_> = verbose.lines().filter(|line| line.contains("caused by")).collect();
        assert_eq!(
            causes,
            ["  caused by: PolicyDenied: by an assignment", "  caused by: Bearer *************"]
        );
    }
}
