//! The report of `stargate check`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::live::{LiveReport, LiveReportJson};
use super::reachability_report::{ReachabilityReportJson, ReachabilityReportText, abbreviate};
use super::wording;
use crate::connectivity::{Invariant, NOT_CHECKED, Pairs, Unchecked, Violation};
use crate::diagnostics::Failure;
use crate::plan::impact::ReachabilityReport;
use crate::render::style::{Role, Style};
use crate::render::text::{counted, wrap};

/// The result of `stargate check`.
#[derive(Debug, Clone)]
pub struct CheckReport<'a> {
    /// The current reachability, with a remedy for each problem.
    pub reachability: &'a ReachabilityReport,
    /// Violated rules.
    pub violations: &'a [Violation],
    /// Rules that could not be checked, or only in part.
    pub unchecked: &'a [Unchecked],
    /// Sources that could not be read, and errors that the planner found.
    pub errors: &'a [Failure],
    /// Whether to print the checks that `check` never makes (`-v`).
    pub is_verbose: bool,
    /// The comparison with Goldpinger's measurements (`--live`).
    pub live: Option<LiveReport<'a>>,
}

/// The result of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// Every pair is reachable, and every rule holds.
    Passed,
    /// No failure was found, but not everything could be checked.
    Unknown,
    /// A packet is dropped, or a rule is violated.
    Failed,
}

/// The version of the format of `check --format json`.
pub const FORMAT_VERSION: &str = "2.0";

/// The result of `stargate check` as JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckReportJson {
    format_version: &'static str,
    status: CheckStatus,
    /// The number of pairs by source and destination site.
    matrix: Vec<MatrixCellJson>,
    #[serde(flatten)]
    reachability: ReachabilityReportJson,
    violations: Vec<ViolationJson>,
    rules: Vec<RuleJson>,
    /// The parts of invariants that `check` does not cover at all.
    not_covered: Vec<NotCoveredJson>,
    /// Sources that could not be read, and errors that the planner found.
    errors: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveReportJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct MatrixCellJson {
    from: String,
    to: String,
    reached: u64,
    dropped: u64,
    unknown: u64,
}

/// The result of one rule.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct RuleJson {
    /// The number of the invariant that the rule belongs to.
    invariant: u8,
    rule: &'static str,
    violated: bool,
    /// Why the rule could not be checked, or only in part. The rule holds if it is
    /// not violated and this list is empty.
    not_checked: Vec<String>,
}

/// A part of an invariant that `check` does not cover.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct NotCoveredJson {
    invariant: u8,
    description: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ViolationJson {
    /// The number of the invariant that the rule belongs to.
    invariant: u8,
    rule: &'static str,
    /// The meaning of a violation of the rule.
    description: String,
    /// The address of the resource that violates the rule.
    resource: String,
    /// The observed state of the resource.
    detail: String,
}

