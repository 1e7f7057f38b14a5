//! Plain lines.

use std::io::Write;
use std::sync::Mutex;

use crate::apply::events::{Event, Reporter};

use super::super::style::{Role, Style};
use super::line::lines;
use super::lock;
use super::running::RunningSteps;

/// Writes a line for each finished step; with `verbose` also for its progress.
#[derive(Debug)]
pub struct PlainReporter<W> {
    out: Mutex<W>,
    style: Style,
    verbose: bool,
    running: Mutex<RunningSteps>,
}

impl<W: Write> PlainReporter<W> {
    /// A reporter onto a channel, which is stderr outside of tests.
    pub fn new(out: W, style: Style, verbose: bool) -> Self {
        Self { out: Mutex::new(out), style, verbose, running: Mutex::default() }
    }

    fn write(&self, lines: &[String]) {
        let mut out = lock(&self.out);
        for line in lines {
            // A failed write must not stop the apply.
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}

impl<W: Write + Send> Reporter for PlainReporter<W> {
    fn event(&self, event: &Event) {
        lock(&self.running).note(event);
        self.write(&lines(event, self.style, self.verbose));
    }

    fn remind(&self) {
        let lines = lock(&self.running).lines();
        let painted: Vec<String> =
            lines.into_iter().map(|line| self.style.paint(Role::Quiet, line)).collect();
        self.write(&painted);
    }
}
