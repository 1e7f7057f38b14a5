//! What was measured, beside what the tables say.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::check::Health;
use super::reachability_report::few;
use super::trace::help;
use super::wording::{self, Wording};
use crate::connectivity::{Comparison, Difference, PathModel, Stranger};
use crate::dataplane::{End, Verdict};
use crate::diagnostics::Failure;
use crate::inventory::{Measurement, PingFailure, Pinged, Pinger};
use crate::refresh::measure::Unmeasured;
use crate::render::style::{Role, Style};
use crate::render::text::{counted, elapsed, wrap};

/// What a live check tells.
#[derive(Debug, Clone)]
pub struct Live<'a> {
    /// The network.
    pub model: &'a PathModel,
    /// What was measured, and how it compares; or why there is nothing.
    pub outcome: Result<(&'a Measurement, &'a Comparison), &'a Unmeasured>,
    /// How long ago the oldest ping was sent, where that is told.
    pub age: Option<Duration>,
}

/// A live check for machines.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LiveJson {
    health: Health,
    /// Why nothing was measured.
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
    /// The pod that told of it.
    asked: String,
    oldest_ping_seconds: Option<u64>,
    /// Pairs that are reached, measured and by the tables.
    reached: u64,
    /// Pairs that are not, measured and by the tables.
    dropped: u64,
    /// Pairs of which the tables cannot tell.
    undecided: u64,
    /// Those of them that were not reached.
    undecided_failed: u64,
    /// Pairs that nobody measured.
    unmeasured: u64,
    differences: Vec<DifferenceJson>,
    strangers: Vec<StrangerJson>,
    silent: Vec<PingerJson>,
    nodes_without_pinger: Vec<String>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct DifferenceJson {
    measured: String,
    tables: String,
    from: EndJson,
    to: EndJson,
    pairs: u64,
    sites: Vec<(String, String)>,
    resource: Option<String>,
    remedy: String,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct EndJson {
    host: String,
    address: Ipv4Addr,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct PingerJson {
    pod: String,
    node: String,
    address: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct StrangerJson {
    address: Ipv4Addr,
    pod: Option<PingerJson>,
    /// The node whose address it is by the model.
    taken_for: Option<String>,
}

impl Live<'_> {
    /// How it ended.
    pub fn health(&self) -> Health {
        match self.outcome {
            Err(_) => Health::Unknown,
            Ok((_, found)) if found.is_broken() => Health::Broken,
            Ok((_, found)) if found.has_gaps() => Health::Unknown,
            Ok(_) => Health::Sound,
        }
    }

    fn name(&self, end: End) -> &str {
        self.model.network.name(end.host)
    }

    fn sites(&self, sites: &BTreeSet<(usize, usize)>) -> Vec<(String, String)> {
        let site = |at: usize| {
            self.model.sites.get(at).map_or_else(String::new, |site| site.side.to_string())
        };
        sites.iter().map(|(from, to)| (site(*from), site(*to))).collect()
    }

    /// The measurement for people.
    pub(super) fn lines(&self, style: Style) -> Vec<String> {
        let (measurement, found) = match self.outcome {
            Ok(outcome) => outcome,
            Err(error) => return unmeasured(error, style),
        };
        let oldest = match self.age {
            Some(age) => format!("; the oldest ping is {} old", elapsed(age)),
            None => String::new(),
        };
        let pods = counted(measurement.pods.len(), "pod");
        let head = format!("Goldpinger's {pods}, as {} tells{oldest}.", measurement.asked);
        let mut lines = wrap(&head, "", "");
        for difference in &found.differences {
            lines.push(String::new());
            lines.extend(self.difference(difference, style));
        }
        lines.extend(self.gaps(measurement, found, style));
        lines.extend([String::new(), self.last_line(found, style)]);
        lines
    }

    fn difference(&self, difference: &Difference, style: Style) -> Vec<String> {
        let (from, to) = difference.example;
        let pairs = counted(usize::try_from(difference.pairs).unwrap_or(usize::MAX), "pair");
        let text = format!(
            "{pairs}, as {} ({}) to {} ({}): measured, {}; by the tables, {}",
            from.address,
            self.name(from),
            to.address,
            self.name(to),
            pinged(difference.measured),
            self.tables(difference),
        );
        let mut lines: Vec<String> = wrap(&text, "differs: ", "         ")
            .into_iter()
            .map(|line| style.paint(Role::Error, line))
            .collect();
        let sites = self.sites(&difference.sites);
        let sites: Vec<String> =
            sites.into_iter().map(|(from, to)| format!("{from} to {to}")).collect();
        lines.extend(wrap(&format!("from {}", few(&sites)), "         ", "         "));
        if let Some(resource) = &difference.resource {
            lines.push(format!("fact:    {resource}"));
        }
        lines.extend(help(remedy(difference), style));
        lines
    }

    fn tables(&self, difference: &Difference) -> String {
        match difference.round_trip.broken() {
            None => match difference.round_trip.forward.verdict {
                Verdict::Arrived(host) if host != difference.example.1.host => {
                    format!("taken by {}", self.model.network.name(host))
                }
                _ => "reached and answered".to_owned(),
            },
            Some((way, verdict)) => {
                let wording = Wording { model: self.model };
                format!("{}, {}", wording.verdict(verdict), wording::way(way))
            }
        }
    }

    /// What nobody measured, or nobody can place.
    fn gaps(&self, measurement: &Measurement, found: &Comparison, style: Style) -> Vec<String> {
        let mut told = Vec::new();
        if !found.silent.is_empty() {
            let names: Vec<String> = found.silent.iter().map(shown).collect();
            let text = format!(
                "{} gave {} no answer: what they measured is not known",
                few(&names),
                measurement.asked
            );
            told.push(("silent: ", text));
        }
        told.extend(found.strangers.iter().map(|it| ("unknown: ", self.stranger(it))));
        if !found.without_pinger.is_empty() {
            let nodes = found.without_pinger.iter();
            let names: Vec<String> =
                nodes.map(|id| self.model.network.name(*id).to_owned()).collect();
            let verb = if names.len() == 1 { "has" } else { "have" };
            let text = format!("{} {verb} no pod of Goldpinger's that pings", few(&names));
            told.push(("unmeasured: ", text));
        }
        let lines = told.iter().flat_map(|(title, text)| {
            let wrapped = wrap(text, title, &" ".repeat(title.len()));
            std::iter::once(String::new())
                .chain(wrapped.into_iter().map(|line| style.paint(Role::Warning, line)))
        });
        lines.collect()
    }

    fn stranger(&self, stranger: &Stranger) -> String {
        let address = stranger.address;
        match (&stranger.pod, stranger.taken_for) {
            (Some(pod), Some(other)) => format!(
                "{} is on {}, and by what was read {address} is an address of {}",
                pod.name,
                pod.node,
                self.model.network.name(other)
            ),
            (Some(pod), None) => {
                format!(
                    "{} on {} has {address}, which is no address of any node",
                    pod.name, pod.node
                )
            }
            (None, _) => format!("{address} was pinged, and nobody has that address"),
        }
    }

    fn last_line(&self, found: &Comparison, style: Style) -> String {
        let differ: u64 = found.differences.iter().map(|it| it.pairs).sum();
        let mut line = format!(
            "Measured: {} pairs agree ({} reached, {} not), {differ} differ",
            found.reached + found.dropped,
            found.reached,
            found.dropped
        );
        for (count, what) in [(found.undecided, "undecided"), (found.unmeasured, "not measured")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        line.push('.');
        let role = if self.health() == Health::Sound { Role::Good } else { Role::Error };
        style.paint(role, line)
    }

    /// The measurement for machines.
    pub(super) fn to_json(&self) -> LiveJson {
        let health = self.health();
        match self.outcome {
            Err(error) => {
                let Failure { code, message, remedy, .. } = Failure::from(error);
                let error = Some(ErrorJson { code: code.to_string(), message, remedy });
                LiveJson { health, error, measured: None }
            }
            Ok((measurement, found)) => {
                let measured = Some(self.measured_json(measurement, found));
                LiveJson { health, error: None, measured }
            }
        }
    }

    fn measured_json(&self, measurement: &Measurement, found: &Comparison) -> MeasuredJson {
        let end = |end: End| EndJson { host: self.name(end).to_owned(), address: end.address };
        let host = |id| self.model.network.name(id).to_owned();
        let difference = |it: &Difference| DifferenceJson {
            measured: pinged(it.measured).to_owned(),
            tables: self.tables(it),
            from: end(it.example.0),
            to: end(it.example.1),
            pairs: it.pairs,
            sites: self.sites(&it.sites),
            resource: it.resource.as_ref().map(ToString::to_string),
            remedy: remedy(it).to_owned(),
        };
        let stranger = |it: &Stranger| StrangerJson {
            address: it.address,
            pod: it.pod.as_ref().map(pinger_json),
            taken_for: it.taken_for.map(host),
        };
        MeasuredJson {
            asked: measurement.asked.clone(),
            oldest_ping_seconds: self.age.map(|age| age.as_secs()),
            reached: found.reached,
            dropped: found.dropped,
            undecided: found.undecided,
            undecided_failed: found.undecided_failed,
            unmeasured: found.unmeasured,
            differences: found.differences.iter().map(difference).collect(),
            strangers: found.strangers.iter().map(stranger).collect(),
            silent: found.silent.iter().map(pinger_json).collect(),
            nodes_without_pinger: found.without_pinger.iter().map(|id| host(*id)).collect(),
        }
    }
}

fn unmeasured(error: &Unmeasured, style: Style) -> Vec<String> {
    let failure = Failure::from(error);
    let title = format!("error[{}]: ", failure.code);
    let wrapped = wrap(&failure.message, &title, &" ".repeat(title.len()));
    let mut lines: Vec<String> =
        wrapped.into_iter().map(|line| style.paint(Role::Error, line)).collect();
    lines.extend(help(&failure.remedy, style));
    lines.extend([String::new(), style.paint(Role::Error, "Nothing was measured.")]);
    lines
}

fn pinger_json(pod: &Pinger) -> PingerJson {
    PingerJson { pod: pod.name.clone(), node: pod.node.clone(), address: pod.address }
}

fn shown(pod: &Pinger) -> String {
    format!("{} on {}", pod.name, pod.node)
}

/// What came of a ping, in words.
fn pinged(pinged: Pinged) -> &'static str {
    match pinged {
        Pinged::Reached => "answered",
        Pinged::Failed(PingFailure::TimedOut) => "no answer in time",
        Pinged::Failed(PingFailure::Refused) => "refused, or broken off",
        Pinged::Failed(PingFailure::NoRoute) => "no route to it",
        Pinged::Failed(PingFailure::Other) => "not answered",
    }
}

fn remedy(difference: &Difference) -> &'static str {
    match difference.measured {
        Pinged::Failed(_) => {
            "if a change was just made, run it again in a minute; else something drops it that \
             stargate does not read: the tailnet's access rules, a firewall, a network policy, \
             or the pod itself"
        }
        Pinged::Reached => {
            "if a change was just made, run it again in a minute; else there is a way round that \
             stargate does not read, and the fact is wrong all the same"
        }
    }
}
