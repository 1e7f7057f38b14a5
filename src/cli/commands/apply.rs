//! `stargate apply`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::plan;
use crate::apply::events::{Outcome, Reporter, Silent};
use crate::apply::{Applied, ApplyStatus, apply, apply_once};
use crate::cli::arguments::{Format, Global, PlanFormat};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::interrupt;
use crate::cli::session::WriteSession;
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, Failure};
use crate::pipeline::Planned;
use crate::plan::saved_plan::{Expected, PlanFileError, SavedPlan};
use crate::plan::{Plan, PlanOptions, PlanStatus, Severity};
use crate::render::Purpose;
use crate::render::apply_events::{JsonReporter, PlainReporter, ProgressReporter};
use crate::resource::Address;
use crate::topology::load::Loaded;

/// Make the world match the topology
///
/// Plans, asks, and carries the plan out, round after round until nothing is
/// left to do. Ctrl-C, SIGTERM and SIGHUP let running steps finish; the next apply
/// continues. A second signal stops at once.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// A plan that `stargate plan --out` kept: exactly this is applied
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
    /// Take over an object that does not carry our mark; may be given often
    #[arg(long, value_name = "ADDRESS", conflicts_with = "plan")]
    pub(crate) adopt: Vec<Address>,
    /// Let the plan lose pairs of pods that reach each other now
    #[arg(long, conflicts_with = "plan")]
    pub(crate) allow_loss: bool,
    /// Lines for people, or a line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// How many reasons are told why pairs are lost.
const MAX_LOSSES: usize = 3;

/// What is to be carried out, and how it is told.
pub(crate) struct ApplyRequest {
    /// What is asked of the plan.
    pub(crate) options: PlanOptions,
    /// A plan that was saved.
    pub(crate) saved: Option<SavedPlan>,
    /// Do not ask.
    pub(crate) yes: bool,
    /// For whom the events are.
    pub(crate) format: Format,
    /// Whether it builds or takes away.
    pub(crate) purpose: Purpose,
}

impl ApplyRequest {
    /// A plan that is made now and asked about.
    pub(crate) fn of(purpose: Purpose) -> Self {
        Self {
            options: PlanOptions::default(),
            saved: None,
            yes: false,
            format: Format::default(),
            purpose,
        }
    }
}

/// Plans, asks, and carries the plan out.
pub(crate) async fn run(
    arguments: &ApplyArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let loaded = topology::load_or_report(global, ui)?;
    // A plan that is of no use is refused before any door is opened.
    let saved = read_plan(arguments.plan.as_deref(), &loaded)?;
    let session = WriteSession::of(loaded, global, interrupt::watch()?).await?;
    let request = ApplyRequest {
        options: options(arguments, saved.as_ref()),
        yes: arguments.yes || saved.is_some(),
        saved,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Plan)
    };
    let code = run_plan(&session, &request, ui).await;
    session.close().await?;
    code
}

