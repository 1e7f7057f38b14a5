//! Several replicas of a watch: one reconciles, and another one follows it when it ends,
//! is killed or stands still.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use stargate::apply::StopSignal;
use stargate::provider::clients::ClusterConnector;
use stargate::provider::cluster::{ClusterClient, ClusterError};
use stargate::provider::http::{RequestCount, Transport, TransportError};
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::Owner;
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::{InMemory, kube_service};
use stargate::watch::{ReconcileResult, Trigger, Triggers, WatchEvent, WatchReporter};
use tokio::sync::watch;
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep};
use tower::ServiceExt as _;

use super::{MemoryFile, watched};
use crate::harness::{Deployment, clients_on, request_layer, summary};
use crate::node_pools::routes_are_complete;
use crate::watch_harness::run_replica;

/// The time in which another replica has to go on.
const MAX_FAILOVER: Duration = Duration::from_secs(20);

/// While it is closed, nothing that a replica sends leaves it: as of a process that is
/// paused, its requests go out once it continues.
#[derive(Debug, Clone)]
struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    fn close(&self, is_closed: bool) {
        self.0.send_replace(is_closed);
    }

    async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|is_closed| !is_closed).await;
    }
}

#[derive(Debug)]
struct GatedWire(SharedSandbox, Gate);

#[async_trait]
impl Transport for GatedWire {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.1.pass().await;
        InMemory::new(self.0.clone()).send(request).await
    }
}

#[derive(Debug)]
struct GatedConnector(SharedSandbox, Gate);

#[async_trait]
impl ClusterConnector for GatedConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let (sandbox, gate) = (self.0.clone(), self.1.clone());
        let service = tower::service_fn(move |request| {
            let (service, gate) = (kube_service(sandbox.clone()), gate.clone());
            async move {
                gate.pass().await;
                service.oneshot(request).await
            }
        });
        let requests = RequestCount::default();
        let builder = kube::client::ClientBuilder::new(service, "default");
        let client = builder.with_layer(&request_layer(&requests)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, requests)))
    }
}

/// Keeps the events of a replica, and notes each change that begins without both leases.
struct ReplicaLog {
    name: &'static str,
    sandbox: SharedSandbox,
    events: Mutex<Vec<(Instant, WatchEvent)>>,
    violations: Mutex<Vec<String>>,
}

impl WatchReporter for ReplicaLog {
    fn event(&self, event: &WatchEvent) {
        if matches!(event, WatchEvent::ChangeStarted { .. }) {
            let holders = holders(&self.sandbox);
            let is_ours = |kind| holders.get(kind).is_some_and(|holder| holder == self.name);
            if !is_ours("leader") || !is_ours("write") {
                let text = format!("{} began {event:?} under {holders:?}", self.name);
                self.violations.lock().unwrap().push(text);
            }
        }
        self.events.lock().unwrap().push((Instant::now(), event.clone()));
    }
}

/// The holders of the leases, by their kind: `leader` and `write`.
fn holders(sandbox: &SharedSandbox) -> BTreeMap<String, String> {
    sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        let leases = store.list("coordination.k8s.io/v1", "Lease", None).into_iter();
        let named = leases.map(|lease| {
            let name = lease["metadata"]["name"].as_str().unwrap();
            let kind = name.split('-').nth(1).unwrap().to_owned();
            (kind, lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
        });
        named.collect()
    })
}

/// A running replica.
pub(super) struct Replica {
    pub(super) name: &'static str,
    log: Arc<ReplicaLog>,
    pub(super) triggers: Triggers,
    gate: Gate,
    stop: StopSignal,
    task: JoinHandle<()>,
}

