//! `stargate check`.

use std::collections::BTreeSet;

use clap::Args;

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::{Look, Session};
use crate::cli::ui::Ui;
use crate::execute::events::Silent;
use crate::execute::make_plan;
use crate::plan::Plan;
use crate::plan::paths::{
    Matrix, Mend, Moment, PROTOCOL, Question, Sources, breaches, mend, path_model,
};
use crate::render::paths::check::{Check, Health};

/// Tell whether every pod reaches every pod, and what stands against it
///
/// Walks packets through every table, from each site to each, without sending
/// one. Pairs that are broken stand together under the fact that breaks them.
/// Exits with 0 where everything is reached and every rule holds, 2 where
/// something is broken, and 1 where not everything could be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
}

/// Reads the world and walks through it.
pub(crate) async fn run(
    arguments: &CheckArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let session = Session::open(global, ui).await?;
    let scope = session.scope(Look { deep: arguments.deep, destroying: false });
    let planned = make_plan(&session.run(&scope, &Silent), &BTreeSet::new()).await;
    let sources = planned.paths(&session.loaded.topology);
    let (text, health) = tell(arguments, sources, ui);
    session.close().await?;
    ui.data(&text)?;
    Ok(match health {
        Health::Sound => exit::DONE,
        Health::Broken => exit::CHANGES,
        Health::Unknown => exit::ERROR,
    })
}

fn tell(arguments: &CheckArguments, sources: Sources<'_>, ui: &Ui) -> (String, Health) {
    let moment = Moment::Observed;
    let model = path_model(sources, &moment);
    let matrix = Matrix::of(&model);
    let mends: Vec<Mend> = matrix
        .broken
        .iter()
        .map(|broken| {
            let (from, to) = (broken.example.0.address, broken.example.1.address);
            mend(sources, Question { from, to, protocol: PROTOCOL })
        })
        .collect();
    let check = Check {
        model: &model,
        matrix: &matrix,
        mends: &mends,
        breaches: &breaches(sources, &model, &moment),
        unread: &unread(sources.plan),
    };
    let text = match arguments.format {
        Format::Text => check.to_text(ui.style()),
        Format::Json => check.to_json(),
    };
    (text, check.health())
}

fn unread(plan: &Plan) -> Vec<String> {
    let told = |gap: &crate::plan::Gap| {
        format!("{} could not be read: {}; {}", gap.source, gap.reason, gap.remedy)
    };
    plan.unexplained_gaps().map(told).collect()
}
