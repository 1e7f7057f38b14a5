//! Hours of virtual time: nodes come and go, services fail, the file is edited and broken,
//! people request Operations, in an order that a seed decides. The watch converges after each
//! disturbance, writes nothing while nothing changes, and keeps nothing that it needs no more.
//!
//! `STARGATE_WATCH_HOURS`, `STARGATE_WATCH_WORKERS` and `STARGATE_WATCH_SEED` set the length,
//! the size and the order; 24 hours of 1,000 workers are for a release build:
//! `STARGATE_WATCH_HOURS=24 STARGATE_WATCH_WORKERS=1000 cargo test --release --test e2e -- \
//! long_run --nocapture`.

mod disturbance;
mod leaks;
mod progress;
mod soak;
mod unreliable_services;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use stargate::apply::StopSignal;
use stargate::provider::http::Api;
use stargate::sandbox::SandboxState;
use stargate::watch::{
    ClusterWatchers, Controller, Leadership, ReconcileResult, TopologyRecorder, Trigger, Triggers,
};
use tokio::time::{Instant, sleep};

use super::{MemoryFile, SandboxReconciler};
use crate::absence::mixed;
use crate::deployment_makespan::azure_datacenters;
use crate::harness::{Deployment, EXAMPLE, summary};
use disturbance::Disturbance;
use leaks::Census;
use progress::Progress;
use unreliable_services::UnreliableServices;

/// The length of a usual run.
const USUAL_HOURS: u64 = 8;

/// The speed of a run, and its limits.
#[derive(Debug, Clone, Copy)]
struct RunSettings {
    /// The interval of the topology.
    interval: Duration,
    /// The durations of disturbances are divided by this.
    divisor: u32,
    /// Longer than a disturbance takes to be corrected, an Operation included.
    max_convergence: Duration,
    /// How many more tasks than at the start there may be.
    more_tasks: usize,
    /// Whether no other test runs in this process, so that its memory and sockets count.
    is_alone: bool,
}

/// Virtual time costs nothing.
const VIRTUAL: RunSettings = RunSettings {
    interval: Duration::from_secs(300),
    divisor: 1,
    max_convergence: Duration::from_secs(4 * 3_600),
    // A few tasks come and go: an attempt to renew, a watch that is repeated.
    more_tasks: 8,
    is_alone: false,
};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The numbers that decide what happens.
#[derive(Debug)]
struct Rng {
    seed: u64,
    thrown: u64,
    /// Divides durations.
    divisor: u32,
}

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.thrown += 1;
        let number = mixed(self.seed.wrapping_mul(0x1_0000_0001).wrapping_add(self.thrown));
        usize::try_from(number % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn seconds(&mut self, from: usize, to: usize) -> Duration {
        Duration::from_secs(u64::try_from(from + self.below(to - from)).unwrap()) / self.divisor
    }
}

/// The topology, and the names of its workers and of their profile.
pub(super) struct Subject {
    pub(super) text: String,
    workers: Vec<String>,
    profile: &'static str,
    max_nodes: usize,
}

impl Subject {
    pub(super) fn of(workers: Option<u64>) -> Self {
        let watch = "\n[watch]\napply = \"all\"\nmax_removals = 1000\n";
        let Some(count) = workers else {
            let workers = [1, 2].map(|number| format!("stargate-aks-e2e-2-worker-{number}"));
            let text = format!("{EXAMPLE}{watch}");
            let profile = "azure-k8s-worker";
            return Self { text, workers: workers.into(), profile, max_nodes: 5 };
        };
        let datacenters = u32::try_from(count.div_ceil(100)).unwrap();
        let each = u32::try_from(count).unwrap().div_ceil(datacenters);
        let names = (0..datacenters).flat_map(|datacenter| {
            (1..=each).map(move |number| format!("dc{datacenter}-worker-{number:03}"))
        });
        let (fixed, bounds) = ("count = 2\n", "min = 2\nmax = 40\n");
        let text = azure_datacenters(datacenters, each);
        assert!(text.contains(fixed));
        let text = format!("{}{watch}", text.replacen(fixed, bounds, 1));
        Self { text, workers: names.collect(), profile: "standard", max_nodes: 40 }
    }
}

/// A watch in the middle of its hours.
struct LongRun<'a> {
    deployment: &'a Deployment,
    subject: &'a Subject,
    file: &'a MemoryFile,
    progress: &'a Progress,
    triggers: &'a Triggers,
    watchers: &'a ClusterWatchers,
    services: &'a UnreliableServices,
    settings: RunSettings,
    rng: Rng,
    disturbances: usize,
    unchanged: Unchanged,
}

/// The requests while nothing changed.
#[derive(Default)]
struct Unchanged {
    time: Duration,
    reads: std::collections::BTreeMap<Api, u64>,
}

