//! `stargate watch` on the sandbox: the controller with the real clients, its triggers and
//! its changes without approval.

mod after_destroy;
mod approval;
mod approval_by_digest;
mod cluster;
mod file_events;
mod footprint;
mod latency;
mod long_run;
pub(crate) mod operations;
mod replicas;
mod shared_leadership;
mod topology_object;
mod unknown_leader;
mod waiting_workers;

pub(crate) use topology_object::reports_and_takes_an_approval;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use stargate::apply::StopSignal;
use stargate::diagnostics::{Code, Failure};
use stargate::pipeline::Pipeline;
use stargate::topology::load::{Loaded, load_text};
use stargate::topology::model::Topology;
use stargate::watch::{
    BurstGuard, ClusterWatchers, Controller, DeploymentMemory, Leadership, ReconcileContext,
    ReconcileResult, Reconciled, Reconciler, TopologyRecorder, TopologySource, Trigger, Triggers,
    WatchEvent, WatchReporter, reconcile,
};

use crate::harness::{Deployment, EXAMPLE, IgnoreProgress, clock};
use crate::refresh_options::RefreshOptions;

/// No timer interferes within a test.
const NO_TIMER: &str = "interval_seconds = 86400";

/// The example with settings in `[watch]`.
fn watched(settings: &str) -> String {
    format!("{EXAMPLE}\n[watch]\n{NO_TIMER}\n{settings}\n")
}

/// A topology file in memory.
struct MemoryFile(Mutex<Option<String>>);

impl MemoryFile {
    fn new(text: &str) -> Self {
        Self(Mutex::new(Some(text.to_owned())))
    }

    fn write(&self, text: Option<&str>) {
        *self.0.lock().unwrap() = text.map(str::to_owned);
    }
}

impl TopologySource for MemoryFile {
    fn load(&self) -> Result<Loaded, Failure> {
        let missing = || Failure::new(Code::Unreadable, "the file is missing", "restore it");
        let text = self.0.lock().unwrap().clone().ok_or_else(missing)?;
        load_text("stargate.toml", &text)
            .map_err(|found| Failure::new(Code::Syntax, found.to_string(), "correct it"))
    }
}

/// Keeps all events.
#[derive(Debug, Default)]
struct EventLog(Mutex<Vec<WatchEvent>>);

impl WatchReporter for EventLog {
    fn event(&self, event: &WatchEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

/// A finished reconcile, and its triggers.
#[derive(Debug, Clone)]
struct Finished {
    triggers: BTreeSet<Trigger>,
    reconciled: Reconciled,
}

impl EventLog {
    fn events(&self) -> Vec<WatchEvent> {
        self.0.lock().unwrap().clone()
    }

    fn finished(&self) -> Vec<Finished> {
        let mut finished = Vec::new();
        let mut started = BTreeSet::new();
        for event in self.events() {
            match event {
                WatchEvent::ReconcileStarted { triggers, .. } => started = triggers,
                WatchEvent::ReconcileFinished { reconciled, .. } => {
                    let triggers = started.clone();
                    finished.push(Finished { triggers, reconciled: *reconciled });
                }
                _ => {}
            }
        }
        finished
    }
}

/// The same sandbox, clients and signal with another topology.
fn with_topology(deployment: &Deployment, topology: Topology) -> Deployment {
    Deployment {
        sandbox: deployment.sandbox.clone(),
        topology,
        clients: deployment.clients.clone(),
        stop: deployment.stop.clone(),
        takes_lease: deployment.takes_lease,
        subscription: deployment.subscription.clone(),
    }
}

/// Reconciles the sandbox of a deployment.
struct SandboxReconciler<'a> {
    deployment: &'a Deployment,
    log: &'a dyn WatchReporter,
    guard: Mutex<BurstGuard>,
    memory: Mutex<DeploymentMemory>,
    watchers: ClusterWatchers,
    /// Where there are several replicas.
    leadership: Option<Leadership>,
    /// Where the Topology object is reported on.
    recorder: Option<TopologyRecorder>,
}

#[async_trait(?Send)]
impl Reconciler for SandboxReconciler<'_> {
    async fn reconcile(
        &self,
        topology: &Loaded,
        source: &dyn TopologySource,
        triggers: &BTreeSet<Trigger>,
    ) -> Reconciled {
        let settings = topology.topology.watch;
        let options =
            RefreshOptions { unattended: Some(settings.apply), ..RefreshOptions::default() };
        let deployment = with_topology(self.deployment, topology.topology.clone());
        let scope = deployment.scope(&options);
        let clock = clock(deployment.sandbox.now());
        let clients = deployment.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let mut apply = deployment.context(pipeline, &IgnoreProgress);
        if let Some(leadership) = &self.leadership {
            apply.lease = Some(leadership.write_lease().clone());
        }
        let context = ReconcileContext {
            apply,
            reporter: self.log,
            triggers,
            guard: &self.guard,
            memory: &self.memory,
            max_removals: settings.max_removals as usize,
            watchers: &self.watchers,
            leadership: self.leadership.as_ref(),
            topology,
            source,
            recorder: self.recorder.as_ref(),
        };
        reconcile(&context).await
    }

