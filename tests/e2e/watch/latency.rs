//! The time from a change of the Nodes to the route in Azure: what the watch waits, in
//! virtual time, and all of it over real HTTP, where the time of the services is measured
//! apart.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stargate::provider::azure::ArmClient;
use stargate::provider::clients::{Clients, KubeconfigConnector};
use stargate::provider::credentials::{StaticToken, TailnetCredentials};
use stargate::provider::http::{RequestCount, Transport};
use stargate::provider::limits::Limits;
use stargate::provider::reqwest_transport::ReqwestTransport;
use stargate::provider::secret::Secret;
use stargate::provider::tailnet::TailnetClient;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::{self, Fault};
use stargate::sandbox::serve::{ServeOptions, Server};
use tokio::time::{Instant, sleep};

use super::service_time::{ServiceTime, TimedTransport, thread_delay};
use super::{watched, watching};
use crate::harness::{Deployment, EXAMPLE};
use crate::node_pools::nodes_and_routes;

/// How many nodes come and go; `STARGATE_WATCH_EVENTS` sets another number.
const EVENTS: usize = 50;
/// The time from a Node to its route without the time that the services take.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Far above what is measured, for machines that do other work at the same time.
const MAX_LATENCY: Duration = Duration::from_secs(20);
/// The time between two events: longer than the watch waits between two reconciles.
const PAUSE: Duration = Duration::from_millis(700);

/// A topology and its services, with clients over HTTP.
pub(super) async fn served_with(text: &str, state: SandboxState) -> (Deployment, Server) {
    served_over(text, state, Arc::new(ReqwestTransport::new(None).unwrap())).await
}

/// The same with another transport to Azure and the tailnet.
async fn served_over(
    text: &str,
    state: SandboxState,
    transport: Arc<dyn Transport>,
) -> (Deployment, Server) {
    let mut deployment = Deployment::at(text, state, Timestamp::now());
    let server = Server::start(deployment.sandbox.clone(), ServeOptions::default()).await.unwrap();
    // Azure returns a kubeconfig with the new endpoint from now on.
    deployment.sandbox.change(|_, _| ());
    let (requests, limits) = (RequestCount::default(), Limits::unlimited());
    deployment.clients = Clients {
        azure: Arc::new(ArmClient::new(
            transport.clone(),
            &server.endpoints.azure,
            Arc::new(StaticToken(Secret::new("azure-token"))),
            limits.clone(),
            requests.clone(),
        )),
        tailnet: Arc::new(TailnetClient::new(
            transport,
            &server.endpoints.tailscale,
            &deployment.topology.tailnet.name,
            TailnetCredentials::ApiKey(Secret::new("tskey-api-test")),
            limits.clone(),
            requests.clone(),
        )),
        cluster: Arc::new(KubeconfigConnector {
            limits,
            requests: requests.clone(),
            ..KubeconfigConnector::default()
        }),
        requests,
        ..deployment.clients
    };
    (deployment, server)
}

/// The time from a Node to its route.
struct Latency {
    total: Duration,
    /// The part in which a service is to answer.
    services: Duration,
    /// The part in which the machine runs other work.
    machine: Duration,
}

impl Latency {
    /// The part that is stargate's own: what it waits and computes, and its requests to the API
    /// server.
    fn own(&self) -> Duration {
        self.total.saturating_sub(self.services).saturating_sub(self.machine)
    }
}

/// Changes the number of nodes, and returns the time until the routes are theirs: those of
/// the node that came or went, and of no other one.
async fn measure(deployment: &Deployment, fault: Fault, services: &ServiceTime) -> Latency {
    let (before, begin) = (nodes_and_routes(deployment).0, Instant::now());
    let (services_before, delay_before) = (services.total(), thread_delay());
    deployment.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
    loop {
        let (nodes, routes) = nodes_and_routes(deployment);
        let passed = begin.elapsed();
        let differing: BTreeSet<_> = before.symmetric_difference(&nodes).collect();
        if nodes == routes && !differing.is_empty() {
            assert_eq!(differing.len(), 1, "{fault:?}: {differing:?}");
            return Latency {
                total: passed,
                services: services.total() - services_before,
                machine: thread_delay() - delay_before,
            };
        }
        assert!(passed < MAX_LATENCY, "{fault:?} has no effect");
        sleep(Duration::from_millis(2)).await;
    }
}

/// The median and the p99 of the times, printed; of fewer than 100 the p99 is the longest.
fn report(what: &str, mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    let (median, p99, count) = (at(50), at(99), times.len());
    let text = format!("{what}, {count} events: median {median:?}, p99 {p99:?} from Node to route");
    let _ = writeln!(std::io::stderr(), "{text}");
    (median, p99)
}

/// The times of nodes that come and go one after another.
async fn measured(deployment: &Deployment, events: usize, services: &ServiceTime) -> Vec<Latency> {
    let mut times = Vec::new();
    watching(deployment, &watched("max_removals = 1000"), async |watch| {
        watch.settles().await;
        watch.matches();
        for number in 0..events {
            let fault = if number % 2 == 0 { Fault::AksScaleOut } else { Fault::AksScaleIn };
            times.push(measure(deployment, fault, services).await);
            sleep(PAUSE).await;
        }
        watch.settles().await;
        watch.matches();
    })
    .await;
    times
}

/// Time passes only while something waits.
#[tokio::test(start_paused = true)]
async fn routes_follow_nodes_without_waiting() {
    let deployment = Deployment::example_applied().await;
    let times = measured(&deployment, EVENTS, &ServiceTime::default()).await;
    let (_, p99) = report("virtual time", times.iter().map(|it| it.total).collect());
    assert!(p99 <= MAX_WAIT, "{p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_follow_nodes_over_http() {
    let events = std::env::var("STARGATE_WATCH_EVENTS").ok();
    let events = events.map_or(EVENTS, |text| text.parse().unwrap());
    let services = ServiceTime::default();
    let transport = TimedTransport::new(services.clone());
    let state = Deployment::example_applied().await.copy_of_state();
    let (deployment, server) = served_over(EXAMPLE, state, Arc::new(transport)).await;
    let times = measured(&deployment, events, &services).await;
    server.stop().await;
    report("over HTTP", times.iter().map(|it| it.total).collect());
    report("of that the services", times.iter().map(|it| it.services).collect());
    let (median, p99) = report("of that stargate", times.iter().map(Latency::own).collect());
    assert!(median <= p99 && p99 <= MAX_WAIT, "{median:?} {p99:?}");
    let is_measured = times.iter().all(|it| it.services > Duration::ZERO && it.services < it.total);
    assert!(is_measured, "every route is written by a request");
}
