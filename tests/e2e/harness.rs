//! An in-memory deployment: a sandbox, and the real clients with an in-memory transport.
//!
//! Time is tokio's paused clock, so that waiting is free. The sandbox's clock follows it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{Applied, ApplyContext, ApplyStatus, StopSignal, apply, apply_once};
use stargate::lease::{LeaseIdentity, LeaseSlot};
use stargate::pipeline::{Pipeline, Planned, Reading};
use stargate::plan::saved_plan::SavedPlanRefusal;
use stargate::plan::{Plan, PlanOptions};
use stargate::provider::azure::ArmClient;
use stargate::provider::clients::{Clients, ClusterConnector, KubeconfigSource};
use stargate::provider::cluster::{ClusterClient, ClusterError, RequestLayer};
use stargate::provider::credentials::{StaticToken, TailnetCredentials};
use stargate::provider::http::{Api, RequestCount, Transport};
use stargate::provider::limits::Limits;
use stargate::provider::read_write::ClusterWrite;
use stargate::provider::request_policy::RequestPolicy;
use stargate::provider::retry::RetryingHosts;
use stargate::provider::secret::Secret;
use stargate::provider::settings::ClientSettings;
use stargate::provider::tailnet::TailnetClient;
use stargate::refresh::Scope;
use stargate::resource::Owner;
use stargate::sandbox::faults::{self, Fault};
use stargate::sandbox::transport::{InMemory, kube_service};
use stargate::sandbox::{SandboxState, SharedSandbox, arm};
use stargate::topology::load::load_text;
use stargate::topology::model::Topology;
use stargate::topology::names::SubscriptionId;

pub(crate) use crate::refresh_options::RefreshOptions;

/// The topology of the deployment log.
pub(crate) const EXAMPLE: &str = include_str!("../../examples/aks-e2e/stargate.toml");
/// A datacenter of VMs and one of existing machines.
pub(crate) const TWO_DATACENTERS: &str = include_str!("two_datacenters.toml");
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlVGVzdEtleU5vdEZvclVzZUFueXc test";

/// A topology and the sandbox that it is applied to.
pub(crate) struct Deployment {
    pub(crate) sandbox: SharedSandbox,
    pub(crate) topology: Topology,
    pub(crate) clients: Clients,
    pub(crate) stop: StopSignal,
    pub(crate) takes_lease: bool,
    /// The subscription of the commands.
    pub(crate) subscription: SubscriptionId,
    /// The public key of new machines.
    pub(crate) public_key: String,
}

/// The name of another applier, as each process has its own.
fn unique_holder() -> String {
    static APPLIERS: AtomicUsize = AtomicUsize::new(0);
    format!("applier {}", APPLIERS.fetch_add(1, Ordering::Relaxed))
}

impl Deployment {
    /// The example topology with an empty sandbox.
    pub(crate) fn example() -> Self {
        Self::of(EXAMPLE, SandboxState::new(1))
    }

    /// The example topology, applied.
    pub(crate) async fn example_applied() -> Self {
        let deployment = Self::example();
        deployment.iterate().await;
        deployment
    }

