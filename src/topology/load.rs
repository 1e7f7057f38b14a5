//! From text to a checked topology, or to everything that is wrong with it.

use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::file::TopologyFile;
use super::model::Topology;
use super::spans::TopologySpans;
use super::{check, lints, schema, shape};
use crate::diagnostics::{Code, Diagnostic, Diagnostics, Severity};

/// The greatest size of a file: far above any topology, far below a mistake.
pub const SIZE_LIMIT: usize = 1024 * 1024;

/// A topology that was checked, and what goes with it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the user wants.
    pub topology: Topology,
    /// What may not be as it was meant.
    pub warnings: Vec<Diagnostic>,
    /// The SHA-256 of the text, in hexadecimal.
    pub digest: String,
    /// Where the file says what, for findings that come later.
    pub spans: TopologySpans,
}

/// Loads a topology from the bytes of a file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_bytes(file_name: &str, bytes: &[u8]) -> Result<Loaded, Diagnostics> {
    if bytes.len() > SIZE_LIMIT {
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
/// Everything that is wrong with it, in the order of the file.
pub fn load_text(file_name: &str, text: &str) -> Result<Loaded, Diagnostics> {
    if text.len() > SIZE_LIMIT {
        return Err(fail(file_name, "", vec![too_large(text.len())]));
    }
    let mut found = Vec::new();
    let built = read(text, &mut found).and_then(|file| check::build(&file, &mut found));
    let built = built.inspect(|(topology, spans)| lints::check(topology, spans, &mut found));
    match built {
        Some((topology, spans)) if found.iter().all(|one| one.severity == Severity::Warning) => {
            sort(&mut found);
            let digest = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Loaded { topology, warnings: found, digest, spans })
        }
        _ => Err(fail(file_name, text, found)),
    }
}

/// The file as its types, with every mistake of its shape found.
fn read(text: &str, found: &mut Vec<Diagnostic>) -> Option<TopologyFile> {
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
    found.extend(shape::check(&mut document, schema::schema()));
    match TopologyFile::deserialize(toml::de::Deserializer::from(document)) {
        Ok(file) => Some(file),
        // What the walk reported already needs no second report.
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

/// In the order of the file.
fn sort(list: &mut [Diagnostic]) {
    list.sort_by_key(|one| (one.primary.as_ref().map_or(0, |label| label.span.start), one.code));
}

fn syntax(error: &toml::de::Error, text: &str) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let end = span.end.min(text.len());
    let message = error.message().lines().collect::<Vec<_>>().join("; ");
    Diagnostic::error(Code::Syntax, format!("not valid TOML: {message}"))
        .at(span.start.min(end)..end, "the structure breaks here")
        .remedy("mend the line; texts stand in quotes, tables in brackets, and each key once")
}

fn empty(text: &str) -> Diagnostic {
    Diagnostic::error(Code::EmptyFile, "the file holds no topology")
        .at(0..0, if text.is_empty() { "nothing here" } else { "nothing but comments" })
        .remedy("start from `stargate init`, which writes a commented topology")
}

fn too_large(size: usize) -> Diagnostic {
    let message = format!("the file has {size} bytes, and a topology at most {SIZE_LIMIT}");
    Diagnostic::error(Code::TooLarge, message).remedy(
        "check that `-f` names a topology; `worker_range` describes many workers in a few lines",
    )
}

/// The bytes up to the first bad one are text, and place the finding.
fn not_utf8(file_name: &str, bytes: &[u8], valid: usize) -> Diagnostics {
    let text = String::from_utf8_lossy(&bytes[..valid]);
    let found = Diagnostic::error(Code::NotUtf8, format!("byte {valid} of the file is not UTF-8"))
        .at(valid..valid, "the text ends here")
        .remedy("save the file as UTF-8, or check that `-f` names a topology");
    fail(file_name, &text, vec![found])
}
