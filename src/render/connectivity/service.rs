//! A question to a service: which endpoint gets it, and how each fares.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::trace::{Outcome, TraceJson, TraceReport, help};
use super::wording;
use crate::connectivity::{Breach, PathModel, Target, addresses};
use crate::dataplane::{End, Protocol, RoundTrip, Verdict};
use crate::inventory::Service;
use crate::inventory::Source;
use crate::plan::impact::Remedy;
use crate::render::style::{Role, Style};
use crate::render::text::wrap;
use crate::resource::Address;

/// What a trace to a service tells.
#[derive(Debug, Clone)]
pub struct ServiceTrace<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// Who asks, and on which node the address is translated.
    pub from: End,
    /// The service.
    pub service: &'a Service,
    /// What is asked of the service.
    pub protocol: Protocol,
    /// Where it goes: the endpoints that one of which is chosen.
    pub endpoints: Vec<EndpointTrace<'a>>,
    /// How long ago each source told its facts.
    pub ages: &'a BTreeMap<Source, Duration>,
    /// What the plan changes: facts that nobody can have read yet.
    pub changed: &'a BTreeSet<Address>,
    /// Whether it is the world after the plan; the service is as it is now.
    pub planned: bool,
}

/// One endpoint of a service.
#[derive(Debug, Clone)]
pub struct EndpointTrace<'a> {
    /// The endpoint.
    pub target: Target<'a>,
    /// Whether its address is one of the pods'.
    pub is_pod: bool,
    /// The walk to it.
    pub trip: RoundTrip,
    /// What mends it, where it does not work.
    pub remedy: Option<Remedy>,
    /// Rules that do not hold on the way.
    pub breaches: Vec<Breach>,
}

/// What tells trips apart that fare differently: where they end, and the facts
/// that it is for.
pub fn fate(model: &PathModel, trip: &RoundTrip) -> String {
    match trip.broken() {
        None => String::new(),
        Some((way, verdict)) => {
            format!("{way:?} {} {:?}", kind(verdict), addresses(model, verdict))
        }
    }
}

