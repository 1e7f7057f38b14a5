//! `stargate apply`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::plan;
use crate::apply::events::{NoReporter, Outcome, Reporter};
use crate::apply::{Applied, ApplyStatus, apply, apply_once};
use crate::cli::arguments::{Format, Global, PlanFormat};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::interrupt;
use crate::cli::session::WriteSession;
use crate::cli::topology;
use crate::cli::ui::{ApprovalPrompt, Ui};
use crate::diagnostics::{Code, Failure};
use crate::pipeline::Planned;
use crate::plan::saved_plan::{Expected, PlanFileError, SavedPlan};
use crate::plan::{Action, Change, FindingSeverity, Plan, PlanOptions, PlanStatus};
use crate::render::Purpose;
use crate::render::apply_events::{JsonReporter, PlainReporter, ProgressReporter};
use crate::resource::Address;
use crate::topology::load::Loaded;

/// Create, update and delete infrastructure to match the topology
///
/// Prints the plan, asks for approval and applies it, in iterations until no
/// changes are left. Ctrl-C, SIGTERM and SIGHUP wait for running steps; the next
/// apply continues. A second signal stops immediately.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// Apply exactly this plan, saved by `stargate plan --out`
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    /// Skip the approval prompt
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
    /// Take ownership of an existing object; may be repeated
    #[arg(long, value_name = "ADDRESS", conflicts_with = "plan")]
    pub(crate) adopt: Vec<Address>,
    /// Permit changes after which some pods no longer reach each other
    #[arg(long, conflicts_with = "plan")]
    pub(crate) allow_loss: bool,
    /// Permit the replacement of a resource and of everything in it; may be repeated
    #[arg(long, value_name = "ADDRESS", conflicts_with = "plan")]
    pub(crate) replace: Vec<Address>,
    /// Upgrade node pools and workers to the patch of the control plane
    #[arg(long, conflicts_with = "plan")]
    pub(crate) upgrade_patches: bool,
    /// Do not take the lease that keeps other applies of the topology waiting
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
    let saved = read_plan(arguments.plan.as_deref(), &loaded)?;
    let session = WriteSession::of(loaded, global, interrupt::watch()?).await?;
    let request = ApplyRequest {
        options: options(arguments, saved.as_ref()),
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

/// The options of a saved plan take precedence.
fn options(arguments: &ApplyArguments, saved: Option<&SavedPlan>) -> PlanOptions {
    let deep = arguments.deep;
    match saved {
        Some(saved) => PlanOptions {
            deep,
            destroy: saved.destroy,
            adopt: saved.adopt.clone(),
            replace: saved.replace.clone(),
            allow_loss: saved.plan.reachability.loss_allowed,
            upgrade_patches: saved.plan.settings.upgrade_patches,
            ..PlanOptions::default()
        },
        None => PlanOptions {
            deep,
            adopt: arguments.adopt.iter().cloned().collect(),
            replace: arguments.replace.iter().cloned().collect(),
            allow_loss: arguments.allow_loss,
            upgrade_patches: arguments.upgrade_patches,
            ..PlanOptions::default()
        },
    }
}

fn read_plan(path: Option<&Path>, loaded: &Loaded) -> Result<Option<SavedPlan>, CliError> {
    let Some(path) = path else { return Ok(None) };
    let bytes = std::fs::read(path).map_err(|error| {
        CliError::coded(
            Code::Unreadable,
            format!("the plan `{}` cannot be read: {error}", path.display()),
        )
        .remedy("create one with `stargate plan --out FILE`")
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| PlanFileError::Damaged("it is not UTF-8".to_owned()))?;
    let expected = Expected {
        stargate_version: env!("CARGO_PKG_VERSION"),
        topology: loaded.topology.name.as_str(),
        topology_digest: &loaded.digest,
    };
    Ok(Some(SavedPlan::from_text(&text, expected)?))
}

/// Makes the plan, shows it, asks for approval and applies it.
pub(crate) async fn run_plan(
    session: &WriteSession,
    request: &ApplyRequest,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.reads.scope(request.options.clone());
    let fresh = session.reads.unless_interrupted(session.reads.pipeline(&scope).run()).await;
    let Some(fresh) = fresh else { return Ok(interrupted_before(request.purpose, ui)) };
    let planned = match &request.saved {
        Some(saved) => match refuse_errors(&fresh.plan, request, ui) {
            Some(code) => return Ok(code),
            None => Planned { plan: saved.plan.clone(), ..fresh },
        },
        None => fresh,
    };
    if request.format == Format::Text && request.saved.is_none() {
        plan::show(ui, &planned.plan, request.purpose, PlanFormat::Text, false)?;
    }
    if let Some(code) = nothing_to_do(&planned.plan, request.options.destroy) {
        return Ok(code);
    }
    if planned.plan.reachability.is_refused() {
        return Ok(refuse_loss(&planned.plan, ui));
    }
    let approval = approval(request.purpose);
    let stop = &session.reads.stop;
    let approved = match named_replacements(&planned.plan, request) {
        names if names.is_empty() => ui.approve(&approval, request.yes, stop).await?,
        names => ui.approve_by_name(&names, &approval, request.yes, stop).await?,
    };
    match approved {
        Some(true) => {}
        Some(false) => {
            return Err(CliError::new("the plan was not approved; 0 changes made"));
        }
        None => return Ok(interrupted_before(request.purpose, ui)),
    }
    let reporter = reporter(ui, request.format);
    let lease = (!request.no_lease).then(|| session.lease());
    let context = session.apply_context(&scope, reporter.as_ref(), lease);
    let refuse = |_: &Plan| false;
    let applied = match &request.saved {
        Some(saved) if saved.plan.deferred.is_empty() => apply_once(&context, planned).await,
        None if request.options.worker_request.is_some() => apply_once(&context, planned).await,
        _ => apply(&context, planned, &refuse).await,
    };
    print_result(&applied, request, ui)
}

/// The names of the resources whose replacement the user permitted and that the plan
/// destroys.
fn named_replacements(plan: &Plan, request: &ApplyRequest) -> Vec<String> {
    let is_named = |change: &&Change| {
        matches!(change.action, Action::Replace | Action::Delete)
            && request.options.replace.contains(&change.address)
    };
    plan.changes.iter().filter(is_named).map(|change| change.address.name.to_string()).collect()
}

fn approval(purpose: Purpose) -> ApprovalPrompt {
    let question = match purpose {
        Purpose::Destroy => "Destroy these resources?",
        Purpose::Repave => "Repave these workers?",
        Purpose::Reboot => "Reboot these workers?",
        Purpose::Plan | Purpose::Drift => "Apply this plan?",
    };
    ApprovalPrompt { question, can_be_saved: matches!(purpose, Purpose::Plan | Purpose::Drift) }
}

/// Reports a signal that came before the first change.
fn interrupted_before(purpose: Purpose, ui: &Ui) -> u8 {
    let operation = operation(purpose);
    ui.status(&format!(
        "{operation} interrupted: 0 changes made. Run the same command again to continue."
    ));
    exit::INTERRUPTED
}

/// Refuses a saved plan if a new plan has errors.
fn refuse_errors(fresh: &Plan, request: &ApplyRequest, ui: &Ui) -> Option<u8> {
    if request.options.destroy {
        return None;
    }
    let mut errors = fresh
        .findings
        .iter()
        .filter(|finding| finding.severity == FindingSeverity::Error)
        .peekable();
    errors.peek()?;
    for finding in errors {
        ui.error(&CliError::from(finding.failure.clone()));
    }
    ui.status(
        "Apply stopped: 0 changes made. The saved plan does not take these errors into account.",
    );
    Some(exit::BLOCKED)
}

/// Reports pairs that would be lost without permission.
fn refuse_loss(plan: &Plan, ui: &Ui) -> u8 {
    let pairs = usize::try_from(plan.reachability.lost).unwrap_or(usize::MAX);
    let pairs = crate::render::text::counted(pairs, "pair");
    let error = CliError::coded(
        Code::ReachabilityLost,
        format!("the plan makes {pairs} of nodes unreachable"),
    );
    let losses =
        plan.reachability.loss_summaries().into_iter().map(|loss| format!("the plan {loss}"));
    let error = losses.take(MAX_LOSSES).fold(error, CliError::remedy);
    ui.error(
        &error
            .remedy("inspect a pair with `stargate trace --planned`")
            .remedy("to permit the loss, plan with `--allow-loss`"),
    );
    exit::BLOCKED
}

/// The exit code of a plan that cannot or need not be applied.
fn nothing_to_do(plan: &Plan, destroys: bool) -> Option<u8> {
    let wrong = plan.findings.iter().any(|finding| finding.severity == FindingSeverity::Error);
    // What is deleted need not fit together any more.
    if wrong && !destroys {
        return Some(exit::BLOCKED);
    }
    if !plan.changes.is_empty() {
        return None;
    }
    // A router that is offline is nothing to decide about, but it is not done.
    let waits = !plan.blocked.is_empty() && plan.status() != PlanStatus::Unknown;
    Some(if waits { exit::BLOCKED } else { plan::exit_code(plan, false) })
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

/// The name of the operation in the closing line.
fn operation(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Destroy => "Destroy",
        Purpose::Repave => "Repave",
        Purpose::Reboot => "Reboot",
        Purpose::Plan | Purpose::Drift => "Apply",
    }
}

/// Prints the errors and the closing line.
fn print_result(applied: &Applied, request: &ApplyRequest, ui: &Ui) -> Result<u8, CliError> {
    let done = applied.outcomes.values().filter(|outcome| **outcome == Outcome::Done).count();
    let (code, status, note) = match &applied.status {
        ApplyStatus::Converged if request.purpose == Purpose::Destroy => {
            (exit::DONE, "complete", " No resources of the topology remain.")
        }
        // Only the plan was applied; the rest of the infrastructure was not compared.
        ApplyStatus::Converged
            if request.options.worker_request.is_some() || applied.remaining.is_none() =>
        {
            (exit::DONE, "complete", "")
        }
        ApplyStatus::Converged => {
            (exit::DONE, "complete", " The infrastructure matches the topology.")
        }
        ApplyStatus::Partial(_) => (exit::PARTIAL, "incomplete", ""),
        ApplyStatus::Stale => (exit::STALE, "stopped", " The plan is stale."),
        ApplyStatus::Blocked => {
            (exit::BLOCKED, "incomplete", " The remaining changes are blocked.")
        }
        ApplyStatus::Interrupted => {
            (exit::INTERRUPTED, "interrupted", " Run the same command again to continue.")
        }
    };
    for (address, outcome) in &applied.outcomes {
        match outcome {
            Outcome::Failed(failure) => {
                let message = format!("{address}: {failure}");
                ui.error(&CliError::from(Failure { message, ..failure.clone() }));
            }
            Outcome::GuardFailed { reason } => ui.error(
                &CliError::coded(Code::StalePlan, format!("{address}: {reason}"))
                    .remedy("create a new plan from the current state"),
            ),
            _ => {}
        }
    }
    if let ApplyStatus::Partial(failure) = &applied.status {
        ui.error(&CliError::from(failure.clone()));
    }
    if request.format == Format::Text || applied.status == ApplyStatus::Interrupted {
        let changes = crate::render::text::counted(done, "change");
        let operation = operation(request.purpose);
        ui.status(&format!("{operation} {status}: {changes} made.{note}"));
    }
    Ok(code)
}
