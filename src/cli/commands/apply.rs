//! `stargate apply`.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::apply_result::{interrupted_before, print_result};
use super::apply_saved;
use super::plan::{self, Reported};
use super::saved_plan_report;
use crate::apply::events::{NoReporter, Reporter};
use crate::apply::{Applied, apply, apply_once};
use crate::cli::arguments::{Format, Global, topology_name};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::formats::PlanFormat;
use crate::cli::interrupt;
use crate::cli::named_resources;
use crate::cli::reminder;
use crate::cli::saved_plan_file;
use crate::cli::session::WriteSession;
use crate::cli::target;
use crate::cli::topology;
use crate::cli::ui::{ApprovalPrompt, Ui};
use crate::diagnostics::Code;
use crate::pipeline::Planned;
use crate::plan::saved_plan::{SavedPlan, SavedPlanRefusal};
use crate::plan::{Action, Change, Plan, PlanOptions, PlanStatus};
use crate::refresh::Scope;
use crate::render::Purpose;
use crate::render::apply_events::{JsonReporter, PlainReporter, ProgressReporter};
use crate::resource::Address;
use crate::topology::names::TopologyName;

/// Create, update and delete infrastructure to match the topology
///
/// Prints the plan, asks for approval and applies it, in iterations until no
/// changes are left. Ctrl-C, SIGTERM and SIGHUP wait for running steps; the next
/// apply continues. A second signal stops immediately.
///
/// Exits with 0 if the infrastructure matches the topology (with PLAN: if its changes were
/// made), 1 on an error, 3 if changes were made in part, 4 if the plan is stale, 5 if
/// changes are blocked or an apply cannot restore dropped packets, and 130 if interrupted.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// Apply the changes of this plan, saved by `stargate plan --out`. A new plan is
    /// made and shown; if it does not contain all of them, nothing is applied
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    /// Skip the approval prompt
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Take ownership of an existing object that no topology owns; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) adopt: Vec<Address>,
    /// Adopt everything that the topology owned under its former name
    #[arg(long, value_name = "OLD", value_parser = topology_name)]
    pub(crate) adopt_from: Option<TopologyName>,
    /// Permit changes after which some pods no longer reach each other
    #[arg(long)]
    pub(crate) allow_loss: bool,
    /// Permit the deletion and recreation of a resource with everything in it, which the
    /// plan otherwise refuses; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) replace: Vec<Address>,
    /// Upgrade node pools and workers to the patch of the control plane
    #[arg(long, conflicts_with = "plan")]
    pub(crate) upgrade_patches: bool,
    /// Do not acquire the lease that makes other applies of the topology wait
    #[arg(long)]
    pub(crate) no_lease: bool,
    /// Print text, or one line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Causes of lost pairs that an error lists.
const MAX_LOSSES: usize = 3;

/// A plan to make or to apply, and how to report it.
pub(crate) struct ApplyRequest {
    /// The options of the plan.
    pub(crate) options: PlanOptions,
    /// The saved plan to apply, if there is one.
    pub(crate) saved: Option<SavedPlan>,
    /// Skip the approval prompt.
    pub(crate) yes: bool,
    /// Go without the lease.
    pub(crate) no_lease: bool,
    /// The format of events.
    pub(crate) format: Format,
    /// The command.
    pub(crate) purpose: Purpose,
}

impl ApplyRequest {
    /// A request for a new plan, with a prompt.
    pub(crate) fn of(purpose: Purpose) -> Self {
        Self {
            options: PlanOptions::default(),
            saved: None,
            yes: false,
            no_lease: false,
            format: Format::default(),
            purpose,
        }
    }
}

/// Makes or loads the plan, asks for approval and applies it.
pub(crate) async fn run(
    arguments: &ApplyArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let loaded = topology::load_or_report(global, ui)?;
    // An unusable plan is refused before any client is created.
    let key = saved_plan_file::key()?;
    let saved = match &arguments.plan {
        Some(path) => Some(saved_plan_file::read(path, &loaded, key.as_ref())?),
        None => None,
    };
    let options = apply_saved::options(arguments, saved.as_ref(), key.is_some())?;
    let session = WriteSession::of(loaded, global, Some(ui), interrupt::watch()?).await?;
    let request = ApplyRequest {
        options,
        yes: arguments.yes || saved.is_some(),
        saved,
        no_lease: arguments.no_lease,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Plan)
    };
    let code = run_plan(&session, &request, ui).await;
    session.close().await?;
    code
}