/// A trace to a service for machines.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServiceTraceJson {
    format_version: &'static str,
    service: ServiceJson,
    outcome: Outcome,
    /// How many endpoints may be chosen, and how many of them are reached.
    targets: usize,
    reached: usize,
    endpoints: Vec<EndpointJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ServiceJson {
    namespace: String,
    name: String,
    address: Ipv4Addr,
    protocol: String,
    /// The node on which an endpoint's address is put in its place.
    translated_on: String,
    /// Whether only endpoints on that node are asked.
    local_only: bool,
    /// How many endpoints there are, ready or not.
    endpoints: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EndpointJson {
    address: Ipv4Addr,
    pod: Option<String>,
    node: Option<String>,
    /// Whether it has an address of the pods' range.
    is_pod: bool,
    trace: TraceJson,
}

impl ServiceTrace<'_> {
    /// Any endpoint may be chosen, so that all of them must be reached; a
    /// service without one drops what is asked of it.
    pub fn outcome(&self) -> Outcome {
        let outcomes = || self.endpoints.iter().map(|endpoint| Outcome::of(&endpoint.trip));
        if self.endpoints.is_empty() || outcomes().any(|it| it == Outcome::Dropped) {
            Outcome::Dropped
        } else if outcomes().any(|it| it == Outcome::Unknown) {
            Outcome::Unknown
        } else {
            Outcome::Reached
        }
    }

    fn reached(&self) -> usize {
        self.endpoints.iter().filter(|it| it.trip.reached()).count()
    }

    fn node(&self) -> &str {
        self.model.network.name(self.from.host)
    }

    /// The trace for people: every endpoint with its outcome, then the way to
    /// one of each that fare alike.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.head(style);
        lines.extend(self.summary(style));
        let broken = self.endpoints.iter().any(|endpoint| !endpoint.trip.reached());
        // Where some are not reached, the ways to these are looked for.
        let told = |(first, _): &(&EndpointTrace<'_>, _)| !broken || !first.trip.reached();
        for (first, others) in self.alike().into_iter().filter(told) {
            let address = first.target.endpoint.address;
            lines.extend([String::new(), style.paint(Role::Title, format!("To {address}"))]);
            lines.extend(self.trace(first).body(style));
            if !others.is_empty() {
                let names: Vec<String> = others.iter().map(ToString::to_string).collect();
                let text = format!("The same to {}.", names.join(", "));
                lines.push(String::new());
                lines.extend(wrap(&text, "", ""));
            }
        }
        lines.extend([String::new(), self.last_line(style)]);
        lines.join("\n") + "\n"
    }

    fn head(&self, style: Style) -> Vec<String> {
        let Service { namespace, name, address, .. } = self.service;
        let protocol = wording::protocol(self.protocol);
        let moment = if self.planned { ", as it is after the plan" } else { "" };
        let from = format!("From {} ({})", self.from.address, self.node());
        let to = format!("to   {address} (service {namespace}/{name}), {protocol}{moment}");
        vec![style.paint(Role::Title, from), style.paint(Role::Title, to), String::new()]
    }

    fn summary(&self, style: Style) -> Vec<String> {
        let node = self.node();
        let place = if self.service.local_only { " on that node itself" } else { "" };
        let Some(first) = self.endpoints.first() else { return self.nobody(style) };
        let text = match self.endpoints.len() {
            1 => format!(
                "Cilium on {node} puts its one ready endpoint{place} in its place: {}.",
                self.shown(first)
            ),
            count => {
                format!("Cilium on {node} puts one of {count} ready endpoints{place} in its place:")
            }
        };
        let mut lines = wrap(&text, "", "");
        for endpoint in self.endpoints.iter().filter(|_| self.endpoints.len() > 1) {
            let text = format!("{}: {}", self.shown(endpoint), outcome(&endpoint.trip));
            let role = match Outcome::of(&endpoint.trip) {
                Outcome::Reached => Role::Good,
                Outcome::Dropped | Outcome::Unknown => Role::Error,
            };
            let wrapped = wrap(&text, "  ", "    ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(role, line)));
        }
        lines
    }

    /// Why there is nobody to put in the service's place.
    fn nobody(&self, style: Style) -> Vec<String> {
        let node = self.node();
        let Service { namespace, name, local_only, endpoints, .. } = self.service;
        let why = match (endpoints.len(), local_only) {
            (0, _) => "the service has no endpoint".to_owned(),
            (_, true) => format!(
                "the service is for endpoints on the asking node alone \
                 (internalTrafficPolicy: Local), and none is ready on {node}"
            ),
            (1, false) => "its one endpoint is not ready".to_owned(),
            (count, false) => format!("none of its {count} endpoints is ready"),
        };
        let text = format!("Cilium on {node} drops it: {why}.");
        let mut lines: Vec<String> =
            wrap(&text, "", "").into_iter().map(|it| style.paint(Role::Error, it)).collect();
        let text = format!("look at its pods: `kubectl describe service -n {namespace} {name}`");
        lines.extend(help(&text, style));
        lines
    }

    fn shown(&self, endpoint: &EndpointTrace<'_>) -> String {
        let at = endpoint.target.endpoint;
        let protocol = wording::protocol(endpoint.target.protocol);
        let Service { namespace, name, .. } = self.service;
        let node = || at.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let what = match &at.pod {
            Some(pod) => format!(", {pod}{}", node()),
            None if (namespace.as_str(), name.as_str()) == ("default", "kubernetes") => {
                ", the API server itself, which is not in the pods' network".to_owned()
            }
            None if endpoint.is_pod => node(),
            None => ", which is not in the pods' network".to_owned(),
        };
        format!("{} {protocol}{what}", at.address)
    }

    /// The endpoints by how they fare, the first of each with the addresses of
    /// the others.
    fn alike(&self) -> Vec<(&EndpointTrace<'_>, Vec<Ipv4Addr>)> {
        let mut found: Vec<(String, &EndpointTrace<'_>, Vec<Ipv4Addr>)> = Vec::new();
        for endpoint in &self.endpoints {
            let key = fate(self.model, &endpoint.trip);
            match found.iter_mut().find(|known| known.0 == key) {
                Some(known) => known.2.push(endpoint.target.endpoint.address),
                None => found.push((key, endpoint, Vec::new())),
            }
        }
        found.into_iter().map(|(_, first, others)| (first, others)).collect()
    }

    fn trace<'a>(&'a self, endpoint: &'a EndpointTrace<'a>) -> TraceReport<'a> {
        TraceReport {
            model: self.model,
            from: self.from,
            to: endpoint.target.endpoint.address,
            protocol: endpoint.target.protocol,
            trip: &endpoint.trip,
            remedy: endpoint.remedy.as_ref(),
            breaches: &endpoint.breaches,
            ages: self.ages,
            changed: self.changed,
            planned: self.planned,
        }
    }

    fn last_line(&self, style: Style) -> String {
        let (reached, all) = (self.reached(), self.endpoints.len());
        let (role, line) = match self.outcome() {
            Outcome::Reached => (Role::Good, format!("{reached} of {all} endpoints reached.")),
            Outcome::Dropped if all == 0 => (Role::Error, "Dropped.".to_owned()),
            Outcome::Dropped => {
                (Role::Error, format!("Dropped: {reached} of {all} endpoints reached."))
            }
            Outcome::Unknown => {
                (Role::Error, format!("Unknown: {reached} of {all} endpoints reached."))
            }
        };
        style.paint(role, line)
    }

    /// The trace for machines.
    pub fn to_json(&self) -> String {
        let endpoint = |it: &EndpointTrace<'_>| EndpointJson {
            address: it.target.endpoint.address,
            pod: it.target.endpoint.pod.clone(),
            node: it.target.endpoint.node.clone(),
            is_pod: it.is_pod,
            trace: self.trace(it).json(),
        };
        let json = ServiceTraceJson {
            format_version: "1.0",
            service: ServiceJson {
                namespace: self.service.namespace.clone(),
                name: self.service.name.clone(),
                address: self.service.address,
                protocol: wording::protocol(self.protocol),
                translated_on: self.node().to_owned(),
                local_only: self.service.local_only,
                endpoints: self.service.endpoints.len(),
            },
            outcome: self.outcome(),
            targets: self.endpoints.len(),
            reached: self.reached(),
            endpoints: self.endpoints.iter().map(endpoint).collect(),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }
}

/// How a trip went, in a few words.
fn outcome(trip: &RoundTrip) -> String {
    match trip.broken() {
        None => "reached, and answered".to_owned(),
        Some((way, verdict)) => format!("{} {}", kind(verdict), wording::way(way)),
    }
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Arrived(_) => "reached",
        Verdict::Dropped(_) => "dropped",
        Verdict::Left(_) => "leads out of what is known",
        Verdict::Unknown { .. } => "unknown",
    }
}