    /// A topology with a given sandbox.
    pub(crate) fn of(text: &str, sandbox: SandboxState) -> Self {
        Self::at(text, sandbox, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    /// A topology with a given sandbox and start time.
    pub(crate) fn at(text: &str, mut sandbox: SandboxState, from: Timestamp) -> Self {
        let topology = topology(text);
        sandbox.seed(&topology);
        Self::share(topology, SharedSandbox::with_clock(sandbox, Arc::new(clock(from))))
    }

    /// Another topology with the same sandbox.
    pub(crate) fn edited(&self, text: &str) -> Self {
        let topology = topology(text);
        self.sandbox.change(|sandbox, _| sandbox.seed(&topology));
        Self::share(topology, self.sandbox.clone())
    }

    fn share(topology: Topology, sandbox: SharedSandbox) -> Self {
        let clients = clients(&sandbox, &topology);
        Self {
            sandbox,
            topology,
            clients,
            subscription: SubscriptionId::new(arm::SUBSCRIPTION),
            public_key: KEY.to_owned(),
            stop: StopSignal::default(),
            takes_lease: true,
        }
    }

    /// The same deployment with applies that take no lease: only the guards of
    /// their steps keep them apart.
    pub(crate) fn without_lease(self) -> Self {
        Self { takes_lease: false, ..self }
    }

    /// A copy of the sandbox's state.
    pub(crate) fn copy_of_state(&self) -> SandboxState {
        self.sandbox.read(Clone::clone)
    }

    /// The scope and options of a refresh and plan.
    pub(crate) fn scope(&self, options: &RefreshOptions) -> Scope<'_> {
        let subscription = self.subscription.clone();
        let mut scope = Scope::new(&self.topology, subscription, self.public_key.clone());
        scope.options = PlanOptions {
            deep: options.deep,
            destroy: options.destroying,
            allow_unread_cluster: options.allow_unread_cluster,
            adopt: options.adopt.clone(),
            adopt_from: options.adopt_from.clone(),
            replace: options.replace.clone(),
            worker_request: options.worker_request.clone(),
            allow_loss: options.allow_loss,
            upgrade_patches: options.upgrade_patches,
            unattended: options.unattended,
            after_destroy: false,
            approved: options.approved.clone(),
        };
        scope
    }

    /// Refreshes and plans.
    pub(crate) async fn refresh_and_plan(&self, options: &RefreshOptions) -> Planned {
        let scope = self.scope(options);
        let clock = clock(self.sandbox.now());
        let clients = self.clients.read_only();
        Pipeline { clients: &clients, scope: &scope, now: &clock }.run().await
    }

    /// Refreshes the live state for a plan.
    pub(crate) async fn read(&self, scope: &Scope<'_>) -> Reading {
        let clock = clock(self.sandbox.now());
        let clients = self.clients.read_only();
        Pipeline { clients: &clients, scope, now: &clock }.read().await
    }

    /// A plan with default options.
    pub(crate) async fn plan(&self) -> Plan {
        self.refresh_and_plan(&RefreshOptions::default()).await.plan
    }

    /// Plans and applies, approving only the changes of the first plan.
    pub(crate) async fn apply(&self, options: &RefreshOptions) -> Applied {
        let planned = self.refresh_and_plan(options).await;
        self.apply_planned(options, planned, &IgnoreProgress).await
    }

    /// Continues from a plan.
    pub(crate) async fn apply_planned(
        &self,
        options: &RefreshOptions,
        planned: Planned,
        reporter: &dyn Reporter,
    ) -> Applied {
        let scope = self.scope(options);
        let clock = clock(self.sandbox.now());
        let clients = self.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let approve = |_: &Plan| options.destroying;
        apply(&self.context(pipeline, reporter), planned, &approve).await
    }

    /// Executes a saved plan once.
    pub(crate) async fn apply_once(&self, plan: &Plan) -> Applied {
        let scope = self.scope(&RefreshOptions::default());
        let clock = clock(self.sandbox.now());
        let clients = self.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let planned = Planned { plan: plan.clone(), ..pipeline.run().await };
        apply_once(&self.context(pipeline, &IgnoreProgress), planned).await
    }

    /// Applies the changes of a saved plan that a new plan confirms.
    pub(crate) async fn apply_saved(&self, saved: &Plan) -> Result<Applied, SavedPlanRefusal> {
        let scope = self.scope(&RefreshOptions::default());
        let clock = clock(self.sandbox.now());
        let clients = self.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let planned = pipeline.confirm(saved).await?;
        let context =
            ApplyContext { saved: Some(saved), ..self.context(pipeline, &IgnoreProgress) };
        Ok(apply_once(&context, planned).await)
    }

    pub(crate) fn context<'a>(
        &'a self,
        pipeline: Pipeline<'a>,
        reporter: &'a dyn Reporter,
    ) -> ApplyContext<'a> {
        let identity = LeaseIdentity::new(&self.topology.name, unique_holder());
        let lease = self.takes_lease.then(|| LeaseSlot::new(identity));
        ApplyContext {
            pipeline,
            clients: &self.clients,
            reporter,
            stop: self.stop.clone(),
            saved: None,
            lease,
            leadership: None,
        }
    }

    /// Applies, and asserts that no changes are left.
    pub(crate) async fn iterate(&self) -> Applied {
        self.iterate_replacing(&[]).await
    }

    /// The same, with the permission to replace these resources and to lose pairs by it.
    pub(crate) async fn iterate_replacing(&self, addresses: &[&str]) -> Applied {
        let allow_loss = !addresses.is_empty();
        let options = RefreshOptions { allow_loss, ..RefreshOptions::replacing(addresses) };
        let applied = self.apply(&options).await;
        let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
        assert_eq!(
            applied.status,
            ApplyStatus::Converged,
            "{}\n{left}",
            failures(&applied).join("\n")
        );
        applied
    }

    /// Injects a fault.
    pub(crate) fn inject(&self, fault: Fault, target: Option<&str>) -> String {
        self.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, target, now)).unwrap()
    }

    /// The number of requests so far that may change something, including hosts.
    pub(crate) fn writes(&self) -> u64 {
        self.sandbox.read(|sandbox| sandbox.log.writes())
    }
}