/// Makes the plan, shows it, asks for approval and applies it.
pub(crate) async fn run_plan(
    session: &WriteSession,
    request: &ApplyRequest,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.reads.scope(request.options.clone());
    let planned = match make_plan(session, &scope, request, ui).await {
        Some(Ok(planned)) => planned,
        Some(Err(refusal)) => return Ok(saved_plan_report::refuse(&refusal, ui)),
        None => return Ok(interrupted_before(request.purpose, ui)),
    };
    let omitted = planned.omitted.clone();
    if is_made_already(&planned.plan, request) {
        saved_plan_report::note_omitted(&omitted, ui);
        let remaining = saved_plan_report::remaining(&omitted);
        ui.status(&format!(
            "Apply complete: 0 changes made. The changes of the saved plan were made \
             before.{remaining}"
        ));
        return Ok(exit::DONE);
    }
    if request.saved.is_none() {
        named_resources::check(&planned, &request.options, ui)?;
    }
    let target = target::of(&session.reads).await;
    if request.format == Format::Text {
        let displayed =
            Reported { purpose: request.purpose, format: PlanFormat::Text, full: false };
        plan::show(ui, &planned, (&session.reads, &target), displayed)?;
    }
    saved_plan_report::note_omitted(&omitted, ui);
    if let Some(code) = ends_without_approval(&planned.plan, request, ui) {
        return Ok(code);
    }
    match ask(session, &planned.plan, &target.to_string(), request, ui).await? {
        Some(true) => {}
        Some(false) => return Err(CliError::new("the plan was not approved; 0 changes made")),
        None => return Ok(interrupted_before(request.purpose, ui)),
    }
    let applied = apply_plan(session, &scope, planned, request, ui).await;
    let found_since = applied.omitted.iter().filter(|change| !omitted.contains(change));
    saved_plan_report::note_omitted(&found_since.cloned().collect::<Vec<_>>(), ui);
    print_result(&applied, request, ui)
}

/// Makes the plan, or confirms the saved one. `None` if it is interrupted.
async fn make_plan(
    session: &WriteSession,
    scope: &Scope<'_>,
    request: &ApplyRequest,
    ui: &Ui,
) -> Option<Result<Planned, SavedPlanRefusal>> {
    let pipeline = session.reads.pipeline(scope);
    let planning = async {
        match &request.saved {
            Some(saved) => pipeline.confirm(&saved.plan).await,
            None => Ok(pipeline.run().await),
        }
    };
    let planning = reminder::reading(planning, &session.clients.requests, ui);
    session.reads.unless_interrupted(planning).await
}

/// Whether nothing is left of the saved plan.
fn is_made_already(plan: &Plan, request: &ApplyRequest) -> bool {
    let is_left = !(plan.changes.is_empty() && plan.deferred.is_empty() && plan.blocked.is_empty());
    request.saved.is_some() && !is_left
}

/// The exit code of a plan that changes nothing or is refused: it needs no approval.
fn ends_without_approval(plan: &Plan, request: &ApplyRequest, ui: &Ui) -> Option<u8> {
    let code = nothing_to_do(plan, request.options.destroy, ui);
    let is_refused = plan.reachability.is_refused();
    code.or_else(|| is_refused.then(|| refuse_loss(plan, request.saved.is_some(), ui)))
}

/// Asks for approval. `None` if it is interrupted.
async fn ask(
    session: &WriteSession,
    plan: &Plan,
    target: &str,
    request: &ApplyRequest,
    ui: &Ui,
) -> Result<Option<bool>, CliError> {
    let approval = approval(request.purpose, target);
    let stop = &session.reads.stop;
    match named_replacements(plan, request) {
        names if names.is_empty() => ui.approve(&approval, request.yes, stop).await,
        names => ui.approve_by_name(&names, &approval, request.yes, stop).await,
    }
}

