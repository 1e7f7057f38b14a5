//! A trace to a service: its endpoints and the path to each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::trace::{FORMAT_VERSION, TraceOutcome, TraceReport, TraceReportJson, help};
use super::wording;
use crate::connectivity::{PathModel, Target, Violation, addresses};
use crate::dataplane::{End, Protocol, RoundTrip, Verdict};
use crate::inventory::KubernetesService;
use crate::inventory::Source;
use crate::plan::impact::Remedy;
use crate::render::style::{Role, Style};
use crate::render::text::wrap;
use crate::resource::Address;

/// A trace to a service.
#[derive(Debug, Clone)]
pub struct ServiceTrace<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// The source, on whose node the service address is translated.
    pub from: End,
    /// The service.
    pub service: &'a KubernetesService,
    /// The protocol and port of the service.
    pub protocol: Protocol,
    /// The eligible endpoints, of which Cilium chooses one.
    pub endpoints: Vec<EndpointTrace<'a>>,
    /// The age of the facts by source.
    pub ages: &'a BTreeMap<Source, Duration>,
    /// Resources that the plan changes; with `planned` their facts have no age.
    pub changed: &'a BTreeSet<Address>,
    /// Whether the trace uses the planned state; the service itself is read live.
    pub planned: bool,
}

/// One endpoint of a service.
#[derive(Debug, Clone)]
pub struct EndpointTrace<'a> {
    /// The endpoint.
    pub target: Target<'a>,
    /// Whether its address is in the pod network.
    pub is_pod: bool,
    /// The path to it and back.
    pub round_trip: RoundTrip,
    /// The remedy, if the packet is dropped.
    pub remedy: Option<Remedy>,
    /// Violated rules at hops of the path.
    pub violations: Vec<Violation>,
}

/// A key that is equal for round trips that end at the same place for the same
/// facts.
pub fn outcome_key(model: &PathModel, round_trip: &RoundTrip) -> String {
    match round_trip.broken() {
        None => String::new(),
        Some((direction, verdict)) => {
            format!("{direction:?} {} {:?}", kind(verdict), addresses(model, verdict))
        }
    }
}

