//! Measures how long the first apply of whole topologies takes, in simulated time, against its
//! bound and the plan's estimate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stargate::apply::ApplyStatus;
use stargate::plan::Plan;
use stargate::provider::http::{Transport, TransportError};
use stargate::resource::{Address, Api, ArmId, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::transport::InMemory;
use tokio::time::Instant;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, clients_on, failures};
use crate::makespan::{AT_ONCE, Timeline, Usual, many_workers};

/// A topology of datacenters of VMs.
fn azure_datacenters(datacenters: u32, workers: u32) -> String {
    let text = many_workers(1, "");
    let (head, _) = text.split_once("[datacenters.dc1]").unwrap();
    let one = |number: u32| {
        let (pool, network) = (number * 128, number + 100);
        let pool = format!("10.{}.{}.0/17", 243 + pool / 256, pool % 256);
        format!(
            r#"
            [datacenters.dc{number}]
            pod_pool = "{pool}"
            profile = "standard"
            [datacenters.dc{number}.azure]
            resource_group = "many-dc{number}"
            vnet_cidr = "10.{network}.0.0/16"
            subnet_cidr = "10.{network}.1.0/24"
            router_subnet_cidr = "10.{network}.0.0/24"
            vm_size = "Standard_D2s_v5"
            [datacenters.dc{number}.router]
            name = "dc{number}-router"
            [datacenters.dc{number}.worker_range]
            name = "dc{number}-worker-{{:03}}"
            count = {workers}
            "#
        )
    };
    let all: String = (0..datacenters).map(one).collect();
    format!("{head}{all}")
}

/// Lets Azure's operations take the time that the service usually takes.
#[derive(Debug)]
struct UsualAzure {
    sandbox: InMemory,
    /// When each operation ends, by its URL.
    ends: Mutex<BTreeMap<String, Instant>>,
}

fn usual_delay(request: &http::Request<bytes::Bytes>) -> Duration {
    let id = ArmId::new(request.uri().path());
    let kind = id.resource_type().and_then(|resource_type| Kind::of_arm_type(&resource_type));
    let seconds = match (kind, request.method()) {
        (Some(kind), &http::Method::PUT) => kind.facts().seconds.create,
        _ => 0,
    };
    Duration::from_secs(seconds)
}

#[async_trait]
impl Transport for UsualAzure {
    async fn send(
        &self,
        request: http::Request<bytes::Bytes>,
    ) -> Result<http::Response<bytes::Bytes>, TransportError> {
        let end = self.ends.lock().unwrap().get(&request.uri().to_string()).copied();
        if end.is_some_and(|end| Instant::now() < end) {
            let body = bytes::Bytes::from_static(b"{\"status\":\"InProgress\"}");
            return Ok(http::Response::new(body));
        }
        let delay = usual_delay(&request);
        let response = self.sandbox.send(request).await?;
        match response.headers().get("azure-asyncoperation") {
            Some(url) => {
                let url = url.to_str().unwrap().to_owned();
                self.ends.lock().unwrap().insert(url, Instant::now() + delay);
            }
            None => tokio::time::sleep(delay.min(Duration::from_secs(10))).await,
        }
        Ok(response)
    }
}

/// What the first apply of a topology takes.
struct FirstApply {
    makespan: Duration,
    usual: Usual,
    workers: u32,
    /// The least time until all workers' machines exist, by the width of the API.
    machines: Duration,
    /// The estimate of the plan.
    estimate: Duration,
    /// The longest chain of the plan's changes, without any width.
    chain: Duration,
    /// Requests while it was applied, by API.
    requests: BTreeMap<Api, u64>,
    resources: u32,
}

