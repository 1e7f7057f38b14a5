//! The output of a probe: one line of JSON with base64 values, so that no output of a command can
//! break it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use super::files;
use super::script::MAX_OUTPUT;
use crate::provider::printable::line as printable;

/// The start of the line.
const BEGIN: &str = "{\"stargate-probe\":1,";

/// Why the output of a probe is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The output is longer than any probe's.
    #[error("its output has {bytes} bytes, more than any probe prints")]
    TooLong {
        /// The length of the output in bytes.
        bytes: usize,
    },
    /// The output has no line in a probe's format.
    #[error("it did not answer the probe: {0}")]
    NoAnswer(String),
    /// Another host answered.
    #[error("the host there has the name {found}, not {expected}")]
    OtherHost {
        /// The expected host name.
        expected: String,
        /// The host's own name, safe to print.
        found: String,
    },
    /// The host lacks a command that the probe needs.
    #[error("it has no `{0}`")]
    Lacks(&'static str),
    /// One part of the output is invalid.
    #[error("its {part} cannot be understood: {reason}")]
    Part {
        /// The name of the part.
        part: &'static str,
        /// The reason.
        reason: String,
    },
}

/// The output of a probe.
#[derive(Debug)]
pub(super) struct ProbeOutput {
    parts: BTreeMap<String, Option<Vec<u8>>>,
}

impl ProbeOutput {
    /// Parses the output of a probe on the host of this name.
    ///
    /// Other lines are ignored, because login scripts may print them.
    pub(super) fn read(target_hostname: &str, stdout: &str) -> Result<Self, ProbeError> {
        if stdout.len() > MAX_OUTPUT {
            return Err(ProbeError::TooLong { bytes: stdout.len() });
        }
        let mut lines = stdout.lines().filter(|line| line.starts_with(BEGIN));
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            (Some(_), Some(_)) => {
                return Err(ProbeError::NoAnswer("it printed the section twice".to_owned()));
            }
            (None, _) => {
                let first = stdout.lines().find(|line| !line.trim().is_empty());
                return Err(ProbeError::NoAnswer(printable(first.unwrap_or("no output"))));
            }
        };
        let output = Self { parts: decode(line)? };
        output.check_name(target_hostname)?;
        Ok(output)
    }

    /// The host's name may include its domain. Names in the topology do not.
    fn check_name(&self, expected: &str) -> Result<(), ProbeError> {
        let found = self.text("hostname")?.unwrap_or_default();
        let found = found.trim_end_matches('\n');
        let bare = match expected.contains('.') {
            true => found,
            false => found.split('.').next().unwrap_or_default(),
        };
        if bare.eq_ignore_ascii_case(expected) {
            return Ok(());
        }
        let (expected, found) = (printable(expected), printable(found));
        Err(ProbeError::OtherHost { expected, found })
    }

    /// The output of a command or the content of a file; `None` if it does not exist.
    pub(super) fn text(&self, part: &'static str) -> Result<Option<&str>, ProbeError> {
        let Some(Some(bytes)) = self.parts.get(part) else { return Ok(None) };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ProbeError::Part { part, reason: error.to_string() })?;
        Ok(Some(text))
    }

    /// The first line of a part, which may be empty.
    pub(super) fn line(&self, part: &'static str) -> Result<&str, ProbeError> {
        Ok(self.text(part)?.and_then(|text| text.lines().next()).unwrap_or_default().trim())
    }

    /// A part as JSON; `None` if its command does not exist or printed nothing.
    pub(super) fn json<T: DeserializeOwned>(
        &self,
        part: &'static str,
    ) -> Result<Option<T>, ProbeError> {
        let Some(text) = self.text(part)? else { return Ok(None) };
        if text.trim().is_empty() {
            return Ok(None);
        }
        let read = serde_json::from_str(text);
        read.map(Some)
            .map_err(|error| ProbeError::Part { part, reason: printable(&error.to_string()) })
    }

    /// Whether the command of a part exists on the host.
    pub(super) fn has(&self, part: &str) -> bool {
        matches!(self.parts.get(part), Some(Some(_)))
    }

    /// Whether a file of stargate's exists with exactly this content.
    pub(super) fn file_has_content(&self, part: &'static str, expected: &str) -> bool {
        self.text(part).ok().flatten().and_then(files::body) == Some(expected)
    }

    /// Whether a file of stargate's has this content, or does not exist and is not needed.
    pub(super) fn file_has_content_or_is_absent(&self, part: &'static str, expected: &str) -> bool {
        (expected.is_empty() && !self.has(part)) || self.file_has_content(part, expected)
    }
}

fn decode(line: &str) -> Result<BTreeMap<String, Option<Vec<u8>>>, ProbeError> {
    let broken = |reason: String| ProbeError::NoAnswer(printable(&reason));
    let fields: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(line).map_err(|error| broken(error.to_string()))?;
    let decode = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::Null => Ok((name, None)),
        serde_json::Value::String(text) => match STANDARD.decode(text) {
            Ok(bytes) => Ok((name, Some(bytes))),
            Err(error) => Err(broken(format!("{name}: {error}"))),
        },
        _ => Err(broken(format!("{name} is not text"))),
    };
    fields.into_iter().filter(|(name, _)| name != "stargate-probe").map(decode).collect()
}
