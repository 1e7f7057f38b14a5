//! The topology file, from the disk.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::diagnostics::{Code, Diagnostics, Severity};
use crate::render::Style;
use crate::render::diagnostic;
use crate::render::text::counted;
use crate::topology::load::{Loaded, SIZE_LIMIT, load_bytes};

use super::arguments::Global;
use super::error::CliError;
use super::ui::Ui;

/// Reads the file, as far as a topology can be long.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let about = file.metadata().map_err(|error| unreadable(path, &error))?;
    if about.is_file() && about.len() > SIZE_LIMIT as u64 {
        return Err(too_large(path, about.len()));
    }
    let mut bytes = Vec::new();
    // A pipe has no length, so the limit is held here too.
    let limit = SIZE_LIMIT as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

/// Loads the topology; tells warnings, and everything that is wrong with it.
pub(crate) fn load_or_report(global: &Global, ui: &Ui) -> Result<Loaded, CliError> {
    let bytes = read(&global.topology)?;
    let coloured = ui.status_style() == Style::Coloured;
    let name = global.topology_name();
    match load_bytes(&name, &bytes) {
        Ok(loaded) => {
            if !loaded.warnings.is_empty() && !ui.is_quiet() {
                let text = String::from_utf8_lossy(&bytes);
                ui.report(&diagnostic::render(&name, &text, &loaded.warnings, coloured));
            }
            Ok(loaded)
        }
        Err(found) => {
            ui.report(&(diagnostic::render_all(&found, coloured) + "\n"));
            Err(summary(&found))
        }
    }
}

/// The last word on a file that is wrong.
fn summary(found: &Diagnostics) -> CliError {
    let errors = found.list.iter().filter(|one| one.severity == Severity::Error);
    let first = errors.clone().next().map(|one| one.code);
    let message = format!("`{}` has {}", found.file_name, counted(errors.count(), "error"));
    let error = CliError::new(message);
    match first {
        Some(code) => error.hint(format!("`stargate explain {code}` tells more about the first")),
        None => error,
    }
}

fn too_large(path: &Path, size: u64) -> CliError {
    let path = path.display();
    let message = format!("`{path}` has {size} bytes, and a topology at most {SIZE_LIMIT}");
    CliError::coded(Code::TooLarge, message).hint("check that `-f` names a topology")
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    let shown = path.display();
    let (message, hint) = match error.kind() {
        ErrorKind::NotFound => (
            format!("there is no file `{shown}`"),
            "`stargate init` writes one to start from; `-f FILE` names another",
        ),
        ErrorKind::IsADirectory => (
            format!("`{shown}` is a folder"),
            "name the file in it, as in `-f FOLDER/stargate.toml`",
        ),
        ErrorKind::PermissionDenied => {
            (format!("`{shown}` may not be read"), "check its owner and its mode")
        }
        _ => (format!("`{shown}` cannot be read: {error}"), "check that `-f` names a topology"),
    };
    CliError::coded(Code::Unreadable, message).hint(hint)
}
