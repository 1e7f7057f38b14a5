//! `stargate routes`.

use clap::Args;

use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::findings::report_errors;
use crate::cli::overview;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::plan::PlanOptions;

/// Show every prefix and the routing tables that have it
///
/// AZURE are route tables, ADVERTISED and APPROVED the subnet routes of the
/// tailnet, CILIUM the pod CIDRs that Cilium knows, KERNEL the routes of the
/// routers. Cells are `yes`, MISSING, WRONG (another next hop), `-` (not needed)
/// or `?` (could not be read). `--format json` names the tables.
///
/// Exits with 0 if the state could be shown; 1 if not everything could be read; 5 if an
/// error of the topology and the live state forbids all changes.
#[derive(Debug, Clone, Args)]
pub(crate) struct RoutesArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Reads the live state and prints the table.
pub(crate) async fn run(
    arguments: &RoutesArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.scope(PlanOptions::default());
    let planned = session.plan(&scope, ui).await;
    let present = session.pipeline(&scope).read_present_cluster(&planned).await;
    let (topology, present) = session.present(&planned, present.as_ref());
    let table = overview::routes(topology, present);
    let text = match arguments.format {
        Format::Text => table.to_text(),
        Format::Json => table.to_json(),
    };
    ui.data(&text)?;
    Ok(report_errors(&planned.plan, ui))
}
