//! `stargate validate`.

use clap::Args;
use serde_json::json;

use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::formats::ReportFormat;
use crate::cli::topology;
use crate::cli::ui::Ui;
use crate::diagnostics::{Code, Diagnostic};
use crate::render::annotations::{Annotation, AnnotationReport};
use crate::render::diagnostic;
use crate::render::text::counted;
use crate::topology::lints::expired_ignores;
use crate::topology::load::{Loaded, load_bytes};

/// Check the topology file offline
///
/// Exits with 0 if the file is valid, and with 1 if it has errors or cannot be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct ValidateArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: ReportFormat,
}

/// Loads the file and prints its diagnostics.
pub(crate) fn run(arguments: &ValidateArguments, global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let name = global.topology_name();
    let validated = match arguments.format {
        ReportFormat::Text => {
            let loaded = topology::load_of_today(global, ui)?;
            ui.data(&format!("{name} is valid: {}\n", extent(&loaded)))?;
            return Ok(exit::DONE);
        }
        ReportFormat::Json => {
            let validated = validate(global);
            ui.data(&json_report(&name, &validated))?;
            validated
        }
        ReportFormat::Annotations(format) => {
            let validated = validate(global);
            ui.data(&validated.annotations(&name).render(format)?)?;
            validated
        }
    };
    Ok(validated.exit)
}

/// The diagnostics of the file, and the text that they point into.
struct Validated {
    text: String,
    list: Vec<Diagnostic>,
    exit: u8,
}

/// A file that cannot be read is one of the diagnostics.
fn validate(global: &Global) -> Validated {
    let file = match topology::read(&global.topology) {
        Ok(file) => file,
        Err(error) => {
            let list = vec![unreadable(&error)];
            return Validated { text: String::new(), list, exit: error.exit };
        }
    };
    match load_bytes(&global.topology_name(), &file) {
        Ok(loaded) => {
            let expired = expired_ignores(&loaded, topology::today());
            let list = loaded.warnings.into_iter().chain(expired).collect();
            Validated { text: loaded.text.to_string(), list, exit: exit::DONE }
        }
        Err(found) => {
            Validated { text: found.text.to_string(), list: found.list, exit: exit::ERROR }
        }
    }
}

impl Validated {
    fn annotations<'a>(&'a self, name: &'a str) -> AnnotationReport<'a> {
        let mut report = AnnotationReport::new("validate", name, &self.text);
        report.extend(self.list.iter().map(Annotation::from), None);
        if self.exit == exit::DONE {
            report.pass(format!("{name} is valid"));
        }
        report
    }
}

/// The error of a file that cannot be read, as a diagnostic without a location.
fn unreadable(error: &CliError) -> Diagnostic {
    let code = error.code.unwrap_or(Code::Unreadable);
    Diagnostic::error(code, error.message.clone()).remedy(error.remedies.join("; "))
}

fn json_report(name: &str, validated: &Validated) -> String {
    let report = json!({
        "format_version": diagnostic::FORMAT_VERSION,
        "file": name,
        "valid": validated.exit == exit::DONE,
        "diagnostics": diagnostic::to_json(name, &validated.text, &validated.list),
    });
    format!("{report:#}\n")
}

fn extent(loaded: &Loaded) -> String {
    let datacenters = &loaded.topology.datacenters;
    let workers: usize = datacenters.iter().map(|datacenter| datacenter.workers.len()).sum();
    format!("{}, {}", counted(datacenters.len(), "datacenter"), counted(workers, "worker"))
}
