//! Results as annotations of the topology file, for code review and CI systems: SARIF,
//! JUnit XML and the workflow commands of GitHub Actions.

mod diagnostics;
mod github;
mod junit;
mod markdown;
mod plan;
mod sarif;

use std::borrow::Cow;

use crate::diagnostics::redact::redact;
use crate::diagnostics::{Code, Failure, Span};
use crate::resource::Address;
use crate::topology::spans::TopologySpans;

use super::diagnostic::line_and_column;

/// How bad a result is, from the worst to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnnotationLevel {
    /// Nothing can be applied, or packets are dropped.
    Error,
    /// A source could not be read: the result is unknown.
    Unknown,
    /// The infrastructure differs from the topology, or something needs attention.
    Warning,
    /// For information.
    Note,
}

/// The rule that a result comes from; CI systems group results by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AnnotationRule {
    /// Its stable id: a code as `stargate explain` knows it, or a name.
    pub id: String,
    /// The subject, in a few words.
    pub title: String,
    /// The meaning and the remedy; empty if the title says it all.
    pub explanation: String,
}

impl AnnotationRule {
    /// The rule of a code.
    pub(super) fn of_code(code: Code) -> Self {
        Self {
            id: code.as_str().to_owned(),
            title: code.title().to_owned(),
            explanation: code.explanation().to_owned(),
        }
    }

    /// A rule that has a name instead of a code.
    pub(super) fn named(id: &str, title: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned(), explanation: String::new() }
    }
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it comes from.
    pub rule: AnnotationRule,
    /// How bad it is.
    pub level: AnnotationLevel,
    /// The message.
    pub message: String,
    /// The remedy; empty without one.
    pub remedy: String,
    /// The resource that it is about, if it is about one.
    pub resource: Option<Address>,
    /// Its place in the topology file, if it is known.
    pub span: Option<Span>,
    /// Why it does not count: the reason of the `[[ignore]]` that it matches.
    pub ignored: Option<String>,
}

impl Annotation {
    pub(super) fn new(
        rule: AnnotationRule,
        level: AnnotationLevel,
        message: impl Into<String>,
    ) -> Self {
        let (remedy, resource, span, ignored) = (String::new(), None, None, None);
        Self { rule, level, message: message.into(), remedy, resource, span, ignored }
    }

    fn of_failure(level: AnnotationLevel, failure: &Failure) -> Self {
        let rule = AnnotationRule::of_code(failure.code);
        Self { remedy: failure.remedy.clone(), ..Self::new(rule, level, &failure.message) }
    }

    /// The error that ended a command. One without a code is about this machine.
    pub fn of_failed_command(code: Option<Code>, message: &str, remedy: &str) -> Self {
        let rule = match code {
            Some(code) => AnnotationRule::of_code(code),
            None => AnnotationRule::named("command-failed", "The command could not be run"),
        };
        let failed = Self::new(rule, AnnotationLevel::Unknown, message);
        Self { remedy: remedy.to_owned(), ..failed }
    }

    pub(super) fn about(self, resource: &Address) -> Self {
        Self { resource: Some(resource.clone()), ..self }
    }

    /// The message and the remedy, as two paragraphs.
    fn text(&self) -> String {
        if self.remedy.is_empty() {
            return self.message.clone();
        }
        format!("{}\nhelp: {}", self.message, self.remedy)
    }
}

/// The results of one command.
#[derive(Debug, Clone)]
pub struct AnnotationReport<'a> {
    /// The command, as in `drift`.
    pub command: &'a str,
    /// The path of the topology file as given on the command line.
    pub file_name: &'a str,
    /// The text of the topology file, for lines and columns.
    pub text: &'a str,
    annotations: Vec<Annotation>,
    /// The checks without a result, by name; JUnit lists them as passed.
    passed: Vec<String>,
    /// Whether the command ended before it could find everything out.
    failed: bool,
}

/// A format of annotations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationFormat {
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, for the test results of a CI job.
    Junit,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// Why a report could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum AnnotationError {
    /// The XML could not be written.
    #[error("the JUnit XML could not be written: {0}")]
    Junit(#[from] quick_junit::SerializeError),
}

/// The start and the end of a place in the file: lines and columns, counted from 1 in
/// characters; the end column is the one after the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Region {
    start: (usize, usize),
    end: (usize, usize),
}

impl<'a> AnnotationReport<'a> {
    /// A report without results.
    pub fn new(command: &'a str, file_name: &'a str, text: &'a str) -> Self {
        let (annotations, passed) = (Vec::new(), Vec::new());
        Self { command, file_name, text, annotations, passed, failed: false }
    }

    /// A report of a command that an error ended.
    pub fn of_failed_command(command: &'a str, file_name: &'a str, text: &'a str) -> Self {
        Self { failed: true, ..Self::new(command, file_name, text) }
    }

    /// Adds results. A result about a resource without a location gets that of the block
    /// that describes the resource.
    pub fn extend(
        &mut self,
        found: impl IntoIterator<Item = Annotation>,
        spans: Option<&TopologySpans>,
    ) {
        for mut one in found {
            one.message = redacted(one.message);
            one.remedy = redacted(one.remedy);
            if let (None, Some(spans)) = (&one.span, spans) {
                one.span = one.resource.as_ref().map(|address| spans.block_of(address));
            }
            self.annotations.push(one);
        }
        self.annotations.sort_by_key(|one| one.level);
    }

    /// Adds the name of something that was checked and holds.
    pub fn pass(&mut self, name: impl Into<String>) {
        self.passed.push(name.into());
    }

    /// Renders the report.
    ///
    /// # Errors
    /// JUnit XML that could not be written.
    pub fn render(&self, format: AnnotationFormat) -> Result<String, AnnotationError> {
        Ok(match format {
            AnnotationFormat::Sarif => sarif::render(self),
            AnnotationFormat::Junit => junit::render(self)?,
            AnnotationFormat::Github => github::render(self),
        })
    }

    fn region(&self, one: &Annotation) -> Region {
        let span = one.span.clone().unwrap_or_default();
        let (start, end) = (span.start, span.end.max(span.start));
        Region { start: line_and_column(self.text, start), end: line_and_column(self.text, end) }
    }
}

fn redacted(text: String) -> String {
    match redact(&text) {
        Cow::Owned(masked) => masked,
        Cow::Borrowed(_) => text,
    }
}

#[cfg(test)]
mod tests;
