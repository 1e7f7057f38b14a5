//! Goldpinger's measurements compared with the model (`check --live`).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::check::CheckStatus;
use super::reachability_report::{SitePairJson, abbreviate};
use super::trace::{HostAddressJson, help};
use super::wording::{self, Wording};
use crate::connectivity::{Difference, MeasurementComparison, PathModel, UnknownPod};
use crate::dataplane::{End, Verdict};
use crate::diagnostics::Failure;
use crate::inventory::{GoldpingerPod, Measurement, PingFailure, PingResult};
use crate::refresh::measure::Unmeasured;
use crate::render::style::{Role, Style};
use crate::render::text::{counted, elapsed, wrap};

/// The comparison of measured and expected reachability.
#[derive(Debug, Clone)]
pub struct LiveReport<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// The measurements and their comparison with the model, or why they are missing.
    pub outcome: Result<(&'a Measurement, &'a MeasurementComparison), &'a Unmeasured>,
    /// The age of the oldest ping, if known.
    pub age: Option<Duration>,
}

/// The comparison as JSON.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LiveReportJson {
    status: CheckStatus,
    /// Why there are no measurements.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorJson>,
    #[serde(flatten)]
    measured: Option<MeasuredJson>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct ErrorJson {
    code: String,
    message: String,
    remedy: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct MeasuredJson {
    /// The Goldpinger pod that reported the measurements.
    reported_by: String,
    oldest_ping_age_seconds: Option<u64>,
    /// Pairs that are reached as expected.
    reached: u64,
    /// Pairs that are not reached, as expected.
    dropped: u64,
    /// Measured pairs whose expected result is unknown.
    expected_unknown: u64,
    /// Unreachable ones among them.
    expected_unknown_failed: u64,
    /// Pairs without a measurement.
    not_measured: u64,
    mismatches: Vec<MismatchJson>,
    unknown_addresses: Vec<UnknownAddressJson>,
    /// Goldpinger pods that did not answer; their measurements are missing.
    unresponsive_pods: Vec<PingerJson>,
    nodes_without_goldpinger: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct MismatchJson {
    measured: String,
    expected: String,
    from: HostAddressJson,
    to: HostAddressJson,
    pairs: u64,
    sites: Vec<SitePairJson>,
    resource: Option<String>,
    remedy: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct PingerJson {
    pod: String,
    node: String,
    address: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct UnknownAddressJson {
    address: Ipv4Addr,
    pod: Option<PingerJson>,
    /// The node that has the address according to the model.
    model_node: Option<String>,
}

impl LiveReport<'_> {
    /// The result of the comparison.
    pub fn status(&self) -> CheckStatus {
        match self.outcome {
            Err(_) => CheckStatus::Unknown,
            Ok((_, found)) if found.is_broken() => CheckStatus::Failed,
            Ok((_, found)) if found.has_gaps() => CheckStatus::Unknown,
            Ok(_) => CheckStatus::Passed,
        }
    }

    fn name(&self, end: End) -> &str {
        self.model.network.name(end.host)
    }

    fn sites(&self, sites: &BTreeSet<(usize, usize)>) -> Vec<SitePairJson> {
        let site = |at: usize| {
            self.model.sites.get(at).map_or_else(String::new, |site| site.site.to_string())
        };
        let pair = |&(from, to): &_| SitePairJson { from: site(from), to: site(to) };
        sites.iter().map(pair).collect()
    }

    /// The comparison as text.
    pub(super) fn lines(&self, style: Style) -> Vec<String> {
        let (measurement, found) = match self.outcome {
            Ok(outcome) => outcome,
            Err(error) => return not_measured(error, style),
        };
        let oldest = match self.age {
            Some(age) => format!("; the oldest ping is {} old", elapsed(age)),
            None => String::new(),
        };
        let pods = counted(measurement.pods.len(), "pod");
        let head = format!("Goldpinger: {pods}, reported by {}{oldest}.", measurement.requested);
        let mut lines = wrap(&head, "", "");
        for mismatch in &found.differences {
            lines.push(String::new());
            lines.extend(self.mismatch(mismatch, style));
        }
        lines.extend(self.gaps(measurement, found, style));
        lines.extend([String::new(), self.last_line(found, style)]);
        lines
    }

    fn mismatch(&self, mismatch: &Difference, style: Style) -> Vec<String> {
        let (from, to) = mismatch.example;
        let pairs = counted(usize::try_from(mismatch.pairs).unwrap_or(usize::MAX), "pair");
        let text = format!(
            "{pairs}, for example {} ({}) to {} ({})",
            from.address,
            self.name(from),
            to.address,
            self.name(to),
        );
        let mut lines: Vec<String> = wrap(&text, "mismatch: ", "          ")
            .into_iter()
            .map(|line| style.paint(Role::Error, line))
            .collect();
        lines.push(format!("measured: {}", describe_ping(mismatch.measured)));
        lines.extend(wrap(&self.expected(mismatch), "expected: ", "          "));
        let sites = self.sites(&mismatch.sites).into_iter();
        let sites: Vec<String> =
            sites.map(|pair| format!("from {} to {}", pair.from, pair.to)).collect();
        lines.extend(wrap(&abbreviate(&sites), "sites:    ", "          "));
        if let Some(resource) = &mismatch.resource {
            lines.push(format!("resource: {resource}"));
        }
        lines.extend(help(remedy(mismatch), style));
        lines
    }

    /// The result according to the model.
    fn expected(&self, mismatch: &Difference) -> String {
        match mismatch.round_trip.broken() {
            None => match mismatch.round_trip.forward.verdict {
                Verdict::Arrived(host) if host != mismatch.example.1.host => {
                    format!("delivered to {}", self.model.network.name(host))
                }
                _ => "reached".to_owned(),
            },
            Some((direction, verdict)) => {
                let wording = Wording { model: self.model };
                format!("{} ({})", wording.verdict(verdict), wording::direction(direction))
            }
        }
    }

    /// Missing measurements and unknown addresses.
    fn gaps(
        &self,
        measurement: &Measurement,
        found: &MeasurementComparison,
        style: Style,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        if !found.silent.is_empty() {
            let names: Vec<String> = found.silent.iter().map(describe_pod).collect();
            let text = format!(
                "{} did not answer {}: the measurements of these pods are missing",
                abbreviate(&names),
                measurement.requested
            );
            notes.push(("unresponsive: ", text));
        }
        notes.extend(found.strangers.iter().map(|it| ("unknown: ", self.unknown_address(it))));
        if !found.without_pinger.is_empty() {
            let nodes = found.without_pinger.iter();
            let names: Vec<String> =
                nodes.map(|id| self.model.network.name(*id).to_owned()).collect();
            let verb = if names.len() == 1 { "has" } else { "have" };
            let text = format!("{} {verb} no Goldpinger pod that pings", abbreviate(&names));
            notes.push(("not measured: ", text));
        }
        let lines = notes.iter().flat_map(|(title, text)| {
            let wrapped = wrap(text, title, &" ".repeat(title.len()));
            std::iter::once(String::new())
                .chain(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)))
        });
        lines.collect()
    }

    fn unknown_address(&self, unknown: &UnknownPod) -> String {
        let address = unknown.address;
        match (&unknown.pod, unknown.taken_for) {
            (Some(pod), Some(other)) => format!(
                "{} runs on {}, but {address} belongs to {} according to the state that was read",
                pod.name,
                pod.node,
                self.model.network.name(other)
            ),
            (Some(pod), None) => {
                format!("{} on {} has {address}, which belongs to no node", pod.name, pod.node)
            }
            (None, _) => format!("{address} was pinged but belongs to no node"),
        }
    }

    fn last_line(&self, found: &MeasurementComparison, style: Style) -> String {
        let mismatched: u64 = found.differences.iter().map(|it| it.pairs).sum();
        let mut line = format!(
            "Measured: {} pairs as expected ({} reached, {} not), {mismatched} mismatched",
            found.reached + found.dropped,
            found.reached,
            found.dropped
        );
        for (count, what) in
            [(found.undecided, "with unknown expectation"), (found.unmeasured, "not measured")]
        {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line.push('.');
        let role = if self.status() == CheckStatus::Passed { Role::Good } else { Role::Error };
        style.paint(role, line)
    }

    /// The comparison as JSON.
    pub(super) fn to_json(&self) -> LiveReportJson {
        let status = self.status();
        match self.outcome {
            Err(error) => {
                let Failure { code, message, remedy, .. } = Failure::from(error);
                let error = Some(ErrorJson { code: code.to_string(), message, remedy });
                LiveReportJson { status, error, measured: None }
            }
            Ok((measurement, found)) => {
                let measured = Some(self.measured_json(measurement, found));
                LiveReportJson { status, error: None, measured }
            }
        }
    }

    fn measured_json(
        &self,
        measurement: &Measurement,
        found: &MeasurementComparison,
    ) -> MeasuredJson {
        let end = |end: End| HostAddressJson {
            host: Some(self.name(end).to_owned()),
            address: end.address,
        };
        let host = |id| self.model.network.name(id).to_owned();
        let mismatch = |it: &Difference| MismatchJson {
            measured: describe_ping(it.measured).to_owned(),
            expected: self.expected(it),
            from: end(it.example.0),
            to: end(it.example.1),
            pairs: it.pairs,
            sites: self.sites(&it.sites),
            resource: it.resource.as_ref().map(ToString::to_string),
            remedy: remedy(it).to_owned(),
        };
        let unknown_address = |it: &UnknownPod| UnknownAddressJson {
            address: it.address,
            pod: it.pod.as_ref().map(pinger_json),
            model_node: it.taken_for.map(host),
        };
        MeasuredJson {
            reported_by: measurement.requested.clone(),
            oldest_ping_age_seconds: self.age.map(|age| age.as_secs()),
            reached: found.reached,
            dropped: found.dropped,
            expected_unknown: found.undecided,
            expected_unknown_failed: found.undecided_failed,
            not_measured: found.unmeasured,
            mismatches: found.differences.iter().map(mismatch).collect(),
            unknown_addresses: found.strangers.iter().map(unknown_address).collect(),
            unresponsive_pods: found.silent.iter().map(pinger_json).collect(),
            nodes_without_goldpinger: found.without_pinger.iter().map(|id| host(*id)).collect(),
        }
    }
}

fn not_measured(error: &Unmeasured, style: Style) -> Vec<String> {
    let failure = Failure::from(error);
    let title = format!("error[{}]: ", failure.code);
    let wrapped = wrap(&failure.message, &title, &" ".repeat(title.len()));
    let mut lines: Vec<String> =
        wrapped.into_iter().map(|line| style.paint(Role::Error, line)).collect();
    lines.extend(help(&failure.remedy, style));
    lines.extend([String::new(), style.paint(Role::Error, "No measurements.")]);
    lines
}

fn pinger_json(pod: &GoldpingerPod) -> PingerJson {
    PingerJson { pod: pod.name.clone(), node: pod.node.clone(), address: pod.address }
}

fn describe_pod(pod: &GoldpingerPod) -> String {
    format!("{} on {}", pod.name, pod.node)
}

/// The result of a ping as text.
fn describe_ping(pinged: PingResult) -> &'static str {
    match pinged {
        PingResult::Reached => "reached",
        PingResult::Failed(PingFailure::TimedOut) => "timed out",
        PingResult::Failed(PingFailure::Refused) => "connection refused or reset",
        PingResult::Failed(PingFailure::NoRoute) => "no route to host",
        PingResult::Failed(PingFailure::Other) => "failed",
    }
}

fn remedy(mismatch: &Difference) -> &'static str {
    match mismatch.measured {
        PingResult::Failed(_) => {
            "after a recent change, run the check again in a minute; otherwise something that \
             stargate does not read drops the packets: tailnet access rules, a firewall, a \
             network policy, or the pod itself"
        }
        PingResult::Reached => {
            "after a recent change, run the check again in a minute; otherwise the packets take a \
             path that stargate does not read"
        }
    }
}
