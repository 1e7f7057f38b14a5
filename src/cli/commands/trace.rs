//! `stargate trace`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::trace_service;
use crate::cli::arguments::Format;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::connectivity::{
    Breach, IntermediateState, PathModel, Sources, breaches, is_service, path_model, usual,
};
use crate::dataplane::{End, Protocol, RoundTrip};
use crate::inventory::Source;
use crate::inventory::{Carried, Service};
use crate::plan::PlanOptions;
use crate::plan::impact::{Question, find_remedy};
use crate::render::connectivity::trace::{Outcome, TraceReport};
use crate::resource::Address;

/// The port that pods are asked at unless another is named.
const USUAL_PORT: u16 = 8_080;
/// How many names an error lists.
const MAX_NAMES: usize = 8;

/// Follow a packet through every table, and its answer back
///
/// Prints at each hop what was looked up, which entry matched and which
/// resource holds it; where the packet is dropped, the fact that drops it and
/// the change that mends it. Exits with 0 where the packet and its answer
/// arrive, 2 where one of them is dropped, and 1 where a fact is missing.
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceArguments {
    /// Who asks: a node, a worker or a router, `pod/NODE` for a pod on a node,
    /// or an address that one of them has
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Who is asked: the same, or any other address, a service's included
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// What is sent
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    pub(crate) protocol: SentProtocol,
    /// The port that it goes to: 8080 unless given, and a service's only one
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Follow it as it will go once the plan is applied
    #[arg(long)]
    pub(crate) planned: bool,
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SentProtocol {
    /// A connection.
    #[default]
    Tcp,
    /// A datagram.
    Udp,
    /// An echo.
    Icmp,
}

/// Reads the world and follows the packet.
pub(crate) async fn run(
    arguments: &TraceArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.pipeline(&scope).run().await;
    let sources = planned.paths(&session.loaded.topology);
    let service = match arguments.to.parse() {
        Ok(address) if is_service(sources, address) => {
            Some(trace_service::read(&planned, address).await)
        }
        _ => None,
    };
    let told = service.transpose().and_then(|service| {
        let told = tell(arguments, sources, service.as_ref(), &planned.observation.read_at, ui);
        told.map_err(|error| with_gaps(error, sources))
    });
    let (text, outcome) = told?;
    ui.data(&text)?;
    Ok(match outcome {
        Outcome::Reached => exit::DONE,
        Outcome::Dropped => exit::CHANGES,
        Outcome::Unknown => exit::ERROR,
    })
}

fn tell(
    arguments: &TraceArguments,
    sources: Sources<'_>,
    service: Option<&Service>,
    read_at: &BTreeMap<Source, Timestamp>,
    ui: &Ui,
) -> Result<(String, Outcome), CliError> {
    let moment =
        if arguments.planned { IntermediateState::Planned } else { IntermediateState::Observed };
    let model = path_model(sources, &moment);
    let now = Timestamp::now();
    let passed = |at: &Timestamp| Duration::try_from(now.duration_since(*at)).unwrap_or_default();
    let ages: BTreeMap<Source, Duration> =
        read_at.iter().map(|(source, at)| (source.clone(), passed(at))).collect();
    let from = address(&model, &arguments.from)?;
    let Some(from) = model.network.end(from) else {
        return Err(nobody(&model, &arguments.from));
    };
    let changed = sources.plan.changes.iter().map(|change| change.address.clone()).collect();
    if let Some(service) = service {
        let read = (&ages, &changed);
        return tell_of_service(arguments, sources, (&model, &moment), from, service, read, ui);
    }
    let port = arguments.port.unwrap_or(USUAL_PORT);
    let protocol = match arguments.protocol {
        SentProtocol::Tcp => Protocol::Tcp(port),
        SentProtocol::Udp => Protocol::Udp(port),
        SentProtocol::Icmp => Protocol::Icmp,
    };
    let to = address(&model, &arguments.to)?;
    let question = Question { from: from.address, to, protocol };
    let trip = crate::dataplane::trace_round_trip(&model.network, from, to, protocol);
    let remedy = trip.broken().map(|_| find_remedy(sources, question));
    let breaches = on_the_way(&breaches(sources, &model, &moment), &model, &trip);
    let trace = TraceReport {
        model: &model,
        from,
        to,
        protocol,
        trip: &trip,
        remedy: remedy.as_ref(),
        breaches: &breaches,
        ages: &ages,
        changed: &changed,
        planned: arguments.planned,
    };
    let text = match arguments.format {
        Format::Text => trace.to_text(ui.style()),
        Format::Json => trace.to_json(),
    };
    Ok((text, Outcome::of(&trip)))
}

/// Who is not known may be known to a source that could not be read.
fn with_gaps(error: CliError, sources: Sources<'_>) -> CliError {
    let gaps = sources.plan.unexplained_gaps();
    gaps.fold(error, |error, gap| {
        error.hint(format!(
            "{} could not be read: {}; {}",
            gap.source, gap.failure.message, gap.failure.remedy
        ))
    })
}

/// An address, a host's name, or a pod on a host.
fn address(model: &PathModel, text: &str) -> Result<Ipv4Addr, CliError> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (is_pod, name) = match text.strip_prefix("pod/") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let host = model.network.hosts().find(|(_, host)| host.name == name);
    let Some((_, host)) = host else { return Err(nobody(model, text)) };
    if !is_pod {
        let port = host.ports.first().map(|port| port.address);
        return port.ok_or_else(|| nobody(model, text));
    }
    let pods = host.pods.read().ok().and_then(|pods| pods.range());
    pods.map(|range| usual(&range)).ok_or_else(|| {
        CliError::new(format!("nobody knows which addresses pods on `{name}` have"))
            .hint("name a node of the cluster, or run it again with `--deep`")
    })
}

