//! `stargate trace` to the address of a service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::trace::violations_on_path;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::connectivity::{NoPort, PathModel, Target, is_pod, translates};
use crate::dataplane::{End, Protocol, trace_round_trip};
use crate::diagnostics::Code;
use crate::inventory::Source;
use crate::inventory::{KubernetesService, ServicePort, TransportProtocol};
use crate::pipeline::Planned;
use crate::plan::impact::{
    IntermediateState, PathQuery, Projection, Remedy, find_remedy, violations,
};
use crate::render::connectivity::service::{EndpointTrace, ServiceTrace, outcome_key};
use crate::resource::Address;

/// Reads the service with an address.
pub(super) async fn read(
    planned: &Planned,
    address: Ipv4Addr,
) -> Result<KubernetesService, CliError> {
    let Some(access) = planned.observation.cluster_access() else {
        return Err(CliError::coded(
            Code::ServiceUnreadable,
            format!("{address} is a service address, and the cluster could not be read"),
        )
        .remedy("run `stargate plan` for the cause and the remedy"));
    };
    match access.client.service_at(address).await {
        Ok(Some(service)) => Ok(service),
        Ok(None) => Err(CliError::new(format!(
            "{address} is in the service CIDR, but no service has it; packets to it are dropped"
        ))
        .remedy("`kubectl get services -A` lists the services")
        .exit(exit::CHANGES)),
        Err(error) if error.is_refused() => {
            Err(CliError::coded(Code::ServiceUnreadable, error.to_string()).remedy(
                "give the credential `list` on services and on endpointslices of discovery.k8s.io",
            ))
        }
        Err(error) => Err(CliError::coded(Code::ServiceUnreadable, error.to_string())
            .remedy("check that this machine reaches the cluster's API server")),
    }
}

/// Selects the port of the service.
pub(super) fn port(
    service: &KubernetesService,
    transport: Option<TransportProtocol>,
    number: Option<u16>,
) -> Result<(&ServicePort, Protocol), CliError> {
    let found = transport.ok_or(NoPort::Echo).and_then(|transport| {
        let port = service.port(transport, number)?;
        let protocol = match transport {
            TransportProtocol::Udp => Protocol::Udp(port.number),
            TransportProtocol::Tcp | TransportProtocol::Other => Protocol::Tcp(port.number),
        };
        Ok((port, protocol))
    });
    found.map_err(|reason| {
        let KubernetesService { namespace, name, .. } = service;
        let ports: Vec<String> = service.ports.iter().filter_map(named).collect();
        let remedy = match ports.as_slice() {
            [] => "the service has no TCP or UDP port".to_owned(),
            ports => format!("the service has {}", ports.join(", ")),
        };
        CliError::new(format!("the service {namespace}/{name} {reason}")).remedy(remedy)
    })
}

fn named(port: &ServicePort) -> Option<String> {
    let protocol = match port.transport {
        TransportProtocol::Tcp => "tcp",
        TransportProtocol::Udp => "udp",
        TransportProtocol::Other => return None,
    };
    Some(format!("`--protocol {protocol} --port {}`", port.number))
}

/// Traces to every eligible endpoint.
pub(super) fn follow<'a>(
    sources: Projection<'_>,
    model: &'a PathModel,
    moment: &IntermediateState,
    from: End,
    service: &'a KubernetesService,
    (port, protocol): (&'a ServicePort, Protocol),
    (ages, changed): (&'a BTreeMap<Source, Duration>, &'a BTreeSet<Address>),
) -> Result<ServiceTrace<'a>, CliError> {
    let node = model.network.name(from.host);
    if !translates(sources.observed, model, from) {
        return Err(CliError::new(format!(
            "{} is a service address, which only nodes with the cluster's Cilium translate; {node} \
             is not such a node",
            service.address
        ))
        .remedy("trace from a pod, or trace to one of the service's endpoints"));
    }
    let all = violations(sources, model, moment);
    // Endpoints with the same outcome have the same remedy, whose search is costly.
    let mut remedies: BTreeMap<String, Remedy> = BTreeMap::new();
    let endpoint = |target: Target<'a>| {
        let to = target.endpoint.address;
        let round_trip = trace_round_trip(&model.network, from, to, target.protocol);
        let is_pod = is_pod(sources.observed, to);
        let question = PathQuery { from: from.address, to, protocol: target.protocol };
        // The topology does not route to other addresses.
        let is_ours = is_pod || model.network.owner_of(to).is_some();
        let remedy = round_trip.broken().filter(|_| is_ours).map(|_| {
            let known = remedies.entry(outcome_key(model, &round_trip));
            known.or_insert_with(|| find_remedy(sources, question)).clone()
        });
        let violations = violations_on_path(&all, model, &round_trip);
        EndpointTrace { target, is_pod, round_trip, remedy, violations }
    };
    let targets = service.targets(port, node).into_iter();
    let endpoints = targets.map(endpoint).collect();
    let planned = *moment == IntermediateState::Planned;
    Ok(ServiceTrace { model, from, service, protocol, endpoints, ages, changed, planned })
}
