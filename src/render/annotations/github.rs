//! Annotations as workflow commands of GitHub Actions.
//!
//! GitHub shows ten annotations of each level for a step: the worst come first.

use super::{Annotation, AnnotationLevel, AnnotationReport};

/// One workflow command for each result that counts.
pub(super) fn render(report: &AnnotationReport<'_>) -> String {
    let counted = report.annotations.iter().filter(|one| one.ignored.is_none());
    counted.map(|one| command(report, one) + "\n").collect()
}

fn command(report: &AnnotationReport<'_>, one: &Annotation) -> String {
    let name = match one.level {
        AnnotationLevel::Error | AnnotationLevel::Unknown => "error",
        AnnotationLevel::Warning => "warning",
        AnnotationLevel::Note => "notice",
    };
    let region = report.region(one);
    let title = format!("{}: {}", one.rule.id, one.rule.title);
    let mut properties = vec![
        ("file", report.file_name.to_owned()),
        ("line", region.start.0.to_string()),
        ("endLine", region.end.0.to_string()),
    ];
    // GitHub refuses columns of a range of several lines.
    if region.start.0 == region.end.0 {
        properties.push(("col", region.start.1.to_string()));
        properties.push(("endColumn", region.end.1.to_string()));
    }
    properties.push(("title", title));
    let properties: Vec<String> =
        properties.iter().map(|(key, value)| format!("{key}={}", escape_property(value))).collect();
    format!("::{name} {}::{}", properties.join(","), escape_data(&one.text()))
}

/// As the toolkit of GitHub Actions escapes the message of a command.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As the toolkit of GitHub Actions escapes a property of a command.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}
