//! Measures how long the join of many workers takes, in simulated time.
//!
//! `cargo test --test e2e makespan -- --nocapture` prints the figures.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::resource::{Address, Kind};
use stargate::sandbox::SandboxState;
use tokio::time::Instant;

use crate::harness::{Deployment, RefreshOptions, failures};

/// A topology with existing machines behind one router.
pub(crate) fn many_workers(count: u32, rollout: &str) -> String {
    let pool = if count > 100 { "10.244.0.0/14" } else { "10.243.0.0/17" };
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
        pod_pool = "{pool}"
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

/// How many steps of an API, and how many downloads, run at the same time.
pub(crate) const AT_ONCE: u32 = 64;
pub(crate) const DOWNLOADS_AT_ONCE: u32 = 128;

/// The usual times of a worker's parts.
#[derive(Clone, Copy)]
struct Usual {
    /// The download of its packages, ahead of its turn.
    download: Duration,
    /// The join with packages that are there.
    join: Duration,
}

impl Usual {
    fn of(parts: &BTreeMap<String, Vec<u64>>, joins: &[Duration]) -> Self {
        let download = parts["package download"].iter().max().copied().unwrap();
        // The canary's is the longest.
        Self { download: Duration::from_millis(download), join: joins[0] }
    }

    /// The least time in which so many workers join after the canary.
    fn after_canary(self, workers: u32) -> Duration {
        if workers == 0 {
            return Duration::ZERO;
        }
        let of_downloads = self.download * workers.div_ceil(DOWNLOADS_AT_ONCE) + self.join;
        of_downloads.max(self.download + self.join * workers.div_ceil(AT_ONCE))
    }
}

/// A canary, then workers that join for the first time and are under no width: the packages of
/// those after the canary are downloaded ahead, 128 at the same time, and 64 of them join at the
/// same time.
///
/// `MAKESPAN_JOINS=1000` measures a thousand.
#[tokio::test(start_paused = true)]
async fn makespan_of_a_hundred_workers() {
    let (count, canary, width) = (number("MAKESPAN_JOINS", 100), 1_u32, AT_ONCE);
    let rollout = format!("canary = {canary}\nwidth = 1");
    let figures = measure(count, &rollout).await;
    let usual = Usual::of(&figures.parts, &figures.joins);
    let of_canary = *figures.joins.last().unwrap();
    let least = of_canary + usual.after_canary(count - canary);
    let bound = least.mul_f64(1.10);
    println!("{count} workers, canary {canary}, {width} at once, in simulated time");
    for (phase, times) in &figures.parts {
        let longest = times.iter().max().copied().unwrap_or_default();
        println!("  {phase:24} {:>6.1} s", Duration::from_millis(longest).as_secs_f64());
    }
    println!("  one join                 {:>6.1} s", usual.join.as_secs_f64());
    println!("  the canary               {:>6.1} s", of_canary.as_secs_f64());
    println!("  at most a tenth more     {:>6.1} s", bound.as_secs_f64());
    println!("  makespan                 {:>6.1} s", figures.makespan.as_secs_f64());
    println!("  at the same time         {:>4} workers at the most", figures.max_concurrent);
    assert_eq!(figures.joins.len(), count as usize);
    assert!(figures.makespan <= bound, "{:?} > {bound:?}", figures.makespan);
    assert_eq!((figures.ended_before_second, figures.max_concurrent), (1, width as usize));
    assert!(of_canary > Duration::from_secs(60), "time passes: {of_canary:?}");
    assert!(figures.makespan <= Duration::from_secs(1_200), "{:?}", figures.makespan);
    // A worker installs downloaded packages, the canary by itself.
    for (part, milliseconds) in [("package download", 57_000), ("container runtime", 6_000)] {
        let times = &figures.parts[part];
        assert_eq!(times.len(), count as usize, "{part}");
        assert!(times.iter().all(|time| *time == milliseconds), "{part}: {times:?}");
    }
    assert!(usual.join < usual.download, "a wave holds only what disturbs");
}

#[tokio::test(start_paused = true)]
async fn makespan_without_a_canary() {
    let figures = measure(20, "canary = 0\nwidth = 1").await;
    assert_eq!(figures.max_concurrent, 20);
    let join = figures.joins[figures.joins.len() / 2];
    assert!(figures.makespan <= join.mul_f64(1.1), "{:?}: {join:?}", figures.makespan);
}

fn number(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
