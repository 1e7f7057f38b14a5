//! Reports about a saved plan: why it is not applied, and its omitted changes.

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;
use crate::diagnostics::counted;
use crate::plan::OmittedChange;
use crate::plan::saved_plan::SavedPlanRefusal;

/// Changes beyond a saved plan that are named one by one.
const MAX_OMITTED: usize = 3;

/// Reports the changes of the plan made now that the saved plan does not contain.
pub(super) fn note_omitted(omitted: &[OmittedChange], ui: &Ui) {
    if omitted.is_empty() {
        return;
    }
    let names: Vec<String> = omitted.iter().take(MAX_OMITTED).map(OmittedChange::text).collect();
    let more = match omitted.len() - names.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    ui.note(&format!(
        "the new plan contains {} that the saved plan does not, and that this apply does not \
         make: {}{more}; `stargate plan` shows them",
        counted(omitted.len(), "other change"),
        names.join(", ")
    ));
}

/// The sentence of the closing line about changes that remain, with a space before it.
pub(super) fn remaining(omitted: &[OmittedChange]) -> String {
    match omitted.len() {
        0 => String::new(),
        1 => " 1 other change remains: `stargate plan` shows it.".to_owned(),
        count => format!(" {count} other changes remain: `stargate plan` shows them."),
    }
}

/// Differences from a saved plan that are reported one by one.
const MAX_REASONS: usize = 10;

/// Reports why a saved plan is not applied.
pub(super) fn refuse(refusal: &SavedPlanRefusal, ui: &Ui) -> u8 {
    let failures = refusal.failures();
    for failure in failures.iter().take(MAX_REASONS) {
        ui.error(&CliError::from(failure.clone()));
    }
    let left = failures.len().saturating_sub(MAX_REASONS);
    ui.status(&format!("Apply stopped: 0 changes made. {}", closing_line(refusal, left)));
    exit::from_refusal(refusal)
}

/// Why the saved plan is not applied, and how many reasons are not listed.
fn closing_line(refusal: &SavedPlanRefusal, left: usize) -> String {
    let (reason, noun) = match refusal {
        SavedPlanRefusal::Errors(_) => {
            ("The saved plan does not take these errors into account.", "more error")
        }
        SavedPlanRefusal::OutOfScope(_) => {
            ("The saved plan names objects outside the topology.", "more object")
        }
        SavedPlanRefusal::Stale(_) => ("The plan is stale.", "more difference"),
    };
    match left {
        0 => reason.to_owned(),
        1 => format!("{reason} {} is not listed.", counted(left, noun)),
        _ => format!("{reason} {} are not listed.", counted(left, noun)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_are_not_listed_are_counted_by_their_kind() {
        let lines = [
            (SavedPlanRefusal::Stale(Vec::new()), 0, "The plan is stale."),
            (
                SavedPlanRefusal::Stale(Vec::new()),
                1,
                "The plan is stale. 1 more difference is not listed.",
            ),
            (
                SavedPlanRefusal::Errors(Vec::new()),
                2,
                "The saved plan does not take these errors into account. 2 more errors are not \
                 listed.",
            ),
            (
                SavedPlanRefusal::OutOfScope(Vec::new()),
                1,
                "The saved plan names objects outside the topology. 1 more object is not listed.",
            ),
        ];
        for (refusal, left, line) in lines {
            assert_eq!(closing_line(&refusal, left), line);
        }
    }
}