async fn first_apply(text: &str) -> FirstApply {
    let mut deployment = Deployment::of(text, SandboxState::new(8));
    deployment.sandbox.simulate_host_delays();
    let sandbox = InMemory::new(deployment.sandbox.clone());
    let wire = Arc::new(UsualAzure { sandbox, ends: Mutex::default() });
    let (cluster, requests) =
        (deployment.clients.cluster.clone(), deployment.clients.requests.clone());
    deployment.clients =
        clients_on(&deployment.sandbox, &deployment.topology, (wire, cluster), requests);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let before = deployment.clients.requests.by_api();
    let kinds: Vec<Kind> = created(&planned.plan).collect();
    let machines = [Kind::NetworkInterface, Kind::VirtualMachine];
    let seconds =
        |kind: &Kind| if machines.contains(kind) { kind.facts().seconds.create } else { 0 };
    let machines = kinds.iter().map(seconds).sum::<u64>() as f64 / f64::from(AT_ONCE);
    let before_machines = seconds_before_deferred(&planned.plan);
    let workers = kinds.iter().filter(|kind| **kind == Kind::Worker).count() as u32;
    let (estimate, chain) = (planned.plan.cost.seconds, chain_seconds(&planned.plan));
    let timeline = Timeline::default();
    let begin = Instant::now();
    let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &timeline).await;
    let makespan = begin.elapsed();
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let (started, ended) =
        (timeline.started.into_inner().unwrap(), timeline.ended.into_inner().unwrap());
    let mut joins: Vec<Duration> = started.iter().map(|(it, at)| ended[it] - *at).collect();
    joins.sort();
    let mut requests = deployment.clients.requests.by_api();
    requests.iter_mut().for_each(|(api, count)| *count -= before.get(api).unwrap_or(&0));
    FirstApply {
        makespan,
        usual: Usual::of(&timeline.parts.into_inner().unwrap(), &joins),
        workers,
        machines: Duration::from_secs(before_machines) + Duration::from_secs_f64(machines),
        estimate: Duration::from_secs(estimate),
        chain: Duration::from_secs(chain),
        requests,
        resources: kinds.len() as u32,
    }
}

/// The kinds of the resources that a plan creates, now or later.
fn created(plan: &Plan) -> impl Iterator<Item = Kind> {
    let changes = plan.changes.iter().map(|change| change.address.kind);
    changes.chain(plan.deferred.iter().map(|deferred| deferred.address.kind))
}

/// How long the part of the longest chain takes that deferred machines wait for: the cluster.
fn seconds_before_deferred(plan: &Plan) -> u64 {
    let planned = |address: &&Address| plan.changes.iter().any(|it| it.address == **address);
    let path = plan.cost.critical_path.iter().filter(planned);
    path.map(|address| address.kind.facts().seconds.create).sum()
}

/// How long the longest chain takes, whatever runs beside it.
fn chain_seconds(plan: &Plan) -> u64 {
    plan.cost.critical_path.iter().map(|address| address.kind.facts().seconds.create).sum()
}

impl FirstApply {
    /// The least time: the longest chain, or the machines by the width of their API and one join
    /// after the last, or the joins after the chain of the canary.
    fn bound(&self) -> Duration {
        let of_machines = self.machines + self.usual.download + self.usual.join;
        let of_joins = self.chain + self.usual.after_canary(self.workers.saturating_sub(1));
        of_machines.max(of_joins)
    }

    #[expect(clippy::print_stdout, reason = "the figures are what the test is run for")]
    fn print(&self, name: &str) {
        println!("{name}, in simulated time");
        let seconds =
            |label, time: Duration| println!("  {label:<24} {:>7.1} s", time.as_secs_f64());
        seconds("one download", self.usual.download);
        seconds("one join", self.usual.join);
        seconds("longest chain", self.chain);
        seconds("all machines", self.machines);
        seconds("bound", self.bound());
        seconds("estimate of the plan", self.estimate);
        seconds("makespan", self.makespan);
        for (api, count) in &self.requests {
            let each = *count as f64 / f64::from(self.resources);
            println!("  requests to {:<12} {count:>7}, {each:.1} for each resource", api.title());
        }
    }
}

/// The first apply of each takes at most a tenth longer than its bound by the same width, and
/// the plan's estimate is within 15 %.
///
/// `MAKESPAN=all` measures ten datacenters of a hundred workers, too.
#[tokio::test(start_paused = true)]
async fn makespan_of_first_deployments() {
    let mut cases = vec![
        ("the example", EXAMPLE.to_owned()),
        ("1 datacenter of 100 VMs", azure_datacenters(1, 100)),
    ];
    if std::env::var_os("MAKESPAN").is_some() {
        let mixed = include_str!("../../examples/ten-datacenters/stargate.toml");
        cases.push(("10 datacenters of 100, 2 of VMs", mixed.to_owned()));
        cases.push(("10 datacenters of 100 VMs", azure_datacenters(10, 100)));
    }
    for (name, text) in cases {
        let applied = first_apply(&text).await;
        applied.print(name);
        let (makespan, bound) = (applied.makespan, applied.bound());
        assert!(makespan <= bound.mul_f64(1.10), "{name}: {makespan:?} > 1.10 * {bound:?}");
        let ratio = applied.estimate.as_secs_f64() / makespan.as_secs_f64();
        assert!((0.85..=1.15).contains(&ratio), "{name}: {ratio}");
    }
}
