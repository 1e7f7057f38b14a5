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
use crate::plan::{PlanOptions, WorkerOperation};
use crate::render::Purpose;

/// Reprovision workers: drain, reset and rejoin them
///
/// Drains each worker, resets its host, deletes its Node, then provisions the host by its
/// profile and joins it again. The machine itself is kept. Several workers are repaved in
/// waves, as set in `[rollout]`. After an interrupt, the same command skips the workers
/// that are done.
///
/// Exits with 0 if all workers were repaved, 1 on an error, 3 if only some were, 4 if the
/// plan is stale, 5 if the work is blocked, and 130 if interrupted.
#[derive(Debug, Clone, Args)]
pub(crate) struct RepaveArguments {
    /// Names of workers in the topology
    #[arg(value_name = "WORKER", required = true)]
    pub(crate) workers: Vec<String>,
    /// Skip the approval prompt
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Do not acquire the lease that makes other applies of the topology wait
    #[arg(long)]
    pub(crate) no_lease: bool,
    /// Print text, or one line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Makes the plan for the workers, asks for approval and applies it.
pub(crate) async fn run(
    arguments: &RepaveArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let loaded = topology::load_or_report(global, ui)?;
    let worker_request = named(&loaded.topology, &arguments.workers, WorkerOperation::Repave)?;
    let session = WriteSession::of(loaded, global, Some(ui), interrupt::watch()?).await?;
    let request = ApplyRequest {
        options: PlanOptions { worker_request: Some(worker_request), ..PlanOptions::default() },
        yes: arguments.yes,
        no_lease: arguments.no_lease,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Repave)
    };
    let code = apply::run_plan(&session, &request, ui).await;
    session.close().await?;
    code
}
