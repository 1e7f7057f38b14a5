//! `stargate watch` on the sandbox: the controller with the real clients, its triggers
//! and what it changes without approval.

mod approval;
mod cluster;
mod file_events;
mod latency;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stargate::apply::StopSignal;
use stargate::diagnostics::{Code, Failure};
use stargate::pipeline::Pipeline;
use stargate::topology::load::{Loaded, load_text};
use stargate::topology::model::Topology;
use stargate::watch::{
    BurstGuard, ClusterWatchers, Controller, ReconcileContext, ReconcileResult, Reconciled,
    Reconciler, TopologySource, Trigger, WatchEvent, WatchReporter, reconcile,
};
use tokio::sync::mpsc;

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

/// A reconcile that ended, and what led to it.
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
                    finished.push(Finished { triggers: started.clone(), reconciled });
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
    guard: Mutex<BurstGuard>,
    watchers: ClusterWatchers,
}

#[async_trait(?Send)]
impl Reconciler for SandboxReconciler<'_> {
    async fn reconcile(&self, topology: &Loaded, triggers: &BTreeSet<Trigger>) -> Reconciled {
        if triggers.iter().any(|it| it.is_requested()) {
            self.guard.lock().unwrap().reset();
        }
        let settings = topology.topology.watch;
        let options =
            RefreshOptions { unattended: Some(settings.apply), ..RefreshOptions::default() };
        let deployment = with_topology(self.deployment, topology.topology.clone());
        let scope = deployment.scope(&options);
        let clock = clock(deployment.sandbox.now());
        let clients = deployment.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let context = ReconcileContext {
            apply: deployment.context(pipeline, &IgnoreProgress),
            guard: &self.guard,
            max_removals: settings.max_removals as usize,
            watchers: &self.watchers,
        };
        reconcile(&context).await
    }
}

/// A running watch, as a test sees it.
struct Watch<'a> {
    deployment: &'a Deployment,
    file: &'a MemoryFile,
    log: &'a EventLog,
    triggers: mpsc::Sender<Trigger>,
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

    /// Writes the topology file, and sends what a file watcher would.
    async fn edit(&self, text: Option<&str>) {
        self.file.write(text);
        self.triggers.send(Trigger::TopologyFile).await.unwrap();
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
    let (file, log, stop) = (MemoryFile::new(text), EventLog::default(), StopSignal::default());
    let (sender, receiver) = mpsc::channel(16);
    let reconciler = SandboxReconciler {
        deployment,
        guard: Mutex::default(),
        watchers: ClusterWatchers::new(sender.clone()),
    };
    let controller = Controller {
        source: &file,
        reconciler: &reconciler,
        reporter: &log,
        stop: stop.clone(),
        jitter: &|| 0.5,
    };
    let watch = Watch { deployment, file: &file, log: &log, triggers: sender, stop };
    let scenario = async {
        test(&watch).await;
        watch.stop.stop();
    };
    let (ended, ()) = tokio::join!(controller.run(receiver), scenario);
    ended.unwrap();
    log.finished()
}
