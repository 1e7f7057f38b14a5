//! `stargate plan`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::arguments::{Global, topology_name};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::formats::PlanFormat;
use crate::cli::named_resources;
use crate::cli::saved_plan_file;
use crate::cli::session::ReadSession;
use crate::cli::target;
use crate::cli::ui::Ui;
use crate::pipeline::Planned;
use crate::plan::impact::{IntermediateState, ReachabilityReport};
use crate::plan::saved_plan::{FORMAT_VERSION, Permissions, SavedPlan};
use crate::plan::{Plan, PlanOptions, PlanStatus};
use crate::render::annotations::{Annotation, AnnotationReport};
use crate::render::connectivity::reachability_report::{MAX_PROBLEMS, ReachabilityReportText};
use crate::render::plan_json::PlanJson;
use crate::render::text::wrap;
use crate::render::{
    PlanTarget, Purpose, drift_json, matches_topology, plan_json, plan_markdown, plan_text,
};
use crate::resource::Address;
use crate::topology::load::Loaded;
use crate::topology::model::Topology;
use crate::topology::names::TopologyName;

/// Show the changes that apply would make
///
/// Reads the live state and compares it with the topology. Changes are marked
/// `+` create, `~` update, `-/+` replace, `-` delete, `>` adopt.
///
/// Exits with 0 if the plan can be applied or has no changes; with `--detailed-exitcode`, 2
/// if it has changes. 5 if changes are blocked, an error forbids all changes, or an apply
/// cannot restore dropped packets; 1 if not everything could be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Save the plan to a file, for `stargate apply FILE`; signed, if
    /// `STARGATE_PLAN_KEY` is set
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Exit with 2 if there are changes, as `terraform plan` does
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Show every field of every change, and truncate nothing
    #[arg(long)]
    pub(crate) full: bool,
    /// Take ownership of an existing object that no topology owns; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) adopt: Vec<Address>,
    /// Permit changes after which some pods no longer reach each other
    #[arg(long)]
    pub(crate) allow_loss: bool,
    /// Permit the deletion and recreation of a resource with everything in it, which the
    /// plan otherwise refuses; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) replace: Vec<Address>,
    /// Adopt everything that the topology owned under its former name
    #[arg(long, value_name = "OLD", value_parser = topology_name)]
    pub(crate) adopt_from: Option<TopologyName>,
    /// Upgrade node pools and workers to the patch of the control plane
    #[arg(long)]
    pub(crate) upgrade_patches: bool,
}

/// Refuses a path that the plan must not be saved to, before any work is done.
pub(crate) fn check(arguments: &PlanArguments, global: &Global) -> Result<(), CliError> {
    let path = arguments.out.as_deref();
    path.map_or(Ok(()), |path| saved_plan_file::check_output(path, &global.topology))
}

