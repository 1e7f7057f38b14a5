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
use crate::connectivity::{PathModel, Violation, is_service, usual};
use crate::dataplane::{
    End, HostId, Protocol, RoundTrip, trace_round_trip, trace_round_trip_to_host,
};
use crate::inventory::Source;
use crate::inventory::{KubernetesService, TransportProtocol};
use crate::plan::PlanOptions;
use crate::plan::impact::{
    IntermediateState, PathQuery, Projection, find_remedy, path_model, violations,
};
use crate::render::connectivity::trace::{TraceOutcome, TraceReport};
use crate::resource::Address;

/// The default destination port.
const DEFAULT_PORT: u16 = 8_080;
/// The maximum number of names in an error.
const MAX_NAMES: usize = 8;

/// Trace a packet and its reply through every routing table
///
/// No packet is sent: the trace uses a model of the live state. Each hop shows
/// the lookup, the entry that matched and the resource that holds it; a drop
/// shows the cause and the change that fixes it.
///
/// Exits with 0 if packet and reply are delivered, 2 if one is dropped, 64 if a
/// host does not exist, and 1 if a required fact is unknown, such as whether a
/// host exists while a source cannot be read.
#[derive(Debug, Clone, Args)]
pub(crate) struct TraceArguments {
    /// Source: a node, worker or router, `pod/NODE` for a pod on a node, or an
    /// address of one of them
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// Destination: as above, or any other address, including one of a service
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// Protocol
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    pub(crate) protocol: SentProtocol,
    /// Destination port [default: 8080, or the only port of a service]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// Use the state after applying the plan instead of the live state
    #[arg(long)]
    pub(crate) planned: bool,
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Probe the worker hosts over SSH, too
    #[arg(long)]
    pub(crate) deep: bool,
}

/// The protocol of the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum SentProtocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// ICMP echo.
    Icmp,
}

/// Reads the live state and traces the packet.
pub(crate) async fn run(
    arguments: &TraceArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let options = PlanOptions { deep: arguments.deep, ..PlanOptions::default() };
    let scope = session.scope(options);
    let planned = session.plan(&scope, ui).await;
    let topology = &session.loaded.topology;
    let present = session.pipeline(&scope).read_present_cluster(&planned).await;
    let (present_in, present) = session.present(&planned, present.as_ref());
    let read = if arguments.planned { &planned } else { present };
    let present_topology = present.present_topology(present_in);
    let present = present.present_paths(present_in, present_topology.as_ref());
    let after = planned.paths(topology);
    let (sources, other) = if arguments.planned { (after, present) } else { (present, after) };
    let service = match arguments.to.parse() {
        Ok(address) if is_service(sources.observed, address) => {
            Some(trace_service::read(read, address).await)
        }
        _ => None,
    };
    let result = service.transpose().and_then(|service| {
        let result = render(arguments, sources, service.as_ref(), &read.observation.read_at, ui);
        result.map_err(|error| with_gaps(with_other_state(error, arguments, other), sources))
    });
    let (text, outcome) = result?;
    ui.data(&text)?;
    Ok(match outcome {
        TraceOutcome::Reached => exit::DONE,
        TraceOutcome::Dropped => exit::CHANGES,
        TraceOutcome::Unknown => exit::ERROR,
    })
}

fn render(
    arguments: &TraceArguments,
    sources: Projection<'_>,
    service: Option<&KubernetesService>,
    read_at: &BTreeMap<Source, Timestamp>,
    ui: &Ui,
) -> Result<(String, TraceOutcome), CliError> {
    let state = state(arguments.planned);
    let model = path_model(sources, &state);
    let now = Timestamp::now();
    let passed = |at: &Timestamp| Duration::try_from(now.duration_since(*at)).unwrap_or_default();
    let ages: BTreeMap<Source, Duration> =
        read_at.iter().map(|(source, at)| (source.clone(), passed(at))).collect();
    let from = match address(&model, &arguments.from)? {
        (address, Some(host)) => End { host, address },
        (address, None) => {
            let end = model.network.end(address);
            end.ok_or_else(|| unknown_host(&model, &arguments.from))?
        }
    };
    let changed = sources.plan.changes.iter().map(|change| change.address.clone()).collect();
    if let Some(service) = service {
        let read = (&ages, &changed);
        return render_service_trace(arguments, sources, (&model, &state), from, service, read, ui);
    }
    let port = arguments.port.unwrap_or(DEFAULT_PORT);
    let protocol = match arguments.protocol {
        SentProtocol::Tcp => Protocol::Tcp(port),
        SentProtocol::Udp => Protocol::Udp(port),
        SentProtocol::Icmp => Protocol::Icmp,
    };
    let (to, receiver) = address(&model, &arguments.to)?;
    let query = PathQuery { from: from.address, to, protocol };
    let round_trip = match receiver {
        Some(host) => {
            let end = End { host, address: to };
            trace_round_trip_to_host(&model.network, from, end, protocol)
        }
        None => trace_round_trip(&model.network, from, to, protocol),
    };
    let remedy = round_trip.broken().map(|_| find_remedy(sources, query));
    let violations = violations_on_path(&violations(sources, &model, &state), &model, &round_trip);
    let trace = TraceReport {
        model: &model,
        from,
        to,
        protocol,
        round_trip: &round_trip,
        remedy: remedy.as_ref(),
        violations: &violations,
        ages: &ages,
        changed: &changed,
        planned: arguments.planned,
    };
    let text = match arguments.format {
        Format::Text => trace.to_text(ui.style()),
        Format::Json => trace.to_json(),
    };
    Ok((text, TraceOutcome::of(&round_trip)))
}

