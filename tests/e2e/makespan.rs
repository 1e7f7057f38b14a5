//! Measures how long the join of many workers takes, in simulated time.
//!
//! `cargo test --test e2e makespan -- --nocapture` prints the figures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::provider::http::{Transport, TransportError};
use stargate::resource::{Address, ArmId, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::transport::InMemory;
use tokio::time::Instant;

use crate::harness::{Deployment, RefreshOptions, clients_on, failures};

/// A topology with existing machines behind one router.
pub(crate) fn many_workers(count: u32, rollout: &str) -> String {
    format!(
        r#"
        [stargate]
        name = "many"
        [azure]
        location = "canadacentral"
        [cluster]
        name = "many"
        resource_group = "many"
        kubernetes_version = "1.33.5"
        pod_cidr = "10.240.0.0/13"
        service_cidr = "10.0.0.0/16"
        [cluster.node_pools.system]
        count = 2
        vm_size = "Standard_D2s_v5"
        [cluster.router]
        name = "many-router"
        subnet_cidr = "10.237.0.0/24"
        vm_size = "Standard_D2s_v5"
        [rollout]
        {rollout}
        [profiles.standard]
        kubernetes_version = "1.33.5"
        [datacenters.dc1]
        pod_pool = "10.243.0.0/17"
        profile = "standard"
        [datacenters.dc1.existing]
        network_cidr = "10.61.0.0/16"
        [datacenters.dc1.router]
        name = "dc1-router"
        ip = "10.61.0.4"
        ssh_address = "dc1.example.com"
        [datacenters.dc1.worker_range]
        name = "dc1-worker-{{:03}}"
        count = {count}
        first_ip = "10.61.1.5"
        "#
    )
}

/// Start and end of each worker's join, and the durations of its parts.
#[derive(Default)]
struct Timeline {
    started: Mutex<BTreeMap<Address, Instant>>,
    ended: Mutex<BTreeMap<Address, Instant>>,
    parts: Mutex<BTreeMap<String, Vec<u64>>>,
}

impl Reporter for Timeline {
    fn event(&self, event: &Event) {
        let is_worker = |address: &Address| address.kind == Kind::Worker;
        match event {
            Event::StepStarted { address, .. } if is_worker(address) => {
                self.started.lock().unwrap().insert(address.clone(), Instant::now());
            }
            Event::StepFinished { address, .. } if is_worker(address) => {
                self.ended.lock().unwrap().insert(address.clone(), Instant::now());
            }
            Event::PhaseFinished { phase, milliseconds, .. } => {
                self.parts.lock().unwrap().entry(phase.clone()).or_default().push(*milliseconds);
            }
            _ => {}
        }
    }
}

/// The measured figures.
struct Figures {
    /// From the start of the first join to the end of the last.
    makespan: Duration,
    /// The durations of the joins in ascending order.
    joins: Vec<Duration>,
    /// The maximum number of concurrent joins.
    max_concurrent: usize,
    /// The number of joins that had ended when the second one started.
    ended_before_second: usize,
    /// The parts of a join, with the durations for each worker.
    parts: BTreeMap<String, Vec<u64>>,
}

async fn measure(count: u32, rollout: &str) -> Figures {
    let deployment = Deployment::of(&many_workers(count, rollout), SandboxState::new(7));
    deployment.sandbox.simulate_host_delays();
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let timeline = Timeline::default();
    let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &timeline).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let (started, ended) =
        (timeline.started.into_inner().unwrap(), timeline.ended.into_inner().unwrap());
    let mut joins: Vec<Duration> = started.iter().map(|(it, at)| ended[it] - *at).collect();
    joins.sort();
    let at_once =
        |at: &Instant| started.iter().filter(|(it, from)| *from <= at && ended[*it] > *at).count();
    let mut beginnings: Vec<&Instant> = started.values().collect();
    beginnings.sort();
    Figures {
        makespan: *ended.values().max().unwrap() - *beginnings[0],
        max_concurrent: started.values().map(at_once).max().unwrap(),
        ended_before_second: ended.values().filter(|at| *at <= beginnings[1]).count(),
        joins,
        parts: timeline.parts.into_inner().unwrap(),
    }
}

