//! Errors of a plan, for commands that show something else than the plan.

use super::error::CliError;
use super::exit;
use super::ui::Ui;
use crate::plan::{FindingSeverity, Plan, PlanStatus};

/// Prints the errors of a plan, without which the desired state is unknown, and the sources
/// that could not be read; returns the exit code of the command.
pub(crate) fn report_errors(plan: &Plan, ui: &Ui) -> u8 {
    let errors = plan.findings.iter().filter(|finding| finding.severity == FindingSeverity::Error);
    for finding in errors {
        ui.error(&CliError::from(finding.failure.clone()));
    }
    for gap in plan.unexplained_gaps() {
        let message = format!("{} could not be read: {}", gap.subject(), gap.failure.message);
        ui.error(&CliError::from(gap.failure.clone().with_message(message)));
    }
    match plan.status() {
        PlanStatus::Unknown => exit::ERROR,
        PlanStatus::Wrong => exit::BLOCKED,
        _ => exit::DONE,
    }
}
