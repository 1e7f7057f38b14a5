//! The error that ends a command.

use crate::diagnostics::Code;
use crate::plan::saved_plan::PlanFileError;
use crate::render::redact::redact;
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
    /// The exit code of the process.
    pub exit: u8,
}

impl CliError {
    /// An error without a code.
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), hints: Vec::new(), exit: exit::ERROR }
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

    /// The error as text, with a line break at the end.
    pub fn render(&self, style: Style) -> String {
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
        text
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
        insta::assert_snapshot!(error.render(Style::Plain));
    }
}
