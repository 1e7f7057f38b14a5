//! Emulated services with the example applied, and the real clients on the proxy.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use stargate::apply::events::{Event, Reporter};
use stargate::apply::{Applied, ApplyContext, StopSignal, apply};
use stargate::pipeline::{Pipeline, Planned};
use stargate::plan::{Action, Plan, PlanOptions};
use stargate::provider::azure::ArmClient;
use stargate::provider::clients::{Clients, ClusterConnector, KubeconfigSource};
use stargate::provider::cluster::{ClusterClient, ClusterError, RequestLayer};
use stargate::provider::credentials::{StaticToken, TailnetCredentials};
use stargate::provider::http::{Api, RequestCount};
use stargate::provider::limits::Limits;
use stargate::provider::read_write::ClusterWrite;
use stargate::provider::request_policy::RequestPolicy;
use stargate::provider::retry::RetryingHosts;
use stargate::provider::secret::Secret;
use stargate::provider::settings::ClientSettings;
use stargate::provider::tailnet::TailnetClient;
use stargate::refresh::Scope;
use stargate::resource::Owner;
use stargate::sandbox::{SandboxState, SharedSandbox, arm};
use stargate::topology::load::load_text;
use stargate::topology::model::Topology;
use stargate::topology::names::SubscriptionId;

use crate::proxy::Proxy;

pub(crate) const EXAMPLE: &str = include_str!("../../examples/aks-e2e/stargate.toml");
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlVGVzdEtleU5vdEZvclVzZUFueXc test";

/// A topology, its sandbox, and clients.
pub(crate) struct Deployment {
    pub(crate) sandbox: SharedSandbox,
    pub(crate) topology: Topology,
    pub(crate) proxy: Proxy,
    pub(crate) clients: Clients,
}

impl Deployment {
    /// A topology and emulated services, in memory.
    pub(crate) fn onto(sandbox: SandboxState, text: &str) -> Self {
        let from: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Self::at(sandbox, text, from)
    }

    pub(crate) fn at(mut sandbox: SandboxState, text: &str, from: Timestamp) -> Self {
        let topology = load_text("stargate.toml", text)
            .unwrap_or_else(|errors| panic!("{errors:#?}"))
            .topology;
        sandbox.seed(&topology);
        let start = tokio::time::Instant::now();
        let clock = move || from + SignedDuration::try_from(start.elapsed()).unwrap();
        let sandbox = SharedSandbox::with_clock(sandbox, Arc::new(clock));
        let proxy = Proxy::new(sandbox.clone());
        let clients = in_memory(&sandbox, &proxy, &topology);
        Self { sandbox, topology, proxy, clients }
    }

    /// The state after the example was applied, and its time: made once, since
    /// an apply takes a second.
    pub(crate) async fn applied() -> (SandboxState, Timestamp) {
        static APPLIED: tokio::sync::OnceCell<(SandboxState, Timestamp)> =
            tokio::sync::OnceCell::const_new();
        let make = async || {
            let deployment = Self::onto(SandboxState::new(1), EXAMPLE);
            let planned = deployment.plan(false).await;
            let applied = deployment.apply(false, planned).await;
            assert!(matches!(applied.status, stargate::apply::ApplyStatus::Converged));
            (deployment.sandbox.read(Clone::clone), deployment.sandbox.now())
        };
        APPLIED.get_or_init(make).await.clone()
    }

