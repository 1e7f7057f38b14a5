//! `stargate trace`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::cli::session::{Look, Session};
use crate::cli::ui::Ui;
use crate::execute::events::Silent;
use crate::execute::make_plan;
use crate::plan::paths::{
    Breach, Moment, PathModel, Question, Sources, breaches, mend, path_model, usual,
};
use crate::reach::{Protocol, Trip};
use crate::render::paths::trace::{Outcome, Trace};

/// How many names an error lists.
const MOST_NAMES: usize = 8;

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
    /// Who is asked: the same, or any other address
    #[arg(value_name = "TO")]
    pub(crate) to: String,
    /// What is sent
    #[arg(long, value_enum, value_name = "PROTOCOL", default_value_t)]
    pub(crate) protocol: SentProtocol,
    /// The port that it goes to
    #[arg(long, value_name = "PORT", default_value_t = 8_080)]
    pub(crate) port: u16,
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
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let session = Session::open(global, ui).await?;
    let scope = session.scope(Look { deep: arguments.deep, destroying: false });
    let planned = make_plan(&session.run(&scope, &Silent), &BTreeSet::new()).await;
    let sources = planned.paths(&session.loaded.topology);
    let told = tell(arguments, sources, planned.observation.time, ui);
    session.close().await?;
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
    read_at: Timestamp,
    ui: &Ui,
) -> Result<(String, Outcome), CliError> {
    let moment = if arguments.planned { Moment::Planned } else { Moment::Observed };
    let model = path_model(sources, &moment);
    let protocol = match arguments.protocol {
        SentProtocol::Tcp => Protocol::Tcp(arguments.port),
        SentProtocol::Udp => Protocol::Udp(arguments.port),
        SentProtocol::Icmp => Protocol::Icmp,
    };
    let from = address(&model, &arguments.from)?;
    let to = address(&model, &arguments.to)?;
    refuse_service(sources, to)?;
    let Some(from) = model.network.end(from) else {
        return Err(nobody(&model, &arguments.from));
    };
    let question = Question { from: from.address, to, protocol };
    let trip = crate::reach::trip(&model.network, from, to, protocol);
    let mend = trip.broken().map(|_| mend(sources, question));
    let breaches = breaches_on_the_way(sources, &model, &moment, &trip);
    let passed = Timestamp::now().duration_since(read_at);
    let trace = Trace {
        model: &model,
        from,
        to,
        protocol,
        trip: &trip,
        mend: mend.as_ref(),
        breaches: &breaches,
        age: Duration::try_from(passed).unwrap_or_default(),
        planned: arguments.planned,
    };
    let text = match arguments.format {
        Format::Text => trace.to_text(ui.style()),
        Format::Json => trace.to_json(),
    };
    Ok((text, Outcome::of(&trip)))
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
    let shown = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
    let hint = match names.len() {
        0 => "there is nothing yet: `stargate apply` makes it".to_owned(),
        count if count > MOST_NAMES => format!("there are {shown} and {} more", count - MOST_NAMES),
        _ => format!("there are {shown}; `pod/NAME` is a pod on one of them"),
    };
    CliError::new(format!("no host of the topology is or has `{text}`")).hint(hint)
}

/// Which pods are behind a service is not part of what stargate reads.
fn refuse_service(sources: Sources<'_>, to: Ipv4Addr) -> Result<(), CliError> {
    if !sources.topology.cluster.service_cidr.contains(&to) {
        return Ok(());
    }
    Err(CliError::new(format!(
        "{to} is the address of a service: Cilium puts a pod's in its place on the node that \
         asks, before any table is looked at"
    ))
    .hint("trace one of its pods; `kubectl get endpointslices -A` lists them"))
}

/// Rules that do not hold at what the packet met, or at the workers at its ends.
fn breaches_on_the_way(
    sources: Sources<'_>,
    model: &PathModel,
    moment: &Moment,
    trip: &Trip,
) -> Vec<Breach> {
    let walks = std::iter::once(&trip.there).chain(trip.back.as_ref());
    let hops = walks.flat_map(|walk| &walk.hops);
    let met: BTreeSet<_> =
        hops.filter_map(|hop| Some(model.origins.get(hop.origin)?.address.name.clone())).collect();
    let ends = [trip.there.packet.source, trip.there.packet.destination];
    let ends = ends.iter().filter_map(|address| model.network.owner_of(*address));
    let ends: BTreeSet<_> = ends.map(|id| model.network.name(id).to_owned()).collect();
    let on_the_way =
        |breach: &Breach| met.contains(&breach.address.name) || ends.contains(&breach.address.name);
    breaches(sources, model, moment).into_iter().filter(on_the_way).collect()
}
