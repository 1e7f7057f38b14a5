//! The trace of one packet and its reply.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::wording::{self, Wording};
use crate::connectivity::{PathModel, Violation};
use crate::dataplane::{End, Hop, HostId, Protocol, RoundTrip, Verdict};
use crate::inventory::Source;
use crate::plan::impact::Remedy;
use crate::render::style::{Role, Style};
use crate::render::text::{WIDTH, elapsed, width, wrap};
use crate::resource::Address;

/// The version of the format of `trace --format json`.
pub const FORMAT_VERSION: &str = "2.0";

/// The trace of one packet and its reply.
#[derive(Debug, Clone)]
pub struct TraceReport<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// The source.
    pub from: End,
    /// The destination address.
    pub to: std::net::Ipv4Addr,
    /// The protocol and port.
    pub protocol: Protocol,
    /// The path of the packet and of its reply.
    pub round_trip: &'a RoundTrip,
    /// The remedy, if the packet is dropped.
    pub remedy: Option<&'a Remedy>,
    /// Violated rules at hops and at either end.
    pub violations: &'a [Violation],
    /// The age of the facts by source.
    pub ages: &'a BTreeMap<Source, Duration>,
    /// Resources that the plan changes; with `planned` their facts have no age.
    pub changed: &'a BTreeSet<Address>,
    /// Whether the trace uses the planned state instead of the live state.
    pub planned: bool,
}

/// The outcome of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TraceOutcome {
    /// Packet and reply are delivered.
    Reached,
    /// The packet or its reply is dropped.
    Dropped,
    /// A fact is unknown, or the path leaves the known network.
    Unknown,
}

impl TraceOutcome {
    /// The outcome of a round trip.
    pub fn of(round_trip: &RoundTrip) -> Self {
        match round_trip.broken() {
            None => Self::Reached,
            Some((_, Verdict::Dropped(_))) => Self::Dropped,
            Some(_) => Self::Unknown,
        }
    }
}

