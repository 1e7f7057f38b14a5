//! `stargate apply`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::plan;
use crate::apply::events::{Outcome, Reporter, Silent};
use crate::apply::{Applied, ApplyStatus, Planned, StopSignal, apply, apply_once, make_plan};
use crate::cli::arguments::{Format, Global, PlanFormat};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::{RefreshOptions, Session};
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, Failure};
use crate::plan::saved_plan::{Expected, PlanFileError, SavedPlan};
use crate::plan::{Plan, PlanStatus, Severity, WorkerRequest};
use crate::render::Purpose;
use crate::render::apply_events::{JsonReporter, PlainReporter, ProgressReporter};
use crate::resource::Address;
use crate::topology::load::Loaded;

/// Make the world match the topology
///
/// Plans, asks, and carries the plan out, round after round until nothing is
/// left to do. Ctrl-C lets running steps finish; the next apply goes on.
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
    /// How the world is looked at.
    pub(crate) look: RefreshOptions,
    /// Objects to take over.
    pub(crate) adopt: BTreeSet<Address>,
    /// Work on workers that was asked for by name; nothing else is done then.
    pub(crate) worker_request: Option<WorkerRequest>,
    /// A plan that was kept.
    pub(crate) saved: Option<SavedPlan>,
    /// Do not ask.
    pub(crate) yes: bool,
    /// Pairs of pods may be lost.
    pub(crate) allow_loss: bool,
    /// For whom the events are.
    pub(crate) format: Format,
    /// Whether it builds or takes away.
    pub(crate) purpose: Purpose,
}

impl ApplyRequest {
    /// A plan that is made now and asked about.
    pub(crate) fn of(purpose: Purpose) -> Self {
        Self {
            look: RefreshOptions::default(),
            adopt: BTreeSet::new(),
            worker_request: None,
            saved: None,
            yes: false,
            allow_loss: false,
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
    let session = Session::of(loaded, global).await?;
    let order = ApplyRequest {
        look: RefreshOptions {
            deep: arguments.deep,
            destroying: saved.as_ref().is_some_and(|saved| saved.destroy),
        },
        adopt: match &saved {
            Some(saved) => saved.adopt.clone(),
            None => arguments.adopt.iter().cloned().collect(),
        },
        yes: arguments.yes || saved.is_some(),
        allow_loss: arguments.allow_loss,
        saved,
        format: arguments.format,
        ..ApplyRequest::of(Purpose::Plan)
    };
    let code = run_plan(&session, &order, ui).await;
    session.close().await?;
    code
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

/// Reads the world, shows what is to be done, asks, and does it.
pub(crate) async fn run_plan(
    session: &Session,
    order: &ApplyRequest,
    ui: &Ui,
) -> Result<u8, CliError> {
    let mut scope = session.scope(order.look);
    scope.worker_request.clone_from(&order.worker_request);
    let planned = make_plan(&session.run(&scope, &Silent), &order.adopt).await;
    let mut planned = match &order.saved {
        Some(saved) => Planned { plan: saved.plan.clone(), ..planned },
        None => planned,
    };
    planned.plan.reachability.loss_allowed |= order.allow_loss;
    if order.format == Format::Text && order.saved.is_none() {
        plan::show(ui, &planned.plan, order.purpose, PlanFormat::Text, false)?;
    }
    if let Some(code) = nothing_to_do(&planned.plan) {
        return Ok(code);
    }
    if planned.plan.reachability.is_refused() {
        return Ok(refuse_loss(&planned.plan, ui));
    }
    let question = match order.purpose {
        Purpose::Destroy => "Destroy all of this?",
        Purpose::Repave => "Make these workers anew?",
        Purpose::Reboot => "Reboot these workers?",
        _ => "Apply this plan?",
    };
    if !ui.approve(question, order.yes)? {
        return Err(CliError::new("nothing was applied: it was not approved"));
    }
    let reporter = reporter(ui, order.format);
    let watching = tokio::spawn(watch_for_interrupt(session.stop.clone()));
    let run = session.run(&scope, reporter.as_ref());
    let refuse = |_: &Plan| false;
    let applied = match &order.saved {
        Some(saved) if saved.plan.deferred.is_empty() => apply_once(&run, planned).await,
        None if order.worker_request.is_some() => apply_once(&run, planned).await,
        _ => apply(&run, &order.adopt, planned, &refuse).await,
    };
    watching.abort();
    tell(&applied, order, ui)
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

/// The first Ctrl-C lets running steps finish, the second ends the process.
async fn watch_for_interrupt(stop: StopSignal) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.stop();
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(i32::from(exit::INTERRUPTED));
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
fn tell(applied: &Applied, order: &ApplyRequest, ui: &Ui) -> Result<u8, CliError> {
    let done = applied.outcomes.values().filter(|outcome| **outcome == Outcome::Done).count();
    let (code, text) = match &applied.ending {
        ApplyStatus::Converged if order.purpose == Purpose::Destroy => {
            (exit::DONE, "nothing of the topology is left".to_owned())
        }
        ApplyStatus::Converged if order.worker_request.is_some() => {
            (exit::DONE, format!("the workers are {}", participle(order.purpose)))
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
            (exit::INTERRUPTED, "stopped; run the same command again to go on".to_owned())
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
    if order.format == Format::Text {
        ui.status(&format!("{}: {text}.", crate::render::text::counted(done, "change")));
    }
    Ok(code)
}
