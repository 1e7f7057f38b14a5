//! The stand-in for the sandbox in a build without it: refuses `--sandbox`.

use std::path::Path;

use crate::apply::StopSignal;
use crate::topology::load::Loaded;

use super::arguments::Global;
use super::error::CliError;
use super::exit;
use super::session::WriteSession;

/// A sandbox in use: this build has none.
pub(crate) enum Sandbox {}

impl Sandbox {
    /// Never runs: no value of this type exists.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        match self {}
    }
}

/// Rejects `--sandbox` on every command.
pub(crate) fn check(global: &Global) -> Result<(), CliError> {
    match global.sandbox {
        Some(_) => Err(refusal()),
        None => Ok(()),
    }
}

/// Refuses to open the sandbox.
pub(crate) async fn session(
    _: Loaded,
    _: &Path,
    _: &str,
    _: StopSignal,
) -> Result<WriteSession, CliError> {
    Err(refusal())
}

fn refusal() -> CliError {
    CliError::new("`--sandbox` cannot be used: this build of stargate does not contain the sandbox")
        .remedy("build stargate with its default features: `cargo install --path . --locked`")
        .remedy("leave `--sandbox` out to use the real services")
        .exit(exit::USAGE)
}
