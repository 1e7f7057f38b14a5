//! Exit codes, a stable interface for scripts and CI jobs.

/// Success, or nothing to do.
pub const DONE: u8 = 0;
/// An error.
pub const ERROR: u8 = 1;
/// There are changes (`plan --detailed-exitcode`) or drift (`drift`), or a packet
/// is dropped (`trace`, `check`). `kubectl diff` uses 1 for differences.
pub const CHANGES: u8 = 2;
/// The plan was applied in part; the next apply continues.
pub const PARTIAL: u8 = 3;
/// The infrastructure or the topology changed after the plan was made.
pub const STALE: u8 = 4;
/// A lint, a protection or a foreign object blocks the change.
pub const BLOCKED: u8 = 5;
/// Invalid usage (`EX_USAGE` of `sysexits.h`).
pub const USAGE: u8 = 64;
/// Interrupted, by the shell convention for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The exit code for a result of the argument parser: help and version are
/// requested output, anything else is invalid usage.
pub(crate) fn from_parser(kind: clap::error::ErrorKind) -> u8 {
    match kind {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => DONE,
        _ => USAGE,
    }
}
