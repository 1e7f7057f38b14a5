//! `stargate schema`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;
use crate::render::plan_json::plan_schema_text;
use crate::topology::schema::schema_text;

/// Print the JSON Schema of the topology file
#[derive(Debug, Clone, Args)]
pub(crate) struct SchemaArguments {
    /// Print the schema of `plan --format json` instead
    #[arg(long)]
    pub(crate) plan: bool,
}

/// Prints the schema.
pub(crate) fn run(arguments: &SchemaArguments, ui: &Ui) -> Result<u8, CliError> {
    ui.data(&if arguments.plan { plan_schema_text() } else { schema_text() })?;
    Ok(exit::DONE)
}
