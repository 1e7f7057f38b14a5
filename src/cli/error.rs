//! The error that ends a command.

use crate::diagnostics::redact::redact;
use crate::diagnostics::{Code, Diagnostics, Failure};
use crate::plan::saved_plan::PlanFileError;
use crate::render::annotations::AnnotationError;
use crate::render::text::wrap_to;
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
    pub remedies: Vec<String>,
    /// The causes below the message, the nearest first; printed with `-v`.
    pub causes: Vec<String>,
    /// The errors of the topology, if the error is that it is invalid. Already printed
    /// on stderr.
    pub diagnostics: Option<Box<Diagnostics>>,
    /// Errors that are independent of this one and were found with it, such as credentials
    /// of other services that are missing, too.
    pub others: Vec<CliError>,
    /// The exit code of the process.
    pub exit: u8,
}

impl CliError {
    /// An error without a code.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: None,
            message: message.into(),
            remedies: Vec::new(),
            causes: Vec::new(),
            diagnostics: None,
            others: Vec::new(),
            exit: exit::ERROR,
        }
    }

    /// An error with a stable code.
    pub fn coded(code: Code, message: impl Into<String>) -> Self {
        Self { code: Some(code), ..Self::new(message) }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedies.push(remedy.into());
        self
    }

    /// Sets an exit code other than [`exit::ERROR`].
    #[must_use]
    pub fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// Independent errors as one; `None` without any.
    pub(crate) fn all(errors: Vec<Self>) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { others: errors.collect(), ..first })
    }

    /// This error and those that were found with it.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// The error as lines of text of at most `columns`, the last one ended; with the
    /// chain of causes if `verbose`.
    pub fn render(&self, style: Style, columns: usize, verbose: bool) -> String {
        self.each().map(|error| error.render_one(style, columns, verbose)).collect()
    }

    fn render_one(&self, style: Style, columns: usize, verbose: bool) -> String {
        let mut lines = self.message_lines(style, columns);
        let mut add = |role: Role, label: &str, text: &str| {
            let text = format!("{label}: {}", redact(text));
            let wrapped = wrap_to(columns, &text, "  ", "    ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(role, line)));
        };
        self.remedies.iter().for_each(|remedy| add(Role::Help, "help", remedy));
        if verbose {
            self.causes.iter().for_each(|cause| add(Role::Quiet, "caused by", cause));
        }
        lines.join("\n") + "\n"
    }

    fn message_lines(&self, style: Style, columns: usize) -> Vec<String> {
        let title = match self.code {
            Some(code) => format!("error[{code}]"),
            None => "error".to_owned(),
        };
        let message = redact(&self.message);
        let mut first = format!("{title}: ");
        let mut lines = Vec::new();
        for line in message.lines() {
            let begin = if lines.is_empty() { std::mem::take(&mut first) } else { "  ".to_owned() };
            lines.extend(wrap_to(columns, line, &begin, "  "));
        }
        if let Some(line) = lines.first_mut() {
            *line = line.replacen(&title, &style.paint(Role::Error, &title), 1);
        }
        lines
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, remedy, source } = failure;
        let remedies = if remedy.is_empty() { Vec::new() } else { vec![remedy] };
        Self { remedies, causes: source, ..Self::coded(code, message) }
    }
}

impl From<CliError> for Failure {
    /// An error without a code is one of this machine: a file or a setting.
    fn from(error: CliError) -> Self {
        let message = error.each().map(|it| it.message.as_str()).collect::<Vec<_>>().join("; ");
        let remedies = error.each().filter_map(|it| it.remedies.first().map(String::as_str));
        let remedy = remedies.collect::<Vec<_>>().join("; ");
        let CliError { code, causes, .. } = error;
        let failure = Self::new(code.unwrap_or(Code::Unreadable), message, remedy);
        causes.into_iter().fold(failure, Failure::caused_by)
    }
}

impl From<AnnotationError> for CliError {
    fn from(error: AnnotationError) -> Self {
        Self::new(error.to_string()).remedy("choose another `--format`")
    }
}

impl From<PlanFileError> for CliError {
    fn from(error: PlanFileError) -> Self {
        let stale = matches!(error, PlanFileError::OtherTopology(_));
        Self::coded(error.code(), error.to_string())
            .remedy("create a new plan with `stargate plan --out FILE`")
            .exit(if stale { exit::STALE } else { exit::ERROR })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_with_remedies() {
        let error = CliError::coded(Code::AzureCredentialsMissing, "no Azure credentials found")
            .remedy("log in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
            .remedy("`--sandbox` needs no credentials");
        insta::assert_snapshot!(error.render(Style::Plain, 80, false));
    }

    #[test]
    fn an_error_wraps_at_the_width() {
        let error =
            CliError::coded(Code::SandboxInUse, "a word ".repeat(30)).remedy("b ".repeat(80));
        for columns in [40, 80, 120] {
            let text = error.render(Style::Plain, columns, false);
            assert!(text.lines().all(|line| line.len() <= columns), "{text}");
            assert!(text.lines().skip(1).all(|line| line.starts_with("  ")), "{text}");
        }
    }

    #[test]
    fn only_a_verbose_error_shows_its_causes() {
        let failure = Failure::new(Code::AzureRefused, "GET /x: Azure answered 403", "log in")
            .caused_by("PolicyDenied: by an assignment")
            .caused_by("Bearer marked-marked");
        let error = CliError::from(failure);
        let brief = error.render(Style::Plain, 80, false);
        assert!(brief.contains("error[SG0602]") && !brief.contains("caused by"), "{brief}");
        let verbose = error.render(Style::Plain, 80, true);
        let causes: Vec<_> = verbose.lines().filter(|line| line.contains("caused by")).collect();
        assert_eq!(
            causes,
            ["  caused by: PolicyDenied: by an assignment", "  caused by: Bearer *************"]
        );
    }
}
