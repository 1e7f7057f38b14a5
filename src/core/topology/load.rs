//! Loads and checks a topology, and reports all its errors.

use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::file::TopologyFile;
use super::model::Topology;
use super::shape::Deviations;
use super::spans::TopologySpans;
use super::{check, lints, schema, shape};
use crate::diagnostics::{Code, Diagnostic, Diagnostics, Severity};

/// The maximum size of a topology file in bytes.
pub const MAX_SIZE: usize = 1024 * 1024;

/// A checked topology with its file's metadata.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The path of the file as given on the command line.
    pub file_name: String,
    /// The text of the file, which the spans point into.
    pub text: Arc<str>,
    /// The topology.
    pub topology: Topology,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    /// The SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// The spans of values, for later diagnostics.
    pub spans: TopologySpans,
}

/// Loads a topology from the bytes of a file.
///
/// # Errors
/// All errors and warnings.
pub fn load_bytes(file_name: &str, bytes: &[u8]) -> Result<Loaded, Diagnostics> {
    if bytes.len() > MAX_SIZE {
        return Err(fail(file_name, "", vec![too_large(bytes.len())]));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => load_text(file_name, text),
        Err(error) => Err(not_utf8(file_name, bytes, error.valid_up_to())),
    }
}

/// Loads a topology from its text.
///
/// # Errors
/// All errors and warnings, in the order of the file.
pub fn load_text(file_name: &str, text: &str) -> Result<Loaded, Diagnostics> {
    if text.len() > MAX_SIZE {
        return Err(fail(file_name, "", vec![too_large(text.len())]));
    }
    let mut found = Vec::new();
    let built = read(text, &mut found).and_then(|Read { file, has_placeholders }| {
        let mut of_values = Vec::new();
        let built = check::build(&file, &mut of_values);
        found.extend(of_values.into_iter().filter(|one| !(has_placeholders && is_at_start(one))));
        // Values that the file lacks do not fit together.
        built.filter(|_| !has_placeholders)
    });
    let built = built.inspect(|(topology, spans)| lints::check(topology, spans, &mut found));
    match built {
        Some((topology, spans)) if found.iter().all(|one| one.severity == Severity::Warning) => {
            sort(&mut found);
            let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            let (file_name, text) = (file_name.to_owned(), Arc::from(text));
            Ok(Loaded { file_name, text, topology, warnings: found, digest, spans })
        }
        _ => Err(fail(file_name, text, found)),
    }
}

/// A file as serde read it.
struct Read {
    file: TopologyFile,
    /// Whether some of its values are placeholders, with the span `0..0`.
    has_placeholders: bool,
}

/// Whether a diagnostic is about a placeholder: no value of a file begins at its start.
fn is_at_start(diagnostic: &Diagnostic) -> bool {
    diagnostic.primary.as_ref().is_some_and(|label| label.span == (0..0))
}

/// Parses the file and reports every deviation from the schema.
fn read(text: &str, found: &mut Vec<Diagnostic>) -> Option<Read> {
    let mut document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            found.push(syntax(&error, text));
            return None;
        }
    };
    if document.get_ref().is_empty() {
        found.push(empty(text));
        return None;
    }
    let Deviations { found: deviations, has_placeholders } =
        shape::check(&mut document, schema::schema());
    found.extend(deviations);
    match TopologyFile::deserialize(toml::de::Deserializer::from(document)) {
        Ok(file) => Some(Read { file, has_placeholders }),
        // The schema check has reported the cause.
        Err(_) if !found.is_empty() => None,
        Err(error) => {
            found.push(syntax(&error, text));
            None
        }
    }
}

fn fail(file_name: &str, text: &str, mut list: Vec<Diagnostic>) -> Diagnostics {
    sort(&mut list);
    Diagnostics { file_name: file_name.to_owned(), text: Arc::from(text), list }
}

/// Sorts by position in the file.
fn sort(list: &mut [Diagnostic]) {
    list.sort_by_key(|one| (one.primary.as_ref().map_or(0, |label| label.span.start), one.code));
}

fn syntax(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let end = span.end.min(text.len());
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    Diagnostic::error(Code::Syntax, format!("not valid TOML: {message}"))
        .at(span.start.min(end)..end, "invalid here")
        .remedy("correct the line: quote strings, put table names in brackets, and define each key once")
}

fn empty(text: &str) -> Diagnostic {
    Diagnostic::error(Code::EmptyFile, "the file is empty")
        .at(0..0, if text.is_empty() { "no content" } else { "only comments" })
        .remedy("`stargate init` writes a commented topology to start from")
}

fn too_large(size: usize) -> Diagnostic {
    let message = format!("the file has {size} bytes; the maximum is {MAX_SIZE}");
    Diagnostic::error(Code::TooLarge, message).remedy(
        "check the path given with `-f`; use `worker_range` to define many workers in a few lines",
    )
}

/// The valid text before the first invalid byte locates the error.
fn not_utf8(file_name: &str, bytes: &[u8], valid: usize) -> Diagnostics {
    let text = String::from_utf8_lossy(&bytes[..valid]);
    let found = Diagnostic::error(Code::NotUtf8, format!("byte {valid} of the file is not UTF-8"))
        .at(valid..valid, "invalid byte here")
        .remedy("save the file as UTF-8, or check the path given with `-f`");
    fail(file_name, &text, vec![found])
}