/// A canary, then 99 workers that join for the first time and are under no width: 64 steps run at
/// the same time, so the duration is that of three sequential joins plus at most a tenth.
#[tokio::test(start_paused = true)]
async fn makespan_of_a_hundred_workers() {
    let (count, canary, width) = (100_u32, 1_u32, 64_u32);
    let rollout = format!("canary = {canary}\nwidth = 1");
    let figures = measure(count, &rollout).await;
    let join = figures.joins[figures.joins.len() / 2];
    let rounds = 1 + (count - canary).div_ceil(width);
    let bound = join.mul_f64(1.10 * f64::from(rounds));
    println!("{count} workers, canary {canary}, {width} at once, in simulated time");
    for (phase, times) in &figures.parts {
        let longest = times.iter().max().copied().unwrap_or_default();
        println!("  {phase:24} {:>6.1} s", Duration::from_millis(longest).as_secs_f64());
    }
    println!("  one join                 {:>6.1} s", join.as_secs_f64());
    println!("  {rounds} joins                  {:>6.1} s", (join * rounds).as_secs_f64());
    println!("  at most a tenth more     {:>6.1} s", bound.as_secs_f64());
    println!("  makespan                 {:>6.1} s", figures.makespan.as_secs_f64());
    println!("  at the same time         {:>4} workers at the most", figures.max_concurrent);
    assert_eq!(figures.joins.len(), count as usize);
    assert!(figures.makespan <= bound, "{:?} > {bound:?}", figures.makespan);
    assert_eq!((figures.ended_before_second, figures.max_concurrent), (1, width as usize));
    assert!(join > Duration::from_secs(60), "time passes: {join:?}");
    let installed = &figures.parts["container runtime"];
    assert_eq!((installed.len(), installed[0]), (count as usize, 40_000));
}

/// Without a canary all workers join at the same time.
#[tokio::test(start_paused = true)]
async fn makespan_without_a_canary() {
    let figures = measure(20, "canary = 0\nwidth = 1").await;
    assert_eq!(figures.max_concurrent, 20);
    let join = figures.joins[figures.joins.len() / 2];
    assert!(figures.makespan <= join.mul_f64(1.1), "{:?}: {join:?}", figures.makespan);
}

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

/// How long the first apply of a topology takes, and one join.
async fn first_apply(text: &str) -> (Duration, Duration) {
    let mut deployment = Deployment::of(text, SandboxState::new(8));
    deployment.sandbox.simulate_host_delays();
    let sandbox = InMemory::new(deployment.sandbox.clone());
    let wire = Arc::new(UsualAzure { sandbox, ends: Mutex::default() });
    let (cluster, requests) =
        (deployment.clients.cluster.clone(), deployment.clients.requests.clone());
    deployment.clients =
        clients_on(&deployment.sandbox, &deployment.topology, (wire, cluster), requests);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let timeline = Timeline::default();
    let begin = Instant::now();
    let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &timeline).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let (started, ended) =
        (timeline.started.into_inner().unwrap(), timeline.ended.into_inner().unwrap());
    let mut joins: Vec<Duration> = started.iter().map(|(it, at)| ended[it] - *at).collect();
    joins.sort();
    (begin.elapsed(), joins[joins.len() / 2])
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// With more VMs than run at the same time, the canary does not wait for the last of them:
/// everything takes at most a tenth longer than one worker by itself and the joins of the others,
/// or than the VMs by themselves and one join.
///
/// `MAKESPAN_DATACENTERS=10 MAKESPAN_WORKERS=100` measures a thousand workers.
#[tokio::test(start_paused = true)]
async fn makespan_of_many_vms() {
    let datacenters = number("MAKESPAN_DATACENTERS", 2);
    let workers = number("MAKESPAN_WORKERS", 70);
    let (alone, join) = first_apply(&azure_datacenters(datacenters, 1)).await;
    let (makespan, _) = first_apply(&azure_datacenters(datacenters, workers)).await;
    let at_once = 64;
    // The canary joins by itself, in both.
    let rounds = |workers: u32| 1 + (workers - 1).div_ceil(at_once);
    let of_joins = alone + join * (rounds(datacenters * workers) - rounds(datacenters));
    let machines = (datacenters * workers).div_ceil(at_once);
    let of_machines = Duration::from_secs(70) * machines + join;
    let bound = of_joins.max(of_machines);
    println!("{datacenters} datacenters of {workers} workers, in simulated time");
    println!("  one worker each          {:>7.1} s", alone.as_secs_f64());
    println!("  one join                 {:>7.1} s", join.as_secs_f64());
    println!("  bound                    {:>7.1} s", bound.as_secs_f64());
    println!("  makespan                 {:>7.1} s", makespan.as_secs_f64());
    assert!(makespan <= bound.mul_f64(1.10), "{makespan:?} > 1.10 * {bound:?}");
}
