//! Site against site, and what stands between them.

use schemars::JsonSchema;
use serde::Serialize;

use super::trace::help;
use super::words::{self, Words};
use crate::plan::paths::{Breach, Broken, Matrix, Mend, Pairs, PathModel};
use crate::reach::{Origin, Verdict};
use crate::render::style::{Role, Style};
use crate::render::text::{counted, wrap};
use crate::resource::Address;

/// How many resources are named of those that are broken alike.
const MOST_NAMED: usize = 3;

/// What a check tells.
#[derive(Debug, Clone)]
pub struct Check<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// Who reaches whom.
    pub matrix: &'a Matrix,
    /// What mends each of the broken, in the matrix's order.
    pub mends: &'a [Mend],
    /// Rules that do not hold.
    pub breaches: &'a [Breach],
    /// Sources that could not be read, and why.
    pub unread: &'a [String],
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Every pair is reached, and every rule holds.
    Sound,
    /// Some pair is not reached, or some rule does not hold.
    Broken,
    /// Nothing broken was seen, and not everything could be.
    Unknown,
}

/// A check for machines.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckJson {
    format_version: &'static str,
    health: Health,
    reached: u64,
    dropped: u64,
    unknown: u64,
    sites: Vec<CellJson>,
    broken: Vec<BrokenJson>,
    breaches: Vec<BreachJson>,
    unread: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct CellJson {
    from: String,
    to: String,
    reached: u64,
    dropped: u64,
    unknown: u64,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct BrokenJson {
    from: std::net::Ipv4Addr,
    to: std::net::Ipv4Addr,
    way: String,
    verdict: String,
    resources: Vec<String>,
    pairs: u64,
    sites: Vec<(String, String)>,
    mend: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct BreachJson {
    rule: String,
    resource: String,
    found: String,
}

impl Check<'_> {
    /// How it ended.
    pub fn health(&self) -> Health {
        let total = self.matrix.total();
        if total.dropped > 0 || !self.breaches.is_empty() {
            Health::Broken
        } else if total.unknown > 0 || !self.unread.is_empty() || total.reached == 0 {
            Health::Unknown
        } else {
            Health::Sound
        }
    }

    fn site(&self, number: usize) -> String {
        self.model.sites.get(number).map_or(String::new(), |site| site.side.to_string())
    }

    /// The check for people.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.cells(style);
        for (broken, mend) in self.matrix.broken.iter().zip(self.mends) {
            lines.push(String::new());
            lines.extend(self.broken(broken, mend, style));
        }
        lines.extend(self.unread_nodes(style));
        lines.extend(self.breach_lines(style));
        for reason in self.unread {
            lines.push(String::new());
            lines.extend(wrap(reason, "unknown: ", "         "));
        }
        lines.extend([String::new(), self.last_line(style)]);
        lines.join("\n") + "\n"
    }

    fn cells(&self, style: Style) -> Vec<String> {
        let width = (0..self.model.sites.len()).map(|at| self.site(at).len()).max().unwrap_or(4);
        let head = format!(
            "{:width$}  {:width$}  {:>8}  {:>8}  {:>8}",
            "FROM", "TO", "REACHED", "DROPPED", "UNKNOWN"
        );
        let row = |(place, pairs): (&(usize, usize), &Pairs)| {
            let (from, to) = (self.site(place.0), self.site(place.1));
            let Pairs { reached, dropped, unknown } = pairs;
            format!("{from:width$}  {to:width$}  {reached:>8}  {dropped:>8}  {unknown:>8}")
        };
        let head = style.paint(Role::Title, head);
        std::iter::once(head).chain(self.matrix.cells.iter().map(row)).collect()
    }

    fn broken(&self, broken: &Broken, mend: &Mend, style: Style) -> Vec<String> {
        let Some((way, verdict)) = broken.trip.broken() else { return Vec::new() };
        let words = Words { model: self.model };
        let pairs = counted(usize::try_from(broken.pairs).unwrap_or(usize::MAX), "pair");
        let (from, to) = (broken.example.0.address, broken.example.1.address);
        let verdict_text = words.verdict(verdict);
        let outcome = if matches!(verdict, Verdict::Dropped(_)) { "broken" } else { "unknown" };
        let text = format!("{pairs}, as {from} to {to}: {verdict_text}, {}", words::way(way));
        let indent = " ".repeat(outcome.len() + 2);
        let mut lines = wrap(&text, &format!("{outcome}: "), &indent);
        if let Some(first) = lines.first_mut() {
            *first = style.paint(Role::Error, first.as_str());
        }
        lines.extend(help(&words::mend(mend), style));
        lines
    }

    fn unread_nodes(&self, style: Style) -> Vec<String> {
        let named = |origin: &Origin| self.model.origins.get(*origin);
        let names: Vec<String> = self
            .matrix
            .unread
            .iter()
            .filter_map(|(_, origin)| Some(named(origin)?.address.to_string()))
            .collect();
        if names.is_empty() {
            return Vec::new();
        }
        let text = format!("the pods of {}", few(&names));
        let mut lines = vec![String::new()];
        lines.extend(wrap(&text, "unknown: ", "         "));
        lines.extend(help("run it again with `--deep`, which looks at hosts", style));
        lines
    }

    /// A rule that does not hold, with the resources that break it.
    fn breach_lines(&self, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        for alike in self.breaches.chunk_by(|one, other| one.rule == other.rule) {
            let Some(first) = alike.first() else { continue };
            lines.push(String::new());
            let wrapped = wrap(&words::breach(first), "breach: ", "        ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
            let names: Vec<String> = alike.iter().map(|it| it.address.to_string()).collect();
            lines.extend(wrap(&format!("at {}", few(&names)), "        ", "        "));
        }
        lines
    }

    fn last_line(&self, style: Style) -> String {
        let Pairs { reached, dropped, unknown } = self.matrix.total();
        let pairs = reached + dropped + unknown;
        let breaches = match self.breaches.len() {
            0 => String::new(),
            1 => ", 1 rule broken".to_owned(),
            count => format!(", {count} rules broken"),
        };
        let line = format!(
            "{pairs} pairs: {reached} reached, {dropped} dropped, {unknown} unknown{breaches}."
        );
        let role = if self.health() == Health::Sound { Role::Good } else { Role::Error };
        style.paint(role, line)
    }

    /// The check for machines.
    pub fn to_json(&self) -> String {
        let Pairs { reached, dropped, unknown } = self.matrix.total();
        let cells = self.matrix.cells.iter().map(|(place, pairs)| CellJson {
            from: self.site(place.0),
            to: self.site(place.1),
            reached: pairs.reached,
            dropped: pairs.dropped,
            unknown: pairs.unknown,
        });
        let breaches = self.breaches.iter().map(|breach| BreachJson {
            rule: words::rule(breach.rule).to_owned(),
            resource: breach.address.to_string(),
            found: breach.found.clone(),
        });
        let broken = self.matrix.broken.iter().zip(self.mends);
        let json = CheckJson {
            format_version: "1.0",
            health: self.health(),
            reached,
            dropped,
            unknown,
            sites: cells.collect(),
            broken: broken.filter_map(|(broken, mend)| self.broken_json(broken, mend)).collect(),
            breaches: breaches.collect(),
            unread: self.unread.to_vec(),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }

    fn broken_json(&self, broken: &Broken, mend: &Mend) -> Option<BrokenJson> {
        let (way, verdict) = broken.trip.broken()?;
        let resources: Vec<Address> = crate::plan::paths::addresses(self.model, verdict);
        Some(BrokenJson {
            from: broken.example.0.address,
            to: broken.example.1.address,
            way: words::way(way).to_owned(),
            verdict: Words { model: self.model }.verdict(verdict),
            resources: resources.iter().map(ToString::to_string).collect(),
            pairs: broken.pairs,
            sites: broken.sites.iter().map(|it| (self.site(it.0), self.site(it.1))).collect(),
            mend: words::mend(mend),
        })
    }
}

fn few(names: &[String]) -> String {
    let shown = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
