//! `stargate doctor`.

use clap::Args;

use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::cli::{exit, reminder, target};
use crate::lease::LeaseIdentity;
use crate::plan::PlanOptions;
use crate::plan::readiness::ReadinessStatus;
use crate::render::doctor::DoctorReport;

/// Check everything that an apply needs
///
/// Checks access, permissions, quotas, VM sizes, versions, policies, locks, hosts and
/// clocks, and makes a plan. Changes nothing. A check whose facts cannot be read is
/// unknown, and not passed.
///
/// Exits with 0 if no check failed, 5 if a check failed, and 1 if no check failed and not
/// everything could be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct DoctorArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Reads everything that an apply needs and prints the checks.
pub(crate) async fn run(
    arguments: &DoctorArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.scope(PlanOptions::default());
    let lease = LeaseIdentity::new(&session.loaded.topology.name, "doctor");
    let pipeline = session.pipeline(&scope);
    let examine = pipeline.examine(lease.name());
    let examine = reminder::reading(examine, &session.clients.requests, ui);
    let (examined, target) = tokio::join!(examine, target::of(session));
    let report = DoctorReport { target: &target, checks: &examined.checks };
    ui.data(&match arguments.format {
        Format::Text => report.to_text(ui.style()),
        Format::Json => report.to_json(),
    })?;
    Ok(match report.status() {
        ReadinessStatus::Failed => exit::BLOCKED,
        ReadinessStatus::Unknown => exit::ERROR,
        ReadinessStatus::Warned | ReadinessStatus::Passed | ReadinessStatus::Skipped => exit::DONE,
    })
}
