//! Output channels and prompts: data on stdout, everything else on stderr.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::apply::StopSignal;
use crate::diagnostics::Code;
use crate::render::text::{WIDTH, wrap_lines, wrap_to};
use crate::render::{Role, Style};

use super::arguments::{ColorChoice, Global};
use super::error::CliError;
use super::safe_output::printable;

/// The narrowest width that messages are wrapped at.
const MIN_COLUMNS: usize = 40;

/// A channel that several tasks write to.
type Channel = Mutex<Box<dyn Write + Send>>;

/// The input and output of a command.
pub struct Ui {
    out: Channel,
    err: Channel,
    input: Arc<Mutex<Box<dyn BufRead + Send>>>,
    out_style: Style,
    err_style: Style,
    quiet: bool,
    verbose: u8,
    has_printed_data: AtomicBool,
    terminals: Terminals,
    /// The width of messages on stderr.
    columns: usize,
}

/// A request for approval.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalPrompt<'a> {
    /// The question.
    pub question: &'static str,
    /// Where the changes are made.
    pub target: &'a str,
    /// Whether a plan of this command can be saved and applied later.
    pub can_be_saved: bool,
}

/// The output streams that are terminals.
#[derive(Debug, Clone, Copy)]
struct Terminals {
    input: bool,
    err: bool,
}

impl Ui {
    /// The process's own channels.
    pub(crate) fn new(global: &Global) -> Self {
        let terminals =
            Terminals { input: io::stdin().is_terminal(), err: io::stderr().is_terminal() };
        Self {
            out_style: style(global.color, &io::stdout()),
            err_style: style(global.color, &io::stderr()),
            out: Mutex::new(Box::new(io::stdout())),
            err: Mutex::new(Box::new(io::stderr())),
            input: Arc::new(Mutex::new(Box::new(io::BufReader::new(io::stdin())))),
            quiet: global.quiet,
            verbose: global.verbose,
            has_printed_data: AtomicBool::new(false),
            terminals,
            columns: columns(),
        }
    }

    /// The style of stdout.
    pub fn style(&self) -> Style {
        self.out_style
    }

    /// The style of stderr.
    pub fn status_style(&self) -> Style {
        self.err_style
    }

    /// The number of `-v` flags.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether `--quiet` was given.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The width of messages on stderr: the terminal's, or 80 columns without one.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The width of the terminal on stderr; `None` if stderr is not a terminal.
    pub fn terminal_columns(&self) -> Option<usize> {
        self.terminals.err.then_some(self.columns)
    }

    /// Whether to draw progress bars: stderr is a terminal and not quiet.
    pub fn draws_bars(&self) -> bool {
        self.terminals.err && !self.quiet
    }

