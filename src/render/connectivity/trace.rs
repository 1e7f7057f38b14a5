//! One packet's way there and back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::wording::{self, Wording};
use crate::connectivity::{Breach, PathModel};
use crate::dataplane::{End, Hop, HostId, Protocol, RoundTrip, Verdict};
use crate::inventory::Source;
use crate::plan::impact::Remedy;
use crate::render::style::{Role, Style};
use crate::render::text::{WIDTH, elapsed, width, wrap};
use crate::resource::Address;

/// What a trace tells.
#[derive(Debug, Clone)]
pub struct TraceReport<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// Who asks.
    pub from: End,
    /// Who is asked.
    pub to: std::net::Ipv4Addr,
    /// What is asked.
    pub protocol: Protocol,
    /// The walk.
    pub trip: &'a RoundTrip,
    /// What mends it, where it does not work.
    pub remedy: Option<&'a Remedy>,
    /// Rules that do not hold at one of the ends.
    pub breaches: &'a [Breach],
    /// How long ago each source told its facts.
    pub ages: &'a BTreeMap<Source, Duration>,
    /// What the plan changes: facts that nobody can have read yet.
    pub changed: &'a BTreeSet<Address>,
    /// Whether it is the world after the plan.
    pub planned: bool,
}

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// There and back.
    Reached,
    /// Dropped on one of the ways.
    Dropped,
    /// A fact is missing, or the way leads out of what is known.
    Unknown,
}

impl Outcome {
    /// The outcome of a trip.
    pub fn of(trip: &RoundTrip) -> Self {
        match trip.broken() {
            None => Self::Reached,
            Some((_, Verdict::Dropped(_))) => Self::Dropped,
            Some(_) => Self::Unknown,
        }
    }
}

