//! The text of one event.

use std::time::Duration;

use crate::apply::events::{Event, Outcome};
use crate::diagnostics::Failure;
use crate::plan::Action;
use crate::resource::Address;

use super::super::style::{Role, Style};
use super::super::text::{counted, elapsed};

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
        Event::WaitingForLease { lease, holder, renewed } => vec![
            style.paint(Role::Warning, format!("Waiting for the lease {lease}, held by {holder}")),
            style.paint(Role::Quiet, format!("    last renewed at {renewed}")),
        ],
        Event::StepStarted { address, action } if verbose => {
            vec![style.paint(Role::Quiet, format!("{:>3} {address} starting", action.glyph()))]
        }
        Event::StepProgress { address, text } if verbose => {
            vec![style.paint(Role::Quiet, format!("    {address}: {text}"))]
        }
        Event::PartFinished { address, part, milliseconds } if verbose => {
            let took = elapsed(Duration::from_millis(*milliseconds));
            vec![style.paint(Role::Quiet, format!("    {address}: {part} ({took})"))]
        }
        Event::StepStarted { .. }
        | Event::StepProgress { .. }
        | Event::PartStarted { .. }
        | Event::PartFinished { .. } => Vec::new(),
        Event::StepFinished { address, action, outcome, milliseconds } => {
            finished(address, *action, outcome, Duration::from_millis(*milliseconds), style)
        }
        Event::Stopping => vec![style.paint(
            Role::Warning,
            "Stopping: waiting for running steps; interrupt again to stop immediately",
        )],
    }
}

fn finished(
    address: &Address,
    action: Action,
    outcome: &Outcome,
    took: Duration,
    style: Style,
) -> Vec<String> {
    let good = |text: String| {
        vec![format!(
            "{} {text}",
            style.paint(Role::Action(action), format!("{:>3}", action.glyph()))
        )]
    };
    let bad = |text: String| format!("{} {text}", style.paint(Role::Error, "  !"));
    let silent = |text: String| vec![style.paint(Role::Quiet, format!("    {text}"))];
    match outcome {
        Outcome::Done => good(format!("{address} {} ({})", action.participle(), elapsed(took))),
        Outcome::UpToDate => good(format!("{address} already up to date")),
        Outcome::GuardFailed { reason } => {
            vec![bad(format!("{address} changed after the plan was made: {reason}"))]
        }
        Outcome::Failed(failure) => {
            let Failure { code, message, remedy, .. } = failure;
            let took = elapsed(took);
            let failed = bad(format!("{address} failed after {took}: [{code}] {message}"));
            let help = style.paint(Role::Help, format!("    help: {remedy}"));
            if remedy.is_empty() { vec![failed] } else { vec![failed, help] }
        }
        Outcome::Skipped { because_of } => {
            silent(format!("{address} skipped: {because_of} did not succeed"))
        }
        Outcome::RolloutHalted { reason } => {
            silent(format!("{address} not started, rollout halted: {reason}"))
        }
        Outcome::NotStarted => silent(format!("{address} not started")),
    }
}
