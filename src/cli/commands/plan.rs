//! `stargate plan`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::arguments::PlanFormat;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::plan::saved_plan::{FORMAT_VERSION, SavedPlan};
use crate::plan::{Plan, PlanOptions, PlanStatus};
use crate::render::{Purpose, plan_json, plan_markdown, plan_text};

/// Show what would be changed, and why
///
/// Reads the world, compares it with the topology and changes nothing. The
/// signs are `+` create, `~` update, `-/+` replace, `-` delete, `>` adopt.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Keep the plan in a file, for `stargate apply FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Exit with 2 where there are changes, as `terraform plan` does
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
    /// Show every field of every change, and cut nothing
    #[arg(long)]
    pub(crate) full: bool,
    /// Let the plan lose pairs of pods that reach each other now
    #[arg(long)]
    pub(crate) allow_loss: bool,
}

/// Reads the world and shows the plan.
pub(crate) async fn run(
    arguments: &PlanArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions {
        deep: arguments.deep,
        allow_loss: arguments.allow_loss,
        ..PlanOptions::default()
    };
    let scope = session.scope(options);
    let planned = session.pipeline(&scope).run().await;
    let shown = show(ui, &planned.plan, Purpose::Plan, arguments.format, arguments.full);
    let kept = match &arguments.out {
        Some(path) => keep(path, session, &planned.plan),
        None => Ok(()),
    };
    shown.and(kept)?;
    Ok(exit_code(&planned.plan, arguments.detailed_exitcode))
}

/// Shows a plan in one of its formats.
pub(crate) fn show(
    ui: &Ui,
    plan: &Plan,
    purpose: Purpose,
    format: PlanFormat,
    full: bool,
) -> Result<(), CliError> {
    let text = match format {
        PlanFormat::Text => {
            let verbose = ui.verbosity() > 0;
            plan_text::render(
                plan,
                plan_text::Options { style: ui.style(), purpose, full, verbose },
            )
        }
        PlanFormat::Json => plan_json::render(plan, purpose),
        PlanFormat::Markdown => plan_markdown::render(plan, purpose),
    };
    ui.data(&text)
}

/// Keeps a plan in a file.
fn keep(path: &Path, session: &ReadSession, plan: &Plan) -> Result<(), CliError> {
    let saved = SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: env!("CARGO_PKG_VERSION").to_owned(),
        topology_digest: session.loaded.digest.clone(),
        adopt: BTreeSet::new(),
        destroy: false,
        plan: plan.clone(),
    };
    std::fs::write(path, saved.to_text()).map_err(|error| {
        CliError::new(format!("`{}` cannot be written: {error}", path.display()))
            .hint("check the folder's mode and its free space")
    })
}

/// A plan that is blocked, wrong or blind is no success.
pub(crate) fn exit_code(plan: &Plan, detailed: bool) -> u8 {
    match plan.standing() {
        PlanStatus::Differs if detailed => exit::CHANGES,
        PlanStatus::Matches | PlanStatus::Differs => exit::DONE,
        PlanStatus::Wrong | PlanStatus::Blocked => exit::BLOCKED,
        PlanStatus::Unknown => exit::ERROR,
    }
}
