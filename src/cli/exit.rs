//! Exit codes: what scripts and CI jobs may rely on.

/// Everything was done, or there was nothing to do.
pub const DONE: u8 = 0;
/// Something went wrong, and nothing more is known than the message.
pub const ERROR: u8 = 1;
/// There are changes (`plan --detailed-exitcode`), there is drift (`drift`), or a
/// way of packets is broken (`trace`, `check`).
/// Note that `kubectl diff` says so with 1.
pub const CHANGES: u8 = 2;
/// The plan was applied in part; the next apply goes on.
pub const PARTIAL: u8 = 3;
/// The world is no longer as it was when the plan was made; plan anew.
pub const STALE: u8 = 4;
/// A lint or a protection stands against the change.
pub const BLOCKED: u8 = 5;
/// The command line makes no sense, by the number of `sysexits.h`.
pub const USAGE: u8 = 64;
/// The user interrupted it, by the number that shells give SIGINT.
pub const INTERRUPTED: u8 = 130;

/// The exit code for what the parser of arguments has to say: help and version
/// are wanted output, anything else is a mistake.
pub(crate) fn of_parser(kind: clap::error::ErrorKind) -> u8 {
    match kind {
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion => DONE,
        _ => USAGE,
    }
}
