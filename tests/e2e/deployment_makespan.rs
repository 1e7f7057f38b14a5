//! Measures how long the first apply of whole topologies takes, in simulated time, against its
//! bound and the plan's estimate.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stargate::apply::ApplyStatus;
use stargate::provider::http::{Transport, TransportError};
use stargate::resource::{Api, ArmId, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::transport::InMemory;
use tokio::time::Instant;

use crate::deployment_bound::{Bound, Timings};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, clients_on, failures};
use crate::makespan::many_workers;

/// A topology of datacenters of VMs.
pub(crate) fn azure_datacenters(datacenters: u32, workers: u32) -> String {
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
            None => tokio::time::sleep(delay).await,
        }
        Ok(response)
    }
}

/// The duration of a topology's first apply.
struct FirstApply {
    makespan: Duration,
    bound: Bound,
    /// The estimate of the plan.
    estimate: Duration,
    /// Reads and writes while it was applied, by API.
    requests: BTreeMap<Api, (u64, u64)>,
    resources: usize,
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
    deployment.sandbox.change(|sandbox, now| sandbox.log.begin("apply", now));
    let (timings, estimate) = (Timings::default(), planned.plan.cost.seconds);
    let first = planned.plan.desired().clone();
    let begin = Instant::now();
    let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &timings).await;
    let makespan = begin.elapsed();
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let requests = requests_since(&deployment, &before);
    let plan = deployment.plan().await;
    assert!(plan.is_empty());
    FirstApply {
        makespan,
        bound: Bound::of(&first, plan.desired(), &timings),
        estimate: Duration::from_secs(estimate),
        requests,
        resources: plan.desired().len(),
    }
}

/// Reads and writes, by API. The sandbox does not see the looks at operations that go on.
fn requests_since(
    deployment: &Deployment,
    before: &BTreeMap<Api, u64>,
) -> BTreeMap<Api, (u64, u64)> {
    let writes = |api: Api| {
        deployment.sandbox.read(|sandbox| {
            let counts = sandbox.log.last_run().and_then(|run| run.counts.get(&api).cloned());
            counts.unwrap_or_default().writes
        })
    };
    let all = deployment.clients.requests.by_api().into_iter();
    all.map(|(api, count)| {
        let (since, writes) = (count - before.get(&api).unwrap_or(&0), writes(api));
        (api, (since.saturating_sub(writes), writes))
    })
    .collect()
}

impl FirstApply {
    fn makespan_by_bound(&self) -> f64 {
        self.makespan.as_secs_f64() / self.bound.least().as_secs_f64()
    }

    fn estimate_by_makespan(&self) -> f64 {
        self.estimate.as_secs_f64() / self.makespan.as_secs_f64()
    }

    #[expect(clippy::print_stdout, reason = "the figures are what the test is run for")]
    fn print(&self, name: &str) {
        println!("{name}, in simulated time");
        let seconds =
            |label, time: Duration| println!("  {label:<24} {:>7.1} s", time.as_secs_f64());
        seconds("longest chain", self.bound.chain);
        seconds("Azure by its width", self.bound.azure);
        seconds("downloads by their width", self.bound.downloads);
        seconds("joins by their width", self.bound.joins);
        seconds("bound", self.bound.least());
        seconds("estimate of the plan", self.estimate);
        seconds("makespan", self.makespan);
        let shares = [
            ("makespan by bound", self.makespan_by_bound(), MAX_MAKESPAN_BY_BOUND),
            ("estimate by makespan", self.estimate_by_makespan(), *ESTIMATE_BY_MAKESPAN.end()),
        ];
        for (label, share, most) in shares {
            println!("  {label:<24} {share:>7.3}   at most {most:.2}");
        }
        for (api, (reads, writes)) in &self.requests {
            let each = |count: u64| count as f64 / self.resources as f64;
            println!(
                "  {:<12} {reads:>6} reads, {writes:>6} writes; {:.2} and {:.2} a resource",
                api.title(),
                each(*reads),
                each(*writes)
            );
        }
    }
}

/// The most that an apply may take, as a multiple of its bound by the same width.
const MAX_MAKESPAN_BY_BOUND: f64 = 1.10;

/// How far the estimate of a plan may be from the makespan, as a multiple of that.
const ESTIMATE_BY_MAKESPAN: RangeInclusive<f64> = 0.85..=1.15;

/// The first apply of each takes at most a tenth longer than its bound by the same width, and
/// the plan's estimate is within 15 %.
///
/// The estimate and the emulated Azure take the duration of an operation from the same table,
/// the usual seconds of each kind. So the test shows that the estimate has the right chains,
/// widths and waves; it does not show that the table is right about Azure.
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
        let (makespan, bound) = (applied.makespan, applied.bound.least());
        assert!(bound <= makespan, "{name}: the bound {bound:?} is above {makespan:?}");
        let by_bound = applied.makespan_by_bound();
        assert!(by_bound <= MAX_MAKESPAN_BY_BOUND, "{name}: {by_bound} times the bound {bound:?}");
        let estimate = applied.estimate_by_makespan();
        assert!(ESTIMATE_BY_MAKESPAN.contains(&estimate), "{name}: {estimate}");
    }
}