    fn scope(&self, destroying: bool) -> Scope<'_> {
        let subscription = SubscriptionId::new(arm::SUBSCRIPTION);
        let mut scope = Scope::new(&self.topology, subscription, KEY.to_owned());
        scope.options = PlanOptions { destroy: destroying, ..PlanOptions::default() };
        scope
    }

    /// Reads the services and plans.
    pub(crate) async fn plan(&self, destroying: bool) -> Planned {
        let (scope, sandbox) = (self.scope(destroying), self.sandbox.clone());
        let now = move || sandbox.now();
        let clients = self.clients.read_only();
        Pipeline { clients: &clients, scope: &scope, now: &now }.run().await
    }

    /// Goes on from a plan; deferred changes are approved, others are not.
    pub(crate) async fn apply(&self, destroying: bool, planned: Planned) -> Applied {
        let (scope, sandbox) = (self.scope(destroying), self.sandbox.clone());
        let now = move || sandbox.now();
        let clients = self.clients.read_only();
        let context = ApplyContext {
            saved: None,
            lease: None,
            leadership: None,
            pipeline: Pipeline { clients: &clients, scope: &scope, now: &now },
            clients: &self.clients,
            reporter: &NoReporter,
            stop: StopSignal::default(),
        };
        apply(&context, planned, &|_: &Plan| false).await
    }

    /// Everything that is there, by its id or name.
    pub(crate) fn objects(&self) -> BTreeSet<String> {
        self.sandbox.read(|sandbox| {
            let mut found = BTreeSet::new();
            for resource_type in ARM_TYPES {
                found.extend(sandbox.arm.list(resource_type).map(|(id, _)| id.to_string()));
            }
            found.extend(sandbox.tailnet.devices().map(|device| format!("device {}", device.id)));
            found
        })
    }
}

const ARM_TYPES: [&str; 9] = [
    "Microsoft.Resources/resourceGroups",
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/routeTables",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Compute/virtualMachines",
];

fn in_memory(sandbox: &SharedSandbox, proxy: &Proxy, topology: &Topology) -> Clients {
    let requests = RequestCount::default();
    let transport = Arc::new(proxy.clone());
    Clients {
        kubeconfig: KubeconfigSource::Azure,
        azure: Arc::new(ArmClient::new(
            transport.clone(),
            "https://azure.sandbox",
            Arc::new(StaticToken(Secret::new("azure-token"))),
            Limits::published(),
            requests.clone(),
        )),
        tailnet: Arc::new(TailnetClient::new(
            transport,
            "https://tailscale.sandbox",
            &topology.tailnet.name,
            TailnetCredentials::ApiKey(Secret::new("tskey-api-test")),
            Limits::published(),
            requests.clone(),
        )),
        cluster: Arc::new(ProxyConnector { proxy: proxy.clone(), requests: requests.clone() }),
        hosts: Arc::new(RetryingHosts::new(Arc::new(sandbox.clone()))),
        requests,
    }
}

#[derive(Debug)]
struct ProxyConnector {
    proxy: Proxy,
    requests: RequestCount,
}

#[async_trait]
impl ClusterConnector for ProxyConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let policy = RequestPolicy::new(
            Api::Kubernetes,
            Limits::published(),
            self.requests.clone(),
            ClientSettings::default(),
        );
        let builder = kube::client::ClientBuilder::new(self.proxy.kubernetes(), "default");
        let client = builder.with_layer(&RequestLayer::new(policy)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, self.requests.clone())))
    }
}

/// The example with one worker more.
pub(crate) fn one_worker_more() -> String {
    let worker = "[[datacenters.dc1.workers]]\nname = \"stargate-aks-e2e-2-worker-1\"";
    let one_more =
        format!("[[datacenters.dc1.workers]]\nname = \"worker-3\"\nip = \"10.50.1.9\"\n\n{worker}");
    let text = EXAMPLE.replace(worker, &one_more);
    assert_ne!(text, EXAMPLE);
    text
}

/// Hears nothing.
pub(crate) struct NoReporter;

impl Reporter for NoReporter {
    fn event(&self, _event: &Event) {}
}

/// The changes of a plan that take something away.
pub(crate) fn removals(plan: &Plan) -> Vec<String> {
    let takes_away = |action| matches!(action, Action::Delete | Action::Replace);
    let changes = plan.changes.iter().filter(|change| takes_away(change.action));
    changes.map(|change| change.address.to_string()).collect()
}
