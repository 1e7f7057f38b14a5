//! The error that ends a command as data, in the formats that a CI job reads.

use super::arguments::Global;
use super::error::CliError;
use super::formats::ErrorFormat;
use super::ui::Ui;
use crate::render::annotations::{Annotation, AnnotationReport};

/// Prints the error in the format of the command's data, unless the command printed its
/// data before the error.
pub(crate) fn print(
    error: &CliError,
    format: ErrorFormat,
    global: &Global,
    ui: &Ui,
) -> Result<(), CliError> {
    if ui.has_printed_data() {
        return Ok(());
    }
    let name = global.topology_name();
    let text = error.diagnostics.as_ref().map_or("", |found| &found.text);
    let mut report = AnnotationReport::of_failed_command(&global.command, &name, text);
    match &error.diagnostics {
        Some(found) => report.extend(found.list.iter().map(Annotation::from), None),
        None => report.extend(error.each().map(annotation), None),
    }
    ui.data(&match format {
        ErrorFormat::Markdown => report.to_markdown(),
        ErrorFormat::Annotations(format) => report.render(format)?,
    })
}

fn annotation(error: &CliError) -> Annotation {
    Annotation::of_failed_command(error.code, &error.message, &error.remedies.join("\nhelp: "))
}