impl CheckReport<'_> {
    /// The result, measurements included.
    pub fn status(&self) -> CheckStatus {
        self.model_status().max(self.measured_status())
    }

    /// The result by the measurements alone, if there are any.
    pub fn measured_status(&self) -> CheckStatus {
        self.live.as_ref().map_or(CheckStatus::Passed, LiveReport::status)
    }

    /// The result by the model alone.
    pub fn model_status(&self) -> CheckStatus {
        let total = self.reachability.matrix.total();
        let nodes = self.reachability.matrix.nodes;
        if total.dropped + nodes.dropped > 0 || !self.violations.is_empty() {
            CheckStatus::Failed
        } else if total.unknown + nodes.unknown > 0 || !self.errors.is_empty() || total.reached == 0
        {
            CheckStatus::Unknown
        } else {
            CheckStatus::Passed
        }
    }

    fn reachability_text(&self) -> ReachabilityReportText<'_> {
        ReachabilityReportText { report: self.reachability }
    }

    /// The result as text.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.matrix_lines(style);
        let text = self.reachability_text();
        for (number, problem) in self.reachability.matrix.broken.iter().enumerate() {
            lines.push(String::new());
            lines.extend(text.problem(problem, self.reachability.remedies.get(number), style));
        }
        for unread in &self.reachability.unread {
            lines.push(String::new());
            lines.extend(text.unknown_nodes(unread, style));
        }
        lines.extend(self.violation_lines(style));
        for error in self.errors {
            lines.push(String::new());
            let text = format!("error[{}]: {}", error.code, error.message);
            let error_lines = wrap(&text, "", "  ").into_iter();
            lines.extend(error_lines.map(|line| style.paint(Role::Error, line)));
            lines.extend(wrap(&format!("help: {}", error.remedy), "  ", "    "));
        }
        lines.extend(self.unchecked_lines(style));
        lines.push(String::new());
        lines.extend(self.last_lines(style));
        if let Some(live) = &self.live {
            lines.push(String::new());
            lines.extend(live.lines(style));
        }
        lines.join("\n") + "\n"
    }

    fn matrix_lines(&self, style: Style) -> Vec<String> {
        let text = self.reachability_text();
        let site = |number| text.site(number);
        let width =
            (0..self.reachability.model.sites.len()).map(|at| site(at).len()).max().unwrap_or(4);
        let head = format!(
            "{:width$}  {:width$}  {:>8}  {:>8}  {:>8}",
            "FROM", "TO", "REACHED", "DROPPED", "UNKNOWN"
        );
        let row = |(place, pairs): (&(usize, usize), &Pairs)| {
            let (from, to) = (site(place.0), site(place.1));
            let Pairs { reached, dropped, unknown } = pairs;
            format!("{from:width$}  {to:width$}  {reached:>8}  {dropped:>8}  {unknown:>8}")
        };
        let head = style.paint(Role::Title, head);
        std::iter::once(head).chain(self.reachability.matrix.cells.iter().map(row)).collect()
    }

    /// Violated rules, each with the resources that violate it.
    fn violation_lines(&self, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        for group in self.violations.chunk_by(|one, other| one.rule == other.rule) {
            let Some(first) = group.first() else { continue };
            lines.push(String::new());
            let text =
                format!("{}: {}", wording::rule_id(first.rule), wording::violation_text(first));
            let wrapped = wrap(&text, "violation: ", "           ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
            let names: Vec<String> = group.iter().map(|it| it.address.to_string()).collect();
            lines.extend(wrap(&abbreviate(&names), "resource:  ", "           "));
        }
        lines
    }

    /// Rules that could not be checked, and checks that `check` never makes.
    fn unchecked_lines(&self, style: Style) -> Vec<String> {
        let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in self.unchecked {
            by_reason
                .entry(wording::describe_unchecked(&one.why))
                .or_default()
                .push(wording::rule_id(one.rule));
        }
        let unchecked = by_reason.into_iter().map(|(why, rules)| {
            let rule_names = if rules.len() == Invariant::ALL.len() {
                "all rules".to_owned()
            } else {
                rules.join(", ")
            };
            format!("{rule_names}: {why}")
        });
        let not_covered = NOT_CHECKED.into_iter().map(|(number, what)| format!("I{number} {what}"));
        let not_covered = not_covered.collect::<Vec<_>>().join("; ");
        let mut lines = Vec::new();
        for text in unchecked.chain(self.is_verbose.then_some(not_covered)) {
            lines.push(String::new());
            let wrapped = wrap(&text, "not checked: ", "             ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Quiet, line)));
        }
        lines
    }

    fn rule_json(&self, rule: Invariant) -> RuleJson {
        let unchecked = self.unchecked.iter().filter(|it| it.rule == rule);
        RuleJson {
            invariant: rule.number(),
            rule: rule.as_str(),
            violated: self.violations.iter().any(|violation| violation.rule == rule),
            not_checked: unchecked.map(|it| wording::describe_unchecked(&it.why)).collect(),
        }
    }

    fn last_lines(&self, style: Style) -> Vec<String> {
        let Pairs { reached, dropped, unknown } = self.reachability.matrix.total();
        let pairs = reached + dropped + unknown;
        let violations = match self.violations.len() {
            0 => String::new(),
            count => format!(", {}", counted(count, "violation")),
        };
        let nodes = match self.reachability.matrix.nodes {
            Pairs { dropped: 0, unknown: 0, .. } => String::new(),
            Pairs { dropped, unknown, .. } => {
                format!("; of nodes: {dropped} dropped, {unknown} unknown")
            }
        };
        let pairs = usize::try_from(pairs).unwrap_or(usize::MAX);
        let line = format!(
            "{}: {reached} reached, {dropped} dropped, {unknown} unknown{nodes}{violations}.",
            counted(pairs, "pair"),
        );
        let role =
            if self.model_status() == CheckStatus::Passed { Role::Good } else { Role::Error };
        wrap(&line, "", "  ").into_iter().map(|line| style.paint(role, line)).collect()
    }

    /// The result as JSON.
    pub fn to_json(&self) -> String {
        let text = self.reachability_text();
        let matrix = self.reachability.matrix.cells.iter().map(|(place, pairs)| MatrixCellJson {
            from: text.site(place.0),
            to: text.site(place.1),
            reached: pairs.reached,
            dropped: pairs.dropped,
            unknown: pairs.unknown,
        });
        let violations = self.violations.iter().map(|violation| ViolationJson {
            invariant: violation.rule.number(),
            rule: violation.rule.as_str(),
            description: wording::describe_violation(violation.rule).to_owned(),
            resource: violation.address.to_string(),
            detail: violation.found.clone(),
        });
        let json = CheckReportJson {
            format_version: FORMAT_VERSION,
            status: self.status(),
            matrix: matrix.collect(),
            reachability: text.to_json(),
            violations: violations.collect(),
            rules: Invariant::ALL.iter().map(|rule| self.rule_json(*rule)).collect(),
            not_covered: NOT_CHECKED
                .into_iter()
                .map(|(invariant, description)| NotCoveredJson { invariant, description })
                .collect(),
            errors: self.errors.iter().map(error_text).collect(),
            live: self.live.as_ref().map(LiveReport::to_json),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }
}

/// An error in one text.
fn error_text(error: &Failure) -> String {
    format!("[{}] {}; {}", error.code, error.message, error.remedy)
}
