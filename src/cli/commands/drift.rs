//! `stargate drift`.

use clap::Args;

use super::plan::{self, Reported};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::formats::PlanFormat;
use crate::cli::session::ReadSession;
use crate::cli::target;
use crate::cli::ui::Ui;
use crate::plan::PlanOptions;
use crate::render::Purpose;

/// Show how the infrastructure differs from the topology
///
/// Reads only and needs no write permissions. Also shows the pods that cannot reach each
/// other now, and the cause.
///
/// Exits with 0 if the infrastructure matches the topology and no packet is dropped, 2 if
/// there is drift that `apply` corrects, 5 if it is blocked or an apply cannot restore
/// dropped packets, and 1 if not everything could be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct DriftArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Show every field of every change, and truncate nothing
    #[arg(long)]
    pub(crate) full: bool,
}

/// Reads the live state and shows the drift.
pub(crate) async fn run(
    arguments: &DriftArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.plan(&scope, ui).await;
    let displayed =
        Reported { purpose: Purpose::Drift, format: arguments.format, full: arguments.full };
    let present = session.pipeline(&scope).read_present_cluster(&planned).await;
    let present = session.present(&planned, present.as_ref());
    let target = target::of(session).await;
    plan::show_with_present(ui, (&planned, present), (session, &target), displayed)?;
    Ok(exit::from_status(planned.plan.status(), exit::CHANGES))
}
