//! A deployment in memory: a world, and the real clients without a wire.
//!
//! Time is tokio's paused one, so that waiting costs nothing; the world's clock
//! follows it.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{Applied, ApplyContext, ApplyStatus, StopSignal, apply, apply_once};
use stargate::pipeline::{Pipeline, Planned, Reading};
use stargate::plan::{Plan, PlanOptions, WorkerRequest};
use stargate::provider::azure::ArmClient;
use stargate::provider::clients::{Clients, ClusterConnector};
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
use stargate::resource::{Address, Owner};
use stargate::sandbox::faults::{self, Fault};
use stargate::sandbox::transport::{InMemory, kube_service};
use stargate::sandbox::{SharedWorld, World, arm};
use stargate::topology::load::load_text;
use stargate::topology::model::Topology;
use stargate::topology::names::SubscriptionId;

/// The topology of the deployment log.
pub(crate) const EXAMPLE: &str = include_str!("../../examples/aks-e2e/stargate.toml");
/// A datacenter of VMs and one of machines that are there already.
pub(crate) const TWO_DATACENTERS: &str = include_str!("two_datacenters.toml");
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlVGVzdEtleU5vdEZvclVzZUFueXc test";

/// A topology and the world that it is applied to.
pub(crate) struct Deployment {
    pub(crate) world: SharedWorld,
    pub(crate) topology: Topology,
    pub(crate) doors: Clients,
    pub(crate) stop: StopSignal,
}

/// How a plan is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefreshOptions {
    pub(crate) deep: bool,
    pub(crate) destroying: bool,
    pub(crate) adopt: BTreeSet<Address>,
    pub(crate) worker_request: Option<WorkerRequest>,
    pub(crate) allow_loss: bool,
}

impl RefreshOptions {
    /// At the workers' hosts too.
    pub(crate) fn deep() -> Self {
        Self { deep: true, ..Self::default() }
    }

    /// To take everything away.
    pub(crate) fn destroying() -> Self {
        Self { destroying: true, ..Self::default() }
    }

    /// Taking over one object.
    pub(crate) fn adopting(address: &str) -> Self {
        let adopt = BTreeSet::from([address.parse().unwrap()]);
        Self { adopt, ..Self::default() }
    }
}

impl Deployment {
    /// The example, and nothing there yet.
    pub(crate) fn example() -> Self {
        Self::of(EXAMPLE, World::new(1))
    }

    /// The example, applied.
    pub(crate) async fn example_applied() -> Self {
        let deployment = Self::example();
        deployment.iterate().await;
        deployment
    }

