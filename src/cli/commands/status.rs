//! `stargate status`.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::health;
use crate::cli::session::{Look, Session};
use crate::cli::ui::Ui;
use crate::execute::events::Silent;
use crate::execute::make_plan;

/// Tell how cluster, routers and workers are
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Reads the world and tells how its parts are.
pub(crate) async fn run(
    arguments: &StatusArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let session = Session::open(global, ui).await?;
    let scope = session.scope(Look::default());
    let planned = make_plan(&session.run(&scope, &Silent), &BTreeSet::new()).await;
    // A cluster that does not know Operations yet has none.
    let operations = match planned.observation.cluster_access() {
        Some(access) => access.door.last_operations().await.unwrap_or_else(|error| {
            if !error.is_not_found() {
                ui.warn(&error.to_string());
            }
            BTreeMap::new()
        }),
        None => BTreeMap::new(),
    };
    let table = health::status(&planned, &operations);
    session.close().await?;
    let text = match arguments.format {
        Format::Text => table.to_text(),
        Format::Json => table.to_json(),
    };
    ui.data(&text)?;
    Ok(exit::DONE)
}