impl LongRun<'_> {
    async fn go_on_for(&mut self, time: Duration) {
        let begin = Instant::now();
        self.converges("the start").await;
        let baseline = Census::of(self);
        while begin.elapsed() < time {
            let disturbance = Disturbance::random(&mut self.rng, self.subject);
            let what = format!("disturbance {}: {disturbance:?}", self.disturbances);
            self.disturbances += 1;
            // A person looks in from time to time; else a soak in which much fails within ten
            // minutes would pause changes.
            if self.settings.divisor > 1 {
                self.triggers.add(Trigger::Request);
            }
            disturbance.happen(self).await;
            self.converges(&what).await;
            leaks::watches_are_complete(self, &what).await;
            let census = Census::of(self);
            if self.settings.is_alone {
                let hours = begin.elapsed().as_secs_f64() / 3_600.0;
                let _ = writeln!(std::io::stderr(), "{hours:.2} h: {what}; {census}");
            }
            census.compare(&baseline, &what);
            match self.rng.below(3) {
                0 => self.stays_unchanged(&what).await,
                _ => sleep(self.rng.seconds(1, 90)).await,
            }
        }
    }

    /// Waits until a reconcile that began after now has left nothing to do.
    async fn converges(&self, what: &str) {
        let (begin, before) = (Instant::now(), self.progress.started());
        loop {
            sleep(Duration::from_secs(1)).await;
            let last = self.progress.last();
            let is_new = last.as_ref().is_some_and(|(number, _)| *number > before);
            let matches = last.as_ref().map(|(_, it)| it.result) == Some(ReconcileResult::Matches);
            let is_idle = self.triggers.waiting() == 0 && !self.progress.is_running();
            if is_new && matches && is_idle && !disturbance::has_open_operations(self.deployment) {
                break;
            }
            assert!(
                begin.elapsed() < self.settings.max_convergence,
                "{what}: no convergence: {last:#?}"
            );
        }
        let left = self.deployment.plan().await;
        assert!(left.is_empty(), "{what}:\n{}", summary(&left));
    }

    /// Nothing is written for two intervals, and every hour costs the same reads.
    async fn stays_unchanged(&mut self, what: &str) {
        // What the disturbance still leads to, as the end of a watch that was cut.
        let interval = self.settings.interval;
        sleep(interval).await;
        let (writes, reads, begin) = (self.writes(), self.reads(), Instant::now());
        let reconciles = self.progress.started();
        sleep(2 * interval + interval / 2).await;
        assert_eq!(self.writes(), writes, "{what}: written while nothing changed");
        assert!(self.progress.started() >= reconciles + 2, "{what}: the timer goes on");
        self.unchanged.time += begin.elapsed();
        for (api, count) in self.reads() {
            *self.unchanged.reads.entry(api).or_default() += count - reads.get(&api).unwrap_or(&0);
        }
    }

    /// The writes so far, without the renewals of Leases.
    fn writes(&self) -> u64 {
        self.deployment.writes() - self.services.lease_writes()
    }

    /// The reads so far by API, without those of Leases.
    fn reads(&self) -> std::collections::BTreeMap<Api, u64> {
        self.services.reads()
    }

    fn report(&self, seed: u64) {
        let Unchanged { time, reads } = &self.unchanged;
        let hours = time.as_secs_f64() / 3_600.0;
        let per_hour = |(api, count): (&Api, &u64)| {
            #[expect(clippy::cast_precision_loss, reason = "a figure to read")]
            let count = *count as f64;
            format!("{api} {:.0}", count / hours)
        };
        let reads: Vec<String> = reads.iter().map(per_hour).collect();
        let text = format!(
            "seed {seed}: {} disturbances, {} reconciles, {} failed; {hours:.2} h without changes: \
             0 writes, reads per hour: {}; {}",
            self.disturbances,
            self.progress.started(),
            self.progress.failed(),
            reads.join(", "),
            Census::of(self),
        );
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Runs a watch of a deployment for a time.
async fn run(
    deployment: &Deployment,
    subject: &Subject,
    (seed, settings, time): (u64, RunSettings, Duration),
) {
    let services = Arc::new(UnreliableServices::new(seed));
    deployment.sandbox.set_fault_injector(Some(services.clone()));
    let (file, progress) = (MemoryFile::new(&subject.text), Progress::default());
    let (triggers, stop) = (Triggers::default(), StopSignal::default());
    let leadership = Leadership::new(&deployment.topology.name, "the watch", triggers.clone());
    let reconciler = SandboxReconciler {
        deployment,
        log: &progress,
        guard: Mutex::default(),
        memory: Mutex::default(),
        watchers: ClusterWatchers::new(triggers.clone()),
        leadership: Some(leadership),
        recorder: Some(TopologyRecorder::new("1.2.3", Timestamp::now)),
    };
    let controller = Controller {
        source: &file,
        reconciler: &reconciler,
        reporter: &progress,
        stop: stop.clone(),
        jitter: &|| 0.5,
    };
    let mut long_run = LongRun {
        deployment,
        subject,
        file: &file,
        progress: &progress,
        triggers: &triggers,
        watchers: &reconciler.watchers,
        services: services.as_ref(),
        settings,
        rng: Rng { seed, thrown: 0, divisor: settings.divisor },
        disturbances: 0,
        unchanged: Unchanged::default(),
    };
    let scenario = async {
        long_run.go_on_for(time).await;
        stop.stop();
    };
    let (ended, ()) = tokio::join!(controller.run(&triggers), scenario);
    ended.unwrap();
    long_run.report(seed);
    reconciler.leadership.unwrap().resign().await.unwrap();
    assert_eq!(leaks::leases(deployment), Vec::<String>::new(), "each lease is released");
}

#[tokio::test(start_paused = true)]
async fn a_long_run_converges_after_each_disturbance_and_leaks_nothing() {
    let seed = setting("STARGATE_WATCH_SEED").unwrap_or(1);
    let hours = setting("STARGATE_WATCH_HOURS").unwrap_or(USUAL_HOURS);
    let _ = writeln!(std::io::stderr(), "STARGATE_WATCH_SEED={seed}");
    let subject = Subject::of(setting("STARGATE_WATCH_WORKERS"));
    let deployment = Deployment::of(&subject.text, SandboxState::new(seed));
    deployment.iterate().await;
    deployment.sandbox.simulate_host_delays();
    let time = Duration::from_secs(hours * 3_600);
    let settings = RunSettings { is_alone: setting("STARGATE_WATCH_HOURS").is_some(), ..VIRTUAL };
    run(&deployment, &subject, (seed, settings, time)).await;
}
