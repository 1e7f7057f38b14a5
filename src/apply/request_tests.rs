//! The requests of a plan whose live state matches the topology.

#![cfg(feature = "sandbox")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::Timestamp;

use super::events::NoReporter;
use super::{ApplyContext, ApplyStatus, StopSignal, apply};
use crate::pipeline::Pipeline;
use crate::provider::azure::ArmClient;
use crate::provider::clients::{Clients, ClusterConnector, KubeconfigSource};
use crate::provider::cluster::{ClusterClient, ClusterError};
use crate::provider::credentials::{StaticToken, TailnetCredentials};
use crate::provider::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use crate::provider::http::{Api, RequestCount};
use crate::provider::limits::Limits;
use crate::provider::read_write::ClusterWrite;
use crate::provider::secret::Secret;
use crate::provider::tailnet::TailnetClient;
use crate::refresh::Scope;
use crate::resource::Owner;
use crate::sandbox::transport::{InMemory, kube_client};
use crate::sandbox::{SandboxState, SharedSandbox};
use crate::topology::load::load_text;
use crate::topology::model::Topology;
use crate::topology::names::SubscriptionId;

/// The most requests that a plan without changes may take.
const MAX_REQUESTS: u64 = 60;

/// One datacenter of VMs and one of existing machines.
fn topology(workers: u32) -> Topology {
    let text = format!(
        r#"
        [stargate]
        name = "two"
        [azure]
        location = "canadacentral"
        [cluster]
        name = "two"
        resource_group = "two"
        kubernetes_version = "1.33.5"
        pod_cidr = "10.240.0.0/13"
        service_cidr = "10.0.0.0/16"
        [cluster.node_pools.system]
        count = 2
        vm_size = "Standard_D2s_v5"
        [cluster.router]
        name = "two-router"
        subnet_cidr = "10.237.0.0/24"
        vm_size = "Standard_D2s_v5"
        [profiles.standard]
        kubernetes_version = "1.33.5"
        [datacenters.dc1]
        pod_pool = "10.243.0.0/17"
        profile = "standard"
        [datacenters.dc1.azure]
        resource_group = "two-dc1"
        vnet_cidr = "10.60.0.0/16"
        subnet_cidr = "10.60.1.0/24"
        router_subnet_cidr = "10.60.0.0/24"
        vm_size = "Standard_D2s_v5"
        [datacenters.dc1.router]
        name = "dc1-router"
        [datacenters.dc1.worker_range]
        name = "dc1-worker-{{:03}}"
        count = {workers}
        first_ip = "10.60.1.5"
        [datacenters.dc2]
        pod_pool = "10.243.128.0/17"
        profile = "standard"
        [datacenters.dc2.existing]
        network_cidr = "10.61.0.0/16"
        [datacenters.dc2.router]
        name = "dc2-router"
        ip = "10.61.0.4"
        ssh_address = "dc2.example.com"
        [datacenters.dc2.worker_range]
        name = "dc2-worker-{{:03}}"
        count = {workers}
        first_ip = "10.61.1.5"
        "#
    );
    load_text("stargate.toml", &text).unwrap().topology
}

/// A client that records the hosts of its requests.
#[derive(Debug)]
struct Noting {
    sandbox: SharedSandbox,
    requested: Mutex<Vec<String>>,
}

impl Noting {
    fn note(&self, target: &HostTarget) {
        self.requested.lock().unwrap().push(target.hostname.clone());
    }
}

#[async_trait]
impl HostRead for Noting {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        self.note(target);
        self.sandbox.probe_router(target).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        self.note(target);
        self.sandbox.probe_worker(target).await
    }
}

#[async_trait]
impl HostWrite for Noting {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        self.note(target);
        self.sandbox.change_router(target, change).await
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        self.note(target);
        self.sandbox.apply_worker_step(target, step).await
    }
}

#[derive(Debug)]
struct PassThrough(SharedSandbox);

#[async_trait]
impl ClusterConnector for PassThrough {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let client = kube_client(self.0.clone());
        Ok(Arc::new(ClusterClient::new(client, owner, RequestCount::default())))
    }
}

fn clients(sandbox: &SharedSandbox, hosts: &Arc<Noting>) -> Clients {
    let requests = RequestCount::default();
    let wire = Arc::new(InMemory::new(sandbox.clone()));
    let token = Arc::new(StaticToken(Secret::new("token")));
    Clients {
        azure: Arc::new(ArmClient::new(
            wire.clone(),
            "https://azure.sandbox",
            token,
            Limits::unlimited(),
            requests.clone(),
        )),
        tailnet: Arc::new(TailnetClient::new(
            wire,
            "https://tailscale.sandbox",
            "-",
            TailnetCredentials::ApiKey(Secret::new("tskey-api-test")),
            Limits::unlimited(),
            requests.clone(),
        )),
        cluster: Arc::new(PassThrough(sandbox.clone())),
        kubeconfig: KubeconfigSource::Azure,
        hosts: hosts.clone(),
        requests,
    }
}

/// A request of a plan without changes.
#[derive(Debug, PartialEq, Eq)]
struct RecordedRequest {
    requests: BTreeMap<Api, u64>,
    hosts: BTreeSet<String>,
}

/// Applies a topology of so many workers a datacenter and plans again.
async fn plan_of_a_matching_state(workers: u32) -> RecordedRequest {
    let topology = topology(workers);
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let mut sandbox = SandboxState::new(1);
    sandbox.seed(&topology);
    let sandbox = SharedSandbox::with_clock(sandbox, Arc::new(move || now));
    let hosts = Arc::new(Noting { sandbox: sandbox.clone(), requested: Mutex::default() });
    let clients = clients(&sandbox, &hosts);
    let subscription = SubscriptionId::new(crate::sandbox::arm::SUBSCRIPTION);
    let scope = Scope::new(&topology, subscription, "ssh-ed25519 AAAA test".to_owned());
    let clock = move || now;
    let stop = StopSignal::default();
    let readers = clients.read_only();
    let pipeline = Pipeline { clients: &readers, scope: &scope, now: &clock };
    let context = ApplyContext {
        pipeline,
        clients: &clients,
        reporter: &NoReporter,
        stop,
        saved: None,
        lease: None,
        leadership: None,
    };
    let first = pipeline.run().await;
    let applied = apply(&context, first, &|_| false).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", applied.remaining);

    hosts.requested.lock().unwrap().clear();
    sandbox.change(|sandbox, _| sandbox.log.clear());
    let again = pipeline.run().await;
    assert!(again.plan.is_empty());
    assert_eq!(again.plan.unchanged, again.plan.desired().len());
    let requested = hosts.requested.lock().unwrap().clone();
    let once: BTreeSet<String> = requested.iter().cloned().collect();
    assert_eq!(requested.len(), once.len(), "a host is asked once: {requested:?}");
    let requests =
        Api::ALL.into_iter().map(|api| (api, sandbox.read(|sandbox| sandbox.log.count(api))));
    RecordedRequest { requests: requests.collect(), hosts: once }
}

#[tokio::test(start_paused = true)]
async fn refresh_requests_do_not_grow_per_worker() {
    let few = plan_of_a_matching_state(5).await;
    let many = plan_of_a_matching_state(20).await;
    assert_eq!(few, many, "four times the workers fit on the same pages");
    let total: u64 = many.requests.values().sum();
    assert!(total <= MAX_REQUESTS, "{total} requests: {many:?}");
    let routers = ["two-router", "dc1-router", "dc2-router"].map(str::to_owned);
    assert_eq!(many.hosts, BTreeSet::from(routers), "SSH leads to routers only");
}
