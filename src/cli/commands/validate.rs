//! `stargate validate`.

use clap::Args;
use serde_json::json;

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, Diagnostic};
use crate::render::diagnostic;
use crate::render::text::counted;
use crate::topology::lints::expired_ignores;
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

/// The diagnostics as JSON. A file that cannot be read is one of them.
fn json_report(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let name = global.topology_name();
    let file = match topology::read(&global.topology) {
        Ok(file) => file,
        Err(error) => {
            let found = unreadable(&error);
            ui.data(&report(&name, false, "", &[found]))?;
            return Ok(error.exit);
        }
    };
    let (valid, text, list) = match load_bytes(&name, &file) {
        Ok(loaded) => {
            let expired = expired_ignores(&loaded, topology::today());
            let warnings = loaded.warnings.into_iter().chain(expired).collect();
            (true, String::from_utf8_lossy(&file).into_owned(), warnings)
        }
        Err(found) => (false, found.text.to_string(), found.list),
    };
    ui.data(&report(&name, valid, &text, &list))?;
    Ok(if valid { exit::DONE } else { exit::ERROR })
}

/// The error of a file that cannot be read, as a diagnostic without a location.
fn unreadable(error: &CliError) -> Diagnostic {
    let code = error.code.unwrap_or(Code::Unreadable);
    Diagnostic::error(code, error.message.clone()).remedy(error.remedies.join("; "))
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
    let workers: usize = datacenters.iter().map(|datacenter| datacenter.workers.len()).sum();
    format!("{}, {}", counted(datacenters.len(), "datacenter"), counted(workers, "worker"))
}