/// A trace to a service as JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ServiceTraceJson {
    format_version: &'static str,
    service: ServiceJson,
    outcome: TraceOutcome,
    /// The number of ready endpoints that Cilium may choose.
    eligible_endpoints: usize,
    /// The number of those that are reached.
    reached_endpoints: usize,
    endpoints: Vec<EndpointJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ServiceJson {
    namespace: String,
    name: String,
    address: Ipv4Addr,
    protocol: String,
    /// The node that translates the service address to an endpoint.
    translated_on: String,
    /// Whether only endpoints on that node are eligible.
    local_only: bool,
    /// The number of endpoints, ready or not.
    total_endpoints: usize,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EndpointJson {
    address: Ipv4Addr,
    pod: Option<String>,
    node: Option<String>,
    in_pod_network: bool,
    trace: TraceReportJson,
}

impl ServiceTrace<'_> {
    /// [`TraceOutcome::Reached`] only if every eligible endpoint is reached, since
    /// Cilium may choose any. A service without endpoints drops the packet.
    pub fn outcome(&self) -> TraceOutcome {
        let outcomes =
            || self.endpoints.iter().map(|endpoint| TraceOutcome::of(&endpoint.round_trip));
        if self.endpoints.is_empty() || outcomes().any(|it| it == TraceOutcome::Dropped) {
            TraceOutcome::Dropped
        } else if outcomes().any(|it| it == TraceOutcome::Unknown) {
            TraceOutcome::Unknown
        } else {
            TraceOutcome::Reached
        }
    }

    fn reached(&self) -> usize {
        self.endpoints.iter().filter(|it| it.round_trip.reached()).count()
    }

    fn node(&self) -> &str {
        self.model.network.name(self.from.host)
    }

    /// The trace as text: every endpoint with its outcome, then the path to one
    /// endpoint of each outcome.
    pub fn to_text(&self, style: Style) -> String {
        let mut lines = self.head(style);
        lines.extend(self.summary(style));
        let failed = self.endpoints.iter().any(|endpoint| !endpoint.round_trip.reached());
        // If some endpoints are not reached, only the paths to these are of interest.
        let is_listed =
            |(first, _): &(&EndpointTrace<'_>, _)| !failed || !first.round_trip.reached();
        for (first, others) in self.by_outcome().into_iter().filter(is_listed) {
            let address = first.target.endpoint.address;
            lines.extend([String::new(), style.paint(Role::Title, format!("Endpoint {address}"))]);
            lines.extend(self.trace(first).body(style));
            if !others.is_empty() {
                let names: Vec<String> = others.iter().map(ToString::to_string).collect();
                let text = format!("Same result for {}.", names.join(", "));
                lines.push(String::new());
                lines.extend(wrap(&text, "", ""));
            }
        }
        lines.extend([String::new(), self.last_line(style)]);
        lines.join("\n") + "\n"
    }

    fn head(&self, style: Style) -> Vec<String> {
        let KubernetesService { namespace, name, address, .. } = self.service;
        let protocol = wording::protocol(self.protocol);
        let state = if self.planned { ", after the plan" } else { "" };
        let from = format!("From {} ({})", self.from.address, self.node());
        let to = format!("To   {address} (service {namespace}/{name}), {protocol}{state}");
        vec![style.paint(Role::Title, from), style.paint(Role::Title, to), String::new()]
    }

    fn summary(&self, style: Style) -> Vec<String> {
        let node = self.node();
        let place = if self.service.local_only { " on this node" } else { "" };
        let Some(first) = self.endpoints.first() else { return self.no_endpoint(style) };
        let text = match self.endpoints.len() {
            1 => format!(
                "Cilium on {node} translates the service to its only ready endpoint{place}: {}.",
                self.describe_endpoint(first)
            ),
            count => {
                format!(
                    "Cilium on {node} translates the service to one of {count} ready \
                     endpoints{place}:"
                )
            }
        };
        let mut lines = wrap(&text, "", "");
        for endpoint in self.endpoints.iter().filter(|_| self.endpoints.len() > 1) {
            let text =
                format!("{}: {}", self.describe_endpoint(endpoint), outcome(&endpoint.round_trip));
            let role = match TraceOutcome::of(&endpoint.round_trip) {
                TraceOutcome::Reached => Role::Good,
                TraceOutcome::Dropped | TraceOutcome::Unknown => Role::Error,
            };
            let wrapped = wrap(&text, "  ", "    ");
            lines.extend(wrapped.into_iter().map(|line| style.paint(role, line)));
        }
        lines
    }

    /// Why the service has no eligible endpoint.
    fn no_endpoint(&self, style: Style) -> Vec<String> {
        let node = self.node();
        let KubernetesService { namespace, name, local_only, endpoints, .. } = self.service;
        let why = match (endpoints.len(), local_only) {
            (0, _) => "the service has no endpoint".to_owned(),
            (_, true) => format!(
                "the service has internalTrafficPolicy: Local, and none of its endpoints on {node} is \
                 ready"
            ),
            (1, false) => "its only endpoint is not ready".to_owned(),
            (count, false) => format!("none of its {count} endpoints is ready"),
        };
        let text = format!("Cilium on {node} drops the packet: {why}.");
        let mut lines: Vec<String> =
            wrap(&text, "", "").into_iter().map(|it| style.paint(Role::Error, it)).collect();
        let text = format!("inspect the service: `kubectl describe service -n {namespace} {name}`");
        lines.extend(help(&text, style));
        lines
    }

    fn describe_endpoint(&self, endpoint: &EndpointTrace<'_>) -> String {
        let at = endpoint.target.endpoint;
        let protocol = wording::protocol(endpoint.target.protocol);
        let KubernetesService { namespace, name, .. } = self.service;
        let node = || at.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
        let what = match &at.pod {
            Some(pod) => format!(", {pod}{}", node()),
            None if (namespace.as_str(), name.as_str()) == ("default", "kubernetes") => {
                ", the API server, which is outside the pod network".to_owned()
            }
            None if endpoint.is_pod => node(),
            None => ", outside the pod network".to_owned(),
        };
        format!("{} {protocol}{what}", at.address)
    }

    /// The endpoints by outcome: the first of each, and the addresses of the others.
    fn by_outcome(&self) -> Vec<(&EndpointTrace<'_>, Vec<Ipv4Addr>)> {
        let mut found: Vec<(String, &EndpointTrace<'_>, Vec<Ipv4Addr>)> = Vec::new();
        for endpoint in &self.endpoints {
            let key = outcome_key(self.model, &endpoint.round_trip);
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
            round_trip: &endpoint.round_trip,
            remedy: endpoint.remedy.as_ref(),
            violations: &endpoint.violations,
            ages: self.ages,
            changed: self.changed,
            planned: self.planned,
        }
    }

    fn last_line(&self, style: Style) -> String {
        let (reached, all) = (self.reached(), self.endpoints.len());
        let (role, line) = match self.outcome() {
            TraceOutcome::Reached => (Role::Good, format!("{reached} of {all} endpoints reached.")),
            TraceOutcome::Dropped if all == 0 => (Role::Error, "Dropped.".to_owned()),
            TraceOutcome::Dropped => {
                (Role::Error, format!("Dropped: {reached} of {all} endpoints reached."))
            }
            TraceOutcome::Unknown => {
                (Role::Error, format!("Unknown: {reached} of {all} endpoints reached."))
            }
        };
        style.paint(role, line)
    }

    /// The trace as JSON.
    pub fn to_json(&self) -> String {
        let endpoint = |it: &EndpointTrace<'_>| EndpointJson {
            address: it.target.endpoint.address,
            pod: it.target.endpoint.pod.clone(),
            node: it.target.endpoint.node.clone(),
            in_pod_network: it.is_pod,
            trace: self.trace(it).json(),
        };
        let json = ServiceTraceJson {
            format_version: FORMAT_VERSION,
            service: ServiceJson {
                namespace: self.service.namespace.clone(),
                name: self.service.name.clone(),
                address: self.service.address,
                protocol: wording::protocol(self.protocol),
                translated_on: self.node().to_owned(),
                local_only: self.service.local_only,
                total_endpoints: self.service.endpoints.len(),
            },
            outcome: self.outcome(),
            eligible_endpoints: self.endpoints.len(),
            reached_endpoints: self.reached(),
            endpoints: self.endpoints.iter().map(endpoint).collect(),
        };
        format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
    }
}

/// The outcome of a round trip as text.
fn outcome(round_trip: &RoundTrip) -> String {
    match round_trip.broken() {
        None => "reached".to_owned(),
        Some((direction, verdict)) => {
            format!("{} ({})", kind(verdict), wording::direction(direction))
        }
    }
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Arrived(_) => "reached",
        Verdict::Dropped(_) => "dropped",
        Verdict::Exited(_) => "leaves the modelled network",
        Verdict::Unknown { .. } => "unknown",
    }
}
