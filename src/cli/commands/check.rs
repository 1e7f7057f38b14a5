//! `stargate check`.

use clap::Args;

use super::live::Measured;
use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::connectivity::{IntermediateState, Sources, breaches, unchecked};
use crate::plan::impact::ReachabilityReport;
use crate::plan::{Plan, PlanOptions, Severity};
use crate::render::connectivity::check::{Check, Health};
use crate::render::connectivity::live::Live;

/// Tell whether every pod reaches every pod, and what stands against it
///
/// Walks packets through every table, from each site to each, without sending
/// one. Pairs that are broken stand together under the fact that breaks them.
/// `--live` asks Goldpinger what it measured between its pods, and tells where
/// that is not what the tables say. Exits with 0 where everything is reached
/// and every rule holds, 2 where something is broken or the two differ, and 1
/// where not everything could be read or measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
    /// Ask Goldpinger what really gets through, and hold it against the tables
    #[arg(long)]
    pub(crate) live: bool,
    /// Where Goldpinger is; anywhere unless given
    #[arg(long, value_name = "NAMESPACE", requires = "live")]
    pub(crate) namespace: Option<String>,
}

/// Reads the world and walks through it.
pub(crate) async fn run(
    arguments: &CheckArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.pipeline(&scope).run().await;
    let sources = planned.paths(&session.loaded.topology);
    let ways = ReachabilityReport::look(sources, &IntermediateState::Observed, usize::MAX);
    let measured = match arguments.live {
        true => Some(Measured::take(&planned, &ways.model, arguments.namespace.as_deref()).await),
        false => None,
    };
    let live = measured.as_ref().map(|measured| measured.shown(&ways.model));
    let (text, health) = tell(arguments, sources, &ways, live, ui);
    ui.data(&text)?;
    Ok(match health {
        Health::Sound => exit::DONE,
        Health::Broken => exit::CHANGES,
        Health::Unknown => exit::ERROR,
    })
}

fn tell(
    arguments: &CheckArguments,
    sources: Sources<'_>,
    ways: &ReachabilityReport,
    live: Option<Live<'_>>,
    ui: &Ui,
) -> (String, Health) {
    let check = Check {
        ways,
        breaches: &breaches(sources, &ways.model, &IntermediateState::Observed),
        unchecked: &unchecked(sources, &ways.model),
        unread: &unread(sources.plan),
        live,
    };
    let text = match arguments.format {
        Format::Text => check.to_text(ui.style()),
        Format::Json => check.to_json(),
    };
    (text, check.health())
}

/// What nobody could read, and errors: with one of them not even what should be
/// there is known.
fn unread(plan: &Plan) -> Vec<String> {
    let errors = plan.findings.iter().filter(|finding| finding.severity == Severity::Error);
    let errors = errors
        .map(|it| format!("[{}] {}; {}", it.failure.code, it.failure.message, it.failure.remedy));
    let told = |gap: &crate::inventory::Gap| {
        format!("{} could not be read: {}; {}", gap.source, gap.failure.message, gap.failure.remedy)
    };
    plan.unexplained_gaps().map(told).chain(errors).collect()
}
