//! `stargate status`.

use std::collections::BTreeMap;

use clap::Args;

use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::findings::report_errors;
use crate::cli::health;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::cli::watcher;
use crate::plan::PlanOptions;
use crate::plan::impact::{IntermediateState, ReachabilityReport};
use crate::render::connectivity::reachability_report::{MAX_PROBLEMS, ReachabilityReportText};
use crate::render::table::StatusTable;
use crate::render::watcher_status::WatcherStatus;

/// Show the health of cluster, routers and workers, and the reachability
///
/// If `stargate watch` runs, also shows whether it is alive, when it last succeeded and
/// which changes await approval. It is alive if it renews its lease within seven seconds.
///
/// Exits with 0 if the state could be shown; `check` and `drift` have exit codes for
/// problems. 1 if not everything could be read; 5 if an error of the topology and the live
/// state forbids all changes.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Reads the live state and prints the health of its parts.
pub(crate) async fn run(
    arguments: &StatusArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.scope(PlanOptions::default());
    let planned = session.plan(&scope, ui).await;
    let present = session.pipeline(&scope).read_present_cluster(&planned).await;
    let (topology, present) = session.present(&planned, present.as_ref());
    // A cluster that does not know Operations yet has none.
    let operations = match present.observation.cluster_access() {
        Some(access) => access.client.last_operations().await.unwrap_or_else(|error| {
            if !error.is_not_found() {
                ui.warn(&error.to_string());
            }
            BTreeMap::new()
        }),
        None => BTreeMap::new(),
    };
    let watcher = match present.observation.cluster_access() {
        Some(access) => watcher::of(&*access.client, &session.loaded.topology.name)
            .await
            .inspect_err(|error| ui.warn(&format!("the watcher is unknown: {error}")))
            .unwrap_or_default(),
        None => None,
    };
    let table = StatusTable { watcher, ..health::status(present, &operations) };
    let present_topology = present.present_topology(topology);
    let sources = present.present_paths(topology, present_topology.as_ref());
    let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, MAX_PROBLEMS);
    let report_text = ReachabilityReportText { report: &report };
    let text = match arguments.format {
        // Without machines there is nothing that packets could reach.
        Format::Text if table.is_nothing_deployed() => {
            table.to_text() + "\nNothing is deployed: `stargate apply` creates the resources.\n"
        }
        Format::Text => {
            let reachability = report_text.summary_lines(ui.style());
            let gap = if reachability.is_empty() { "" } else { "\n" };
            let lines = reachability.into_iter().map(|line| line + "\n");
            let watcher = table.watcher.as_ref().map(WatcherStatus::lines).unwrap_or_default();
            let gap_before = if watcher.is_empty() { "" } else { "\n" };
            let watcher = watcher.into_iter().map(|line| line + "\n").collect::<String>();
            table.to_text() + gap + &lines.collect::<String>() + gap_before + &watcher
        }
        Format::Json => {
            StatusTable { reachability: Some(report_text.to_json()), ..table }.to_json()
        }
    };
    ui.data(&text)?;
    Ok(report_errors(&planned.plan, ui))
}
