//! How a script is put together: values, tools, work.

use std::time::Duration;

use super::files;
use super::quote::quote;
use super::{HostScript, MAX_OUTPUT};
use crate::provider::secret::Secret;

/// Small tools without effects.
const TOOLS: &str = include_str!("sh/tools.sh");
/// Files and units of ours.
const WRITING: &str = include_str!("sh/writing.sh");
/// Packages and downloads.
const PACKAGES: &str = include_str!("sh/packages.sh");
/// What probes print with.
const ANSWER: &str = include_str!("sh/answer.sh");

/// Work that touches no package source.
const SHORT: Duration = Duration::from_secs(90);
/// Work that installs packages.
const LONG: Duration = Duration::from_secs(900);

/// A script in the making.
#[derive(Debug)]
pub(super) struct Script {
    label: &'static str,
    values: String,
    tools: String,
    stdin: Option<Secret>,
    timeout: Duration,
}

impl Script {
    /// A script that changes something for a topology.
    pub(super) fn change(label: &'static str, topology: &str) -> Self {
        Self::new(label).with(WRITING).value("header", &files::header(topology))
    }

    /// A script that only looks.
    pub(super) fn look(label: &'static str) -> Self {
        let mut script = Self::new(label);
        script.tools.push_str(ANSWER);
        script.value("most", &(MAX_OUTPUT / 4).to_string())
    }

    fn new(label: &'static str) -> Self {
        Self {
            label,
            values: format!("# stargate: {label}\n"),
            tools: TOOLS.to_owned(),
            stdin: None,
            timeout: SHORT,
        }
    }

    /// Gives it a value. The name is one of ours, the value anybody's.
    #[must_use]
    pub(super) fn value(mut self, name: &str, value: &str) -> Self {
        self.values.push_str(name);
        self.values.push('=');
        self.values.push_str(&quote(value));
        self.values.push('\n');
        self
    }

    /// Lets it install packages.
    #[must_use]
    pub(super) fn with_packages(mut self) -> Self {
        self.tools.push_str(PACKAGES);
        self.timeout = LONG;
        self
    }

    /// Lets it take this long.
    #[must_use]
    pub(super) fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gives it functions of another script.
    #[must_use]
    pub(super) fn with(mut self, functions: &str) -> Self {
        self.tools.push_str(functions);
        self
    }

    /// Gives it something to read that nobody else may.
    #[must_use]
    pub(super) fn reads(mut self, secret: Secret) -> Self {
        self.stdin = Some(secret);
        self
    }

    /// The whole script: `body` defines `main`, and everything before it only
    /// defines too.
    pub(super) fn runs(self, body: &str) -> HostScript {
        let Self { label, values, tools, stdin, timeout } = self;
        let input = if stdin.is_some() { "" } else { " </dev/null" };
        let script = format!("{values}{tools}{body}check_host; main{input}\n");
        HostScript { label, script, stdin, timeout }
    }
}
