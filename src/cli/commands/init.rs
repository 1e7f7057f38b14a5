//! `stargate init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use clap::Args;

use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;

/// The commented example topology.
const EXAMPLE: &str = include_str!("../../../stargate.toml.example");

/// Write a commented example topology
///
/// Writes to `stargate.toml`, or to the path given with `-f`. Never overwrites a
/// file.
#[derive(Debug, Clone, Args)]
pub(crate) struct InitArguments {}

/// Writes the file unless it exists.
pub(crate) fn run(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let name = global.topology_name();
    let opened = OpenOptions::new().write(true).create_new(true).open(&global.topology);
    let written = opened.and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::new(format!("`{name}` already exists"))
            .remedy("choose another path with `-f FILE`, or move the existing file"),
        _ => CliError::new(format!("could not write `{name}`: {error}"))
            .remedy("check that the directory exists and is writable"),
    })?;
    ui.status(&format!("Wrote {name}. Edit it, then run `stargate validate`."));
    Ok(exit::DONE)
}
