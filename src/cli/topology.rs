//! Reads and loads the topology file.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::diagnostics::{Code, Diagnostic, Diagnostics, Severity};
use crate::render::diagnostic::{self, Layout};
use crate::render::text::counted;
use crate::topology::lints::expired_ignores;
use crate::topology::load::{Loaded, MAX_SIZE, load_bytes};

use super::arguments::Global;
use super::error::CliError;
use super::ui::Ui;

/// Reads the file, up to the maximum size of a topology.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if about.is_file() && about.len() > MAX_SIZE as u64 {
        return Err(too_large(path, about.len()));
    }
    let mut bytes = Vec::new();
    // A pipe has no length: enforce the limit while reading.
    let limit = MAX_SIZE as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

/// Loads the topology; prints its warnings, or all its errors. Plans report expired
/// `[[ignore]]` blocks themselves.
pub(crate) fn load_or_report(global: &Global, ui: &Ui) -> Result<Loaded, CliError> {
    load_with(global, ui, |_| Vec::new())
}

/// Loads the topology, with warnings about blocks that have expired by today.
pub(crate) fn load_of_today(global: &Global, ui: &Ui) -> Result<Loaded, CliError> {
    load_with(global, ui, |loaded| expired_ignores(loaded, today()))
}

fn load_with(
    global: &Global,
    ui: &Ui,
    warnings: impl Fn(&Loaded) -> Vec<Diagnostic>,
) -> Result<Loaded, CliError> {
    let bytes = read(&global.topology)?;
    let layout = Layout { style: ui.status_style(), columns: ui.columns() };
    let name = global.topology_name();
    match load_bytes(&name, &bytes) {
        Ok(mut loaded) => {
            loaded.warnings.extend(warnings(&loaded));
            if !loaded.warnings.is_empty() && !ui.is_quiet() {
                let text = String::from_utf8_lossy(&bytes);
                ui.report(&diagnostic::render(&name, &text, &loaded.warnings, layout));
            }
            Ok(loaded)
        }
        Err(found) => {
            ui.report(&(diagnostic::render_all(&found, layout) + "\n"));
            let error = summary(&found);
            Err(CliError { diagnostics: Some(Box::new(found)), ..error })
        }
    }
}

/// The day, in UTC.
pub(crate) fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// The final error for an invalid file.
fn summary(found: &Diagnostics) -> CliError {
    let errors = found.list.iter().filter(|one| one.severity == Severity::Error);
    let first = errors.clone().next().map(|one| one.code);
    let message = format!("`{}` has {}", found.file_name, counted(errors.count(), "error"));
    let error = CliError::new(message);
    match first {
        Some(code) => {
            error.remedy(format!("run `stargate explain {code}` for details of the first one"))
        }
        None => error,
    }
}

fn too_large(path: &Path, size: u64) -> CliError {
    let path = path.display();
    let message = format!("`{path}` has {size} bytes; the maximum for a topology is {MAX_SIZE}");
    CliError::coded(Code::TooLarge, message).remedy("check that `-f` names a topology")
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let name = path.display();
    let (message, remedy) = match error.kind() {
        ErrorKind::NotFound => (
            format!("file `{name}` not found"),
            "`stargate init` writes one to start from; `-f FILE` selects another path",
        ),
        ErrorKind::IsADirectory => (
            format!("`{name}` is a directory"),
            "pass the path of the file, such as `-f DIR/stargate.toml`",
        ),
        ErrorKind::PermissionDenied => {
            (format!("permission denied: `{name}`"), "check the owner and mode of the file")
        }
        _ => (format!("`{name}` cannot be read: {error}"), "check that `-f` names a topology"),
    };
    CliError::coded(Code::Unreadable, message).remedy(remedy)
}
