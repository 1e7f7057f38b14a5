//! The text of one event.

use std::time::Duration;

use crate::apply::events::{Event, Outcome};
use crate::diagnostics::Failure;
use crate::plan::Action;
use crate::resource::{Address, Kind};

use super::super::style::{Role, Style};
use super::super::text::{counted, elapsed, wrap};

/// The lines for one event; none for progress unless `verbose`.
pub(super) fn lines(event: &Event, style: Style, verbose: bool) -> Vec<String> {
    match event {
        Event::IterationStarted { iteration: 1, changes } => {
            vec![style.paint(Role::Title, format!("Applying {}", counted(*changes, "change")))]
        }
        Event::IterationStarted { iteration, changes } => {
            let text = format!("Iteration {iteration}: applying {}", counted(*changes, "change"));
            vec![style.paint(Role::Title, text)]
        }
        Event::WaitingForLease { lease, holder, acquired, renewed, valid_seconds, .. } => {
            let text = format!("Waiting for the lease {lease}, held by {holder} since {acquired}");
            let mut lines: Vec<String> = wrap(&text, "", "    ")
                .into_iter()
                .map(|line| style.paint(Role::Warning, line))
                .collect();
            lines.extend(painted(Role::Quiet, &format!("last renewed at {renewed}"), style));
            let help = format!(
                "help: no action is needed: this command continues when that one ends, or \
                 {valid_seconds} s after its last renewal if it was killed; to give up, press Ctrl-C"
            );
            lines.extend(painted(Role::Help, &help, style));
            lines
        }
        Event::StepStarted { address, action } if verbose => {
            vec![style.paint(Role::Quiet, format!("{:>3} {address} starting", action.glyph()))]
        }
        Event::StepProgress { address, text } if verbose => {
            painted(Role::Quiet, &format!("{address}: {text}"), style)
        }
        Event::PhaseFinished { address, phase, milliseconds } if verbose => {
            let took = elapsed(Duration::from_millis(*milliseconds));
            painted(Role::Quiet, &format!("{address}: {phase} ({took})"), style)
        }
        Event::StepStarted { .. }
        | Event::StepProgress { .. }
        | Event::PhaseStarted { .. }
        | Event::PhaseFinished { .. } => Vec::new(),
        Event::StepFinished { address, action, outcome, milliseconds } => {
            finished(address, *action, outcome, Duration::from_millis(*milliseconds), style)
        }
        Event::Warning(failure) => warning(failure, style),
        Event::Stopping => vec![style.paint(
            Role::Warning,
            "Stopping: waiting for running steps; interrupt again to stop immediately",
        )],
    }
}

/// Wraps a text, in the color of its role.
fn painted(role: Role, text: &str, style: Style) -> Vec<String> {
    wrap(text, "    ", "      ").into_iter().map(|line| style.paint(role, line)).collect()
}

/// Wraps a text behind a sign, which has the color of its role.
fn marked(sign: &str, role: Role, text: &str, style: Style) -> Vec<String> {
    let mut lines = wrap(text, "    ", "      ");
    if let Some(first) = lines.first_mut() {
        let sign = style.paint(role, format!("{sign:>3}"));
        *first = format!("{sign} {}", first.trim_start());
    }
    lines
}

fn warning(failure: &Failure, style: Style) -> Vec<String> {
    let Failure { code, message, remedy, .. } = failure;
    let mut lines = marked("!", Role::Warning, &format!("warning[{code}]: {message}"), style);
    if !remedy.is_empty() {
        lines.extend(painted(Role::Help, &format!("help: {remedy}"), style));
    }
    lines
}

fn finished(
    address: &Address,
    action: Action,
    outcome: &Outcome,
    took: Duration,
    style: Style,
) -> Vec<String> {
    let good = |text: String| marked(action.glyph(), Role::Action(action), &text, style);
    let bad = |text: String| marked("!", Role::Error, &text, style);
    let silent = |text: String| painted(Role::Quiet, &text, style);
    match outcome {
        Outcome::Done => good(format!("{address} {} ({})", action.participle(), elapsed(took))),
        Outcome::UpToDate => good(format!("{address} already up to date")),
        Outcome::GuardFailed { reason } => {
            bad(format!("{address} changed after the plan was made: {reason}"))
        }
        Outcome::Failed(failure) => {
            let Failure { code, message, remedy, .. } = failure;
            let took = elapsed(took);
            let mut lines = bad(format!("{address} failed after {took}: [{code}] {message}"));
            if !remedy.is_empty() {
                lines.extend(painted(Role::Help, &format!("help: {remedy}"), style));
            }
            lines
        }
        Outcome::Skipped { because_of } => {
            silent(format!("{address} skipped: {because_of} did not succeed"))
        }
        Outcome::RolloutHalted { reason } => {
            silent(format!("{address} not started, rollout halted: {reason}"))
        }
        Outcome::NotStarted => silent(format!("{address} not started")),
        Outcome::HalfReplaced { done, reason } => {
            let again = match address.kind {
                Kind::Worker => "not joined again",
                _ => "not created again",
            };
            let mut lines = bad(format!("{address} {done}, but {again}: {reason}"));
            let remedy = Outcome::half_replaced_remedy(address.kind);
            lines.extend(painted(Role::Help, &format!("help: {remedy}"), style));
            lines
        }
    }
}
