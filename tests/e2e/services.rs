//! Services of the sandbox's cluster, and the paths to their endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use stargate::connectivity::{is_pod, is_service, translates};
use stargate::dataplane::{Protocol, trace_round_trip};
use stargate::diagnostics::{Code, Failure};
use stargate::inventory::{KubernetesService, Readiness, TransportProtocol};
use stargate::pipeline::Planned;
use stargate::plan::impact::IntermediateState;
use stargate::provider::cluster::ClusterError;
use stargate::refresh::measure::measure;
use stargate::render::Style;
use stargate::render::connectivity::service::ServiceTrace;
use stargate::render::connectivity::trace::TraceOutcome;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::connectivity::{model, pod};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

async fn service(
    planned: &Planned,
    address: &str,
) -> Result<Option<KubernetesService>, ClusterError> {
    let client = &planned.observation.cluster_access().unwrap().client;
    client.service_at(address.parse().unwrap()).await
}

/// The cluster IP of a service.
fn address(deployment: &Deployment, namespace: &str, name: &str) -> Ipv4Addr {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let service = store.get("v1", "Service", Some(namespace), name).unwrap();
        service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap()
    })
}

#[tokio::test(start_paused = true)]
async fn services_have_their_ready_endpoints() {
    let deployment = Deployment::example_applied().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let sources = planned.paths(&deployment.topology);
    let dns = service(&planned, "10.0.0.10").await.unwrap().unwrap();
    assert_eq!((dns.namespace.as_str(), dns.name.as_str()), ("kube-system", "kube-dns"));
    let port = dns.port(TransportProtocol::Udp, None).unwrap();
    let targets = dns.targets(port, "anywhere");
    assert_eq!(targets.len(), 2);
    assert!(targets.iter().all(|it| is_pod(sources.observed, it.endpoint.address)));
    let api = service(&planned, "10.0.0.1").await.unwrap().unwrap();
    assert_eq!(api.endpoints.len(), 1);
    assert!(!is_pod(sources.observed, api.endpoints[0].address), "{api:?}");
    let pinger = address(&deployment, "goldpinger", "goldpinger");
    assert!(is_service(sources.observed, pinger));
    let pinger = service(&planned, &pinger.to_string()).await.unwrap().unwrap();
    assert_eq!(pinger.endpoints.len(), 4);
    assert!(service(&planned, "10.0.0.99").await.unwrap().is_none());
    // A worker that is not Ready has no ready pods, and a deleted pod is no endpoint.
    deployment.inject(Fault::WorkerNotReady, None);
    deployment.inject(Fault::AksScaleOut, None);
    let pinger = service(&planned, &pinger.address.to_string()).await.unwrap().unwrap();
    let ready = pinger.endpoints.iter().filter(|it| it.readiness == Readiness::Ready).count();
    assert_eq!((ready, pinger.endpoints.len()), (4, 5));
    deployment.inject(Fault::AksScaleIn, None);
    let pinger = service(&planned, &pinger.address.to_string()).await.unwrap().unwrap();
    assert_eq!(pinger.endpoints.len(), 4);
}

/// A service's endpoints are reached from a node exactly if its pods are, and their replies return.
#[tokio::test(start_paused = true)]
async fn endpoints_are_reached_like_their_pods() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let model = model(&deployment, &planned, &IntermediateState::Observed);
        let address = address(&deployment, "goldpinger", "goldpinger").to_string();
        let service = service(&planned, &address).await.unwrap().unwrap();
        let port = service.port(TransportProtocol::Tcp, None).unwrap();
        let sources = planned.paths(&deployment.topology);
        for site in &model.sites {
            let router = model.network.host(site.router).unwrap().ports[0].address;
            assert!(!translates(sources.observed, &model, model.network.end(router).unwrap()));
            for node in &site.nodes {
                let from = model.network.end(pod(&model, *node)).unwrap();
                assert!(translates(sources.observed, &model, from));
                let targets = service.targets(port, model.network.name(*node));
                assert_eq!(targets.len(), model.sites.iter().flat_map(|it| &it.nodes).count());
                for target in targets {
                    let round_trip = trace_round_trip(
                        &model.network,
                        from,
                        target.endpoint.address,
                        target.protocol,
                    );
                    assert!(round_trip.reached(), "{:?}", round_trip.broken());
                }
            }
        }
    }
}

/// Cilium silently drops packets for a service without ready endpoints. The trace reports it.
#[tokio::test(start_paused = true)]
async fn a_service_without_ready_endpoints_drops_packets() {
    let deployment = Deployment::example_applied().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    let from = model.network.end("10.244.65.10".parse().unwrap()).unwrap();
    let mut dns = service(&planned, "10.0.0.10").await.unwrap().unwrap();
    let summary = |service: &KubernetesService| {
        let port = service.port(TransportProtocol::Udp, None).unwrap();
        assert!(service.targets(port, model.network.name(from.host)).is_empty());
        let trace = ServiceTrace {
            model: &model,
            from,
            service,
            protocol: Protocol::Udp(53),
            endpoints: Vec::new(),
            ages: &BTreeMap::new(),
            changed: &BTreeSet::new(),
            planned: false,
        };
        assert_eq!(trace.outcome(), TraceOutcome::Dropped);
        let text = trace.to_text(Style::Plain);
        assert!(text.lines().all(|line| line.len() <= 80) && text.contains("kubectl"), "{text}");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    dns.local_only = true;
    let text = summary(&dns);
    assert!(
        text.contains("none of its endpoints on stargate-aks-e2e-2-worker-1 is ready."),
        "{text}"
    );
    dns.local_only = false;
    dns.endpoints.iter_mut().for_each(|it| it.readiness = Readiness::NotReady);
    assert!(summary(&dns).contains("none of its 2 endpoints is ready."));
    dns.endpoints.clear();
    assert!(summary(&dns).contains("the service has no endpoint."));
}

#[derive(Debug)]
struct ForbiddenPath(&'static str);

impl FaultInjector for ForbiddenPath {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Request { path, .. } if path.contains(self.0) => {
                Disposition::Refuse { status: 403, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn forbidden_reads_are_reported() {
    let deployment = Deployment::example_applied().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    for forbidden in ["/services", "/endpointslices"] {
        deployment.sandbox.set_fault_injector(Some(Arc::new(ForbiddenPath(forbidden))));
        let error = service(&planned, "10.0.0.10").await.unwrap_err();
        assert!(error.is_refused(), "{forbidden}: {error}");
    }
    let client = &planned.observation.cluster_access().unwrap().client;
    for forbidden in ["/api/v1/pods", "/proxy/"] {
        deployment.sandbox.set_fault_injector(Some(Arc::new(ForbiddenPath(forbidden))));
        let error = measure(client.as_ref(), None, |_| ()).await.unwrap_err();
        assert_eq!(Failure::from(&error).code, Code::GoldpingerRefused, "{forbidden}: {error}");
        assert!(Failure::from(&error).remedy.contains("pods/proxy"));
    }
    // A plan needs neither.
    deployment.sandbox.set_fault_injector(Some(Arc::new(ForbiddenPath("/endpointslices"))));
    assert!(deployment.plan().await.gaps.is_empty());
}