/// A trace as JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TraceReportJson {
    format_version: &'static str,
    from: HostAddressJson,
    to: HostAddressJson,
    protocol: String,
    planned: bool,
    /// The age of the oldest source.
    max_fact_age_seconds: u64,
    outcome: TraceOutcome,
    forward: PathJson,
    /// The path of the reply; null if the packet is not delivered.
    r#return: Option<PathJson>,
    /// The size in bytes of the largest packet that the path carries.
    path_mtu: u16,
    /// Routers on the path that do not clamp the TCP MSS to the path MTU.
    routers_without_mss_clamp: Vec<String>,
    remedy: Option<String>,
    /// The addresses of the resources that `stargate apply` changes as the remedy.
    remedy_resources: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct HostAddressJson {
    /// The host that has the address; null if it is unknown.
    pub(super) host: Option<String>,
    pub(super) address: std::net::Ipv4Addr,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct PathJson {
    delivered: bool,
    verdict: String,
    hops: Vec<HopJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct HopJson {
    /// The host, interface or tunnel endpoint.
    location: String,
    /// The lookup and the entry that matched.
    decision: String,
    /// The address of the resource that holds the entry.
    resource: Option<String>,
    /// The source that the entry was read from.
    source: Option<String>,
    /// The age of the entry; null if the plan changes it.
    fact_age_seconds: Option<u64>,
}

impl TraceReport<'_> {
    fn wording(&self) -> Wording<'_> {
        Wording { model: self.model }
    }

    fn end(&self, address: std::net::Ipv4Addr) -> HostAddressJson {
        let host = self.model.network.owner_of(address);
        HostAddressJson { host: host.map(|id| self.name(id).to_owned()), address }
    }

    fn name(&self, id: HostId) -> &str {
        self.model.network.name(id)
    }

    /// The trace as text.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.head(style);
        lines.extend(self.body(style));
        lines.join("\n") + "\n"
    }

    /// Both directions and the outcome.
    pub(super) fn body(&self, style: Style) -> Vec<String> {
        let mut lines = Vec::new();
        self.path_lines("Forward", &self.round_trip.forward, style, &mut lines);
        if let Some(reply) = &self.round_trip.return_path {
            self.path_lines("Return", reply, style, &mut lines);
        }
        self.tail(style, &mut lines);
        lines
    }

    fn head(&self, style: Style) -> Vec<String> {
        let describe = |address| {
            let end = self.end(address);
            end.host.map_or(address.to_string(), |host| format!("{address} ({host})"))
        };
        let protocol = wording::protocol(self.protocol);
        let state = if self.planned { ", after the plan" } else { "" };
        vec![
            style.paint(Role::Title, format!("From {}", describe(self.from.address))),
            style.paint(Role::Title, format!("To   {}, {protocol}{state}", describe(self.to))),
        ]
    }

    /// One direction, with the hops of one location under its name.
    fn path_lines(
        &self,
        title: &str,
        path: &crate::dataplane::Trace,
        style: Style,
        lines: &mut Vec<String>,
    ) {
        lines.extend([String::new(), style.paint(Role::Title, title)]);
        let mut last = None;
        for hop in &path.hops {
            if last != Some(hop.place) {
                lines.push(format!("  {}", self.wording().place(hop.place)));
                last = Some(hop.place);
            }
            lines.extend(self.hop(hop, style));
        }
        if !path.arrived() {
            let verdict = self.wording().verdict(&path.verdict);
            let wrapped = wrap(&verdict, "  ", "  ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Error, line)));
        }
    }

    fn hop(&self, hop: &Hop, style: Style) -> Vec<String> {
        let mut lines = wrap(&self.wording().decision(&hop.decision), "    ", "      ");
        if let Some((address, source)) = self.wording().provenance(hop.origin) {
            let name = match source {
                Source::Host(_) => "host".to_owned(),
                source => source.to_string(),
            };
            let age = match self.age(address, source) {
                Some(age) => format!("({name}, {} ago)", elapsed(age)),
                None => "(planned)".to_owned(),
            };
            let line = format!("      {address} {age}");
            let provenance = match width(&line) <= WIDTH {
                true => vec![line],
                false => vec![format!("      {address}"), format!("        {age}")],
            };
            lines.extend(provenance.into_iter().map(|line| style.paint(Role::Quiet, line)));
        }
        lines
    }

    /// The age of a fact; `None` if the plan changes it.
    fn age(&self, address: &Address, source: &Source) -> Option<Duration> {
        let is_planned = self.planned && self.changed.contains(address);
        self.ages.get(source).copied().filter(|_| !is_planned)
    }

    fn tail(&self, style: Style, lines: &mut Vec<String>) {
        lines.push(String::new());
        match self.round_trip.broken() {
            None => {
                lines.push(style.paint(Role::Good, "Reached: packet and reply are delivered."));
                let mtu = self.round_trip.mtu();
                lines.push(format!("Path MTU: {mtu} bytes."));
            }
            Some((direction, verdict)) => {
                let outcome = match verdict {
                    Verdict::Dropped(_) => "Dropped",
                    _ => "Unknown",
                };
                let line = format!("{outcome} ({}).", wording::direction(direction));
                lines.push(style.paint(Role::Error, line));
                lines.extend(self.resource_lines(verdict));
            }
        }
        if let Some(remedy) = self.remedy {
            lines.extend(help(&wording::describe_remedy(remedy), style));
        }
        for warning in self.warnings() {
            let wrapped = wrap(&warning, "warning: ", "         ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)));
        }
    }

    /// The resource that drops the packet.
    fn resource_lines(&self, verdict: &Verdict) -> Vec<String> {
        let resources = crate::connectivity::addresses(self.model, verdict);
        let resource = resources.first().map(ToString::to_string);
        resource.map_or_else(Vec::new, |it| wrap(&it, "resource: ", "          "))
    }

    /// Problems on the path that do not drop this packet.
    fn warnings(&self) -> Vec<String> {
        let unclamped = self.round_trip.unclamped.iter().map(|id| {
            let (name, mtu) = (self.name(*id), self.round_trip.mtu());
            let effect = if self.round_trip.stalls(&self.model.network) {
                "connections stall on large packets"
            } else {
                "large packets pass only because the other router clamps"
            };
            format!("{name} does not clamp the TCP MSS to a path MTU of {mtu} bytes: {effect}")
        });
        let violation = |violation: &Violation| {
            format!("{} ({})", wording::violation_text(violation), violation.address)
        };
        unclamped.chain(self.violations.iter().map(violation)).collect()
    }

    /// The trace as JSON text.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self.json()).unwrap_or_default())
    }

    pub(super) fn json(&self) -> TraceReportJson {
        let remedy_resources = match self.remedy {
            Some(Remedy::Apply(addresses)) => addresses.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        TraceReportJson {
            format_version: FORMAT_VERSION,
            from: self.end(self.from.address),
            to: self.end(self.to),
            protocol: wording::protocol(self.protocol),
            planned: self.planned,
            max_fact_age_seconds: self.ages.values().max().map_or(0, Duration::as_secs),
            outcome: TraceOutcome::of(self.round_trip),
            forward: self.path(&self.round_trip.forward),
            r#return: self.round_trip.return_path.as_ref().map(|reply| self.path(reply)),
            path_mtu: self.round_trip.mtu(),
            routers_without_mss_clamp: self
                .round_trip
                .unclamped
                .iter()
                .map(|id| self.name(*id).to_owned())
                .collect(),
            remedy: self.remedy.map(wording::describe_remedy),
            remedy_resources,
            warnings: self.warnings(),
        }
    }

    fn path(&self, path: &crate::dataplane::Trace) -> PathJson {
        let wording = self.wording();
        let hop = |hop: &Hop| {
            let provenance: Option<(&_, &Source)> = wording.provenance(hop.origin);
            HopJson {
                location: wording.place(hop.place),
                decision: wording.decision(&hop.decision),
                resource: provenance.map(|(address, _)| address.to_string()),
                source: provenance.map(|(_, source)| source.to_string()),
                fact_age_seconds: provenance
                    .and_then(|(address, source)| self.age(address, source))
                    .map(|age| age.as_secs()),
            }
        };
        PathJson {
            delivered: path.arrived(),
            verdict: wording.verdict(&path.verdict),
            hops: path.hops.iter().map(hop).collect(),
        }
    }
}

/// A remedy, labelled `help:` as in every command.
pub(super) fn help(text: &str, style: Style) -> Vec<String> {
    let wrapped = wrap(text, "help: ", "      ");
    wrapped.into_iter().map(|line| style.paint(Role::Help, line)).collect()
}
