//! `stargate completions`.

use clap::Args;
use clap_complete::Shell;

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;

/// Print a completion script for a shell
#[derive(Debug, Clone, Args)]
pub(crate) struct CompletionsArguments {
    /// Target shell
    #[arg(value_enum, value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// Prints the script.
pub(crate) fn run(arguments: &CompletionsArguments, ui: &Ui) -> Result<u8, CliError> {
    let mut script = Vec::new();
    let mut command = crate::cli::command();
    clap_complete::generate(arguments.shell, &mut command, "stargate", &mut script);
    ui.data(&String::from_utf8_lossy(&script))?;
    Ok(exit::DONE)
}
