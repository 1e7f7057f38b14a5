//! `stargate routes`.

use clap::Args;

use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::overview;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::plan::PlanOptions;

/// Show every prefix, and which tables on its way hold it
///
/// AZURE is the route tables, ADVERTISED what routers offer to the tailnet,
/// APPROVED what it accepts, KERNEL the routers' own tables. A dash
/// stands where nothing is to be, MISSING where something is, WRONG where it
/// leads elsewhere, a question mark where nobody could look. `--format json`
/// names the tables.
#[derive(Debug, Clone, Args)]
pub(crate) struct RoutesArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Reads the world and lays its tables side by side.
pub(crate) async fn run(
    arguments: &RoutesArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.scope(PlanOptions::default());
    let planned = session.pipeline(&scope).run().await;
    let table = overview::routes(&session.loaded.topology, &planned);
    let text = match arguments.format {
        Format::Text => table.to_text(),
        Format::Json => table.to_json(),
    };
    ui.data(&text)?;
    Ok(exit::DONE)
}