/// A saved plan was made with options of its own.
fn options(arguments: &ApplyArguments, saved: Option<&SavedPlan>) -> PlanOptions {
    let deep = arguments.deep;
    match saved {
        Some(saved) => PlanOptions {
            deep,
            destroy: saved.destroy,
            adopt: saved.adopt.clone(),
            allow_loss: saved.plan.reachability.loss_allowed,
            ..PlanOptions::default()
        },
        None => PlanOptions {
            deep,
            adopt: arguments.adopt.iter().cloned().collect(),
            allow_loss: arguments.allow_loss,
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
        .hint("make one with `stargate plan --out FILE`")
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

/// Plans, shows the plan, asks, and applies it.
pub(crate) async fn run_plan(
    session: &WriteSession,
    request: &ApplyRequest,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.reads.scope(request.options.clone());
    let fresh = session.reads.unless_interrupted(session.reads.pipeline(&scope).run()).await;
    let Some(fresh) = fresh else { return Ok(interrupted_before(ui)) };
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
    if let Some(code) = nothing_to_do(&planned.plan) {
        return Ok(code);
    }
    if planned.plan.reachability.is_refused() {
        return Ok(refuse_loss(&planned.plan, ui));
    }
    match ui.approve(question(request.purpose), request.yes, &session.reads.stop).await? {
        Some(true) => {}
        Some(false) => return Err(CliError::new("nothing was applied: it was not approved")),
        None => return Ok(interrupted_before(ui)),
    }
    let reporter = reporter(ui, request.format);
    let context = session.apply_context(&scope, reporter.as_ref());
    let refuse = |_: &Plan| false;
    let applied = match &request.saved {
        Some(saved) if saved.plan.deferred.is_empty() => apply_once(&context, planned).await,
        None if request.options.worker_request.is_some() => apply_once(&context, planned).await,
        _ => apply(&context, planned, &refuse).await,
    };
    tell(&applied, request, ui)
}

fn question(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Destroy => "Destroy all of this?",
        Purpose::Repave => "Make these workers anew?",
        Purpose::Reboot => "Reboot these workers?",
        _ => "Apply this plan?",
    }
}

/// A signal came while nothing was applied yet.
fn interrupted_before(ui: &Ui) -> u8 {
    ui.status("Interrupted; nothing was applied. Run the same command again to continue.");
    exit::INTERRUPTED
}

/// What forbids all changes now also forbids those of a plan that was saved
/// before.
fn refuse_errors(fresh: &Plan, request: &ApplyRequest, ui: &Ui) -> Option<u8> {
    if request.options.destroy {
        return None;
    }
    let mut errors =
        fresh.findings.iter().filter(|finding| finding.severity == Severity::Error).peekable();
    errors.peek()?;
    for finding in errors {
        ui.error(&CliError::from(finding.failure.clone()));
    }
    ui.status("Nothing was applied: the saved plan was made before these errors.");
    Some(exit::BLOCKED)
}

/// Nobody loses pods' connections by surprise.
fn refuse_loss(plan: &Plan, ui: &Ui) -> u8 {
    let pairs = usize::try_from(plan.reachability.lost).unwrap_or(usize::MAX);
    let pairs = crate::render::text::counted(pairs, "pair");
    let error = CliError::coded(
        Code::ReachabilityLost,
        format!("{pairs} of pods would no longer reach each other"),
    );
    let losses = plan.reachability.told_losses().into_iter().map(|loss| format!("the plan {loss}"));
    let error = losses.take(MAX_LOSSES).fold(error, CliError::hint);
    ui.error(
        &error
            .hint("look at one of them with `stargate trace --planned`")
            .hint("if that is meant, make the plan with `--allow-loss`"),
    );
    exit::BLOCKED
}

/// What a plan without changes comes to.
fn nothing_to_do(plan: &Plan) -> Option<u8> {
    let wrong = plan.findings.iter().any(|finding| finding.severity == Severity::Error);
    if wrong {
        return Some(exit::BLOCKED);
    }
    if !plan.changes.is_empty() {
        return None;
    }
    // A router that is offline is nothing to decide about, but it is not done.
    let waits = !plan.blocked.is_empty() && plan.standing() != PlanStatus::Unknown;
    Some(if waits { exit::BLOCKED } else { plan::exit_code(plan, false) })
}

fn reporter(ui: &Ui, format: Format) -> Box<dyn Reporter> {
    match format {
        Format::Json => Box::new(JsonReporter::new(io::stdout())),
        Format::Text if ui.is_quiet() => Box::new(Silent),
        Format::Text if ui.draws_bars() => {
            Box::new(ProgressReporter::new(ui.status_style(), ui.verbosity() > 0))
        }
        Format::Text => {
            Box::new(PlainReporter::new(io::stderr(), ui.status_style(), ui.verbosity() > 0))
        }
    }
}

fn participle(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Reboot => "rebooted",
        _ => "made anew",
    }
}

/// Tells how an apply ended.
fn tell(applied: &Applied, request: &ApplyRequest, ui: &Ui) -> Result<u8, CliError> {
    let done = applied.outcomes.values().filter(|outcome| **outcome == Outcome::Done).count();
    let (code, text) = match &applied.ending {
        ApplyStatus::Converged if request.purpose == Purpose::Destroy => {
            (exit::DONE, "nothing of the topology is left".to_owned())
        }
        ApplyStatus::Converged if request.options.worker_request.is_some() => {
            (exit::DONE, format!("the workers are {}", participle(request.purpose)))
        }
        // Exactly the plan was carried out; nobody looked at the rest.
        ApplyStatus::Converged if applied.remaining.is_none() => {
            (exit::DONE, "the plan is applied".to_owned())
        }
        ApplyStatus::Converged => (exit::DONE, "the world matches the topology".to_owned()),
        ApplyStatus::Partial { .. } => (exit::PARTIAL, "applied in part".to_owned()),
        ApplyStatus::Stale => {
            (exit::STALE, "the plan is stale for what was changed meanwhile".to_owned())
        }
        ApplyStatus::Blocked => (exit::BLOCKED, "what is left is blocked".to_owned()),
        ApplyStatus::Interrupted => {
            (exit::INTERRUPTED, "interrupted; run the same command again to continue".to_owned())
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
                    .hint("make a new plan: it will see what changed"),
            ),
            _ => {}
        }
    }
    if let ApplyStatus::Partial { code, reason } = &applied.ending {
        ui.error(
            &CliError::coded(*code, reason.clone())
                .hint("run the same command again: what was done stays done"),
        );
    }
    if request.format == Format::Text {
        ui.status(&format!("{}: {text}.", crate::render::text::counted(done, "change")));
    }
    Ok(code)
}
