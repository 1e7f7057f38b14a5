//! Renders diagnostics as rustc does, or as JSON.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::diagnostics::redact::redact;
use crate::diagnostics::{Code, Diagnostic, Diagnostics, Label, Severity};

use super::Style;
use super::text::{width, wrap_to};

/// The version of the format of `validate --format json`.
pub const FORMAT_VERSION: &str = "1.0";

/// How reports are rendered.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Colored or plain.
    pub style: Style,
    /// The width in columns.
    pub columns: usize,
}

/// Renders every diagnostic, with a blank line between two.
pub fn render(file_name: &str, text: &str, list: &[Diagnostic], layout: Layout) -> String {
    let renderer = match layout.style {
        Style::Colored => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    };
    let renderer = renderer.term_width(layout.columns);
    // The whole text is masked: a secret may span several lines of a snippet.
    let text = redact(text);
    let line_digits = text.lines().count().to_string().len();
    let reports = list.iter().map(|found| {
        let found = wrapped(redacted(found), line_digits, layout.columns);
        let note = found.primary.as_ref().and_then(|label| {
            let is_wide = is_wide(label, &text, line_digits, layout.columns);
            is_wide.then(|| note(&label.text, line_digits, layout.columns))
        });
        let report = report(file_name, &text, &found, note.as_deref());
        renderer.render(&report)
    });
    reports.map(|report| report + "\n").collect::<Vec<_>>().join("\n")
}

/// Renders all diagnostics of a topology that could not be loaded.
pub fn render_all(diagnostics: &Diagnostics, layout: Layout) -> String {
    render(&diagnostics.file_name, &diagnostics.text, &diagnostics.list, layout)
}

/// The diagnostic with its message and remedy broken into lines, which the
/// renderer indents below the first one.
fn wrapped(found: Diagnostic, line_digits: usize, columns: usize) -> Diagnostic {
    let lines =
        |text: &str, label: usize| wrap_to(columns.saturating_sub(label), text, "", "").join("\n");
    let label = match found.severity {
        Severity::Error => "error[SG0000]: ",
        Severity::Warning => "warning[SG0000]: ",
    };
    let message = lines(&found.message, label.len());
    // The margin of a snippet is as wide as its line numbers.
    let remedy = lines(&found.remedy, line_digits + " = help: ".len());
    Diagnostic { message, remedy, ..found }
}

/// The diagnostic with secrets from the file masked.
fn redacted(found: &Diagnostic) -> Diagnostic {
    let label =
        |label: &Label| Label { span: label.span.clone(), text: redact(&label.text).into_owned() };
    Diagnostic {
        message: redact(&found.message).into_owned(),
        primary: found.primary.as_ref().map(label),
        secondary: found.secondary.iter().map(label).collect(),
        remedy: redact(&found.remedy).into_owned(),
        ..*found
    }
}

/// Whether a label would exceed the width behind the marked text.
fn is_wide(label: &Label, text: &str, line_digits: usize, columns: usize) -> bool {
    let (_, end) = line_and_column(text, label.span.end);
    line_digits + " | ".len() + end + width(&label.text) > columns
}

/// A label as a note below the snippet, where it can be broken into lines.
fn note(label: &str, line_digits: usize, columns: usize) -> String {
    let indent = line_digits + " = note: ".len();
    wrap_to(columns.saturating_sub(indent), label, "", "").join("\n")
}

/// A label of the primary place that is too wide is given as a note.
fn report<'a>(
    file_name: &'a str,
    text: &'a str,
    found: &'a Diagnostic,
    note: Option<&'a str>,
) -> [Group<'a>; 1] {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        Group::with_title(level.primary_title(found.message.as_str()).id(found.code.as_str()));
    if let Some(primary) = &found.primary {
        let labels = found.secondary.iter().map(|label| (AnnotationKind::Context, label));
        let labels = std::iter::once((AnnotationKind::Primary, primary)).chain(labels);
        let annotations = labels.map(|(kind, label)| {
            let place = kind.span(label.span.clone());
            match note {
                Some(_) if label == primary => place,
                _ => place.label(label.text.as_str()),
            }
        });
        group = group.element(Snippet::source(text).path(file_name).annotations(annotations));
        if let Some(note) = note {
            group = group.element(Level::NOTE.message(note));
        }
    }
    [group.element(Level::HELP.message(found.remedy.as_str()))]
}

/// A diagnostic as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticJson<'a> {
    /// The stable code.
    pub code: Code,
    /// The severity.
    pub severity: Severity,
    /// The message.
    pub message: Cow<'a, str>,
    /// The path of the file as given on the command line.
    pub file: &'a str,
    /// The line, counted from 1; null if the diagnostic has no location.
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    pub column: Option<usize>,
    /// The remedy.
    pub remedy: Cow<'a, str>,
}

/// Converts diagnostics to JSON.
pub fn to_json<'a>(
    file_name: &'a str,
    text: &str,
    list: &'a [Diagnostic],
) -> Vec<DiagnosticJson<'a>> {
    let convert = |found: &'a Diagnostic| {
        let place = found.primary.as_ref().map(|label| line_and_column(text, label.span.start));
        DiagnosticJson {
            code: found.code,
            severity: found.severity,
            message: redact(&found.message),
            file: file_name,
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            remedy: redact(&found.remedy),
        }
    };
    list.iter().map(convert).collect()
}

/// The line and column of a byte offset, counted from 1; columns in characters.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let offset = (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let before = &text[..offset.unwrap_or(0)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        assert_eq!(line_and_column("a\nüb", 4), (2, 2));
        assert_eq!(line_and_column("", 7), (1, 1));
        assert_eq!(line_and_column("ü", 1), (1, 1));
    }
}
