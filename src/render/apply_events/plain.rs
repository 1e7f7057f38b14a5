//! Plain lines.

use std::io::Write;
use std::sync::Mutex;

use crate::apply::events::{Event, Reporter};

use super::super::style::Style;
use super::line::lines;
use super::lock;

/// Writes a line for each finished step; with `verbose` also for its progress.
#[derive(Debug)]
pub struct PlainReporter<W> {
    out: Mutex<W>,
    style: Style,
    verbose: bool,
}

impl<W: Write> PlainReporter<W> {
    /// A reporter onto a channel, which is stderr outside of tests.
    pub fn new(out: W, style: Style, verbose: bool) -> Self {
        Self { out: Mutex::new(out), style, verbose }
    }
}

impl<W: Write + Send> Reporter for PlainReporter<W> {
    fn event(&self, event: &Event) {
        let mut out = lock(&self.out);
        for line in lines(event, self.style, self.verbose) {
            // A failed write must not stop the apply.
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}
