//! What a probe answered: one line of JSON whose values are base64, so that
//! nothing a command prints can break it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;

use super::MAX_OUTPUT;
use super::files;
use crate::provider::printable::line as printable;

/// What the line begins with.
const BEGIN: &str = "{\"stargate-probe\":1,";

/// A probe's answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// There is more of it than any probe prints.
    #[error("it answered {bytes} bytes, more than any probe prints")]
    TooLong {
        /// How many bytes came.
        bytes: usize,
    },
    /// There is no line that a probe prints.
    #[error("it did not answer the probe: {0}")]
    NoAnswer(String),
    /// Another host answers there.
    #[error("the host there calls itself {found}, not {expected}")]
    OtherHost {
        /// The host that was meant.
        expected: String,
        /// What it calls itself, safe to print.
        found: String,
    },
    /// The host lacks a command without which nothing can be told.
    #[error("it has no `{0}`")]
    Lacks(&'static str),
    /// One part of the answer makes no sense.
    #[error("its {part} cannot be understood: {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

/// A probe's answer.
#[derive(Debug)]
pub(super) struct Answer {
    parts: BTreeMap<String, Option<Vec<u8>>>,
}

impl Answer {
    /// Reads the answer of the host of this name.
    ///
    /// Lines around it are somebody's greeting.
    pub(super) fn read(target_hostname: &str, stdout: &str) -> Result<Self, ProbeError> {
        if stdout.len() > MAX_OUTPUT {
            return Err(ProbeError::TooLong { bytes: stdout.len() });
        }
        let mut lines = stdout.lines().filter(|line| line.starts_with(BEGIN));
        let line = match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            (Some(_), Some(_)) => {
                return Err(ProbeError::NoAnswer("it answered twice".to_owned()));
            }
            (None, _) => {
                let first = stdout.lines().find(|line| !line.trim().is_empty());
                return Err(ProbeError::NoAnswer(printable(first.unwrap_or("nothing came"))));
            }
        };
        let answer = Self { parts: decode(line)? };
        answer.check_name(target_hostname)?;
        Ok(answer)
    }

    /// A name may come with its domain, which the topology's names do not have.
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

    /// What a command printed or a file holds; nothing where neither is there.
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

    /// A part as JSON; nothing where its command is not there or printed nothing.
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

    /// Whether the command of a part is on the host.
    pub(super) fn has(&self, part: &str) -> bool {
        matches!(self.parts.get(part), Some(Some(_)))
    }

    /// Whether a file of ours is there and says exactly this.
    pub(super) fn file_says(&self, part: &'static str, expected: &str) -> bool {
        self.text(part).ok().flatten().and_then(files::body) == Some(expected)
    }

    /// Whether a file of ours says this, or is not there and need not be.
    pub(super) fn file_says_or_lacks(&self, part: &'static str, expected: &str) -> bool {
        (expected.is_empty() && !self.has(part)) || self.file_says(part, expected)
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
        _ => Err(broken(format!("{name} is no text"))),
    };
    fields.into_iter().filter(|(name, _)| name != "stargate-probe").map(decode).collect()
}
