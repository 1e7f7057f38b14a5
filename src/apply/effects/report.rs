//! Reports of a step: its progress, and its failure.

use crate::apply::events::{Event, Outcome};
use crate::apply::iteration::Iteration;
use crate::diagnostics::Failure;
use crate::plan::Change;

/// The outcome of a step whose client failed.
pub(super) fn failed(error: impl Into<Failure>) -> Outcome {
    Outcome::Failed(error.into())
}

/// Reports the progress of a step.
pub(super) fn progress(iteration: &Iteration<'_>, change: &Change, text: impl Into<String>) {
    let event = Event::StepProgress { address: change.address.clone(), text: text.into() };
    iteration.reporter.event(&event);
}
