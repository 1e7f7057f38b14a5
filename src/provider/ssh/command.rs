//! A command for a host, and what came of it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::error::SshError;
use crate::provider::host::HostTarget;
use crate::provider::printable;
use crate::provider::remote::quote;
use crate::provider::secret::Secret;

/// How long a command may take unless it says otherwise.
const WITHIN: Duration = Duration::from_secs(60);
/// How many bytes a command may print unless it says otherwise.
const OUTPUT_LIMIT: usize = 1024 * 1024;
/// The longest line that a command is started by. It must fit one packet of the
/// protocol, and Linux takes no argument above 128 KiB.
const MAX_LINE: usize = 30_000;
/// How much of a failed command's error output is shown.
const SHOWN: usize = 2000;
/// How much longer than for us a command runs on the host when nobody can tell
/// it to end: sshd passes no signals on where root has logged in, nor to what sudo
/// runs, and a broken connection passes nothing on.
const OVERTIME: Duration = Duration::from_secs(2);
/// Programs print what we read in English, and those of root are found.
const ENVIRONMENT: &str =
    "env LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command for a host.
///
/// Nothing secret belongs into a program's arguments, which every user of the
/// host can read, nor into a script that comes with a standard input: such a
/// script is an argument too. A script without one goes over the standard input
/// itself and may hold anything.
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
    /// What the login shell is asked to run.
    pub(in crate::provider) line: String,
    /// What it reads.
    pub(in crate::provider) stdin: Bytes,
}

/// A command cannot be put into words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// An argument holds a NUL byte, which no argument can.
    #[error("a NUL byte cannot be passed to a command")]
    HoldsNul,
    /// There is no program.
    #[error("the command is empty")]
    Empty,
    /// The line is too long to be passed on.
    #[error(
        "its arguments have {length} bytes, and at most {MAX_LINE} can be passed; pass the \
         larger part by standard input"
    )]
    TooLong {
        /// The line's length in bytes.
        length: usize,
    },
}

impl RemoteCommand {
    /// A script for a POSIX shell. The label says in a few words what it does.
    ///
    /// Without a standard input of its own the script is read from there, and
    /// run only once it has arrived whole; its commands read nothing then.
    pub fn script(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(label.into(), Body::Script(text.into()))
    }

    /// A program and its arguments, passed on as they are.
    pub fn program<Argument: Into<String>>(
        label: impl Into<String>,
        arguments: impl IntoIterator<Item = Argument>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(label.into(), Body::Program(arguments))
    }

    fn new(label: String, body: Body) -> Self {
        let output_limit = OUTPUT_LIMIT;
        Self { label, body, stdin: None, as_root: false, within: WITHIN, output_limit }
    }

    /// Gives it something to read.
    #[must_use]
    pub fn stdin(mut self, content: impl Into<Bytes>) -> Self {
        self.stdin = Some(content.into());
        self
    }

    /// Gives it a secret to read.
    #[must_use]
    pub fn stdin_secret(self, secret: &Secret) -> Self {
        self.stdin(secret.expose().as_bytes().to_vec())
    }

    /// Runs it as root: by `sudo -n` where the login user is another.
    #[must_use]
    pub fn as_root(mut self) -> Self {
        self.as_root = true;
        self
    }

    /// Ends it after this time, counted from its start. The default is a minute.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Breaks it off when it prints more bytes than this, on standard output and
    /// error together. The default is 1 MiB.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// What it does, in a few words.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How long it may take.
    pub fn time_limit(&self) -> Duration {
        self.within
    }

    pub(super) fn byte_limit(&self) -> usize {
        self.output_limit
    }

    /// The command as the user's login shell gets it.
    pub(in crate::provider) fn prepare(&self, user: &str) -> Result<Prepared, CommandError> {
        let mut line = String::new();
        if self.as_root && user != "root" {
            line.push_str("sudo -n -- ");
        }
        line.push_str(ENVIRONMENT);
        let seconds = (self.within + OVERTIME).as_secs();
        line.push_str(&format!(" timeout -k 5 {seconds}"));
        let mut stdin = self.stdin.clone().unwrap_or_default();
        match (&self.body, &self.stdin) {
            (Body::Script(text), None) => {
                line.push_str(" sh -s");
                // In braces a shell runs nothing before it has read the last
                // line, so half a script is a syntax error and no half a change.
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
            length if length > MAX_LINE => Err(CommandError::TooLong { length }),
            _ => Ok(Prepared { line, stdin }),
        }
    }
}

/// Adds one word to a shell's line, whatever it holds.
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
    /// By itself, with this status.
    Code(u32),
    /// By a signal, as in `TERM`.
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

/// What a command printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// How it ended.
    pub exit: Exit,
}

impl RemoteOutput {
    /// Whether the command ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// Standard output as text; bytes that are no text become `U+FFFD`.
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
            doing: command.label().to_owned(),
            exit: self.exit,
            printed: tail(printed),
        })
    }
}

/// The last lines of what was printed.
fn tail(printed: &[u8]) -> String {
    let start = printed.len().saturating_sub(SHOWN);
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
    fn only_who_is_not_root_uses_sudo() {
        let command = RemoteCommand::program("look", ["id", "-u"]);
        assert!(line(&command, "ubuntu").ends_with("/bin timeout -k 5 62 'id' '-u'"));
        assert!(line(&command, "ubuntu").starts_with("env LC_ALL=C"));
        let command = command.as_root();
        assert!(line(&command, "ubuntu").starts_with("sudo -n -- env LC_ALL=C"));
        assert!(line(&command, "root").starts_with("env LC_ALL=C"));
    }

    #[test]
    fn a_script_is_an_argument_only_beside_an_input_of_its_own() {
        let script = RemoteCommand::script("write", "cat > 'a b'");
        let alone = script.prepare("root").unwrap();
        assert!(alone.line.ends_with(" sh -s"));
        assert_eq!(&alone.stdin[..], b"{ :\ncat > 'a b'\n} </dev/null\n");
        let fed = script.stdin("content").prepare("root").unwrap();
        assert!(fed.line.ends_with(r" sh -c 'cat > '\''a b'\'''"), "{}", fed.line);
        assert_eq!(&fed.stdin[..], b"content");
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        let nul = RemoteCommand::program("nul", ["echo", "a\0b"]);
        assert_eq!(nul.prepare("root").err(), Some(CommandError::HoldsNul));
        let none = RemoteCommand::program("none", Vec::<String>::new());
        assert_eq!(none.prepare("root").err(), Some(CommandError::Empty));
        let long = RemoteCommand::program("long", ["echo", &"x".repeat(40_000)]);
        assert!(matches!(long.prepare("root"), Err(CommandError::TooLong { .. })));
    }

    #[test]
    fn a_command_does_not_show_what_it_is_given() {
        let command = RemoteCommand::script("join", "token=marked-script")
            .stdin_secret(&Secret::new("marked-input"));
        let shown = format!("{command:?}");
        assert!(shown.contains("join") && !shown.contains("marked"), "{shown}");
    }

    #[test]
    fn the_end_of_what_was_printed_is_kept() {
        let printed = format!("{}the end\u{1b}[2J\n", "x\n".repeat(5000));
        assert!(tail(printed.as_bytes()).ends_with("x\nthe end\\u{1b}[2J"));
        assert!(tail(printed.as_bytes()).len() <= SHOWN + "\\u{1b}".len());
    }
}
