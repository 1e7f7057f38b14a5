//! The channels to the user: data on stdout, everything else on stderr.

use std::io::{self, BufRead, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::apply::StopSignal;
use crate::diagnostics::Code;
use crate::render::{Role, Style};

use super::arguments::{ColorChoice, Global};
use super::error::CliError;

/// A channel that several tasks write to.
type Channel = Mutex<Box<dyn Write + Send>>;

/// Where a command reads and writes.
pub struct Ui {
    out: Channel,
    err: Channel,
    input: Arc<Mutex<Box<dyn BufRead + Send>>>,
    out_style: Style,
    err_style: Style,
    quiet: bool,
    verbose: u8,
    terminals: Terminals,
}

/// Which channels have a person at the other end.
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
            terminals,
        }
    }

    /// The style of what goes to stdout.
    pub fn style(&self) -> Style {
        self.out_style
    }

    /// The style of what goes to stderr.
    pub fn status_style(&self) -> Style {
        self.err_style
    }

    /// How often `-v` was given.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Whether only data and errors are wanted.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether bars can be drawn: a terminal shows them, and they are wanted.
    pub fn draws_bars(&self) -> bool {
        self.terminals.err && !self.quiet
    }

    /// Writes data.
    ///
    /// # Errors
    ///
    /// Stdout cannot be written, other than because its reader has seen enough.
    pub fn data(&self, text: &str) -> Result<(), CliError> {
        match write(&self.out, text) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(CliError::new(format!("stdout cannot be written: {error}"))
                    .hint("look at the disk or the program that stdout leads to"))
            }
            _ => Ok(()),
        }
    }

    /// Says how things go; `--quiet` keeps it back.
    pub fn status(&self, text: &str) {
        if !self.quiet {
            self.tell(&format!("{text}\n"));
        }
    }

    /// Says what only `-v` wants to know.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            let text = self.err_style.paint(Role::Quiet, text);
            self.tell(&format!("{text}\n"));
        }
    }

    /// Warns; `--quiet` keeps it back.
    pub fn warn(&self, text: &str) {
        let word = self.err_style.paint(Role::Warning, "warning");
        self.status(&format!("{word}: {text}"));
    }

    /// Tells an error, always.
    pub fn error(&self, error: &CliError) {
        self.tell(&error.render(self.err_style, self.verbose > 0));
    }

    /// Writes a report that was rendered already to stderr, always.
    pub fn report(&self, text: &str) {
        self.tell(text);
    }

    /// Asks for approval: only the word `yes` is one. `None` if a signal came
    /// before the answer.
    ///
    /// # Errors
    ///
    /// There is no terminal to ask at, or it cannot be read.
    pub async fn approve(
        &self,
        question: &str,
        yes: bool,
        stop: &StopSignal,
    ) -> Result<Option<bool>, CliError> {
        if yes {
            return Ok(Some(true));
        }
        if !self.terminals.input {
            return Err(CliError::coded(
                Code::ApprovalNeeded,
                "approval is needed, and there is no terminal to ask at",
            )
            .hint("look at the plan, then pass `--yes`")
            .hint("or save it with `stargate plan --out FILE`, and apply that file"));
        }
        self.tell(&format!("{question}\nOnly `yes` is taken for an answer: "));
        let answer = tokio::select! {
            biased;
            () = stop.requested() => return Ok(None),
            answer = self.read_line() => answer,
        };
        let answer = answer.map_err(|error| {
            CliError::coded(Code::ApprovalNeeded, format!("the answer cannot be read: {error}"))
                .hint("pass `--yes` where nobody can answer")
        })?;
        Ok(Some(answer.trim() == "yes"))
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
            // Nobody waits for the line if a signal came first.
            drop(sender.send(read));
        });
        line.await.unwrap_or_else(|_| Err(ErrorKind::UnexpectedEof.into()))
    }

    fn tell(&self, text: &str) {
        // Where stderr is gone, nobody can be told that it is.
        let _ = write(&self.err, text);
    }
}

fn write(channel: &Channel, text: &str) -> io::Result<()> {
    let mut channel = channel.lock().unwrap_or_else(PoisonError::into_inner);
    channel.write_all(text.as_bytes())?;
    channel.flush()
}

/// The user's word first, then `NO_COLOR` and its relatives, then the channel.
fn style(choice: ColorChoice, channel: &impl anstream::stream::RawStream) -> Style {
    match choice {
        ColorChoice::Always => Style::Coloured,
        ColorChoice::Never => Style::Plain,
        ColorChoice::Auto => {
            Style::coloured(anstream::AutoStream::choice(channel) != anstream::ColorChoice::Never)
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A user made of bytes.

    use std::sync::Arc;

    use super::*;

    /// Bytes that are looked at after they were written.
    #[derive(Clone, Default)]
    pub(crate) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("a lock").clone()).expect("text")
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A user with an answer, or one who is not there.
    pub(crate) fn user(answer: Option<&str>, quiet: bool) -> (Ui, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        let input = io::Cursor::new(answer.unwrap_or_default().to_owned());
        let ui = Ui {
            out: Mutex::new(Box::new(out.clone())),
            err: Mutex::new(Box::new(err.clone())),
            input: Arc::new(Mutex::new(Box::new(input))),
            out_style: Style::Plain,
            err_style: Style::Plain,
            quiet,
            verbose: 0,
            terminals: Terminals { input: answer.is_some(), err: false },
        };
        (ui, out, err)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::user;
    use super::*;
    use crate::cli::exit;

    async fn approved(answer: Option<&str>, yes: bool) -> Result<Option<bool>, CliError> {
        user(answer, false).0.approve("Apply?", yes, &StopSignal::default()).await
    }

    #[tokio::test]
    async fn only_yes_is_a_yes() {
        for (answer, is_approved) in [("yes\n", true), ("y\n", false), ("", false), ("no\n", false)]
        {
            assert_eq!(approved(Some(answer), false).await, Ok(Some(is_approved)));
        }
    }

    /// A terminal at which nobody types.
    struct Silence;

    impl io::Read for Silence {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            loop {
                std::thread::park();
            }
        }
    }

    #[tokio::test]
    async fn a_signal_ends_the_question() {
        let (mut ui, _, _) = user(Some(""), false);
        ui.input = Arc::new(Mutex::new(Box::new(io::BufReader::new(Silence))));
        let stop = StopSignal::default();
        let asked = stop.clone();
        tokio::spawn(async move { asked.stop() });
        assert_eq!(ui.approve("Apply?", false, &stop).await, Ok(None));
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_and_never_a_hang() {
        let error = approved(None, false).await.expect_err("nobody answers");
        assert_eq!((error.code, error.exit), (Some(Code::ApprovalNeeded), exit::ERROR));
        assert_eq!(approved(None, true).await, Ok(Some(true)));
    }

    #[test]
    fn quiet_keeps_back_all_but_data_and_errors() {
        let (ui, out, err) = user(None, true);
        ui.status("status");
        ui.warn("warning");
        ui.data("data").expect("stdout");
        ui.error(&CliError::new("it broke"));
        assert_eq!((out.text().as_str(), err.text().as_str()), ("data", "error: it broke\n"));
    }
}
