//! The connectivity model, built from the state of a sandbox.

use std::net::Ipv4Addr;

use stargate::connectivity::PathModel;
use stargate::dataplane::host::Pods;
use stargate::dataplane::{HostId, Protocol, RoundTrip, trace_round_trip};
use stargate::pipeline::Planned;
use stargate::plan::impact::{IntermediateState, path_model};
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

/// The model of the network in a given state.
pub(crate) fn model(
    deployment: &Deployment,
    planned: &Planned,
    moment: &IntermediateState,
) -> PathModel {
    path_model(planned.paths(&deployment.topology), moment)
}

/// The address of a pod on a host.
pub(crate) fn pod(model: &PathModel, host: HostId) -> Ipv4Addr {
    let pods: &Pods = model.network.host(host).unwrap().pods.read().unwrap();
    pods.range().unwrap().hosts().nth(9).unwrap()
}

fn nodes(model: &PathModel) -> Vec<HostId> {
    model.sites.iter().flat_map(|site| site.nodes.clone()).collect()
}

fn pods_to_pods(model: &PathModel) -> Vec<(HostId, HostId, RoundTrip)> {
    let mut trips = Vec::new();
    for from in nodes(model) {
        for to in nodes(model) {
            let end = model.network.end(pod(model, from)).unwrap();
            let round_trip =
                trace_round_trip(&model.network, end, pod(model, to), Protocol::Tcp(8_080));
            trips.push((from, to, round_trip));
        }
    }
    trips
}

#[tokio::test(start_paused = true)]
async fn every_pod_reaches_every_pod_after_an_apply() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        for options in [RefreshOptions::default(), RefreshOptions::deep()] {
            let planned = deployment.refresh_and_plan(&options).await;
            for moment in [IntermediateState::Observed, IntermediateState::Planned] {
                let model = model(&deployment, &planned, &moment);
                let trips = pods_to_pods(&model);
                assert!(trips.len() >= 16);
                for (from, to, round_trip) in trips {
                    let (from, to) = (model.network.name(from), model.network.name(to));
                    assert!(
                        round_trip.reached(),
                        "{moment:?} {from} -> {to}: {:#?}",
                        round_trip.broken()
                    );
                    assert!(round_trip.unclamped.is_empty());
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_pod_is_reached_in_an_empty_sandbox() {
    let deployment = Deployment::example();
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    assert!(nodes(&model).len() == 2 && model.sites.len() == 1, "workers, and no cluster");
}
