//! `stargate drift`.

use clap::Args;

use crate::cli::arguments::PlanFormat;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::connectivity::IntermediateState;
use crate::plan::impact::ReachabilityReport;
use crate::plan::{Plan, PlanOptions, PlanStatus};
use crate::render::connectivity::reachability_report::{MAX_FACTS, ReachabilityReportText};
use crate::render::{Purpose, drift_json, plan_markdown, plan_text};

/// Tell how the world differs from the topology
///
/// Changes nothing and needs no right to. Tells too which pairs of pods and
/// nodes are broken now, and for which fact. Exits with 2 where there is drift.
#[derive(Debug, Clone, Args)]
pub(crate) struct DriftArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Reads the world and shows how it differs.
pub(crate) async fn run(
    arguments: &DriftArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.pipeline(&scope).run().await;
    let sources = planned.paths(&session.loaded.topology);
    let ways = ReachabilityReport::look(sources, &IntermediateState::Observed, MAX_FACTS);
    let shown = ui.data(&text(&planned.plan, &ways, arguments.format, ui));
    shown?;
    Ok(exit_code(&planned.plan))
}

fn text(plan: &Plan, ways: &ReachabilityReport, format: PlanFormat, ui: &Ui) -> String {
    let shown = ReachabilityReportText { ways };
    match format {
        PlanFormat::Text => {
            let options = plan_text::Options {
                style: ui.style(),
                purpose: Purpose::Drift,
                full: false,
                verbose: ui.verbosity() > 0,
            };
            plan_text::render_drift(plan, shown, options)
        }
        PlanFormat::Json => drift_json::render(plan, shown),
        PlanFormat::Markdown => plan_markdown::render_drift(plan, shown),
    }
}

/// Whoever could not look cannot say that there is no drift.
fn exit_code(plan: &Plan) -> u8 {
    match plan.standing() {
        PlanStatus::Matches => exit::DONE,
        PlanStatus::Differs | PlanStatus::Wrong => exit::CHANGES,
        PlanStatus::Blocked => exit::BLOCKED,
        PlanStatus::Unknown => exit::ERROR,
    }
}
