//! Site against site, and what stands between them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::live::{Live, LiveJson};
use super::reachability_report::{ReachabilityReportJson, ReachabilityReportText, few};
use super::wording;
use crate::connectivity::{BEYOND, Breach, Pairs, Rule, Unchecked};
use crate::plan::impact::ReachabilityReport;
use crate::render::style::{Role, Style};
use crate::render::text::wrap;

/// What a check tells.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    /// Who reaches whom, with a mend for each of the broken.
    pub ways: &'a ReachabilityReport,
    /// Rules that do not hold.
    pub breaches: &'a [Breach],
    /// Rules that were not looked at, or not wholly.
    pub unchecked: &'a [Unchecked],
    /// Sources that could not be read, and why.
    pub unread: &'a [String],
    /// What was measured, where it was asked for.
    pub live: Option<Live<'a>>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Every pair is reached, and every rule holds.
    Sound,
    /// Nothing broken was seen, and not everything could be.
    Unknown,
    /// Some pair is not reached, or some rule does not hold.
    Broken,
}

/// A check for machines.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckJson {
    format_version: &'static str,
    health: Health,
    sites: Vec<CellJson>,
    #[serde(flatten)]
    ways: ReachabilityReportJson,
    breaches: Vec<BreachJson>,
    rules: Vec<RuleJson>,
    beyond: Vec<BeyondJson>,
    unread: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<LiveJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct CellJson {
    from: String,
    to: String,
    reached: u64,
    dropped: u64,
    unknown: u64,
}

/// How a rule stands, told of every rule.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct RuleJson {
    number: u8,
    rule: &'static str,
    /// Whether a breach was found.
    broken: bool,
    /// Why it was not looked at, or not wholly; a rule that is not broken holds
    /// where nothing stands here.
    not_looked_at: Vec<String>,
}

/// What no look at the world tells.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct BeyondJson {
    number: u8,
    what: &'static str,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct BreachJson {
    number: u8,
    rule: &'static str,
    problem: String,
    resource: String,
    found: String,
}

impl Check<'_> {
    /// How it ended, what was measured included.
    pub fn health(&self) -> Health {
        let measured = self.live.as_ref().map_or(Health::Sound, Live::health);
        self.health_of_tables().max(measured)
    }

    fn health_of_tables(&self) -> Health {
        let total = self.ways.matrix.total();
        if total.dropped > 0 || !self.breaches.is_empty() {
            Health::Broken
        } else if total.unknown > 0 || !self.unread.is_empty() || total.reached == 0 {
            Health::Unknown
        } else {
            Health::Sound
        }
    }

    fn shown(&self) -> ReachabilityReportText<'_> {
        ReachabilityReportText { ways: self.ways }
    }

    /// The check for people.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.cells(style);
        let shown = self.shown();
        for (number, broken) in self.ways.matrix.broken.iter().enumerate() {
            lines.push(String::new());
            lines.extend(shown.broken(broken, self.ways.mends.get(number), style));
        }
        for unread in &self.ways.unread {
            lines.push(String::new());
            lines.extend(shown.unread(unread, style));
        }
        lines.extend(self.breach_lines(style));
        for reason in self.unread {
            lines.push(String::new());
            lines.extend(wrap(reason, "unknown: ", "         "));
        }
        lines.extend(self.unchecked_lines(style));
        lines.extend([String::new(), self.last_line(style)]);
        if let Some(live) = &self.live {
            lines.push(String::new());
            lines.extend(live.lines(style));
        }
        lines.join("\n") + "\n"
    }

    fn cells(&self, style: Style) -> Vec<String> {
        let shown = self.shown();
        let site = |number| shown.site(number);
        let width = (0..self.ways.model.sites.len()).map(|at| site(at).len()).max().unwrap_or(4);
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
        std::iter::once(head).chain(self.ways.matrix.cells.iter().map(row)).collect()
    }

    /// A rule that does not hold, with the resources that break it.
    fn breach_lines(&self, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        for alike in self.breaches.chunk_by(|one, other| one.rule == other.rule) {
            let Some(first) = alike.first() else { continue };
            lines.push(String::new());
            let text = format!("{}: {}", wording::rule_id(first.rule), wording::breach(first));
            let wrapped = wrap(&text, "breach: ", "        ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
            let names: Vec<String> = alike.iter().map(|it| it.address.to_string()).collect();
            lines.extend(wrap(&format!("at {}", few(&names)), "        ", "        "));
        }
        lines
    }

    /// Rules that nobody could look at, and what nobody looks at here: neither
    /// is known to hold.
    fn unchecked_lines(&self, style: Style) -> Vec<String> {
        let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for one in self.unchecked {
            by_reason.entry(wording::why(&one.why)).or_default().push(wording::rule_id(one.rule));
        }
        let unread = by_reason.into_iter().map(|(why, rules)| {
            let shown = if rules.len() == Rule::ALL.len() {
                "any rule".to_owned()
            } else {
                rules.join(", ")
            };
            format!("{shown}: {why}")
        });
        let beyond = BEYOND.into_iter().map(|(number, what)| format!("I{number} {what}"));
        let beyond = beyond.collect::<Vec<_>>().join("; ");
        let mut lines = Vec::new();
        for text in unread.chain([beyond]) {
            lines.push(String::new());
            let wrapped = wrap(&text, "not looked at: ", "               ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Quiet, line)));
        }
        lines
    }

    fn rule_json(&self, rule: Rule) -> RuleJson {
        let unchecked = self.unchecked.iter().filter(|it| it.rule == rule);
        RuleJson {
            number: rule.number(),
            rule: rule.as_str(),
            broken: self.breaches.iter().any(|breach| breach.rule == rule),
            not_looked_at: unchecked.map(|it| wording::why(&it.why)).collect(),
        }
    }

    fn last_line(&self, style: Style) -> String {
        let Pairs { reached, dropped, unknown } = self.ways.matrix.total();
        let pairs = reached + dropped + unknown;
        let breaches = match self.breaches.len() {
            0 => String::new(),
            1 => ", 1 rule broken".to_owned(),
            count => format!(", {count} rules broken"),
        };
        let line = format!(
            "{pairs} pairs: {reached} reached, {dropped} dropped, {unknown} unknown{breaches}."
        );
        let role = if self.health_of_tables() == Health::Sound { Role::Good } else { Role::Error };
        style.paint(role, line)
    }

    /// The check for machines.
    pub fn to_json(&self) -> String {
        let shown = self.shown();
        let cells = self.ways.matrix.cells.iter().map(|(place, pairs)| CellJson {
            from: shown.site(place.0),
            to: shown.site(place.1),
            reached: pairs.reached,
            dropped: pairs.dropped,
            unknown: pairs.unknown,
        });
        let breaches = self.breaches.iter().map(|breach| BreachJson {
            number: breach.rule.number(),
            rule: breach.rule.as_str(),
            problem: wording::rule(breach.rule).to_owned(),
            resource: breach.address.to_string(),
            found: breach.found.clone(),
        });
        let json = CheckJson {
            format_version: "1.0",
            health: self.health(),
            sites: cells.collect(),
            ways: shown.to_json(),
            breaches: breaches.collect(),
            rules: Rule::ALL.iter().map(|rule| self.rule_json(*rule)).collect(),
            beyond: BEYOND.into_iter().map(|(number, what)| BeyondJson { number, what }).collect(),
            unread: self.unread.to_vec(),
            live: self.live.as_ref().map(Live::to_json),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }
}