fn nobody(model: &PathModel, text: &str) -> CliError {
    let names: Vec<&str> = model.network.hosts().map(|(_, host)| host.name.as_str()).collect();
    let shown = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    let hint = match names.len() {
        0 => "there is nothing yet: `stargate apply` makes it".to_owned(),
        count if count > MAX_NAMES => format!("there are {shown} and {} more", count - MAX_NAMES),
        _ => format!("there are {shown}; `pod/NAME` is a pod on one of them"),
    };
    CliError::new(format!("no host of the topology is or has `{text}`")).hint(hint)
}

fn tell_of_service(
    arguments: &TraceArguments,
    sources: Sources<'_>,
    (model, moment): (&PathModel, &IntermediateState),
    from: End,
    service: &Service,
    read: (&BTreeMap<Source, Duration>, &BTreeSet<Address>),
    ui: &Ui,
) -> Result<(String, Outcome), CliError> {
    let carried = match arguments.protocol {
        SentProtocol::Tcp => Some(Carried::Tcp),
        SentProtocol::Udp => Some(Carried::Udp),
        SentProtocol::Icmp => None,
    };
    let worker_request = trace_service::port(service, carried, arguments.port)?;
    let trace = trace_service::follow(sources, model, moment, from, service, worker_request, read)?;
    let text = match arguments.format {
        Format::Text => trace.to_text(ui.style()),
        Format::Json => trace.to_json(),
    };
    Ok((text, trace.outcome()))
}

/// Rules that do not hold at what the packet met, or at the workers at its ends.
pub(super) fn on_the_way(all: &[Breach], model: &PathModel, trip: &RoundTrip) -> Vec<Breach> {
    let walks = std::iter::once(&trip.forward).chain(trip.return_path.as_ref());
    let hops = walks.flat_map(|walk| &walk.hops);
    let met: BTreeSet<_> = hops
        .filter_map(|hop| Some(model.provenance.get(hop.origin)?.address.name.clone()))
        .collect();
    let ends = [trip.forward.packet.source, trip.forward.packet.destination];
    let ends = ends.iter().filter_map(|address| model.network.owner_of(*address));
    let ends: BTreeSet<_> = ends.map(|id| model.network.name(id).to_owned()).collect();
    let concerned = |name: &str| met.contains(name) || ends.contains(name);
    all.iter().filter(|breach| concerned(&breach.address.name)).cloned().collect()
}
