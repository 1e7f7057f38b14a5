//! A leader whose service refuses its credential gives the topology to a replica that can work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use stargate::apply::StopSignal;
use stargate::provider::http::{RequestCount, Transport, TransportError};
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::InMemory;
use stargate::watch::{Leadership, SharedLeadership, Triggers, WatchEvent};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use super::MemoryFile;
use crate::harness::{Deployment, EXAMPLE, InMemoryConnector, clients_on, summary};
use crate::watch_harness::{EventLog, run_candidate};

/// A leader that fails is followed within this time: an interval, and three failures.
const MAX_GIVE_BACK: Duration = Duration::from_secs(780);
const HOUR: Duration = Duration::from_secs(3_600);

/// Answers 401 for one service while the credential is refused.
#[derive(Debug)]
struct RefusingWire {
    sandbox: SharedSandbox,
    service: &'static str,
    is_refused: Arc<AtomicBool>,
}

#[async_trait]
impl Transport for RefusingWire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        if self.is_refused.load(Ordering::Relaxed) && request.uri().host() == Some(self.service) {
            let body = Bytes::from_static(br#"{"message":"the credential has expired"}"#);
            return Ok(Response::builder().status(401).body(body).unwrap());
        }
        InMemory::new(self.sandbox.clone()).send(request).await
    }
}

struct Replica {
    log: Arc<EventLog>,
    is_refused: Arc<AtomicBool>,
    stop: StopSignal,
    task: JoinHandle<()>,
}

impl Replica {
    fn start(name: &'static str, deployment: &Deployment, service: &'static str) -> Self {
        let (sandbox, topology) = (deployment.sandbox.clone(), deployment.topology.clone());
        let is_refused = Arc::new(AtomicBool::new(false));
        let wire =
            RefusingWire { sandbox: sandbox.clone(), service, is_refused: is_refused.clone() };
        let requests = RequestCount::default();
        let cluster = InMemoryConnector { sandbox: sandbox.clone(), requests: requests.clone() };
        let wires = (Arc::new(wire) as Arc<dyn Transport>, Arc::new(cluster) as _);
        let clients = clients_on(&sandbox, &topology, wires, requests);
        let (stop, triggers) = (StopSignal::default(), Triggers::default());
        let leadership = Leadership::new(&topology.name, name, triggers.clone())
            .sharing(SharedLeadership::default());
        let deployment = Deployment {
            sandbox,
            topology,
            clients,
            stop: stop.clone(),
            takes_lease: true,
            subscription: deployment.subscription.clone(),
            public_key: deployment.public_key.clone(),
        };
        let text = format!("{EXAMPLE}\n[watch]\ninterval_seconds = 600\n");
        let (log, file) = (Arc::new(EventLog::default()), MemoryFile::new(&text));
        let parts = (leadership, triggers);
        let task = spawn_local(run_candidate(deployment, file, log.clone(), parts, None));
        Self { log, is_refused, stop, task }
    }

    fn refuse(&self, is_refused: bool) {
        self.is_refused.store(is_refused, Ordering::Relaxed);
    }

    fn changes(&self) -> usize {
        let events = self.log.events().into_iter();
        events.filter(|it| matches!(it, WatchEvent::ChangeStarted { .. })).count()
    }
}

fn leader(deployment: &Deployment) -> String {
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let leases = store.list("coordination.k8s.io/v1", "Lease", None).into_iter();
        let mut holders = leases.filter_map(|lease| {
            let is_leader = lease["metadata"]["name"].as_str()?.starts_with("stargate-leader-");
            is_leader.then(|| lease["spec"]["holderIdentity"].as_str().map(str::to_owned))?
        });
        holders.next_back().unwrap_or_default()
    })
}

/// Waits until a replica leads, and returns the time that it took.
async fn leads(name: &str, deployment: &Deployment, at_most: Duration) -> Duration {
    let begin = Instant::now();
    while leader(deployment) != name {
        assert!(begin.elapsed() < at_most, "{name} does not lead after {at_most:?}");
        sleep(Duration::from_secs(1)).await;
    }
    begin.elapsed()
}

/// How often another replica leads in a time.
async fn moves(deployment: &Deployment, time: Duration) -> usize {
    let (begin, mut leader_before, mut moves) = (Instant::now(), leader(deployment), 0);
    while begin.elapsed() < time {
        sleep(Duration::from_secs(1)).await;
        let now = leader(deployment);
        moves += usize::from(now != leader_before);
        leader_before = now;
    }
    moves
}

/// `drift` is what a replica cannot correct without the service.
async fn follows_leaders_that_fail(service: &'static str, drift: Fault) {
    let deployment = Deployment::example_applied().await;
    let first = Replica::start("first", &deployment, service);
    leads("first", &deployment, MAX_GIVE_BACK).await;
    let second = Replica::start("second", &deployment, service);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(moves(&deployment, HOUR).await, 0);

    first.refuse(true);
    deployment.inject(drift, None);
    leads("second", &deployment, MAX_GIVE_BACK).await;
    sleep(Duration::from_secs(120)).await;
    let left = deployment.plan().await;
    assert!(left.is_empty(), "{service}: {}", summary(&left));
    assert!(second.changes() > 0 && first.changes() == 0, "{service}");

    // The credential of both is refused: the topology stays where it is.
    second.refuse(true);
    deployment.inject(drift, None);
    assert_eq!(moves(&deployment, 2 * HOUR).await, 0, "{service}");
    // It is replaced: the replica reads at its next interval, and leads then.
    first.refuse(false);
    leads("first", &deployment, HOUR).await;
    sleep(Duration::from_secs(120)).await;
    let left = deployment.plan().await;
    assert!(left.is_empty(), "{service}: {}", summary(&left));
    for replica in [first, second] {
        replica.stop.stop();
        replica.task.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_tailscale_key_expired_is_followed() {
    LocalSet::new()
        .run_until(follows_leaders_that_fail("tailscale.sandbox", Fault::TailnetRouteUnapproved))
        .await;
}

/// Without Azure it has no access to the cluster either, and renews its Lease all the same.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_azure_credential_expired_is_followed() {
    LocalSet::new().run_until(follows_leaders_that_fail("azure.sandbox", Fault::AksScaleOut)).await;
}
