//! `stargate repave`.

use clap::Args;

use super::apply::{self, ApplyRequest};
use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::interrupt;
use crate::cli::session::WriteSession;
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::cli::workers::named;
use crate::plan::{PlanOptions, Work};
use crate::render::Purpose;

/// Make workers anew: drain them, reset them, join them again
///
/// The pods of each worker are evicted, what stargate put on its host is taken
/// away, its Node is deleted, and the worker is brought to its profile and into
/// the cluster as a new one. A machine in Azure stays; only what is on it is made
/// anew. Nothing else is touched. Several workers go in waves, as `[rollout]` in
/// the topology has it.
#[derive(Debug, Clone, Args)]
pub(crate) struct RepaveArguments {
    /// Workers, by their names in the topology
    #[arg(value_name = "WORKER", required = true)]
    pub(crate) workers: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Lines for people, or a line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Plans for these workers, asks, and carries it out.
pub(crate) async fn run(
    arguments: &RepaveArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let loaded = topology::load_or_report(global, ui)?;
    let worker_request = named(&loaded.topology, &arguments.workers, Work::Repave)?;
    let session = WriteSession::of(loaded, global, interrupt::watch()?).await?;
    let request = ApplyRequest {
        options: PlanOptions { worker_request: Some(worker_request), ..PlanOptions::default() },
        yes: arguments.yes,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Repave)
    };
    let code = apply::run_plan(&session, &request, ui).await;
    session.close().await?;
    code
}
