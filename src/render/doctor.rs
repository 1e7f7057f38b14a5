//! The report of `stargate doctor`.

use schemars::JsonSchema;
use serde::Serialize;

use super::style::{Role, Style};
use super::target::PlanTarget;
use super::text::{counted, wrap};
use crate::diagnostics::Failure;
use crate::plan::readiness::{Check, CheckArea, ReadinessStatus};
use crate::plan::{Finding, FindingSeverity};

/// The version of the format of `doctor --format json`.
pub const FORMAT_VERSION: &str = "1.0";
/// The width of the column of results.
const RESULT: usize = 9;
/// The width of the column of names.
const NAME: usize = 20;
/// The indentation of findings.
const INDENT: &str = "    ";

/// The report.
#[derive(Debug, Clone, Copy)]
pub struct DoctorReport<'a> {
    /// Where the command worked.
    pub target: &'a PlanTarget,
    /// The checks, by service.
    pub checks: &'a [Check],
}

/// The report as JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DoctorReportJson<'a> {
    format_version: &'static str,
    target: &'a PlanTarget,
    /// The worst result.
    status: StatusJson,
    checks: Vec<CheckJson<'a>>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum StatusJson {
    /// It does not apply yet.
    Skipped,
    /// Nothing is wrong.
    Passed,
    /// An apply works, but not as intended.
    Warning,
    /// Its facts could not be read.
    Unknown,
    /// An apply fails.
    Failed,
}

impl From<ReadinessStatus> for StatusJson {
    fn from(status: ReadinessStatus) -> Self {
        match status {
            ReadinessStatus::Skipped => Self::Skipped,
            ReadinessStatus::Passed => Self::Passed,
            ReadinessStatus::Warned => Self::Warning,
            ReadinessStatus::Unknown => Self::Unknown,
            ReadinessStatus::Failed => Self::Failed,
        }
    }
}

/// One check.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct CheckJson<'a> {
    /// The service: `azure`, `tailscale`, `kubernetes`, `hosts` or `plan`.
    service: &'static str,
    name: &'static str,
    status: StatusJson,
    /// The result in a few words; empty if the check failed or is unknown.
    summary: &'a str,
    findings: Vec<FindingJson<'a>>,
    /// Why facts of the check are unknown.
    unknown: Vec<FindingJson<'a>>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct FindingJson<'a> {
    code: &'static str,
    severity: &'static str,
    /// The address of the resource, if the finding is about one.
    resource: Option<String>,
    message: &'a str,
    remedy: &'a str,
}

fn area(area: CheckArea) -> (&'static str, &'static str) {
    match area {
        CheckArea::Azure => ("Azure", "azure"),
        CheckArea::Tailscale => ("Tailscale", "tailscale"),
        CheckArea::Kubernetes => ("Kubernetes", "kubernetes"),
        CheckArea::Hosts => ("Hosts", "hosts"),
        CheckArea::Plan => ("Plan", "plan"),
    }
}

fn result(status: ReadinessStatus) -> (&'static str, Role) {
    match status {
        ReadinessStatus::Skipped => ("-", Role::Quiet),
        ReadinessStatus::Passed => ("ok", Role::Good),
        ReadinessStatus::Warned => ("warning", Role::Warning),
        ReadinessStatus::Unknown => ("unknown", Role::Warning),
        ReadinessStatus::Failed => ("failed", Role::Error),
    }
}

impl DoctorReport<'_> {
    /// The worst result of all checks.
    pub fn status(&self) -> ReadinessStatus {
        let worst = self.checks.iter().map(Check::status).max();
        worst.unwrap_or(ReadinessStatus::Skipped)
    }

    /// The report for people, at most 80 columns wide.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = wrap(&self.target.to_string(), "", "        ");
        let mut previous = None;
        let mut reported: Vec<&Failure> = Vec::new();
        for check in self.checks {
            if previous != Some(check.area) {
                lines.push(String::new());
                lines.push(style.paint(Role::Title, area(check.area).0));
                previous = Some(check.area);
            }
            lines.extend(check_lines(check, &reported, style));
            reported.extend(check.findings.iter().map(|it| &it.failure).chain(&check.gaps));
        }
        lines.push(String::new());
        lines.push(self.totals());
        lines.join("\n") + "\n"
    }

    fn totals(&self) -> String {
        let count = |status| self.checks.iter().filter(|it| it.status() == status).count();
        let mut parts = vec![format!("{} passed", count(ReadinessStatus::Passed))];
        for (status, word) in [
            (ReadinessStatus::Failed, "failed"),
            (ReadinessStatus::Warned, "with warnings"),
            (ReadinessStatus::Unknown, "unknown"),
            (ReadinessStatus::Skipped, "not needed yet"),
        ] {
            if count(status) > 0 {
                parts.push(format!("{} {word}", count(status)));
            }
        }
        format!("{}: {}.", counted(self.checks.len(), "check"), parts.join(", "))
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        let checks = self.checks.iter().map(check_json);
        let report = DoctorReportJson {
            format_version: FORMAT_VERSION,
            target: self.target,
            status: self.status().into(),
            checks: checks.collect(),
        };
        // A report has text keys only, so this cannot fail.
        serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
    }
}

