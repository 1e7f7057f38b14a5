//! Bars on a terminal: one for the whole, and a line for each running step.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::execute::events::{Event, Reporter};
use crate::resource::Address;

use super::super::style::Style;
use super::super::text::cut;
use super::line::lines;
use super::lock;

/// So many running steps have a line of their own; a terminal holds no more.
const LINES: usize = 12;

/// How often the ages of the steps are drawn anew.
const TICK: Duration = Duration::from_millis(200);

/// Draws bars, and prints above them what ended.
#[derive(Debug)]
pub struct ProgressReporter {
    bars: MultiProgress,
    overall: ProgressBar,
    running: Mutex<BTreeMap<Address, ProgressBar>>,
    style: Style,
    verbose: bool,
}

impl ProgressReporter {
    /// A reporter onto the terminal at stderr.
    pub fn new(style: Style, verbose: bool) -> Self {
        Self::onto(ProgressDrawTarget::stderr(), style, verbose)
    }

    /// A reporter onto any target.
    pub fn onto(target: ProgressDrawTarget, style: Style, verbose: bool) -> Self {
        let bars = MultiProgress::with_draw_target(target);
        let overall = bars.add(ProgressBar::new(0));
        overall.set_style(styled("[{bar:30}] {pos}/{len} {msg}({elapsed})"));
        Self { bars, overall, running: Mutex::default(), style, verbose }
    }

    /// Takes the bars away, so that a question or a report can be written.
    pub fn clear(&self) {
        lock(&self.running).clear();
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }

    fn start(&self, address: &Address) {
        let mut running = lock(&self.running);
        if running.len() >= LINES {
            return;
        }
        let bar = self.bars.insert_before(&self.overall, ProgressBar::new_spinner());
        bar.set_style(styled("{spinner} {prefix} {wide_msg} ({elapsed})"));
        bar.set_prefix(cut(&address.to_string(), 50));
        bar.enable_steady_tick(TICK);
        running.insert(address.clone(), bar);
    }

    fn finish(&self, address: &Address) {
        if let Some(bar) = lock(&self.running).remove(address) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
        self.overall.inc(1);
    }

    fn print(&self, event: &Event) {
        for line in lines(event, self.style, self.verbose) {
            // As above: no terminal, nobody to tell.
            let _ = self.bars.println(line);
        }
    }
}

/// A template, or the library's own where it is wrong.
fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .map(|style| style.progress_chars("=> "))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Reporter for ProgressReporter {
    fn event(&self, event: &Event) {
        match event {
            Event::RoundStarted { changes, .. } => {
                self.overall.set_length(*changes as u64);
                self.overall.set_position(0);
                self.overall.enable_steady_tick(TICK);
            }
            Event::StepStarted { address, .. } => self.start(address),
            Event::StepProgress { address, text } => {
                if let Some(bar) = lock(&self.running).get(address) {
                    bar.set_message(text.clone());
                }
            }
            Event::StepFinished { address, .. } => self.finish(address),
            Event::Stopping => self.overall.set_message("stopping "),
        }
        self.print(event);
    }
}
