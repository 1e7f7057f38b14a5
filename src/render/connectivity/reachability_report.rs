//! Who reaches whom now: pairs that are broken stand together under the fact
//! that breaks them, in `check`, `drift` and `status` alike.

use schemars::JsonSchema;
use serde::Serialize;

use super::trace::help;
use super::wording::{self, Wording};
use crate::connectivity::{Broken, Pairs, addresses};
use crate::dataplane::Verdict;
use crate::plan::impact::{ReachabilityReport, Remedy, UnreadNodes};
use crate::render::style::{Role, Style};
use crate::render::text::{counted, wrap};

/// How many resources or sites are named of those that are broken alike.
const MAX_NAMED: usize = 3;
/// How many facts are told where reachability is one matter among others.
pub const MAX_FACTS: usize = 5;

/// Who reaches whom, for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReachabilityReportJson {
    /// Pairs that are reached, and answered.
    pub reached: u64,
    /// Pairs that are dropped on the way there or back.
    pub dropped: u64,
    /// Pairs that depend on a fact that could not be read.
    pub unknown: u64,
    /// Pairs that are not reached, by the fact that stands against them.
    pub broken: Vec<BrokenJson>,
    /// Nodes whose pods nobody could read of.
    pub unread_nodes: Vec<String>,
}

/// Pairs that one fact stands against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BrokenJson {
    /// Who asks in one of the pairs.
    pub from: std::net::Ipv4Addr,
    /// Who is asked in it.
    pub to: std::net::Ipv4Addr,
    /// `on the way there` or `on the way back`.
    pub way: String,
    /// Where it ends, and why.
    pub verdict: String,
    /// The resources that hold the facts, the most telling first.
    pub resources: Vec<String>,
    /// How many pairs.
    pub pairs: u64,
    /// From and to which sites.
    pub sites: Vec<(String, String)>,
    /// What mends it; null where nobody looked for it.
    pub remedy: Option<String>,
}

/// Words about who reaches whom.
#[derive(Debug, Clone, Copy)]
pub struct ReachabilityReportText<'a> {
    /// What is told.
    pub ways: &'a ReachabilityReport,
}

impl ReachabilityReportText<'_> {
    /// What a site is called.
    pub(super) fn site(&self, number: usize) -> String {
        self.ways.model.sites.get(number).map_or(String::new(), |site| site.side.to_string())
    }

    /// How many pairs are reached; nothing while there are none.
    pub fn summary(&self) -> Option<String> {
        let Pairs { reached, dropped, unknown } = self.ways.matrix.total();
        let pairs = reached + dropped + unknown;
        Some(match (pairs, dropped, unknown) {
            (0, ..) => return None,
            (_, 0, 0) => format!("all {pairs} pairs are reached"),
            (_, 0, _) => format!("{unknown} of {pairs} pairs unknown"),
            (_, _, 0) => format!("{dropped} of {pairs} pairs broken"),
            _ => format!("{dropped} of {pairs} pairs broken, {unknown} unknown"),
        })
    }

    /// The summary and the facts that break the most pairs, in a few lines.
    pub fn in_short(&self, style: Style) -> Vec<String> {
        let Some(summary) = self.summary() else { return Vec::new() };
        let total = self.ways.matrix.total();
        let role = match (total.dropped, total.unknown) {
            (0, 0) => Role::Good,
            (0, _) => Role::Warning,
            _ => Role::Error,
        };
        let mut lines = vec![style.paint(role, format!("Reachability: {summary}"))];
        let broken = &self.ways.matrix.broken;
        for (number, one) in broken.iter().take(MAX_FACTS).enumerate() {
            lines.extend(self.broken(one, self.ways.mends.get(number), style));
        }
        let hidden = broken.len().saturating_sub(MAX_FACTS);
        if hidden > 0 {
            lines.push(format!("and {hidden} more; `stargate check` tells all"));
        }
        for unread in &self.ways.unread {
            lines.extend(self.unread(unread, style));
        }
        lines
    }

    /// Pairs that one fact stands against: how many, from where to where, at
    /// which hop, why, by which resource, and what mends it.
    pub fn broken(&self, broken: &Broken, remedy: Option<&Remedy>, style: Style) -> Vec<String> {
        let Some((way, verdict)) = broken.trip.broken() else { return Vec::new() };
        let wording = Wording { model: &self.ways.model };
        let pairs = counted(usize::try_from(broken.pairs).unwrap_or(usize::MAX), "pair");
        let (from, to) = (broken.example.0.address, broken.example.1.address);
        let outcome = if matches!(verdict, Verdict::Dropped(_)) { "broken" } else { "unknown" };
        let text = format!(
            "{pairs}, {}, as {from} to {to}: {}, {}",
            self.between(broken),
            wording.verdict(verdict),
            wording::way(way)
        );
        let indent = " ".repeat(outcome.len() + 2);
        let mut lines = wrap(&text, &format!("{outcome}: "), &indent);
        if let Some(first) = lines.first_mut() {
            *first = style.paint(Role::Error, first.as_str());
        }
        // What could not be read is named by the verdict itself.
        if let Verdict::Dropped(_) = verdict
            && let Some(fact) = addresses(&self.ways.model, verdict).first()
        {
            lines.extend(wrap(&fact.to_string(), "fact: ", "      "));
        }
        if let Some(remedy) = remedy {
            lines.extend(help(&wording::describe_remedy(remedy), style));
        }
        lines
    }

    fn between(&self, broken: &Broken) -> String {
        let way = |it: &(usize, usize)| match it {
            (from, to) if from == to => format!("within {}", self.site(*from)),
            (from, to) => format!("{} to {}", self.site(*from), self.site(*to)),
        };
        let ways: Vec<String> = broken.sites.iter().map(way).collect();
        few(&ways)
    }

    /// Nodes whose pods nobody could read of, and what would tell.
    pub fn unread(&self, unread: &UnreadNodes, style: Style) -> Vec<String> {
        let text = format!("the pods of {}", few(&unread.names));
        let mut lines = wrap(&text, "unknown: ", "         ");
        lines.extend(help(&wording::describe_remedy(&unread.remedy), style));
        lines
    }

    /// The same for machines.
    pub fn to_json(self) -> ReachabilityReportJson {
        let Pairs { reached, dropped, unknown } = self.ways.matrix.total();
        let broken = self.ways.matrix.broken.iter().enumerate();
        ReachabilityReportJson {
            reached,
            dropped,
            unknown,
            broken: broken.filter_map(|(number, one)| self.broken_json(number, one)).collect(),
            unread_nodes: self.ways.unread.iter().flat_map(|it| it.names.clone()).collect(),
        }
    }

    fn broken_json(&self, number: usize, broken: &Broken) -> Option<BrokenJson> {
        let (way, verdict) = broken.trip.broken()?;
        let resources = addresses(&self.ways.model, verdict);
        Some(BrokenJson {
            from: broken.example.0.address,
            to: broken.example.1.address,
            way: wording::way(way).to_owned(),
            verdict: Wording { model: &self.ways.model }.verdict(verdict),
            resources: resources.iter().map(ToString::to_string).collect(),
            pairs: broken.pairs,
            sites: broken.sites.iter().map(|it| (self.site(it.0), self.site(it.1))).collect(),
            remedy: self.ways.mends.get(number).map(wording::describe_remedy),
        })
    }
}

/// The first names, and how many more there are.
pub(super) fn few(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
