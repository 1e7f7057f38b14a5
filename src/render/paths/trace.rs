//! One packet's way there and back.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::words::{self, Words};
use crate::plan::Source;
use crate::plan::paths::{Breach, Mend, PathModel};
use crate::reach::{End, Hop, HostId, Protocol, Trip, Verdict, Walk};
use crate::render::style::{Role, Style};
use crate::render::text::{elapsed, wrap};

/// What a trace tells.
#[derive(Debug, Clone)]
pub struct Trace<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// Who asks.
    pub from: End,
    /// Who is asked.
    pub to: std::net::Ipv4Addr,
    /// What is asked.
    pub protocol: Protocol,
    /// The walk.
    pub trip: &'a Trip,
    /// What mends it, where it does not work.
    pub mend: Option<&'a Mend>,
    /// Rules that do not hold at one of the ends.
    pub breaches: &'a [Breach],
    /// How long ago the facts were read.
    pub age: Duration,
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
    pub fn of(trip: &Trip) -> Self {
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
    mend: Option<String>,
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
}

impl Trace<'_> {
    fn words(&self) -> Words<'_> {
        Words { model: self.model }
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
        self.walk("There", &self.trip.there, style, &mut lines);
        if let Some(back) = &self.trip.back {
            self.walk("Back", back, style, &mut lines);
        }
        self.tail(style, &mut lines);
        lines.join("\n") + "\n"
    }

    fn head(&self, style: Style) -> Vec<String> {
        let shown = |address| {
            let end = self.end(address);
            end.host.map_or(address.to_string(), |host| format!("{address} ({host})"))
        };
        let protocol = words::protocol(self.protocol);
        let moment = if self.planned { ", as it is after the plan" } else { "" };
        let age = elapsed(self.age);
        vec![
            style.paint(Role::Title, format!("From {}", shown(self.from.address))),
            style.paint(Role::Title, format!("to   {}, {protocol}{moment}", shown(self.to))),
            style.paint(Role::Quiet, format!("The facts were read {age} ago.")),
        ]
    }

    /// Hops of one place stand together under its name.
    fn walk(&self, title: &str, walk: &Walk, style: Style, lines: &mut Vec<String>) {
        lines.extend([String::new(), style.paint(Role::Title, title)]);
        let mut last = None;
        for hop in &walk.hops {
            if last != Some(hop.place) {
                lines.push(format!("  {}", self.words().place(hop.place)));
                last = Some(hop.place);
            }
            lines.extend(self.hop(hop, style));
        }
        if !walk.arrived() {
            let verdict = self.words().verdict(&walk.verdict);
            let wrapped = wrap(&verdict, "  ", "  ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Error, line)));
        }
    }

    fn hop(&self, hop: &Hop, style: Style) -> Vec<String> {
        let mut lines = wrap(&self.words().decision(&hop.decision), "    ", "      ");
        if let Some((address, source)) = self.words().told(hop.origin) {
            let source = match source {
                Source::Host(_) => "its host".to_owned(),
                source => source.to_string(),
            };
            let told = format!("      {address} ({source})");
            lines.push(style.paint(Role::Quiet, told.trim_end()));
        }
        lines
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
                let line = format!("{outcome} {}.", words::way(way));
                lines.push(style.paint(Role::Error, line));
                lines.extend(self.fact(verdict));
            }
        }
        if let Some(mend) = self.mend {
            lines.extend(help(&words::mend(mend), style));
        }
        for note in self.notes() {
            let wrapped = wrap(&note, "warning: ", "         ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
        }
    }

    fn fact(&self, verdict: &Verdict) -> Vec<String> {
        let facts = crate::plan::paths::addresses(self.model, verdict);
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
        let of = |breach: &Breach| format!("{} ({})", words::breach(breach), breach.address);
        unclamped.chain(self.breaches.iter().map(of)).collect()
    }

    /// The trace for machines.
    pub fn to_json(&self) -> String {
        let applied = match self.mend {
            Some(Mend::Apply(addresses)) => addresses.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let json = TraceJson {
            format_version: "1.0",
            from: self.end(self.from.address),
            to: self.end(self.to),
            protocol: words::protocol(self.protocol),
            planned: self.planned,
            facts_age_seconds: self.age.as_secs(),
            outcome: Outcome::of(self.trip),
            there: self.way(&self.trip.there),
            back: self.trip.back.as_ref().map(|back| self.way(back)),
            mtu: self.trip.mtu(),
            unclamped: self.trip.unclamped.iter().map(|id| self.name(*id).to_owned()).collect(),
            mend: self.mend.map(words::mend),
            mending_resources: applied,
            notes: self.notes(),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }

    fn way(&self, walk: &Walk) -> WayJson {
        let words = self.words();
        let hop = |hop: &Hop| {
            let told: Option<(&_, &Source)> = words.told(hop.origin);
            HopJson {
                place: words.place(hop.place),
                decision: words.decision(&hop.decision),
                resource: told.map(|(address, _)| address.to_string()),
                source: told.map(|(_, source)| source.to_string()),
            }
        };
        WayJson {
            arrived: walk.arrived(),
            verdict: words.verdict(&walk.verdict),
            hops: walk.hops.iter().map(hop).collect(),
        }
    }
}

/// What to do, under the sign that every command has for it.
pub(super) fn help(text: &str, style: Style) -> Vec<String> {
    let wrapped = wrap(text, "help: ", "      ");
    wrapped.into_iter().map(|line| style.paint(Role::Help, line)).collect()
}
