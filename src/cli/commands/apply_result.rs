//! How an apply ended: its errors, its closing line and its exit code.

use super::apply::ApplyRequest;
use super::saved_plan_report;
use crate::apply::events::Outcome;
use crate::apply::{Applied, ApplyStatus};
use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, counted};
use crate::render::{Purpose, matches_topology};

/// The name of the operation in the closing line.
fn operation(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Destroy => "Destroy",
        Purpose::Repave => "Repave",
        Purpose::Reboot => "Reboot",
        Purpose::Plan | Purpose::Drift => "Apply",
    }
}

/// Reports a signal that came before the first change.
pub(super) fn interrupted_before(purpose: Purpose, ui: &Ui) -> u8 {
    let operation = operation(purpose);
    ui.status(&format!(
        "{operation} interrupted: 0 changes made. Run the same command again to continue."
    ));
    exit::INTERRUPTED
}

/// Prints the errors and the closing line.
pub(super) fn print_result(
    applied: &Applied,
    request: &ApplyRequest,
    ui: &Ui,
) -> Result<u8, CliError> {
    report_unreachable(applied, ui);
    if let ApplyStatus::Refused(refusal) = &applied.status {
        return Ok(saved_plan_report::refuse(refusal, ui));
    }
    report_outcomes(applied, ui);
    if let ApplyStatus::Partial(failure) | ApplyStatus::Overtaken(failure) = &applied.status {
        ui.error(&CliError::from(failure.clone()));
    }
    if request.format == Format::Text || applied.status == ApplyStatus::Interrupted {
        let (status, note) = ending(applied, request);
        let operation = operation(request.purpose);
        ui.status(&format!("{operation} {status}: {}.{note}", made(applied)));
    }
    Ok(exit::from_apply(applied))
}

fn report_unreachable(applied: &Applied, ui: &Ui) {
    let is_unreachable = exit::is_unreachable(applied);
    if let Some(plan) = applied.remaining.as_ref().filter(|_| is_unreachable) {
        let problem = plan.reachability.broken_summary();
        ui.error(
            &CliError::new(format!("the infrastructure matches the topology, but {problem}"))
                .remedy("`stargate drift` names the cause and who can change it"),
        );
    }
}

fn report_outcomes(applied: &Applied, ui: &Ui) {
    for (address, outcome) in &applied.outcomes {
        match outcome {
            Outcome::Failed(failure) => {
                let message = format!("{address}: {failure}");
                ui.error(&CliError::from(failure.clone().with_message(message)));
            }
            Outcome::GuardFailed { reason } => ui.error(
                &CliError::coded(Code::StalePlan, format!("{address}: {reason}"))
                    .remedy("create a new plan from the current state"),
            ),
            _ => {}
        }
    }
}

/// How many changes were made, and how many only by half.
fn made(applied: &Applied) -> String {
    let is_half = |outcome: &&Outcome| matches!(outcome, Outcome::HalfReplaced { .. });
    let half = match applied.outcomes.values().filter(is_half).count() {
        0 => String::new(),
        half => format!(", {half} made in part"),
    };
    format!("{} made{half}", counted(applied.changes_made, "change"))
}

/// The state of the operation in the closing line, and its text after the count.
fn ending(applied: &Applied, request: &ApplyRequest) -> (&'static str, String) {
    let (status, note) = match (&applied.status, &applied.remaining) {
        (ApplyStatus::Converged, _) if exit::is_unreachable(applied) => ("incomplete", ""),
        (ApplyStatus::Converged, _) if applied.began_unread => (
            "complete",
            " No known resources of the topology remain. The cluster was not read: hosts and \
             routers that had left the topology before may still be configured.",
        ),
        (ApplyStatus::Converged, _) if request.purpose == Purpose::Destroy => {
            ("complete", " No resources of the topology remain.")
        }
        // Only the plan was applied; the rest of the infrastructure was not compared.
        (ApplyStatus::Converged, _) if request.options.worker_request.is_some() => ("complete", ""),
        (ApplyStatus::Converged, remaining)
            if remaining.is_none() || !applied.omitted.is_empty() =>
        {
            return ("complete", saved_plan_report::remaining(&applied.omitted));
        }
        (ApplyStatus::Converged, plan) => {
            let matching = plan.as_ref().map(|plan| format!(" {}.", matches_topology(plan)));
            return ("complete", matching.unwrap_or_default());
        }
        (ApplyStatus::Partial(_) | ApplyStatus::Refused(_), _) => ("incomplete", ""),
        (ApplyStatus::Stale | ApplyStatus::Overtaken(_), _) => ("stopped", " The plan is stale."),
        (ApplyStatus::Blocked, _) => ("incomplete", " The remaining changes are blocked."),
        (ApplyStatus::Interrupted, _) => {
            ("interrupted", " Run the same command again to continue.")
        }
    };
    (status, note.to_owned())
}
