//! A command for a host, and its result.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::error::SshError;
use crate::provider::host::HostTarget;
use crate::provider::printable;
use crate::provider::remote::quote;
use crate::provider::secret::Secret;

/// The default timeout of a command.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The default limit of a command's output in bytes.
const DEFAULT_OUTPUT_LIMIT: usize = 1024 * 1024;
/// The maximum length of a command line in bytes. It must fit into one packet of the protocol, and
/// Linux limits an argument to 128 KiB.
const MAX_LINE_BYTES: usize = 30_000;
/// The length of a failed command's error output that is shown.
const MAX_SHOWN_ERROR: usize = 2000;
/// How much longer than the client's timeout a command may run on the host if it cannot be
/// signalled: sshd does not forward signals for logins of root and to sudo's commands, and a broken
/// connection forwards none.
const HOST_TIMEOUT_MARGIN: Duration = Duration::from_secs(2);
/// Makes programs print English, and puts root's programs on the path.
const ENVIRONMENT: &str =
    "env LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command for a host.
///
/// Secrets must not be in a program's arguments, which every user of the host can read, nor in a
/// script with a standard input: such a script is an argument, too. A script without one is sent
/// over the standard input and may contain secrets.
#[derive(Clone)]
pub struct RemoteCommand {
    label: String,
    body: Body,
    stdin: Option<Bytes>,
    as_root: bool,
    within: Duration,
    output_limit: usize,
}

#[derive(Clone)]
enum Body {
    Script(String),
    Program(Vec<String>),
}

/// A command as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::provider) struct Prepared {
    /// The line for the login shell.
    pub(in crate::provider) line: String,
    /// The standard input.
    pub(in crate::provider) stdin: Bytes,
}

/// Why a command cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// An argument contains a NUL byte, which arguments cannot.
    #[error("a NUL byte cannot be passed to a command")]
    HoldsNul,
    /// There is no program.
    #[error("the command is empty")]
    Empty,
    /// The line is too long.
    #[error(
        "its arguments have {length} bytes, and at most {MAX_LINE_BYTES} can be passed; pass the \
         larger part by standard input"
    )]
    TooLong {
        /// The line's length in bytes.
        length: usize,
    },
}

impl RemoteCommand {
    /// A script for a POSIX shell, with a short description as label.
    ///
    /// Without a standard input the script is sent over it, and runs only after it has arrived
    /// completely; its commands then read nothing.
    pub fn script(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(label.into(), Body::Script(text.into()))
    }

    /// A program and its arguments, passed on unchanged.
    pub fn program<Argument: Into<String>>(
        label: impl Into<String>,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(label.into(), Body::Program(arguments))
    }

    fn new(label: String, body: Body) -> Self {
        let output_limit = DEFAULT_OUTPUT_LIMIT;
        Self { label, body, stdin: None, as_root: false, within: DEFAULT_TIMEOUT, output_limit }
    }

    /// Sets the standard input.
    #[must_use]
    pub fn stdin(mut self, content: impl Into<Bytes>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// Sets a secret as standard input.
    #[must_use]
    pub fn stdin_secret(self, secret: &Secret) -> Self {
        self.stdin(secret.expose().as_bytes().to_vec())
    }

    /// Runs it as root: with `sudo -n` if the login user is not root.
    #[must_use]
    pub fn as_root(mut self) -> Self {
        self.as_root = true;
        self
    }

    /// Sets the timeout, counted from the start. The default is a minute.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Sets the output limit in bytes, for standard output and error together. The command is
    /// aborted if it prints more. The default is 1 MiB.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// The short description.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The timeout.
    pub fn time_limit(&self) -> Duration {
        self.within
    }

    pub(super) fn byte_limit(&self) -> usize {
        self.output_limit
    }

    /// The command line for the user's login shell.
    pub(in crate::provider) fn prepare(&self, user: &str) -> Result<Prepared, CommandError> {
        let mut line = String::new();
        if self.as_root && user != "root" {
            line.push_str("sudo -n -- ");
        }
        line.push_str(ENVIRONMENT);
        let seconds = (self.within + HOST_TIMEOUT_MARGIN).as_secs();
        line.push_str(&format!(" timeout -k 5 {seconds}"));
        let mut stdin = self.stdin.clone().unwrap_or_default();
        match (&self.body, &self.stdin) {
            (Body::Script(text), None) => {
                line.push_str(" sh -s");
                // In braces a shell runs nothing before it has read the last line, so a truncated
                // script is a syntax error instead of a partial change.
                stdin = Bytes::from(format!("{{ :\n{text}\n}} </dev/null\n"));
            }
            (Body::Script(text), Some(_)) => {
                line.push_str(" sh -c ");
                push_word(&mut line, text)?;
            }
            (Body::Program(arguments), _) if arguments.is_empty() => {
                return Err(CommandError::Empty);
            }
            (Body::Program(arguments), _) => {
                for argument in arguments {
                    line.push(' ');
                    push_word(&mut line, argument)?;
                }
            }
        }
        match line.len() {
            length if length > MAX_LINE_BYTES => Err(CommandError::TooLong { length }),
            _ => Ok(Prepared { line, stdin }),
        }
    }
}

/// Appends one quoted word to a shell's line.
fn push_word(line: &mut String, word: &str) -> Result<(), CommandError> {
    if word.contains('\0') {
        return Err(CommandError::HoldsNul);
    }
    line.push_str(&quote(word));
    Ok(())
}

impl fmt::Debug for RemoteCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stdin = self.stdin.as_ref().map(Bytes::len);
        formatter
            .debug_struct("RemoteCommand")
            .field("label", &self.label)
            .field("stdin_bytes", &stdin)
            .field("as_root", &self.as_root)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(u32),
    /// It was killed by this signal, such as `TERM`.
    Signal(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "exit status {code}"),
            Self::Signal(signal) => write!(formatter, "ended by SIG{signal}"),
        }
    }
}

