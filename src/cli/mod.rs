//! Arguments, one file a command.

mod arguments;
mod commands;
pub mod error;
pub mod exit;
mod logging;
mod topology;
pub mod ui;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use error::CliError;
pub use ui::Ui;

use arguments::{Arguments, Command};

/// Runs the program: parses the command line, runs the command, tells an error.
pub fn main() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(arguments) => {
            logging::start(arguments.global.verbose);
            let ui = Ui::new(&arguments.global);
            ExitCode::from(run(&arguments, &ui).unwrap_or_else(|error| {
                ui.error(&error);
                error.exit
            }))
        }
        Err(error) => {
            // Where neither channel can be written, the exit code still tells.
            let _ = error.print();
            ExitCode::from(exit::of_parser(error.kind()))
        }
    }
}

/// The command line's definition, for completions and manuals.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(arguments)
}

fn run(arguments: &Arguments, ui: &Ui) -> Result<u8, CliError> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Init(_) => commands::init::run(global, ui),
        Command::Validate(validate) => commands::validate::run(validate, global, ui),
        Command::Schema(schema) => commands::schema::run(schema, ui),
        Command::Explain(explain) => commands::explain::run(explain, ui),
        Command::Completions(completions) => commands::completions::run(completions, ui),
        other => Err(CliError::new(format!("{other:?} has no way to run in this build"))),
    }
}