fn topology(text: &str) -> Topology {
    load_text("stargate.toml", text).unwrap_or_else(|errors| panic!("{errors:#?}")).topology
}

/// A clock that follows tokio's.
pub(crate) fn clock(from: Timestamp) -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let start = tokio::time::Instant::now();
    move || from + SignedDuration::try_from(start.elapsed()).unwrap()
}

fn clients(sandbox: &SharedSandbox, topology: &Topology) -> Clients {
    let requests = RequestCount::default();
    let connector = InMemoryConnector { sandbox: sandbox.clone(), requests: requests.clone() };
    let wire = Arc::new(InMemory::new(sandbox.clone()));
    clients_on(sandbox, topology, (wire, Arc::new(connector)), requests)
}

/// Clients on a transport and a connector.
pub(crate) fn clients_on(
    sandbox: &SharedSandbox,
    topology: &Topology,
    (wire, cluster): (Arc<dyn Transport>, Arc<dyn ClusterConnector>),
    requests: RequestCount,
) -> Clients {
    Clients {
        kubeconfig: KubeconfigSource::Azure,
        azure: Arc::new(ArmClient::new(
            wire.clone(),
            "https://azure.sandbox",
            Arc::new(StaticToken(Secret::new("azure-token"))),
            Limits::unlimited(),
            requests.clone(),
        )),
        tailnet: Arc::new(TailnetClient::new(
            wire,
            "https://tailscale.sandbox",
            &topology.tailnet.name,
            TailnetCredentials::ApiKey(Secret::new("tskey-api-test")),
            Limits::unlimited(),
            requests.clone(),
        )),
        cluster,
        hosts: Arc::new(RetryingHosts::new(Arc::new(sandbox.clone()))),
        requests,
    }
}

#[derive(Debug)]
pub(crate) struct InMemoryConnector {
    pub(crate) sandbox: SharedSandbox,
    pub(crate) requests: RequestCount,
}

#[async_trait]
impl ClusterConnector for InMemoryConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let service = kube_service(self.sandbox.clone());
        let builder = kube::client::ClientBuilder::new(service, "default");
        let client = builder.with_layer(&request_layer(&self.requests)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, self.requests.clone())))
    }
}

pub(crate) fn request_layer(requests: &RequestCount) -> RequestLayer {
    let settings = ClientSettings::default();
    let limits = Limits::unlimited();
    RequestLayer::new(RequestPolicy::new(Api::Kubernetes, limits, requests.clone(), settings))
}

pub(crate) struct IgnoreProgress;

impl Reporter for IgnoreProgress {
    fn event(&self, _event: &Event) {}
}

/// A summary of a plan.
pub(crate) fn summary(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
        lines.push(format!(
            "{} {} [{}]{}",
            change.action.glyph(),
            change.address,
            fields.join(", "),
            change.caused_by.as_ref().map(|it| format!(" <- {it}")).unwrap_or_default()
        ));
    }
    for blocked in &plan.blocked {
        let fields: Vec<String> = blocked.fields.iter().map(|it| it.path.to_string()).collect();
        lines.push(format!(
            "! {} {} [{}] {}",
            blocked.failure.code,
            blocked.address,
            fields.join(", "),
            blocked.failure.message
        ));
    }
    for deferred in &plan.deferred {
        lines.push(format!("? {} {:?}", deferred.address, deferred.waits_for));
    }
    for finding in &plan.findings {
        lines.push(format!(
            "{:?} {} {}",
            finding.severity, finding.failure.code, finding.failure.message
        ));
    }
    for gap in &plan.gaps {
        lines.push(format!("gap {} {} {}", gap.source, gap.failure.message, gap.explained));
    }
    lines.join("\n")
}

/// The steps of an apply that did not succeed.
pub(crate) fn failures(applied: &Applied) -> Vec<String> {
    let well = |outcome: &Outcome| matches!(outcome, Outcome::Done | Outcome::UpToDate);
    applied
        .outcomes
        .iter()
        .filter(|(_, outcome)| !well(outcome))
        .map(|(address, outcome)| format!("{address}: {outcome:?}"))
        .collect()
}
