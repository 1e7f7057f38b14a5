//! `stargate destroy`.

use clap::Args;

use super::apply::{self, ApplyRequest};
use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::interrupt;
use crate::cli::session::WriteSession;
use crate::cli::ui::Ui;
use crate::plan::PlanOptions;
use crate::render::Purpose;

/// Delete everything that the topology owns
///
/// Foreign objects stay. If a protected object would be deleted, nothing is deleted.
///
/// Exits with 0 if no object of the topology is left, 1 on an error, 3 if only some were
/// deleted, 4 if the plan is stale, 5 if the deletion is blocked, and 130 if interrupted.
#[derive(Debug, Clone, Args)]
pub(crate) struct DestroyArguments {
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

/// Plans the deletion of everything, asks for approval and applies the plan.
pub(crate) async fn run(
    arguments: &DestroyArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let session = WriteSession::open(global, ui, interrupt::watch()?).await?;
    let request = ApplyRequest {
        options: PlanOptions { destroy: true, ..PlanOptions::default() },
        yes: arguments.yes,
        no_lease: arguments.no_lease,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Destroy)
    };
    let code = apply::run_plan(&session, &request, ui).await;
    session.close().await?;
    code
}
