//! `stargate drift`.

use clap::Args;

use crate::cli::arguments::PlanFormat;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::plan::impact::{IntermediateState, ReachabilityReport};
use crate::plan::{Plan, PlanOptions, PlanStatus};
use crate::render::connectivity::reachability_report::{MAX_PROBLEMS, ReachabilityReportText};
use crate::render::{Purpose, drift_json, plan_markdown, plan_text};

/// Show how the infrastructure differs from the topology
///
/// Reads only and needs no write permissions. Also shows which pods cannot reach
/// each other now, and why. Exits with 2 if there is drift.
#[derive(Debug, Clone, Args)]
pub(crate) struct DriftArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Reads the live state and shows the drift.
pub(crate) async fn run(
    arguments: &DriftArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.pipeline(&scope).run().await;
    let sources = planned.paths(&session.loaded.topology);
    let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, MAX_PROBLEMS);
    ui.data(&text(&planned.plan, &report, arguments.format, ui))?;
    Ok(exit_code(&planned.plan))
}

fn text(plan: &Plan, report: &ReachabilityReport, format: PlanFormat, ui: &Ui) -> String {
    let reachability = ReachabilityReportText { report };
    match format {
        PlanFormat::Text => {
            let options = plan_text::Options {
                style: ui.style(),
                purpose: Purpose::Drift,
                full: false,
                verbose: ui.verbosity() > 0,
            };
            plan_text::render_drift(plan, reachability, options)
        }
        PlanFormat::Json => drift_json::render(plan, reachability),
        PlanFormat::Markdown => plan_markdown::render_drift(plan, reachability),
    }
}

/// An unread source may hide drift, so it is an error.
fn exit_code(plan: &Plan) -> u8 {
    match plan.status() {
        PlanStatus::Matches => exit::DONE,
        PlanStatus::Differs | PlanStatus::Wrong => exit::CHANGES,
        PlanStatus::Blocked => exit::BLOCKED,
        PlanStatus::Unknown => exit::ERROR,
    }
}