    /// Writes data.
    ///
    /// # Errors
    ///
    /// Stdout cannot be written for a reason other than a closed pipe.
    pub fn data(&self, text: &str) -> Result<(), CliError> {
        self.has_printed_data.store(true, Ordering::Relaxed);
        match write(&self.out, text, self.out_style) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(CliError::new(format!("could not write to stdout: {error}"))
                    .remedy("check the disk or the program that stdout is connected to"))
            }
            _ => Ok(()),
        }
    }

    /// Whether data was written, or an attempt was made.
    pub(crate) fn has_printed_data(&self) -> bool {
        self.has_printed_data.load(Ordering::Relaxed)
    }

    /// Prints a status message unless `--quiet` is set.
    pub fn status(&self, text: &str) {
        if !self.quiet {
            self.print(&(wrap_lines(self.columns, text) + "\n"));
        }
    }

    /// Prints a detail if `-v` is set.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            let text = wrap_lines(self.columns, text);
            self.print(&format!("{}\n", self.err_style.paint(Role::Quiet, text)));
        }
    }

    /// Prints a warning unless `--quiet` is set.
    pub fn warn(&self, text: &str) {
        self.labelled(Role::Warning, "warning", text);
    }

    /// Prints a note unless `--quiet` is set.
    pub fn note(&self, text: &str) {
        self.labelled(Role::Help, "note", text);
    }

    fn labelled(&self, role: Role, label: &str, text: &str) {
        let lines = wrap_to(self.columns, text, &format!("{label}: "), "  ").join("\n");
        self.status(&lines.replacen(label, &self.err_style.paint(role, label), 1));
    }

    /// Prints an error.
    pub fn error(&self, error: &CliError) {
        self.print(&error.render(self.err_style, self.columns, self.verbose > 0));
    }

    /// Prints a rendered report to stderr.
    pub fn report(&self, text: &str) {
        self.print(text);
    }

    /// Asks for approval, which only the answer `yes` gives. `None` if a signal came
    /// before the answer.
    ///
    /// # Errors
    ///
    /// Stdin is not a terminal or cannot be read.
    pub async fn approve(
        &self,
        approval: &ApprovalPrompt<'_>,
        yes: bool,
        stop: &StopSignal,
    ) -> Result<Option<bool>, CliError> {
        let question = approval.question;
        let target = self.target_lines(approval);
        let prompt = format!("{question}\n{target}Only `yes` will be accepted to approve: ");
        self.ask(approval, (&prompt, "yes"), yes, stop).await
    }

    /// Asks for the name of each resource that is destroyed and created again.
    /// `None` if a signal came before the last answer.
    ///
    /// # Errors
    ///
    /// Stdin is not a terminal or cannot be read.
    pub async fn approve_by_name(
        &self,
        names: &[String],
        approval: &ApprovalPrompt<'_>,
        yes: bool,
        stop: &StopSignal,
    ) -> Result<Option<bool>, CliError> {
        for name in names {
            let target = self.target_lines(approval);
            let prompt = format!(
                "{name} is destroyed with everything in it, and created again.\n{target}Enter its \
                 name to approve: "
            );
            match self.ask(approval, (&prompt, name), yes, stop).await? {
                Some(true) => {}
                answer => return Ok(answer),
            }
        }
        Ok(Some(true))
    }

    /// The lines that say where the changes are made.
    fn target_lines(&self, approval: &ApprovalPrompt<'_>) -> String {
        wrap_to(self.columns, approval.target, "", "  ").join("\n") + "\n"
    }

    /// Whether the user answers a prompt with the expected word.
    async fn ask(
        &self,
        approval: &ApprovalPrompt<'_>,
        (prompt, expected): (&str, &str),
        yes: bool,
        stop: &StopSignal,
    ) -> Result<Option<bool>, CliError> {
        if yes {
            return Ok(Some(true));
        }
        if !self.terminals.input {
            let error = CliError::coded(
                Code::ApprovalNeeded,
                "this command needs approval, but stdin is not a terminal",
            )
            .remedy("review the plan, then pass `--yes`");
            return Err(if approval.can_be_saved {
                error.remedy(
                    "or save the plan with `stargate plan --out FILE`, then run `stargate apply FILE`",
                )
            } else {
                error
            });
        }
        self.print(prompt);
        let answer = tokio::select! {
            biased;
            () = stop.requested() => return Ok(None),
            answer = self.read_line() => answer,
        };
        let answer = answer.map_err(|error| {
            CliError::coded(Code::ApprovalNeeded, format!("could not read the answer: {error}"))
                .remedy("pass `--yes` to approve without a prompt")
        })?;
        Ok(Some(answer.trim() == expected))
    }

    /// Reads a line on a thread of its own, which ends with the process: a read of
    /// the terminal cannot be taken back when a signal comes.
    async fn read_line(&self) -> io::Result<String> {
        let (sender, line) = tokio::sync::oneshot::channel();
        let input = Arc::clone(&self.input);
        std::thread::spawn(move || {
            let mut line = String::new();
            let mut input = input.lock().unwrap_or_else(PoisonError::into_inner);
            let read = input.read_line(&mut line).map(|_| line);
            // After a signal, the line is discarded.
            drop(sender.send(read));
        });
        line.await.unwrap_or_else(|_| Err(ErrorKind::UnexpectedEof.into()))
    }

    fn print(&self, text: &str) {
        // A failed write to stderr cannot be reported anywhere.
        let _ = write(&self.err, text, self.err_style);
    }
}

fn write(channel: &Channel, text: &str, style: Style) -> io::Result<()> {
    let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
    channel.write_all(printable(text, style).as_bytes())?;
    channel.flush()
}

/// The width of the terminal at stderr. Very narrow ones would break every word.
pub(super) fn columns() -> usize {
    let size = terminal_size::terminal_size_of(io::stderr());
    size.map_or(WIDTH, |(width, _)| usize::from(width.0).max(MIN_COLUMNS))
}

/// `--color` first, then `NO_COLOR` and related variables, then the channel.
fn style(choice: ColorChoice, channel: &impl anstream::stream::RawStream) -> Style {
    match choice {
        ColorChoice::Always => Style::Colored,
        ColorChoice::Never => Style::Plain,
        ColorChoice::Auto => {
            Style::colored(anstream::AutoStream::choice(channel) != anstream::ColorChoice::Never)
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A [`Ui`] on buffers.

    use std::sync::Arc;

    use super::*;

    /// A shared buffer.
    #[derive(Clone, Default)]
    pub(crate) struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

    impl SharedBuffer {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("a lock").clone()).expect("text")
        }
    }

    impl Write for SharedBuffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A [`Ui`] with a scripted user, or without a terminal.
    pub(crate) fn buffered(answer: Option<&str>, quiet: bool) -> (Ui, SharedBuffer, SharedBuffer) {
        let (out, err) = (SharedBuffer::default(), SharedBuffer::default());
        let input = io::Cursor::new(answer.unwrap_or_default().to_owned());
        let ui = Ui {
            out: Mutex::new(Box::new(out.clone())),
            err: Mutex::new(Box::new(err.clone())),
            input: Arc::new(Mutex::new(Box::new(input))),
            out_style: Style::Plain,
            err_style: Style::Plain,
            quiet,
            verbose: 0,
            has_printed_data: AtomicBool::new(false),
            terminals: Terminals { input: answer.is_some(), err: false },
            columns: WIDTH,
        };
        (ui, out, err)
    }
}

#[cfg(test)]
mod tests;