/// Applies an approved plan, and those that follow from it if the request has more to do.
async fn apply_plan(
    session: &WriteSession,
    scope: &Scope<'_>,
    planned: Planned,
    request: &ApplyRequest,
    ui: &Ui,
) -> Applied {
    let reporter = reporter(ui, request.format);
    let lease = (!request.no_lease).then(|| session.lease());
    let saved = request.saved.as_ref().map(|saved| &saved.plan);
    let context = session.apply_context(scope, reporter.as_ref(), saved, lease);
    // Without a prompt, a destroy deletes everything that the topology owns, including objects
    // that another command created while it ran.
    let approve = |_: &Plan| request.yes && request.purpose == Purpose::Destroy;
    let applying = async {
        match &request.saved {
            Some(saved) if saved.plan.deferred.is_empty() => apply_once(&context, planned).await,
            None if request.options.worker_request.is_some() => apply_once(&context, planned).await,
            _ => apply(&context, planned, &approve).await,
        }
    };
    reminder::reminding(applying, |_| reporter.remind()).await
}

/// The names of the replaced resources whose replacement the user permitted.
fn named_replacements(plan: &Plan, request: &ApplyRequest) -> Vec<String> {
    let is_named = |change: &&Change| {
        matches!(change.action, Action::Replace | Action::Delete)
            && request.options.replace.contains(&change.address)
    };
    plan.changes.iter().filter(is_named).map(|change| change.address.name.to_string()).collect()
}

fn approval(purpose: Purpose, target: &str) -> ApprovalPrompt<'_> {
    let question = match purpose {
        Purpose::Destroy => "Destroy these resources?",
        Purpose::Repave => "Repave these workers?",
        Purpose::Reboot => "Reboot these workers?",
        Purpose::Plan | Purpose::Drift => "Apply this plan?",
    };
    let can_be_saved = matches!(purpose, Purpose::Plan | Purpose::Drift);
    ApprovalPrompt { question, target, can_be_saved }
}

/// Reports pairs that would be lost without permission.
fn refuse_loss(plan: &Plan, is_saved: bool, ui: &Ui) -> u8 {
    let pairs = usize::try_from(plan.reachability.lost).unwrap_or(usize::MAX);
    let pairs = crate::render::text::counted(pairs, "pair");
    let losses: Vec<String> =
        plan.reachability.loss_summaries().into_iter().take(MAX_LOSSES).collect();
    let message = format!(
        "the plan makes {pairs} of nodes unreachable, or deletes their nodes: it {}",
        losses.join("; it ")
    );
    let permit = match is_saved {
        true => "to permit the loss, pass `--allow-loss` to apply too: only a signed plan keeps it",
        false => "to permit the loss, run the same command with `--allow-loss`",
    };
    let error = CliError::coded(Code::ReachabilityLost, message);
    ui.error(&error.remedy("inspect a pair with `stargate trace --planned`").remedy(permit));
    exit::BLOCKED
}

/// The exit code of a plan that cannot or need not be applied; its last line says why.
fn nothing_to_do(plan: &Plan, destroys: bool, ui: &Ui) -> Option<u8> {
    let status = plan.status();
    // A deployment that is destroyed need not be consistent any more.
    if status == PlanStatus::Wrong && !destroys {
        return Some(exit::BLOCKED);
    }
    if !plan.changes.is_empty() {
        return None;
    }
    let deferred = plan.deferred.first().filter(|_| status == PlanStatus::Differs);
    if let Some(deferred) = deferred {
        let message = format!("{} depends on a value that does not exist yet", deferred.address);
        ui.error(
            &CliError::coded(Code::PartlyApplied, message)
                .remedy("run the same command again; `stargate plan` shows what it waits for"),
        );
        ui.status("Apply incomplete: 0 changes made.");
        return Some(exit::PARTIAL);
    }
    Some(exit::from_status(status, exit::DONE))
}

fn reporter(ui: &Ui, format: Format) -> Box<dyn Reporter> {
    match format {
        Format::Json => Box::new(JsonReporter::new(io::stdout())),
        Format::Text if ui.is_quiet() => Box::new(NoReporter),
        Format::Text if ui.draws_bars() => {
            Box::new(ProgressReporter::new(ui.status_style(), ui.verbosity() > 0))
        }
        Format::Text => {
            Box::new(PlainReporter::new(io::stderr(), ui.status_style(), ui.verbosity() > 0))
        }
    }
}
