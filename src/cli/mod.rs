//! The command line: arguments, output channels, and one file for each command.

mod arguments;
mod cloud_session;
mod commands;
pub mod error;
mod error_report;
pub mod exit;
mod findings;
mod formats;
mod health;
mod interrupt;
mod logging;
mod named_resources;
mod overview;
mod process_name;
mod reminder;
mod safe_output;
#[cfg_attr(not(feature = "sandbox"), path = "no_sandbox.rs")]
mod sandbox_state;
mod saved_plan_file;
mod session;
mod ssh_access;
mod target;
mod topology;
pub mod ui;
mod usage_error;
mod watcher;
mod workers;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

pub use error::CliError;
pub use ui::Ui;

use crate::render::Style;

use arguments::{Arguments, Command};
use session::{examining, reading};

/// Parses the command line, runs the command and prints its error.
pub fn main() -> ExitCode {
    match parse(std::env::args_os()) {
        Ok(arguments) => {
            let ui = Ui::new(&arguments.global);
            logging::start(arguments.global.verbose, ui.status_style() == Style::Colored);
            ExitCode::from(run(&arguments, &ui).unwrap_or_else(|error| {
                ui.error(&error);
                error.exit
            }))
        }
        Err(error) => {
            usage_error::print(&error);
            ExitCode::from(exit::from_parser(error.kind()))
        }
    }
}

/// The definition of the command line, for completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let mut definition = Arguments::command();
    let matches = definition.try_get_matches_from_mut(arguments)?;
    let parsed = Arguments::from_arg_matches(&matches);
    let mut parsed = parsed.map_err(|error| error.format(&mut definition))?;
    let below = std::iter::successors(matches.subcommand(), |(_, below)| below.subcommand());
    parsed.global.command = below.map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    Ok(parsed)
}

/// Runs the command. Where its format is for a CI job, an error is data as well.
fn run(arguments: &Arguments, ui: &Ui) -> Result<u8, CliError> {
    let result = execute(arguments, ui);
    if let (Err(error), Some(format)) = (&result, arguments.command.error_format()) {
        error_report::print(error, format, &arguments.global, ui)?;
    }
    result
}

fn execute(arguments: &Arguments, ui: &Ui) -> Result<u8, CliError> {
    let global = &arguments.global;
    sandbox_state::check(global)?;
    match &arguments.command {
        Command::Init(_) => commands::init::run(global, ui),
        Command::Validate(validate) => commands::validate::run(validate, global, ui),
        Command::Manifests(manifests) => commands::manifests::run(manifests, global, ui),
        Command::Schema(schema) => commands::schema::run(schema, ui),
        Command::Explain(explain) => commands::explain::run(explain, ui),
        Command::Completions(completions) => commands::completions::run(completions, ui),
        Command::Plan(plan) => {
            commands::plan::check(plan, global)?;
            wait(reading(global, ui, async |session| commands::plan::run(plan, session, ui).await))
        }
        Command::Apply(apply) => wait(commands::apply::run(apply, global, ui)),
        Command::Doctor(doctor) => wait(examining(global, ui, async |session| {
            commands::doctor::run(doctor, session, ui).await
        })),
        Command::Drift(drift) => wait(reading(global, ui, async |session| {
            commands::drift::run(drift, session, ui).await
        })),
        Command::Destroy(destroy) => wait(commands::destroy::run(destroy, global, ui)),
        Command::Repave(repave) => wait(commands::repave::run(repave, global, ui)),
        Command::Reboot(reboot) => wait(commands::reboot::run(reboot, global, ui)),
        Command::Watch(watch) => wait(commands::watch::run(watch, global, ui)),
        Command::Status(status) => wait(reading(global, ui, async |session| {
            commands::status::run(status, session, ui).await
        })),
        Command::Routes(routes) => wait(reading(global, ui, async |session| {
            commands::routes::run(routes, session, ui).await
        })),
        Command::Trace(trace) => wait(reading(global, ui, async |session| {
            commands::trace::run(trace, session, ui).await
        })),
        Command::Check(check) => wait(reading(global, ui, async |session| {
            commands::check::run(check, session, ui).await
        })),
        Command::Graph(graph) => wait(reading(global, ui, async |session| {
            commands::graph::run(graph, session, ui).await
        })),
        #[cfg(feature = "sandbox")]
        Command::Sandbox(sandbox) => wait(commands::sandbox::run(sandbox, global, ui)),
    }
}

/// Runs an asynchronous command.
fn wait(command: impl Future<Output = Result<u8, CliError>>) -> Result<u8, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(command)
}