/// Makes the plan and shows it.
pub(crate) async fn run(
    arguments: &PlanArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let key = saved_plan_file::key()?;
    let options = PlanOptions {
        deep: arguments.deep,
        allow_loss: arguments.allow_loss,
        adopt: arguments.adopt.iter().cloned().collect(),
        replace: arguments.replace.iter().cloned().collect(),
        adopt_from: arguments.adopt_from.clone(),
        upgrade_patches: arguments.upgrade_patches,
        ..PlanOptions::default()
    };
    let scope = session.scope(options);
    let planned = session.plan(&scope, ui).await;
    named_resources::check(&planned, &scope.options, ui)?;
    let target = target::of(session).await;
    let displayed =
        Reported { purpose: Purpose::Plan, format: arguments.format, full: arguments.full };
    let printed = show(ui, &planned, (session, &target), displayed);
    let kept = match &arguments.out {
        Some(path) => {
            let saved = saved_plan(session, &planned.plan, &scope.options);
            saved_plan_file::write(path, &saved, key.as_ref())
        }
        None => Ok(()),
    };
    printed.and(kept)?;
    if let Some(path) = &arguments.out {
        let path = path.display();
        ui.status(&format!("Saved the plan to {path}; apply it with `stargate apply {path}`."));
    }
    let changes = if arguments.detailed_exitcode { exit::CHANGES } else { exit::DONE };
    Ok(exit::from_status(planned.plan.status(), changes))
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported {
    /// The command.
    pub(crate) purpose: Purpose,
    /// The format.
    pub(crate) format: PlanFormat,
    /// Every field of every change.
    pub(crate) full: bool,
}

/// Prints a plan; with the causes of dropped packets if it changes nothing about them,
/// and always for `drift`. Changes are headed by where they are made.
pub(crate) fn show(
    ui: &Ui,
    planned: &Planned,
    (session, target): (&ReadSession, &PlanTarget),
    displayed: Reported,
) -> Result<(), CliError> {
    let present = (&session.loaded.topology, planned);
    show_with_present(ui, (planned, present), (session, target), displayed)
}

/// The same where the cluster has another name now, with what was read under that name.
pub(crate) fn show_with_present(
    ui: &Ui,
    (planned, (topology, present)): (&Planned, (&Topology, &Planned)),
    (session, target): (&ReadSession, &PlanTarget),
    displayed: Reported,
) -> Result<(), CliError> {
    let loaded = &session.loaded;
    let Reported { purpose, format, full } = displayed;
    let plan = &planned.plan;
    let is_current = purpose == Purpose::Drift || plan.status() == PlanStatus::Unreachable;
    let report = is_current.then(|| {
        let present_topology = present.present_topology(topology);
        let sources = present.present_paths(topology, present_topology.as_ref());
        ReachabilityReport::of_state(sources, &IntermediateState::Observed, MAX_PROBLEMS)
    });
    let report = report.as_ref().map(|report| ReachabilityReportText { report });
    if let PlanFormat::Annotations(format) = format {
        return ui.data(&annotations(plan, purpose, report, loaded).render(format)?);
    }
    let options =
        plan_text::Options { style: ui.style(), purpose, full, verbose: ui.verbosity() > 0 };
    let printed = match (format, report) {
        (PlanFormat::Json, None) => at_target(plan_json::to_json(plan, purpose), target),
        (PlanFormat::Json, Some(report)) => {
            at_target(drift_json::to_json(plan, purpose, report), target)
        }
        (PlanFormat::Markdown, None) => plan_markdown::render(plan, purpose, &target.to_string()),
        (PlanFormat::Markdown, Some(report)) => {
            plan_markdown::render_with_reachability(plan, purpose, &target.to_string(), report)
        }
        (_, None) => plan_text::render(plan, options),
        (_, Some(report)) => plan_text::render_with_reachability(plan, report, options),
    };
    // A plan without changes is the same everywhere.
    let headed = match format {
        _ if plan.is_empty() => printed,
        PlanFormat::Text => wrap(&target.to_string(), "", "  ").join("\n") + "\n" + &printed,
        _ => printed,
    };
    ui.data(&headed)
}

/// A plan as JSON text, with where its changes are made.
fn at_target(json: PlanJson, target: &PlanTarget) -> String {
    plan_json::to_text(&PlanJson { target: Some(target.clone()), ..json })
}

fn annotations<'a>(
    plan: &Plan,
    purpose: Purpose,
    reachability: Option<ReachabilityReportText<'_>>,
    loaded: &'a Loaded,
) -> AnnotationReport<'a> {
    let command = if purpose == Purpose::Drift { "drift" } else { "plan" };
    let mut report = AnnotationReport::new(command, &loaded.file_name, &loaded.text);
    let found = Annotation::of_plan(plan, purpose);
    let dropped = reachability.iter().flat_map(ReachabilityReportText::annotations);
    report.extend(found.into_iter().chain(dropped), Some(&loaded.spans));
    if plan.status() == PlanStatus::Matches {
        report.pass(matches_topology(plan));
    }
    report
}

fn saved_plan<'a>(
    session: &ReadSession,
    plan: &'a Plan,
    options: &PlanOptions,
) -> SavedPlan<&'a Plan> {
    SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: env!("CARGO_PKG_VERSION").to_owned(),
        topology_digest: session.loaded.digest.clone(),
        permissions: Permissions::of(options),
        plan,
    }
}