impl Replica {
    pub(super) fn start(name: &'static str, deployment: &Deployment, text: &str) -> Self {
        let (sandbox, gate) = (deployment.sandbox.clone(), Gate::new());
        let log = Arc::new(ReplicaLog {
            name,
            sandbox: sandbox.clone(),
            events: Mutex::default(),
            violations: Mutex::default(),
        });
        let (triggers, stop) = (Triggers::default(), StopSignal::default());
        let wire = (
            Arc::new(GatedWire(sandbox.clone(), gate.clone())) as Arc<dyn Transport>,
            Arc::new(GatedConnector(sandbox.clone(), gate.clone())) as Arc<dyn ClusterConnector>,
        );
        let topology = deployment.topology.clone();
        let clients = clients_on(&sandbox, &topology, wire, RequestCount::default());
        let deployment = Deployment {
            public_key: deployment.public_key.clone(),
            sandbox,
            topology,
            clients,
            stop: stop.clone(),
            takes_lease: true,
            subscription: deployment.subscription.clone(),
        };
        let file = MemoryFile::new(text);
        let task =
            spawn_local(run_replica(deployment, file, log.clone(), (name, triggers.clone()), None));
        Self { name, log, triggers, gate, stop, task }
    }

    /// Pauses the process, or lets it continue.
    pub(super) fn pause(&self, is_paused: bool) {
        self.gate.close(is_paused);
    }

    pub(super) fn events(&self) -> Vec<(Instant, WatchEvent)> {
        self.log.events.lock().unwrap().clone()
    }

    /// How many changes it began.
    pub(super) fn changes(&self) -> usize {
        let events = self.events().into_iter();
        events.filter(|(_, it)| matches!(it, WatchEvent::ChangeStarted { .. })).count()
    }

    pub(super) fn last_result(&self) -> Option<ReconcileResult> {
        self.events().into_iter().rev().find_map(|(_, event)| match event {
            WatchEvent::ReconcileFinished { reconciled, .. } => Some(reconciled.result),
            _ => None,
        })
    }
}

pub(super) const NAMES: [&str; 3] = ["replica-a", "replica-b", "replica-c"];

/// Waits until a replica leads, and has finished a reconcile.
pub(super) async fn leader<'a>(replicas: &'a [Replica], sandbox: &SharedSandbox) -> &'a Replica {
    let begin = Instant::now();
    loop {
        sleep(Duration::from_millis(100)).await;
        let holder = holders(sandbox).remove("leader").unwrap_or_default();
        if let Some(replica) = replicas.iter().find(|it| it.name == holder) {
            return replica;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "none leads");
    }
}

/// Waits until another replica than this one begins a change, and returns it with the time
/// that passed.
async fn follower<'a>(replicas: &'a [Replica], former: &str) -> (&'a Replica, Duration) {
    let begin = Instant::now();
    let others: Vec<(&Replica, usize)> = replicas
        .iter()
        .filter(|it| it.name != former && !it.task.is_finished())
        .map(|it| (it, it.changes()))
        .collect();
    loop {
        sleep(Duration::from_millis(100)).await;
        if let Some((replica, _)) = others.iter().find(|(it, before)| it.changes() > *before) {
            return (replica, begin.elapsed());
        }
        assert!(begin.elapsed() < MAX_FAILOVER, "no other replica went on in {MAX_FAILOVER:?}");
    }
}

pub(super) async fn until_idle(replicas: &[Replica]) {
    loop {
        let count = || replicas.iter().map(|it| it.events().len()).sum::<usize>();
        let before = count();
        sleep(Duration::from_secs(10)).await;
        if count() == before {
            return;
        }
    }
}

/// Each change began under both leases, and nothing is left to change.
pub(super) async fn is_right(replicas: &[Replica], deployment: &Deployment) {
    for replica in replicas {
        assert_eq!(*replica.log.violations.lock().unwrap(), Vec::<String>::new());
    }
    routes_are_complete(deployment);
    let left = deployment.plan().await;
    assert!(left.is_empty(), "{}", summary(&left));
}

pub(super) async fn end(replicas: Vec<Replica>, deployment: &Deployment) {
    for replica in &replicas {
        replica.gate.close(false);
        replica.stop.stop();
    }
    for replica in replicas {
        if !replica.task.is_finished() {
            replica.task.await.unwrap();
        }
    }
    assert_eq!(holders(&deployment.sandbox), BTreeMap::new(), "each lease is released");
}

