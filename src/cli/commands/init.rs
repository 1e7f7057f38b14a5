//! `stargate init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use clap::Args;

use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;

/// The commented topology that a newcomer starts from.
const EXAMPLE: &str = include_str!("../../../stargate.toml.example");

/// Write a commented topology to start from
///
/// Writes to `stargate.toml`, or to the file of `-f`. A file that is there
/// already is left alone.
#[derive(Debug, Clone, Args)]
pub(crate) struct InitArguments {}

/// Writes the file, unless there is one.
pub(crate) fn run(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let name = global.topology_name();
    let opened = OpenOptions::new().write(true).create_new(true).open(&global.topology);
    let written = opened.and_then(|mut file| file.write_all(EXAMPLE.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::new(format!("`{name}` is there already"))
            .hint("choose another file with `-f FILE`, or move this one away"),
        _ => CliError::new(format!("`{name}` cannot be written: {error}"))
            .hint("check that its folder exists and is yours"),
    })?;
    ui.status(&format!("wrote {name}: change what is yours, then run `stargate validate`"));
    Ok(exit::DONE)
}
