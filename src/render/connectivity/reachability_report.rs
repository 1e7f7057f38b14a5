//! The current reachability in `check`, `drift` and `status`: pairs that are not
//! reachable, grouped by the fact that drops their packets.

use schemars::JsonSchema;
use serde::Serialize;

use super::trace::help;
use super::wording::{self, Wording};
use crate::connectivity::{Broken, Pairs, addresses};
use crate::dataplane::Verdict;
use crate::plan::impact::{ReachabilityReport, Remedy, UnreadNodes};
use crate::render::style::{Role, Style};
use crate::render::text::wrap;

/// Names listed before `and N more`.
const MAX_NAMED: usize = 3;
/// Problems shown in `drift` and `status`; `check` shows all.
pub const MAX_PROBLEMS: usize = 5;

/// The current reachability between pairs of nodes, by the pods on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReachabilityReportJson {
    /// Pairs for which request and reply are delivered.
    pub reached: u64,
    /// Pairs for which the request or the reply is dropped.
    pub dropped: u64,
    /// Pairs that depend on an unread fact.
    pub unknown: u64,
    /// The same for pairs of nodes by their own addresses.
    pub nodes: NodePairsJson,
    /// Dropped and unknown pairs, grouped by cause.
    pub problems: Vec<ProblemJson>,
    /// Nodes whose pod CIDR could not be read; their pairs are not counted.
    pub nodes_with_unknown_pod_cidr: Vec<String>,
}

/// Pairs of nodes by their own addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodePairsJson {
    /// Pairs for which request and reply are delivered.
    pub reached: u64,
    /// Pairs for which the request or the reply is dropped.
    pub dropped: u64,
    /// Pairs that depend on an unread fact.
    pub unknown: u64,
}

/// Pairs that are dropped or unknown for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemJson {
    /// The source address of an example pair.
    pub from: std::net::Ipv4Addr,
    /// The destination address of the example pair.
    pub to: std::net::Ipv4Addr,
    /// `forward` or `return`.
    pub direction: String,
    /// The hop at which the packet ends, and the cause.
    pub verdict: String,
    /// The addresses of the resources that hold the facts, the most specific first.
    pub resources: Vec<String>,
    /// The number of pairs of nodes, by the pods on them.
    pub pairs: u64,
    /// The number of pairs of nodes, by their own addresses.
    pub node_pairs: u64,
    /// The source and destination sites.
    pub sites: Vec<SitePairJson>,
    /// The remedy; null if none was searched for.
    pub remedy: Option<String>,
}

/// A source and a destination site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SitePairJson {
    /// The source site.
    pub from: String,
    /// The destination site.
    pub to: String,
}

/// Renders a reachability report.
#[derive(Debug, Clone, Copy)]
pub struct ReachabilityReportText<'a> {
    /// The report.
    pub report: &'a ReachabilityReport,
}