/// The state that a trace is about.
fn state(is_planned: bool) -> IntermediateState {
    if is_planned { IntermediateState::Planned } else { IntermediateState::Observed }
}

/// Says which of the hosts in question the plan creates, or removes: a trace of the other
/// state has them.
fn with_other_state(
    error: CliError,
    arguments: &TraceArguments,
    other: Projection<'_>,
) -> CliError {
    if error.exit != exit::USAGE {
        return error;
    }
    let model = path_model(other, &state(!arguments.planned));
    let mut hosts = [&arguments.from, &arguments.to].into_iter();
    let found = hosts.find(|it| error.message.contains(&format!("`{it}`")) && has(&model, it));
    match (found, arguments.planned) {
        (None, _) => error,
        (Some(name), false) => error.remedy(format!(
            "`{name}` exists once the plan is applied: trace that state with `--planned`"
        )),
        (Some(name), true) => error.remedy(format!(
            "`{name}` exists until the plan is applied: trace the live state without `--planned`"
        )),
    }
}

/// Adds the sources that could not be read, which may know the host.
fn with_gaps(error: CliError, sources: Projection<'_>) -> CliError {
    let mut gaps = sources.plan.unexplained_gaps().peekable();
    // The arguments may name an unread object.
    let error = if gaps.peek().is_some() { error.exit(exit::ERROR) } else { error };
    gaps.fold(error, |error, gap| {
        error.remedy(format!(
            "{} could not be read: {}; {}",
            gap.source, gap.failure.message, gap.failure.remedy
        ))
    })
}

/// Whether a state has a host of this name or address.
fn has(model: &PathModel, text: &str) -> bool {
    match address(model, text) {
        Ok((_, Some(_))) => true,
        Ok((address, None)) => model.network.end(address).is_some(),
        Err(_) => false,
    }
}

/// Resolves an address, the name of a host, or `pod/NAME`, which also say on
/// which host the address is.
fn address(model: &PathModel, text: &str) -> Result<(Ipv4Addr, Option<HostId>), CliError> {
    if let Ok(address) = text.parse() {
        return Ok((address, None));
    }
    let (is_pod, name) = match text.strip_prefix("pod/") {
        Some(name) => (true, name),
        None => (false, text),
    };
    let host = model.network.hosts().find(|(_, host)| host.name == name);
    let Some((id, host)) = host else { return Err(unknown_host(model, text)) };
    if !is_pod {
        let port = host.ports.first().map(|port| port.address);
        let port = port.ok_or_else(|| unknown_host(model, text))?;
        return Ok((port, Some(id)));
    }
    let pods = host.pods.read().ok().and_then(|pods| pods.range());
    pods.map(|range| (usual(&range), Some(id))).ok_or_else(|| {
        CliError::new(format!("the pod CIDR of `{name}` is unknown"))
            .remedy("name a node of the cluster, or run the command again with `--deep`")
    })
}

fn unknown_host(model: &PathModel, text: &str) -> CliError {
    let names: Vec<&str> = model.network.hosts().map(|(_, host)| host.name.as_str()).collect();
    let list = names.iter().take(MAX_NAMES).copied().collect::<Vec<_>>().join(", ");
    let remedy = match names.len() {
        0 => "no hosts exist yet: `stargate apply` creates them".to_owned(),
        count if count > MAX_NAMES => {
            format!("known hosts: {list} and {} more", count - MAX_NAMES)
        }
        _ => format!("known hosts: {list}; `pod/NAME` is a pod on one of them"),
    };
    CliError::new(format!("no host of the topology has the name or address `{text}`"))
        .remedy(remedy)
        .exit(exit::USAGE)
}

fn render_service_trace(
    arguments: &TraceArguments,
    sources: Projection<'_>,
    (model, state): (&PathModel, &IntermediateState),
    from: End,
    service: &KubernetesService,
    read: (&BTreeMap<Source, Duration>, &BTreeSet<Address>),
    ui: &Ui,
) -> Result<(String, TraceOutcome), CliError> {
    let transport = match arguments.protocol {
        SentProtocol::Tcp => Some(TransportProtocol::Tcp),
        SentProtocol::Udp => Some(TransportProtocol::Udp),
        SentProtocol::Icmp => None,
    };
    let port = trace_service::port(service, transport, arguments.port)?;
    let trace = trace_service::follow(sources, model, state, from, service, port, read)?;
    let text = match arguments.format {
        Format::Text => trace.to_text(ui.style()),
        Format::Json => trace.to_json(),
    };
    Ok((text, trace.outcome()))
}

/// Violated rules at hops of the path and at either end.
pub(super) fn violations_on_path(
    all: &[Violation],
    model: &PathModel,
    round_trip: &RoundTrip,
) -> Vec<Violation> {
    let traces = std::iter::once(&round_trip.forward).chain(round_trip.return_path.as_ref());
    let hops = traces.flat_map(|traced| &traced.hops);
    let met: BTreeSet<_> = hops
        .filter_map(|hop| Some(model.provenance.get(hop.origin)?.address.name.as_str()))
        .collect();
    let ends = [round_trip.forward.packet.source, round_trip.forward.packet.destination];
    let ends = ends.iter().filter_map(|address| model.network.owner_of(*address));
    let ends: BTreeSet<_> = ends.map(|id| model.network.name(id)).collect();
    let concerned = |name: &str| met.contains(name) || ends.contains(name);
    all.iter().filter(|violation| concerned(&violation.address.name)).cloned().collect()
}