/// A trace for machines.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TraceJson {
    format_version: &'static str,
    from: EndJson,
    to: EndJson,
    protocol: String,
    planned: bool,
    facts_age_seconds: u64,
    outcome: Outcome,
    there: WayJson,
    back: Option<WayJson>,
    mtu: u16,
    unclamped: Vec<String>,
    remedy: Option<String>,
    mending_resources: Vec<String>,
    notes: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EndJson {
    host: Option<String>,
    address: std::net::Ipv4Addr,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct WayJson {
    arrived: bool,
    verdict: String,
    hops: Vec<HopJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct HopJson {
    place: String,
    decision: String,
    resource: Option<String>,
    source: Option<String>,
    /// How long ago the source told it; null where the plan is to make it so.
    fact_age_seconds: Option<u64>,
}

impl TraceReport<'_> {
    fn wording(&self) -> Wording<'_> {
        Wording { model: self.model }
    }

    fn end(&self, address: std::net::Ipv4Addr) -> EndJson {
        let host = self.model.network.owner_of(address);
        EndJson { host: host.map(|id| self.name(id).to_owned()), address }
    }

    fn name(&self, id: HostId) -> &str {
        self.model.network.name(id)
    }

    /// The trace for people, in no more than 80 columns where words allow it.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.head(style);
        lines.extend(self.body(style));
        lines.join("\n") + "\n"
    }

    /// Both ways and how they ended.
    pub(super) fn body(&self, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        self.walk("There", &self.trip.forward, style, &mut lines);
        if let Some(back) = &self.trip.return_path {
            self.walk("Back", back, style, &mut lines);
        }
        self.tail(style, &mut lines);
        lines
    }

    fn head(&self, style: Style) -> Vec<String> {
        let shown = |address| {
            let end = self.end(address);
            end.host.map_or(address.to_string(), |host| format!("{address} ({host})"))
        };
        let protocol = wording::protocol(self.protocol);
        let moment = if self.planned { ", as it is after the plan" } else { "" };
        vec![
            style.paint(Role::Title, format!("From {}", shown(self.from.address))),
            style.paint(Role::Title, format!("to   {}, {protocol}{moment}", shown(self.to))),
        ]
    }

    /// Hops of one place stand together under its name.
    fn walk(
        &self,
        title: &str,
        walk: &crate::dataplane::Trace,
        style: Style,
        lines: &mut Vec<String>,
    ) {
        lines.extend([String::new(), style.paint(Role::Title, title)]);
        let mut last = None;
        for hop in &walk.hops {
            if last != Some(hop.place) {
                lines.push(format!("  {}", self.wording().place(hop.place)));
                last = Some(hop.place);
            }
            lines.extend(self.hop(hop, style));
        }
        if !walk.arrived() {
            let verdict = self.wording().verdict(&walk.verdict);
            let wrapped = wrap(&verdict, "  ", "  ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Error, line)));
        }
    }

    fn hop(&self, hop: &Hop, style: Style) -> Vec<String> {
        let mut lines = wrap(&self.wording().decision(&hop.decision), "    ", "      ");
        if let Some((address, source)) = self.wording().told(hop.origin) {
            let name = match source {
                Source::Host(_) => "its host".to_owned(),
                source => source.to_string(),
            };
            let told = match self.age(address, source) {
                Some(age) => format!("({name}, {} ago)", elapsed(age)),
                None => "(as planned)".to_owned(),
            };
            let line = format!("      {address} {told}");
            let told = match width(&line) <= WIDTH {
                true => vec![line],
                false => vec![format!("      {address}"), format!("        {told}")],
            };
            lines.extend(told.into_iter().map(|line| style.paint(Role::Quiet, line)));
        }
        lines
    }

    /// How long ago a fact was told; nothing where the plan is to change it.
    fn age(&self, address: &Address, source: &Source) -> Option<Duration> {
        let is_planned = self.planned && self.changed.contains(address);
        self.ages.get(source).copied().filter(|_| !is_planned)
    }

    fn tail(&self, style: Style, lines: &mut Vec<String>) {
        lines.push(String::new());
        match self.trip.broken() {
            None => {
                lines.push(style.paint(Role::Good, "Reached, and answered."));
                let mtu = self.trip.mtu();
                lines.push(format!("A packet on this way may weigh {mtu} bytes."));
            }
            Some((way, verdict)) => {
                let outcome = match verdict {
                    Verdict::Dropped(_) => "Dropped",
                    _ => "Unknown",
                };
                let line = format!("{outcome} {}.", wording::way(way));
                lines.push(style.paint(Role::Error, line));
                lines.extend(self.fact(verdict));
            }
        }
        if let Some(remedy) = self.remedy {
            lines.extend(help(&wording::describe_remedy(remedy), style));
        }
        for note in self.notes() {
            let wrapped = wrap(&note, "warning: ", "         ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
        }
    }

    fn fact(&self, verdict: &Verdict) -> Vec<String> {
        let facts = crate::connectivity::addresses(self.model, verdict);
        let fact = facts.first().map(ToString::to_string);
        fact.map_or_else(Vec::new, |fact| wrap(&fact, "fact: ", "      "))
    }

    /// What is not the reason of a drop and will be one day.
    fn notes(&self) -> Vec<String> {
        let unclamped = self.trip.unclamped.iter().map(|id| {
            let (name, mtu) = (self.name(*id), self.trip.mtu());
            let alone = if self.trip.stalls(&self.model.network) {
                "large packets stall"
            } else {
                "only the other router's clamp keeps large packets going"
            };
            format!("{name} does not clamp TCP's segments to {mtu} bytes: {alone}")
        });
        let of = |breach: &Breach| format!("{} ({})", wording::breach(breach), breach.address);
        unclamped.chain(self.breaches.iter().map(of)).collect()
    }

    /// The trace for machines.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self.json()).unwrap_or_default())
    }

    pub(super) fn json(&self) -> TraceJson {
        let applied = match self.remedy {
            Some(Remedy::Apply(addresses)) => addresses.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        TraceJson {
            format_version: "1.0",
            from: self.end(self.from.address),
            to: self.end(self.to),
            protocol: wording::protocol(self.protocol),
            planned: self.planned,
            facts_age_seconds: self.ages.values().max().map_or(0, Duration::as_secs),
            outcome: Outcome::of(self.trip),
            there: self.way(&self.trip.forward),
            back: self.trip.return_path.as_ref().map(|back| self.way(back)),
            mtu: self.trip.mtu(),
            unclamped: self.trip.unclamped.iter().map(|id| self.name(*id).to_owned()).collect(),
            remedy: self.remedy.map(wording::describe_remedy),
            mending_resources: applied,
            notes: self.notes(),
        }
    }

    fn way(&self, walk: &crate::dataplane::Trace) -> WayJson {
        let wording = self.wording();
        let hop = |hop: &Hop| {
            let told: Option<(&_, &Source)> = wording.told(hop.origin);
            HopJson {
                place: wording.place(hop.place),
                decision: wording.decision(&hop.decision),
                resource: told.map(|(address, _)| address.to_string()),
                source: told.map(|(_, source)| source.to_string()),
                fact_age_seconds: told
                    .and_then(|(address, source)| self.age(address, source))
                    .map(|age| age.as_secs()),
            }
        };
        WayJson {
            arrived: walk.arrived(),
            verdict: wording.verdict(&walk.verdict),
            hops: walk.hops.iter().map(hop).collect(),
        }
    }
}

/// What to do, under the sign that every command has for it.
pub(super) fn help(text: &str, style: Style) -> Vec<String> {
    let wrapped = wrap(text, "help: ", "      ");
    wrapped.into_iter().map(|line| style.paint(Role::Help, line)).collect()
}
