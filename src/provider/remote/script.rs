//! Scripts for hosts, assembled from values, tools and a body.

use std::time::Duration;

use super::files;
use super::quote::quote;
use crate::provider::secret::Secret;

/// The maximum output of a script in bytes. More output means that it comes from another host. A
/// router of a cluster of 5,000 nodes stays below it.
pub const MAX_OUTPUT: usize = 8 << 20;

/// Helpers without side effects.
const TOOLS: &str = include_str!("sh/tools.sh");
/// Writes files and units.
const WRITING: &str = include_str!("sh/writing.sh");
/// Installs packages and downloads files.
const PACKAGES: &str = include_str!("sh/packages.sh");
/// Prints the output of probes.
const ANSWER: &str = include_str!("sh/answer.sh");

/// The timeout of work without package installation.
const CONFIGURE_TIMEOUT: Duration = Duration::from_secs(90);
/// The timeout of work that installs packages.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(900);

/// A script for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostScript {
    /// A short description for logs and errors.
    pub label: &'static str,
    /// The text, for a POSIX shell of root. It contains no secret. Except for its last line it only
    /// defines functions, so a truncated script does nothing.
    pub script: String,
    /// The standard input. A script without one reads nothing.
    pub stdin: Option<Secret>,
    /// The maximum duration.
    pub timeout: Duration,
}

impl HostScript {
    /// The same script, which fails without effect on a host of another name.
    #[must_use]
    pub fn only_on(mut self, hostname: &str) -> Self {
        let hostname = hostname.to_ascii_lowercase();
        self.script = format!("only_on={}\n{}", quote(&hostname), self.script);
        self
    }
}

/// A script builder.
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

    /// A script that only reads.
    pub(super) fn probe_script(label: &'static str) -> Self {
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
            timeout: CONFIGURE_TIMEOUT,
        }
    }

    /// Adds a variable. Its name is a constant, its value arbitrary.
    #[must_use]
    pub(super) fn value(mut self, name: &str, value: &str) -> Self {
        self.values.push_str(name);
        self.values.push('=');
        self.values.push_str(&quote(value));
        self.values.push('\n');
        self
    }

    /// Adds the functions that install packages.
    #[must_use]
    pub(super) fn with_packages(mut self) -> Self {
        self.tools.push_str(PACKAGES);
        self.timeout = INSTALL_TIMEOUT;
        self
    }

    /// Sets the timeout.
    #[must_use]
    pub(super) fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds the functions of another script.
    #[must_use]
    pub(super) fn with(mut self, functions: &str) -> Self {
        self.tools.push_str(functions);
        self
    }

    /// Adds the variables that `settings.sh` needs besides the file that it writes: the name and
    /// the text of the unit that applies the files of a folder after a boot, and the part that is
    /// applied at once.
    #[must_use]
    pub(super) fn with_apply(self, folder: &str, unit: (&str, &str), part: &str) -> Self {
        self.with_packages().value("folder", folder).with_unit(unit).value("part_name", part)
    }

    /// Adds the name and the text of the unit that applies the files of a folder after a
    /// boot, and the program that it runs.
    #[must_use]
    pub(super) fn with_unit(self, (name, text): (&str, &str)) -> Self {
        self.value("unit_name", name).value("unit", text).value("apply", files::APPLY)
    }

    /// Sets a secret as standard input.
    #[must_use]
    pub(super) fn with_stdin(mut self, secret: Secret) -> Self {
        self.stdin = Some(secret);
        self
    }

    /// Builds the script: `body` defines `main`, and everything before it is definitions.
    pub(super) fn build(self, body: &str) -> HostScript {
        let Self { label, values, tools, stdin, timeout } = self;
        let input = if stdin.is_some() { "" } else { " </dev/null" };
        let script = format!("{values}{tools}{body}check_host; main{input}\n");
        HostScript { label, script, stdin, timeout }
    }
}