/// The summary says what a check found in order: it would contradict another status.
fn check_json(check: &Check) -> CheckJson<'_> {
    let status = check.status();
    let is_in_order = status < ReadinessStatus::Unknown;
    let is_new = |(place, gap): &(usize, &Failure)| !check.gaps[..*place].contains(gap);
    let gaps = check.gaps.iter().enumerate().filter(is_new);
    CheckJson {
        service: area(check.area).1,
        name: check.name,
        status: status.into(),
        summary: if is_in_order { &check.summary } else { "" },
        findings: check.findings.iter().map(finding_json).collect(),
        unknown: gaps.map(|(_, gap)| gap_json(gap)).collect(),
    }
}

fn finding_json(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        code: finding.failure.code.as_str(),
        severity: match finding.severity {
            FindingSeverity::Error => "error",
            FindingSeverity::Warning => "warning",
        },
        resource: finding.address.as_ref().map(ToString::to_string),
        message: &finding.failure.message,
        remedy: &finding.failure.remedy,
    }
}

fn gap_json(failure: &Failure) -> FindingJson<'_> {
    FindingJson {
        code: failure.code.as_str(),
        severity: "unknown",
        resource: None,
        message: &failure.message,
        remedy: &failure.remedy,
    }
}

/// The lines of a check. A gap that is reported already, such as that of a service that
/// could not be read, has only its code.
fn check_lines(check: &Check, reported: &[&Failure], style: Style) -> Vec<String> {
    let (word, role) = result(check.status());
    let is_quiet = check.findings.is_empty() && check.gaps.is_empty();
    let gaps: Vec<&Failure> = check.gaps.iter().filter(|gap| !reported.contains(gap)).collect();
    let repeated = check.gaps.iter().find(|_| check.findings.is_empty() && gaps.is_empty());
    let repeated = repeated.map(|gap| format!("{}, as above", gap.code));
    let summary = match &repeated {
        Some(repeated) => repeated,
        None if is_quiet => &check.summary,
        None => "",
    };
    let head = format!("  {word:RESULT$}{:NAME$}", check.name);
    let rest = " ".repeat(head.chars().count());
    let mut lines = wrap(summary, &head, &rest);
    if let Some(first) = lines.first_mut() {
        let painted = style.paint(role, word);
        *first = format!("  {painted}{}", &first[2 + word.len()..]);
    }
    for finding in &check.findings {
        let (level, role) = match finding.severity {
            FindingSeverity::Error => ("error", Role::Error),
            FindingSeverity::Warning => ("warning", Role::Warning),
        };
        let resource = finding.address.as_ref().map(ToString::to_string);
        lines.extend(failure_lines(&finding.failure, (level, role), resource, style));
    }
    for failure in gaps {
        lines.extend(failure_lines(failure, ("unknown", Role::Warning), None, style));
    }
    lines
}

fn failure_lines(
    failure: &Failure,
    (level, role): (&str, Role),
    resource: Option<String>,
    style: Style,
) -> Vec<String> {
    let label = format!("{level}[{}]:", failure.code.as_str());
    let rest = format!("{INDENT}  ");
    let mut lines = wrap(&failure.message, &format!("{INDENT}{label} "), &rest);
    if let Some(first) = lines.first_mut() {
        *first = first.replacen(&label, &style.paint(role, &label), 1);
    }
    if let Some(resource) = resource {
        lines.extend(wrap(&resource, &format!("{INDENT}resource: "), &rest));
    }
    let mut help = wrap(&failure.remedy, &format!("{INDENT}help: "), &rest);
    if let Some(first) = help.first_mut() {
        *first = first.replacen("help:", &style.paint(Role::Help, "help:"), 1);
    }
    lines.extend(help);
    lines
}