    async fn file_state(&self, invalid: Option<&Failure>) {
        if let Some(recorder) = &self.recorder {
            recorder.set_file_state(invalid).await;
        }
    }

    fn leader_elsewhere(&self) -> Option<String> {
        let holder = self.leadership.as_ref()?.leader_elsewhere();
        if let Some(recorder) = &self.recorder {
            recorder.follow_leader(holder.as_deref());
        }
        holder
    }
}

/// A running watch, as a test sees it.
struct Watch<'a> {
    deployment: &'a Deployment,
    file: &'a MemoryFile,
    log: &'a EventLog,
    triggers: &'a Triggers,
    stop: StopSignal,
}

impl Watch<'_> {
    /// Waits until no reconcile has begun or ended for five seconds.
    async fn settles(&self) -> Vec<Finished> {
        loop {
            let before = self.log.events().len();
            tokio::time::sleep(Duration::from_secs(5)).await;
            let events = self.log.events();
            let running = matches!(events.last(), Some(WatchEvent::ReconcileStarted { .. }));
            if events.len() == before && !running {
                return self.log.finished();
            }
        }
    }

    /// Writes the topology file, and sends the event of a file watcher.
    async fn edit(&self, text: Option<&str>) {
        self.file.write(text);
        self.triggers.add(Trigger::TopologyFile);
    }

    /// The last reconcile.
    fn last(&self) -> Finished {
        self.log.finished().pop().unwrap()
    }

    /// Asserts that the last reconcile left nothing to do.
    fn matches(&self) {
        let last = self.last();
        assert_eq!(last.reconciled.result, ReconcileResult::Matches, "{last:#?}");
    }
}

/// Runs a test beside a watch of a deployment, and stops the watch at its end.
async fn watching(
    deployment: &Deployment,
    text: &str,
    test: impl AsyncFnOnce(&Watch<'_>),
) -> Vec<Finished> {
    watching_with(deployment, text, None, test).await
}

/// The same, with a report on the Topology object.
async fn reporting(
    deployment: &Deployment,
    text: &str,
    test: impl AsyncFnOnce(&Watch<'_>),
) -> Vec<Finished> {
    let recorder = TopologyRecorder::new("1.2.3", Timestamp::now);
    watching_with(deployment, text, Some(recorder), test).await
}

async fn watching_with(
    deployment: &Deployment,
    text: &str,
    recorder: Option<TopologyRecorder>,
    test: impl AsyncFnOnce(&Watch<'_>),
) -> Vec<Finished> {
    let (file, log, stop) = (MemoryFile::new(text), EventLog::default(), StopSignal::default());
    let triggers = Triggers::default();
    let reconciler = SandboxReconciler {
        deployment,
        log: &log,
        guard: Mutex::default(),
        memory: Mutex::default(),
        watchers: ClusterWatchers::new(triggers.clone()),
        leadership: None,
        recorder,
    };
    let controller = Controller {
        source: &file,
        reconciler: &reconciler,
        reporter: &log,
        stop: stop.clone(),
        jitter: &|| 0.5,
    };
    let watch = Watch { deployment, file: &file, log: &log, triggers: &triggers, stop };
    let scenario = async {
        test(&watch).await;
        watch.stop.stop();
    };
    let (ended, ()) = tokio::join!(controller.run(&triggers), scenario);
    ended.unwrap();
    log.finished()
}
