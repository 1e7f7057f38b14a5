//! A watch on the sandbox: a topology file in memory, the log of its events, and the reconciler
//! with a test's clients.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use stargate::diagnostics::{Code, Failure};
use stargate::pipeline::Pipeline;
use stargate::topology::load::{Loaded, load_text};
use stargate::topology::model::Topology;
use stargate::watch::{
    BurstGuard, ClusterWatchers, Controller, DeploymentMemory, Leadership, ReconcileContext,
    Reconciled, Reconciler, TopologyRecorder, TopologySource, Trigger, Triggers, WatchEvent,
    WatchReporter, reconcile,
};

use crate::harness::{Deployment, IgnoreProgress, clock};
use crate::refresh_options::RefreshOptions;

/// A topology file in memory.
pub(crate) struct MemoryFile(Mutex<Option<String>>);

impl MemoryFile {
    pub(crate) fn new(text: &str) -> Self {
        Self(Mutex::new(Some(text.to_owned())))
    }

    pub(crate) fn write(&self, text: Option<&str>) {
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
pub(crate) struct EventLog(Mutex<Vec<WatchEvent>>);

impl WatchReporter for EventLog {
    fn event(&self, event: &WatchEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

/// A finished reconcile, and its triggers.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    pub(crate) triggers: BTreeSet<Trigger>,
    pub(crate) reconciled: Reconciled,
}

impl EventLog {
    pub(crate) fn events(&self) -> Vec<WatchEvent> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn finished(&self) -> Vec<Finished> {
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
pub(crate) fn with_topology(deployment: &Deployment, topology: Topology) -> Deployment {
    Deployment {
        sandbox: deployment.sandbox.clone(),
        topology,
        clients: deployment.clients.clone(),
        stop: deployment.stop.clone(),
        takes_lease: deployment.takes_lease,
        subscription: deployment.subscription.clone(),
        public_key: deployment.public_key.clone(),
    }
}

/// Reconciles the sandbox of a deployment.
pub(crate) struct SandboxReconciler<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) log: &'a dyn WatchReporter,
    pub(crate) guard: Mutex<BurstGuard>,
    pub(crate) memory: Mutex<DeploymentMemory>,
    pub(crate) watchers: ClusterWatchers,
    /// Where there are several replicas.
    pub(crate) leadership: Option<Leadership>,
    /// Where the Topology object is reported on.
    pub(crate) recorder: Option<TopologyRecorder>,
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

    fn is_read_due(&self) -> bool {
        self.leadership.as_ref().is_some_and(Leadership::is_read_due)
    }
}

/// Runs a replica's watch until it is stopped, and gives up its leadership.
pub(crate) async fn run_replica(
    deployment: Deployment,
    file: MemoryFile,
    log: Arc<dyn WatchReporter>,
    (name, triggers): (&'static str, Triggers),
    recorder: Option<TopologyRecorder>,
) {
    let leadership = Leadership::new(&deployment.topology.name, name, triggers.clone());
    run_candidate(deployment, file, log, (leadership, triggers), recorder).await;
}

/// The same with its part in the election.
pub(crate) async fn run_candidate(
    deployment: Deployment,
    file: MemoryFile,
    log: Arc<dyn WatchReporter>,
    (leadership, triggers): (Leadership, Triggers),
    recorder: Option<TopologyRecorder>,
) {
    let reconciler = SandboxReconciler {
        deployment: &deployment,
        log: log.as_ref(),
        guard: Mutex::default(),
        memory: Mutex::default(),
        watchers: ClusterWatchers::new(triggers.clone()),
        leadership: Some(leadership),
        recorder,
    };
    let controller = Controller {
        source: &file,
        reconciler: &reconciler,
        reporter: log.as_ref(),
        stop: deployment.stop.clone(),
        jitter: &|| 0.5,
    };
    controller.run(&triggers).await.unwrap();
    if let Some(leadership) = reconciler.leadership {
        leadership.resign().await.unwrap();
    }
}
