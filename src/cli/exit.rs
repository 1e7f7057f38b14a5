//! Exit codes, a stable interface for scripts and CI jobs.

use crate::apply::events::Outcome;
use crate::apply::{Applied, ApplyStatus};
use crate::plan::saved_plan::SavedPlanRefusal;
use crate::plan::{Plan, PlanStatus};

/// Success, or nothing to do.
pub const DONE: u8 = 0;
/// An error.
pub const ERROR: u8 = 1;
/// There are changes or drift that an apply corrects, or packets are dropped. `kubectl
/// diff` uses 1 for differences.
pub const CHANGES: u8 = 2;
/// The plan was applied in part; the next apply continues.
pub const PARTIAL: u8 = 3;
/// The infrastructure or the topology changed after the plan was made.
pub const STALE: u8 = 4;
/// No apply corrects it.
pub const BLOCKED: u8 = 5;
/// Invalid usage (`EX_USAGE` of `sysexits.h`).
pub const USAGE: u8 = 64;
/// Interrupted, by the shell convention for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Every exit code and its meaning, as the README and the reference have them.
pub const MEANINGS: [(u8, &str); 8] = [
    (
        DONE,
        "success, or nothing to do; for `status`, `routes` and `graph`: the state could be read; no \
         check failed (`doctor`)",
    ),
    (ERROR, "error; also if not everything could be read, so that the result may be incomplete"),
    (
        CHANGES,
        "changes (`plan --detailed-exitcode`) or drift (`drift`) that an apply corrects; a dropped \
         packet (`trace`); a dropped packet or a violated rule that an apply corrects (`check`); a \
         mismatch (`check --live`)",
    ),
    (PARTIAL, "partially applied; the next apply continues"),
    (
        STALE,
        "the plan is stale, and nothing was changed: the infrastructure or the topology changed \
         after it was made, or while the apply waited for another one's lease",
    ),
    (
        BLOCKED,
        "no apply helps: blocked by an error, a protection, a router that is offline, an object \
         that the topology does not own, or lost reachability; or packets are dropped although the \
         infrastructure matches the topology; a failed check (`doctor`)",
    ),
    (
        USAGE,
        "invalid usage, also a name that does not exist: an address for `--adopt` and `--replace` \
         that is neither in the topology nor in the plan, a host for `trace`, a worker, a fault or \
         its target, a code or field for `explain`",
    ),
    (INTERRUPTED, "interrupted; run the same command again to continue"),
];

/// The table of the exit codes, in Markdown.
pub fn table() -> String {
    let rows = MEANINGS.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n"));
    "| exit code | meaning |\n| ---: | --- |\n".to_owned() + &rows.collect::<String>()
}

/// The exit code for live state that compares like this with the topology; `changes` is
/// the code for differences that an apply corrects. One meaning for every command.
pub fn from_status(status: PlanStatus, changes: u8) -> u8 {
    match status {
        PlanStatus::Matches => DONE,
        PlanStatus::Differs => changes,
        PlanStatus::Wrong | PlanStatus::Blocked | PlanStatus::Unreachable => BLOCKED,
        // An unread source may hide a difference.
        PlanStatus::Unknown => ERROR,
    }
}

/// The exit code for the end of an apply or a destroy.
pub fn from_apply(applied: &Applied) -> u8 {
    match &applied.status {
        ApplyStatus::Converged if is_unreachable(applied) => BLOCKED,
        ApplyStatus::Converged => DONE,
        ApplyStatus::Partial(_) => PARTIAL,
        // Pipelines rely on it that a stale plan has changed nothing.
        ApplyStatus::Stale if has_changed(applied) => PARTIAL,
        ApplyStatus::Stale | ApplyStatus::Overtaken(_) => STALE,
        ApplyStatus::Refused(refusal) => from_refusal(refusal),
        ApplyStatus::Blocked => BLOCKED,
        ApplyStatus::Interrupted => INTERRUPTED,
    }
}

/// Whether an apply changed anything, a replacement that ended half-way included.
fn has_changed(applied: &Applied) -> bool {
    let is_half = |outcome: &Outcome| matches!(outcome, Outcome::HalfReplaced { .. });
    applied.changes_made > 0 || applied.outcomes.values().any(is_half)
}

/// Whether an apply left nothing to change, but packets are dropped. Changes that a saved plan
/// omitted may be what is missing.
pub(crate) fn is_unreachable(applied: &Applied) -> bool {
    let unreachable = |plan: &Plan| plan.status() == PlanStatus::Unreachable;
    applied.status == ApplyStatus::Converged
        && applied.omitted.is_empty()
        && applied.remaining.as_ref().is_some_and(unreachable)
}

/// The exit code for a saved plan that is not applied.
pub(crate) fn from_refusal(refusal: &SavedPlanRefusal) -> u8 {
    match refusal {
        SavedPlanRefusal::Errors(_) => BLOCKED,
        SavedPlanRefusal::OutOfScope(_) => ERROR,
        SavedPlanRefusal::Stale(_) => STALE,
    }
}

/// The exit code for a result of the argument parser: help and version are
/// requested output, anything else is invalid usage.
pub(crate) fn from_parser(kind: clap::error::ErrorKind) -> u8 {
    match kind {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => DONE,
        _ => USAGE,
    }
}
