//! Answers of probes, made up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What a probe of a host prints.
#[derive(Debug, Clone)]
pub(super) struct TestAnswer(BTreeMap<String, Option<String>>);

impl TestAnswer {
    pub(super) fn of(hostname: &str) -> Self {
        Self(BTreeMap::new()).with("hostname", &format!("{hostname}\n"))
    }

    /// A command that printed this, or a file that holds it.
    pub(super) fn with(mut self, part: &str, text: &str) -> Self {
        self.0.insert(part.to_owned(), Some(STANDARD.encode(text)));
        self
    }

    /// A file of ours.
    pub(super) fn with_file(self, part: &str, body: &str) -> Self {
        let header = super::files::header("demo");
        self.with(part, &format!("{header}\n{body}"))
    }

    /// A command that is not there.
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
