//! Exit codes, a stable interface for scripts and CI jobs.

use crate::apply::{Applied, ApplyStatus};
use crate::plan::saved_plan::SavedPlanRefusal;
use crate::plan::{Plan, PlanStatus};

/// Success, or nothing to do.
pub const DONE: u8 = 0;
/// An error.
pub const ERROR: u8 = 1;
/// There are changes (`plan --detailed-exitcode`) or drift (`drift`) that an apply
/// corrects, a packet is dropped that an apply delivers (`check`), or the traced packet
/// is dropped (`trace`), whether an apply corrects it or not. `kubectl diff` uses 1 for
/// differences.
pub const CHANGES: u8 = 2;
/// The plan was applied in part; the next apply continues.
pub const PARTIAL: u8 = 3;
/// The infrastructure or the topology changed after the plan was made.
pub const STALE: u8 = 4;
/// A lint, a protection, a router that is offline or a foreign object blocks the
/// change, or packets are dropped although the infrastructure matches the topology: no
/// apply corrects it.
pub const BLOCKED: u8 = 5;
/// Invalid usage (`EX_USAGE` of `sysexits.h`).
pub const USAGE: u8 = 64;
/// Interrupted, by the shell convention for SIGINT.
pub const INTERRUPTED: u8 = 130;

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
        ApplyStatus::Stale => STALE,
        ApplyStatus::Refused(refusal) => from_refusal(refusal),
        ApplyStatus::Blocked => BLOCKED,
        ApplyStatus::Interrupted => INTERRUPTED,
    }
}

/// Whether an apply left nothing to change, but packets are dropped.
pub(crate) fn is_unreachable(applied: &Applied) -> bool {
    let unreachable = |plan: &Plan| plan.status() == PlanStatus::Unreachable;
    applied.status == ApplyStatus::Converged && applied.remaining.as_ref().is_some_and(unreachable)
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
