//! `stargate check`.

use clap::Args;

use super::live::Measured;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::formats::ReportFormat;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::connectivity::unchecked;
use crate::diagnostics::Failure;
use crate::plan::impact::{IntermediateState, ReachabilityReport, violations};
use crate::plan::{FindingSeverity, Plan, PlanOptions, PlanStatus};
use crate::render::annotations::{Annotation, AnnotationLevel, AnnotationReport};
use crate::render::connectivity::check::{CheckReport, CheckStatus};

/// Check that every pod can reach every other pod
///
/// Traces packets between the pods of all nodes through a model of the live
/// routing state, without sending any, and checks routing invariants. Dropped
/// pairs are grouped by cause. `--live` compares the model with the pings that
/// Goldpinger measured.
///
/// Exits with 0 if all pairs are reached and all rules hold, 2 if a packet is dropped
/// or a rule is violated and an apply corrects it, or a measurement differs, 5 if no
/// apply helps, and 1 if not everything could be read or measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: ReportFormat,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Compare with the pings that Goldpinger measured
    #[arg(long)]
    pub(crate) live: bool,
    /// Namespace of Goldpinger [default: all namespaces]
    #[arg(long, value_name = "NAMESPACE", requires = "live")]
    pub(crate) namespace: Option<String>,
}

/// Reads the live state and checks it.
pub(crate) async fn run(
    arguments: &CheckArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.plan(&scope, ui).await;
    let present = session.pipeline(&scope).read_present_cluster(&planned).await;
    let (topology, present) = session.present(&planned, present.as_ref());
    let present_topology = present.present_topology(topology);
    let sources = present.present_paths(topology, present_topology.as_ref());
    let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, usize::MAX);
    let measured = match arguments.live {
        true => Some(Measured::take(present, &report.model, arguments.namespace.as_deref()).await),
        false => None,
    };
    let live = measured.as_ref().map(|measured| measured.report(&report.model));
    let check = CheckReport {
        reachability: &report,
        violations: &violations(sources, &report.model, &IntermediateState::Observed),
        unchecked: &unchecked(sources.observed, &report.model),
        errors: &errors(&planned.plan),
        is_verbose: ui.verbosity() > 0,
        live,
    };
    ui.data(&match arguments.format {
        ReportFormat::Text => check.to_text(ui.style()),
        ReportFormat::Json => check.to_json(),
        ReportFormat::Annotations(format) => {
            annotations(session, &check, &planned.plan).render(format)?
        }
    })?;
    Ok(exit_code(check.model_status(), check.measured_status(), planned.plan.status()))
}

fn annotations<'a>(
    session: &'a ReadSession,
    check: &CheckReport<'_>,
    plan: &Plan,
) -> AnnotationReport<'a> {
    let mut report = session.annotation_report("check");
    let errors = Annotation::of_findings(plan);
    let errors = errors.into_iter().filter(|it| it.level < AnnotationLevel::Warning);
    let mut found: Vec<Annotation> = check.annotations().into_iter().chain(errors).collect();
    if found.is_empty() && check.status() != CheckStatus::Passed {
        found.push(Annotation::nothing_checked());
    }
    report.extend(found, Some(&session.loaded.spans));
    check.rules_that_hold().for_each(|rule| report.pass(rule));
    report
}

/// As in `drift`: an unread source takes precedence, and 5 means that no apply helps. A
/// measurement alone does not show whether an apply helps.
fn exit_code(model: CheckStatus, measured: CheckStatus, status: PlanStatus) -> u8 {
    match (model.max(measured), status) {
        (CheckStatus::Failed, PlanStatus::Matches) if model == CheckStatus::Failed => exit::BLOCKED,
        (CheckStatus::Failed, PlanStatus::Matches) => exit::CHANGES,
        (CheckStatus::Failed, status) => exit::from_status(status, exit::CHANGES),
        (CheckStatus::Unknown, PlanStatus::Wrong | PlanStatus::Blocked) => exit::BLOCKED,
        (CheckStatus::Unknown, _) => exit::ERROR,
        (CheckStatus::Passed, _) => exit::DONE,
    }
}

/// Sources that could not be read and errors of the plan, which leave the desired
/// state unknown.
fn errors(plan: &Plan) -> Vec<Failure> {
    let errors = plan.findings.iter().filter(|finding| finding.severity == FindingSeverity::Error);
    let errors = errors.map(|it| it.failure.clone());
    let unread = plan.unexplained_gaps().map(|gap| {
        let message = format!("{} could not be read: {}", gap.subject(), gap.failure.message);
        gap.failure.clone().with_message(message)
    });
    unread.chain(errors).collect()
}