impl ReachabilityReportText<'_> {
    /// The name of a site.
    pub(super) fn site(&self, number: usize) -> String {
        self.report.model.sites.get(number).map_or(String::new(), |site| site.site.to_string())
    }

    /// A summary of the pairs; `None` without pairs. Pairs of nodes are named if not all
    /// are reached.
    pub fn summary(&self) -> Option<String> {
        let pods = summarize(self.report.matrix.total(), "pair")?;
        let nodes = self.report.matrix.nodes;
        match (nodes.dropped, nodes.unknown) {
            (0, 0) => Some(pods),
            _ => Some(match summarize(nodes, "pair of nodes") {
                Some(nodes) => format!("{pods}; {nodes}"),
                None => pods,
            }),
        }
    }

    /// The summary and the problems that affect the most pairs.
    pub fn summary_lines(&self, style: Style) -> Vec<String> {
        let Some(summary) = self.summary() else { return Vec::new() };
        let (pods, nodes) = (self.report.matrix.total(), self.report.matrix.nodes);
        let role = match (pods.dropped + nodes.dropped, pods.unknown + nodes.unknown) {
            (0, 0) => Role::Good,
            (0, _) => Role::Warning,
            _ => Role::Error,
        };
        let summary = wrap(&summary, "Reachability: ", "  ");
        let mut lines: Vec<String> =
            summary.into_iter().map(|line| style.paint(role, line)).collect();
        let problems = &self.report.matrix.broken;
        for (number, problem) in problems.iter().take(MAX_PROBLEMS).enumerate() {
            lines.extend(self.problem(problem, self.report.remedies.get(number), style));
        }
        let omitted = problems.len().saturating_sub(MAX_PROBLEMS);
        if omitted > 0 {
            lines.push(format!("and {omitted} more; run `stargate check` to see all"));
        }
        for unread in &self.report.unread {
            lines.extend(self.unknown_nodes(unread, style));
        }
        lines
    }

    /// Pairs that are dropped or unknown for one cause: how many, between which
    /// sites, the hop, the cause, the resource and the remedy.
    pub fn problem(&self, problem: &Broken, remedy: Option<&Remedy>, style: Style) -> Vec<String> {
        let Some((_, verdict)) = problem.round_trip.broken() else { return Vec::new() };
        let outcome = if matches!(verdict, Verdict::Dropped(_)) { "dropped" } else { "unknown" };
        let text = self.sentence(problem).unwrap_or_default();
        let indent = " ".repeat(outcome.len() + 2);
        let mut lines = wrap(&text, &format!("{outcome}: "), &indent);
        if let Some(first) = lines.first_mut() {
            *first = style.paint(Role::Error, first.as_str());
        }
        // The verdict itself names an unread fact.
        if let Verdict::Dropped(_) = verdict
            && let Some(resource) = addresses(&self.report.model, verdict).first()
        {
            lines.extend(wrap(&resource.to_string(), "resource: ", "          "));
        }
        if let Some(remedy) = remedy {
            lines.extend(help(&wording::describe_remedy(remedy), style));
        }
        lines
    }

    /// How many pairs have the problem, an example and its cause; `None` for a pair that is
    /// reached.
    pub(super) fn sentence(&self, problem: &Broken) -> Option<String> {
        let (direction, verdict) = problem.round_trip.broken()?;
        let wording = Wording { model: &self.report.model };
        let pairs = match (problem.pairs, problem.node_pairs) {
            (pods, 0) => counted_pairs(pods, "pair"),
            (0, nodes) => counted_pairs(nodes, "pair of nodes"),
            (pods, nodes) => {
                format!("{} and {nodes} of nodes", counted_pairs(pods, "pair of pods"))
            }
        };
        let (from, to) = (problem.example.0.address, problem.example.1.address);
        Some(format!(
            "{pairs} {}, for example {from} to {to}: {} ({})",
            self.site_pairs(problem),
            wording.verdict(verdict),
            wording::direction(direction)
        ))
    }

    fn site_pairs(&self, problem: &Broken) -> String {
        let pair = |it: &(usize, usize)| match it {
            (from, to) if from == to => format!("within {}", self.site(*from)),
            (from, to) => format!("from {} to {}", self.site(*from), self.site(*to)),
        };
        let pairs: Vec<String> = problem.sites.iter().map(pair).collect();
        abbreviate(&pairs)
    }

    /// Nodes whose pod CIDR could not be read, and how to read it.
    pub fn unknown_nodes(&self, unread: &UnreadNodes, style: Style) -> Vec<String> {
        let mut lines = wrap(&unread_pods(unread), "unknown: ", "         ");
        lines.extend(help(&wording::describe_remedy(&unread.remedy), style));
        lines
    }

    /// Converts the report to JSON.
    pub fn to_json(self) -> ReachabilityReportJson {
        let Pairs { reached, dropped, unknown } = self.report.matrix.total();
        let problems = self.report.matrix.broken.iter().enumerate();
        ReachabilityReportJson {
            reached,
            dropped,
            unknown,
            nodes: NodePairsJson {
                reached: self.report.matrix.nodes.reached,
                dropped: self.report.matrix.nodes.dropped,
                unknown: self.report.matrix.nodes.unknown,
            },
            problems: problems.filter_map(|(number, one)| self.problem_json(number, one)).collect(),
            nodes_with_unknown_pod_cidr: self
                .report
                .unread
                .iter()
                .flat_map(|it| it.names.clone())
                .collect(),
        }
    }

    pub(super) fn site_pair(&self, (from, to): (usize, usize)) -> SitePairJson {
        SitePairJson { from: self.site(from), to: self.site(to) }
    }

    fn problem_json(&self, number: usize, problem: &Broken) -> Option<ProblemJson> {
        let (direction, verdict) = problem.round_trip.broken()?;
        let resources = addresses(&self.report.model, verdict);
        Some(ProblemJson {
            from: problem.example.0.address,
            to: problem.example.1.address,
            direction: wording::direction(direction).to_owned(),
            verdict: Wording { model: &self.report.model }.verdict(verdict),
            resources: resources.iter().map(ToString::to_string).collect(),
            pairs: problem.pairs,
            node_pairs: problem.node_pairs,
            sites: problem.sites.iter().map(|it| self.site_pair(*it)).collect(),
            remedy: self.report.remedies.get(number).map(wording::describe_remedy),
        })
    }
}

/// How many pairs of a sort are reached; `None` without pairs.
fn summarize(pairs: Pairs, noun: &str) -> Option<String> {
    let Pairs { reached, dropped, unknown } = pairs;
    let all = reached + dropped + unknown;
    let pairs = counted_pairs(all, noun);
    Some(match (all, dropped, unknown) {
        (0, ..) => return None,
        (_, 0, 0) => format!("all {pairs} reached"),
        (_, 0, _) => format!("{unknown} of {pairs} unknown"),
        (_, _, 0) => format!("{dropped} of {pairs} dropped"),
        _ => format!("{dropped} of {pairs} dropped, {unknown} unknown"),
    })
}

/// A number of pairs of a sort, as in `2 pairs of nodes`.
fn counted_pairs(count: u64, noun: &str) -> String {
    match noun.strip_prefix("pair") {
        Some(rest) if count != 1 => format!("{count} pairs{rest}"),
        _ => format!("{count} {noun}"),
    }
}

/// Says which nodes' pods could not be read.
pub(super) fn unread_pods(unread: &UnreadNodes) -> String {
    format!("the pod CIDR of {} could not be read", abbreviate(&unread.names))
}

/// The first names, then how many more there are.
pub(super) fn abbreviate(names: &[String]) -> String {
    let list = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}
