//! Progress on a terminal: a bar for the iteration and a line for each running step.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::apply::events::{Event, Reporter};
use crate::resource::Address;

use super::super::style::Style;
use super::super::text::cut;
use super::line::lines;
use super::lock;

/// Running steps with a line of their own.
const MAX_LINES: usize = 12;

/// How often the durations are redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Draws bars and prints finished steps above them.
#[derive(Debug)]
pub struct ProgressReporter {
    bars: MultiProgress,
    overall: ProgressBar,
    running: Mutex<Running>,
    style: Style,
    verbose: bool,
}

/// The running steps: those with a line, and the progress of the others.
#[derive(Debug, Default)]
struct Running {
    lines: BTreeMap<Address, ProgressBar>,
    waiting: BTreeMap<Address, String>,
    stopping: bool,
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

    /// Removes the bars, so that a question or a report can be written.
    pub fn clear(&self) {
        *lock(&self.running) = Running::default();
        // A closed terminal needs no clearing.
        let _ = self.bars.clear();
    }

    fn start(&self, address: &Address) {
        let running = &mut *lock(&self.running);
        if running.lines.len() < MAX_LINES {
            running.lines.insert(address.clone(), self.bar(address, String::new()));
        } else {
            running.waiting.insert(address.clone(), String::new());
        }
        self.count(running);
    }

    fn bar(&self, address: &Address, at: String) -> ProgressBar {
        let bar = self.bars.insert_before(&self.overall, ProgressBar::new_spinner());
        bar.set_style(styled("{spinner} {prefix} {wide_msg} ({elapsed})"));
        bar.set_prefix(cut(&address.to_string(), 50));
        bar.set_message(at);
        bar.enable_steady_tick(REDRAW_INTERVAL);
        bar
    }

    fn update(&self, address: &Address, text: &str) {
        let running = &mut *lock(&self.running);
        if let Some(bar) = running.lines.get(address) {
            bar.set_message(text.to_owned());
        } else if let Some(at) = running.waiting.get_mut(address) {
            *at = text.to_owned();
        }
    }

    /// Removes the line of a step and gives it to a step without one.
    fn finish(&self, address: &Address) {
        let running = &mut *lock(&self.running);
        running.waiting.remove(address);
        if let Some(bar) = running.lines.remove(address) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
            if let Some((next, at)) = running.waiting.pop_first() {
                running.lines.insert(next.clone(), self.bar(&next, at));
            }
        }
        self.count(running);
        self.overall.inc(1);
    }

    fn count(&self, running: &Running) {
        let stopping = if running.stopping { "stopping " } else { "" };
        let more = match running.waiting.len() {
            0 => String::new(),
            count => format!("{count} more running "),
        };
        self.overall.set_message(format!("{stopping}{more}"));
    }

    fn print(&self, event: &Event) {
        for line in lines(event, self.style, self.verbose) {
            // A failed write must not stop the apply.
            let _ = self.bars.println(line);
        }
    }
}

/// A template, or the default one if it is invalid.
fn styled(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .map(|style| style.progress_chars("=> "))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Reporter for ProgressReporter {
    fn event(&self, event: &Event) {
        match event {
            Event::IterationStarted { changes, .. } => {
                self.overall.set_length(*changes as u64);
                self.overall.set_position(0);
                self.overall.enable_steady_tick(REDRAW_INTERVAL);
            }
            Event::StepStarted { address, .. } => self.start(address),
            Event::StepProgress { address, text } => self.update(address, text),
            Event::PhaseStarted { address, phase } => self.update(address, phase),
            Event::PhaseFinished { .. } | Event::WaitingForLease { .. } | Event::Warning(_) => {}
            Event::StepFinished { address, .. } => self.finish(address),
            Event::Stopping => {
                let running = &mut *lock(&self.running);
                running.stopping = true;
                self.count(running);
            }
        }
        self.print(event);
    }
}