    /// A topology onto a world.
    pub(crate) fn of(text: &str, world: World) -> Self {
        Self::at(text, world, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    /// A topology onto a world, from a time on.
    pub(crate) fn at(text: &str, mut world: World, from: Timestamp) -> Self {
        let topology = topology(text);
        world.seed(&topology);
        Self::share(topology, SharedWorld::with_clock(world, Arc::new(clock(from))))
    }

    /// Another topology onto the same world.
    pub(crate) fn edited(&self, text: &str) -> Self {
        let topology = topology(text);
        self.world.change(|world, _| world.seed(&topology));
        Self::share(topology, self.world.clone())
    }

    fn share(topology: Topology, world: SharedWorld) -> Self {
        let doors = doors(&world, &topology);
        Self { world, topology, doors, stop: StopSignal::default() }
    }

    /// A copy of the world as it is.
    pub(crate) fn copy_of_world(&self) -> World {
        self.world.read(Clone::clone)
    }

    /// What is read and planned.
    pub(crate) fn scope(&self, look: &RefreshOptions) -> Scope<'_> {
        let subscription = SubscriptionId::new(arm::SUBSCRIPTION);
        let mut scope = Scope::new(&self.topology, subscription, KEY.to_owned());
        scope.options = PlanOptions {
            deep: look.deep,
            destroy: look.destroying,
            adopt: look.adopt.clone(),
            worker_request: look.worker_request.clone(),
            allow_loss: look.allow_loss,
        };
        scope
    }

    /// Reads the world and plans.
    pub(crate) async fn look(&self, look: &RefreshOptions) -> Planned {
        let scope = self.scope(look);
        let clock = clock(self.world.now());
        let clients = self.doors.read_only();
        Pipeline { clients: &clients, scope: &scope, now: &clock }.run().await
    }

    /// Reads live state for a plan.
    pub(crate) async fn read(&self, scope: &Scope<'_>) -> Reading {
        let clock = clock(self.world.now());
        let clients = self.doors.read_only();
        Pipeline { clients: &clients, scope, now: &clock }.read().await
    }

    /// A plan at first glance.
    pub(crate) async fn plan(&self) -> Plan {
        self.look(&RefreshOptions::default()).await.plan
    }

    /// Plans and applies, approving only what the first plan shows.
    pub(crate) async fn apply(&self, look: &RefreshOptions) -> Applied {
        let planned = self.look(look).await;
        self.apply_planned(look, planned, &Quiet).await
    }

    /// Goes on from a plan.
    pub(crate) async fn apply_planned(
        &self,
        look: &RefreshOptions,
        planned: Planned,
        reporter: &dyn Reporter,
    ) -> Applied {
        let scope = self.scope(look);
        let clock = clock(self.world.now());
        let clients = self.doors.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        apply(&self.context(pipeline, reporter), planned, &|_: &Plan| false).await
    }

    /// Executes a kept plan once.
    pub(crate) async fn apply_once(&self, plan: &Plan) -> Applied {
        let scope = self.scope(&RefreshOptions::default());
        let clock = clock(self.world.now());
        let clients = self.doors.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let planned = Planned { plan: plan.clone(), ..pipeline.run().await };
        apply_once(&self.context(pipeline, &Quiet), planned).await
    }

    fn context<'a>(
        &'a self,
        pipeline: Pipeline<'a>,
        reporter: &'a dyn Reporter,
    ) -> ApplyContext<'a> {
        ApplyContext { pipeline, clients: &self.doors, reporter, stop: self.stop.clone() }
    }

    /// Applies, and makes sure that nothing is left to do.
    pub(crate) async fn iterate(&self) -> Applied {
        let applied = self.apply(&RefreshOptions::default()).await;
        let left = applied.remaining.as_ref().map(told).unwrap_or_default();
        assert_eq!(
            applied.ending,
            ApplyStatus::Converged,
            "{}\n{left}",
            failures(&applied).join("\n")
        );
        applied
    }

    /// Breaks something.
    pub(crate) fn strike(&self, fault: Fault, target: Option<&str>) -> String {
        self.world.change(|world, now| faults::inject(world, fault, target, now)).unwrap()
    }

    /// How many requests so far meant to change something, hosts included.
    pub(crate) fn writes(&self) -> u64 {
        self.world.read(|world| world.log.writes())
    }
}

fn topology(text: &str) -> Topology {
    load_text("stargate.toml", text).unwrap_or_else(|errors| panic!("{errors:#?}")).topology
}

/// A clock that goes on with tokio's.
fn clock(from: Timestamp) -> impl Fn() -> Timestamp + Send + Sync + 'static {
    let start = tokio::time::Instant::now();
    move || from + SignedDuration::try_from(start.elapsed()).unwrap()
}

fn doors(world: &SharedWorld, topology: &Topology) -> Clients {
    let requests = RequestCount::default();
    let wire = Arc::new(InMemory::new(world.clone()));
    Clients {
        kubeconfig: None,
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
        cluster: Arc::new(PassThrough { world: world.clone(), requests: requests.clone() }),
        hosts: Arc::new(RetryingHosts::new(Arc::new(world.clone()))),
        requests,
    }
}

#[derive(Debug)]
struct PassThrough {
    world: SharedWorld,
    requests: RequestCount,
}

#[async_trait]
impl ClusterConnector for PassThrough {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let service = kube_service(self.world.clone());
        let client = kube::client::ClientBuilder::new(service, "default")
            .with_layer(&RequestLayer::new(RequestPolicy::new(
                Api::Kubernetes,
                Limits::unlimited(),
                self.requests.clone(),
                ClientSettings::default(),
            )))
            .build();
        Ok(Arc::new(ClusterClient::new(client, owner, self.requests.clone())))
    }
}

/// Hears nothing.
pub(crate) struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &Event) {}
}

/// A plan in a few lines.
pub(crate) fn told(plan: &Plan) -> String {
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

/// The steps of an apply that did not come to an end.
pub(crate) fn failures(applied: &Applied) -> Vec<String> {
    let well = |outcome: &Outcome| matches!(outcome, Outcome::Done | Outcome::UpToDate);
    applied
        .outcomes
        .iter()
        .filter(|(_, outcome)| !well(outcome))
        .map(|(address, outcome)| format!("{address}: {outcome:?}"))
        .collect()
}
