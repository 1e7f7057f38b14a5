//! `stargate schema`.

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::ui::Ui;
use crate::render::plan_json::plan_schema_text;
use crate::topology::reference::reference_text;
use crate::topology::schema::schema_text;

/// Print the JSON Schema of the topology file
#[derive(Debug, Clone, Args)]
pub(crate) struct SchemaArguments {
    /// Print the schema of `plan --format json` instead
    #[arg(long)]
    pub(crate) plan: bool,
    /// Print the reference of all fields in Markdown instead: types, defaults, and the
    /// effects of changes
    #[arg(long, conflicts_with = "plan")]
    pub(crate) reference: bool,
}

/// Prints the schema.
pub(crate) fn run(arguments: &SchemaArguments, ui: &Ui) -> Result<u8, CliError> {
    let text = match (arguments.plan, arguments.reference) {
        (true, _) => plan_schema_text(),
        (false, true) => reference_text(),
        (false, false) => schema_text(),
    };
    ui.data(&text)?;
    Ok(exit::DONE)
}
