//! Builds the output of probes for tests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The output of a probe of a host.
#[derive(Debug, Clone)]
pub(super) struct TestProbeOutput(BTreeMap<String, Option<String>>);

impl TestProbeOutput {
    pub(super) fn of(hostname: &str) -> Self {
        Self(BTreeMap::new()).with("hostname", &format!("{hostname}\n"))
    }

    /// Sets the output of a command or the content of a file.
    pub(super) fn with(mut self, part: &str, text: &str) -> Self {
        self.0.insert(part.to_owned(), Some(STANDARD.encode(text)));
        self
    }

    /// Sets a file of stargate's.
    pub(super) fn with_file(self, part: &str, body: &str) -> Self {
        let header = super::files::header("demo");
        self.with(part, &format!("{header}\n{body}"))
    }

    /// Removes a command.
    pub(super) fn without(mut self, part: &str) -> Self {
        self.0.insert(part.to_owned(), None);
        self
    }

    pub(super) fn line(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|(part, value)| {
                format!(",{}:{}", serde_json::json!(part), serde_json::json!(value))
            })
            .collect();
        format!("{{\"stargate-probe\":1{}}}\n", parts.concat())
    }
}
