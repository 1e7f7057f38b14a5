//! `stargate validate`.

use clap::Args;
use serde_json::json;

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::diagnostics::Diagnostic;
use crate::render::diagnostic;
use crate::render::text::counted;
use crate::topology::load::{Loaded, load_bytes};

/// Check the topology file offline
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidateArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}

/// Loads the file and prints its diagnostics.
pub(crate) fn run(arguments: &ValidateArguments, global: &Global, ui: &Ui) -> Result<u8, CliError> {
    match arguments.format {
        Format::Text => {
            let loaded = topology::load_or_report(global, ui)?;
            ui.data(&format!("{} is valid: {}\n", global.topology_name(), extent(&loaded)))?;
            Ok(exit::DONE)
        }
        Format::Json => json_report(global, ui),
    }
}

/// The diagnostics as JSON. An unreadable file is an error of the command.
fn json_report(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let file = topology::read(&global.topology)?;
    let name = global.topology_name();
    let (valid, text, list) = match load_bytes(&name, &file) {
        Ok(loaded) => (true, String::from_utf8_lossy(&file).into_owned(), loaded.warnings),
        Err(found) => (false, found.text.to_string(), found.list),
    };
    ui.data(&report(&name, valid, &text, &list))?;
    Ok(if valid { exit::DONE } else { exit::ERROR })
}

fn report(name: &str, valid: bool, text: &str, list: &[Diagnostic]) -> String {
    let report = json!({
        "format_version": diagnostic::FORMAT_VERSION,
        "file": name,
        "valid": valid,
        "diagnostics": diagnostic::to_json(name, text, list),
    });
    format!("{report:#}\n")
}

fn extent(loaded: &Loaded) -> String {
    let datacenters = &loaded.topology.datacenters;
    let workers = datacenters.iter().map(|datacenter| datacenter.workers.len()).sum();
    format!("{}, {}", counted(datacenters.len(), "datacenter"), counted(workers, "worker"))
}
