//! The network as packets see it, out of worlds that the sandbox holds.

use std::net::Ipv4Addr;

use stargate::connectivity::PathModel;
use stargate::dataplane::host::Pods;
use stargate::dataplane::{HostId, Protocol, RoundTrip, trace_round_trip};
use stargate::pipeline::Planned;
use stargate::plan::impact::{IntermediateState, path_model};
use stargate::sandbox::World;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

/// The network of a moment.
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
async fn every_pod_reaches_every_pod_once_applied() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, World::new(1));
        deployment.iterate().await;
        for look in [RefreshOptions::default(), RefreshOptions::deep()] {
            let planned = deployment.look(&look).await;
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
async fn nobody_is_reached_before_anything_is_there() {
    let deployment = Deployment::example();
    let planned = deployment.look(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    assert!(nodes(&model).len() == 2 && model.sites.len() == 1, "workers, and no cluster");
}