/// A command's output and exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// The exit.
    pub exit: Exit,
}

impl RemoteOutput {
    /// Whether the exit status is 0.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// Standard output as text. Invalid UTF-8 becomes `U+FFFD`.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The output of a command that must not fail.
    ///
    /// # Errors
    ///
    /// [`SshError::Command`] with the end of its error output.
    pub fn checked(self, target: &HostTarget, command: &RemoteCommand) -> Result<Self, SshError> {
        if self.succeeded() {
            return Ok(self);
        }
        let printed = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        Err(SshError::Command {
            hostname: target.hostname.clone(),
            activity: command.label().to_owned(),
            exit: self.exit,
            printed: tail(printed),
        })
    }
}

/// The last lines of the output.
fn tail(printed: &[u8]) -> String {
    let start = printed.len().saturating_sub(MAX_SHOWN_ERROR);
    let text = String::from_utf8_lossy(printed.get(start..).unwrap_or_default());
    printable::text(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(command: &RemoteCommand, user: &str) -> String {
        command.prepare(user).unwrap().line
    }

    #[test]
    fn only_users_other_than_root_use_sudo() {
        let command = RemoteCommand::program("look", ["id", "-u"]);
        assert!(line(&command, "ubuntu").ends_with("/bin timeout -k 5 62 'id' '-u'"));
        assert!(line(&command, "ubuntu").starts_with("env LC_ALL=C"));
        let command = command.as_root();
        assert!(line(&command, "ubuntu").starts_with("sudo -n -- env LC_ALL=C"));
        assert!(line(&command, "root").starts_with("env LC_ALL=C"));
    }

    #[test]
    fn a_script_is_an_argument_only_with_a_standard_input() {
        let script = RemoteCommand::script("write", "cat > 'a b'");
        let alone = script.prepare("root").unwrap();
        assert!(alone.line.ends_with(" sh -s"));
        assert_eq!(&alone.stdin[..], b"{ :\ncat > 'a b'\n} </dev/null\n");
        let fed = script.stdin("content").prepare("root").unwrap();
        assert!(fed.line.ends_with(r" sh -c 'cat > '\''a b'\'''"), "{}", fed.line);
        assert_eq!(&fed.stdin[..], b"content");
    }

    #[test]
    fn invalid_commands_are_refused() {
        let nul = RemoteCommand::program("nul", ["echo", "a\0b"]);
        assert_eq!(nul.prepare("root").err(), Some(CommandError::HoldsNul));
        let none = RemoteCommand::program("none", Vec::<String>::new());
        assert_eq!(none.prepare("root").err(), Some(CommandError::Empty));
        let long = RemoteCommand::program("long", ["echo", &"x".repeat(40_000)]);
        assert!(matches!(long.prepare("root"), Err(CommandError::TooLong { .. })));
    }

    #[test]
    fn a_command_does_not_print_its_input() {
        let command = RemoteCommand::script("join", "token=marked-script")
            .stdin_secret(&Secret::new("marked-input"));
        let rendered = format!("{command:?}");
        assert!(rendered.contains("join") && !rendered.contains("marked"), "{rendered}");
    }

    #[test]
    fn the_end_of_the_output_is_kept() {
        let printed = format!("{}the end\u{1b}[2J\n", "x\n".repeat(5000));
        assert!(tail(printed.as_bytes()).ends_with("x\nthe end\\u{1b}[2J"));
        assert!(tail(printed.as_bytes()).len() <= MAX_SHOWN_ERROR + "\\u{1b}".len());
    }
}
