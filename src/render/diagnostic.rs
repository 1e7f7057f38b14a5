//! How findings are shown: as rustc shows them, or as JSON.

use std::borrow::Cow;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

use crate::diagnostics::redact::redact;
use crate::diagnostics::{Code, Diagnostic, Diagnostics, Label, Severity};

/// The width that a report keeps to.
const WIDTH: usize = 80;

/// Renders every finding, coloured or plain, with a blank line between two.
pub fn render(file_name: &str, text: &str, list: &[Diagnostic], coloured: bool) -> String {
    let renderer = if coloured { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(WIDTH);
    // Masked as a whole: a secret may run over several lines of a snippet.
    let text = redact(text);
    let reports = list.iter().map(|found| {
        let found = redacted(found);
        let report = report(file_name, &text, &found);
        renderer.render(&report)
    });
    reports.map(|report| report + "\n").collect::<Vec<_>>().join("\n")
}

/// Renders why a topology could not be loaded.
pub fn render_all(diagnostics: &Diagnostics, coloured: bool) -> String {
    render(&diagnostics.file_name, &diagnostics.text, &diagnostics.list, coloured)
}

/// The finding without secrets that its words took from the file.
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

fn report<'a>(file_name: &'a str, text: &'a str, found: &'a Diagnostic) -> [Group<'a>; 1] {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group =
        Group::with_title(level.primary_title(found.message.as_str()).id(found.code.as_str()));
    if let Some(primary) = &found.primary {
        let labels = found.secondary.iter().map(|label| (AnnotationKind::Context, label));
        let labels = std::iter::once((AnnotationKind::Primary, primary)).chain(labels);
        let annotations =
            labels.map(|(kind, label)| kind.span(label.span.clone()).label(label.text.as_str()));
        group = group.element(Snippet::source(text).path(file_name).annotations(annotations));
    }
    [group.element(Level::HELP.message(found.remedy.as_str()))]
}

/// A finding as a machine reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiagnosticJson<'a> {
    /// The stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: Cow<'a, str>,
    /// The file, as the user gave it.
    pub file: &'a str,
    /// The line, from 1; absent for what has no place in the file.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// How to mend it.
    pub remedy: Cow<'a, str>,
}

/// The findings as a machine reads them.
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

/// The line and the column, in characters and from 1, of a byte of the text.
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
