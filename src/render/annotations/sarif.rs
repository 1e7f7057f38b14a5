//! Annotations as SARIF 2.1.0 (OASIS), as code scanning accepts it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Annotation, AnnotationLevel, AnnotationReport, AnnotationRule};

/// The schema that the report names.
const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// A log with one run.
pub(super) fn render(report: &AnnotationReport<'_>) -> String {
    let rules: BTreeMap<&str, &AnnotationRule> =
        report.annotations.iter().map(|one| (one.rule.id.as_str(), &one.rule)).collect();
    let is_known = |one: &Annotation| one.level != AnnotationLevel::Unknown;
    let is_complete = !report.failed && report.annotations.iter().all(is_known);
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "stargate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().map(|it| rule(it)).collect::<Vec<_>>(),
            }},
            // One category for each command: a run replaces the results of its own kind.
            "automationDetails": { "id": format!("stargate/{}/", report.command) },
            "invocations": [{ "executionSuccessful": is_complete }],
            "columnKind": "unicodeCodePoints",
            "results": report.annotations.iter().map(|it| result(report, it)).collect::<Vec<_>>(),
        }],
    });
    format!("{log:#}\n")
}

fn rule(rule: &AnnotationRule) -> Value {
    let explanation = match rule.explanation.as_str() {
        "" => &rule.title,
        text => text,
    };
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": explanation },
        "help": { "text": explanation },
    })
}

fn result(report: &AnnotationReport<'_>, one: &Annotation) -> Value {
    let region = report.region(one);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(report.file_name) },
            "region": {
                "startLine": region.start.0,
                "startColumn": region.start.1,
                "endLine": region.end.0,
                "endColumn": region.end.1,
            },
        },
    });
    if let Some(address) = &one.resource {
        location["logicalLocations"] =
            json!([{ "fullyQualifiedName": address.to_string(), "kind": "resource" }]);
    }
    let mut result = json!({
        "ruleId": one.rule.id,
        "level": level(one.level),
        "message": { "text": one.text() },
        "locations": [location],
        "partialFingerprints": { "stargate/v1": fingerprint(one) },
    });
    if let Some(reason) = &one.ignored {
        result["suppressions"] = json!([{ "kind": "inSource", "justification": reason }]);
    }
    result
}

fn level(level: AnnotationLevel) -> &'static str {
    match level {
        AnnotationLevel::Error | AnnotationLevel::Unknown => "error",
        AnnotationLevel::Warning => "warning",
        AnnotationLevel::Note => "note",
    }
}

/// The same result has the same fingerprint while values and lines change: its rule and
/// the resource, or the message of a result about no single resource.
fn fingerprint(one: &Annotation) -> String {
    let subject = match &one.resource {
        Some(address) => address.to_string(),
        None => one.message.clone(),
    };
    let digest = Sha256::digest(format!("{}\n{subject}", one.rule.id));
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A path as a URI reference: relative to the root of the repository, or absolute.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let path = path.replace('\\', "/");
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.trim_start_matches("./").bytes() {
        match is_plain(byte) {
            true => uri.push(char::from(byte)),
            false => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
