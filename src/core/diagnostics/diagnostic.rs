//! Errors of a topology, with their places and remedies.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Span;
use super::code::Code;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing can be planned until it is corrected.
    Error,
    /// It works, but may not be intended.
    Warning,
}

/// A range of the file and a note about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The bytes of the file.
    pub span: Span,
    /// The note.
    pub text: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its stable code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// The error, in one sentence.
    pub message: String,
    /// The location of the problem; absent only for problems without a location in the
    /// file.
    pub primary: Option<Label>,
    /// Other ranges that are involved.
    pub secondary: Vec<Label>,
    /// The remedy.
    pub remedy: String,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            remedy: String::new(),
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Sets the range that is wrong.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label { span, text: text.into() });
        self
    }

    /// Adds another range that is involved.
    #[must_use]
    pub fn with(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Sets the remedy.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

/// Why a topology could not be loaded: never empty, and with the text that the
/// places point into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The file's name, as the user gave it.
    pub file_name: String,
    /// The file's text; empty where it is no text.
    pub text: Arc<str>,
    /// The findings in the order of the file; warnings are among them.
    pub list: Vec<Diagnostic>,
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors = self.list.iter().filter(|found| found.severity == Severity::Error).count();
        write!(formatter, "{}: {}", self.file_name, counted(errors, "error"))?;
        match self.list.first() {
            Some(first) => write!(formatter, ", first {}: {}", first.code, first.message),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// A count and its noun, as in `1 change`, `2 changes` and `3 addresses`.
pub fn counted<N: fmt::Display + PartialEq + From<u8>>(count: N, noun: &str) -> String {
    let ending = match count == N::from(1) {
        true => "",
        false if noun.ends_with('s') => "es",
        false => "s",
    };
    format!("{count} {noun}{ending}")
}

/// The candidate most similar to `word`, if one is similar enough.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(word, candidates).first().copied()
}

/// The candidates that are similar to `word`, the most similar first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let distance = |candidate| (strsim::damerau_levenshtein(word, candidate), candidate);
    let mut similar: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(distance)
        .filter(|(distance, candidate)| *distance <= 1 + word.len().max(candidate.len()) / 4)
        .collect();
    similar.sort_unstable();
    similar.into_iter().map(|(_, candidate)| candidate).collect()
}