#[tokio::test(start_paused = true)]
async fn one_replica_reconciles_and_another_follows_one_that_was_killed() {
    let deployment = Deployment::example_applied().await;
    LocalSet::new()
        .run_until(async {
            for count in [2, 3] {
                let start = |name: &&'static str| Replica::start(name, &deployment, &watched(""));
                let replicas: Vec<Replica> = NAMES[..count].iter().map(start).collect();
                let first = leader(&replicas, &deployment.sandbox).await;
                until_idle(&replicas).await;
                for other in replicas.iter().filter(|it| it.name != first.name) {
                    assert_eq!(other.last_result(), Some(ReconcileResult::StandingBy));
                }
                deployment.inject(Fault::AksScaleOut, None);
                until_idle(&replicas).await;
                let leads = |it: &Replica| it.name == first.name;
                assert!(replicas.iter().all(|it| leads(it) == (it.changes() > 0)));
                // In the middle of a change, so that it holds both leases.
                let before = first.changes();
                deployment.inject(Fault::AksScaleOut, None);
                while first.changes() == before {
                    sleep(Duration::from_millis(10)).await;
                }
                first.task.abort();
                assert_eq!(holders(&deployment.sandbox).len(), 2);
                deployment.inject(Fault::AksScaleOut, None);
                let (next, passed) = follower(&replicas, first.name).await;
                let _ = writeln!(
                    std::io::stderr(),
                    "{count} replicas: {} followed after {passed:?}",
                    next.name
                );
                until_idle(&replicas).await;
                let active = replicas.iter().filter(|it| it.changes() > 0).count();
                assert_eq!(active, 2, "only the leaders made changes");
                is_right(&replicas, &deployment).await;
                end(replicas, &deployment).await;
            }
        })
        .await;
}

/// The leader stands still in the middle of a reconcile, for longer than its leases are
/// valid. Another replica goes on; the former leader begins no step when it continues.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_begins_no_step_before_it_leads_again() {
    const WORKER: &str = "\n[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-2\"\n\
                          ip = \"10.50.1.6\"\npod_cidr = \"10.244.66.0/24\"\n";
    let text = watched("apply = \"all\"");
    let without = text.replace(WORKER, "");
    assert_ne!(text, without);
    let deployment = Deployment::of(&without, stargate::sandbox::SandboxState::new(1));
    deployment.iterate().await;
    let deployment = deployment.edited(&text);
    LocalSet::new()
        .run_until(async {
            let start = |name: &&'static str| Replica::start(name, &deployment, &text);
            let replicas: Vec<Replica> = NAMES.iter().map(start).collect();
            while replicas.iter().all(|it| it.changes() == 0) {
                sleep(Duration::from_millis(10)).await;
            }
            let first = replicas.iter().find(|it| it.changes() > 0).unwrap();
            first.gate.close(true);
            let before = first.changes();
            let (second, passed) = follower(&replicas, first.name).await;
            let _ = writeln!(
                std::io::stderr(),
                "{} followed a paused replica after {passed:?}",
                second.name
            );
            sleep(Duration::from_secs(60)).await;
            assert_eq!(first.changes(), before, "a paused replica begins nothing");
            first.gate.close(false);
            until_idle(&replicas).await;
            assert_eq!(first.changes(), before, "another replica leads");
            is_right(&replicas, &deployment).await;
            first.triggers.add(Trigger::Request);
            until_idle(&replicas).await;
            let holder = holders(&deployment.sandbox).remove("leader");
            assert_eq!(holder.as_deref(), Some(second.name));
            end(replicas, &deployment).await;
        })
        .await;
}

/// The leader cannot renew for a while, and no other replica is there: it begins no step
/// until it leads again, and then continues by itself.
#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_waits_until_it_leads_again() {
    let deployment = Deployment::example_applied().await;
    LocalSet::new()
        .run_until(async {
            let replicas = vec![Replica::start(NAMES[0], &deployment, &watched(""))];
            until_idle(&replicas).await;
            let before = replicas[0].changes();
            replicas[0].gate.close(true);
            deployment.inject(Fault::AksScaleOut, None);
            sleep(Duration::from_secs(120)).await;
            assert_eq!(replicas[0].changes(), before);
            replicas[0].gate.close(false);
            leader(&replicas, &deployment.sandbox).await;
            sleep(Duration::from_secs(60)).await;
            until_idle(&replicas).await;
            assert!(replicas[0].changes() > before);
            is_right(&replicas, &deployment).await;
            end(replicas, &deployment).await;
        })
        .await;
}
