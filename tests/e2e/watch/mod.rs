//! `stargate watch` on the sandbox: the controller with the real clients, its triggers and
//! its changes without approval.

mod after_destroy;
mod approval;
mod approval_by_digest;
mod cluster;
mod entra;
mod failing_leaders;
mod file_events;
mod footprint;
mod former_leader;
mod latency;
mod long_run;
pub(crate) mod operations;
mod replicas;
mod service_time;
mod shared_leadership;
mod topology_object;
mod unknown_leader;
mod waiting_workers;

pub(crate) use topology_object::reports_and_takes_an_approval;

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use stargate::apply::StopSignal;
use stargate::watch::{
    ClusterWatchers, Controller, ReconcileResult, TopologyRecorder, Trigger, Triggers, WatchEvent,
};

use crate::harness::{Deployment, EXAMPLE};
use crate::watch_harness::{EventLog, Finished, MemoryFile, SandboxReconciler};

/// No timer interferes within a test.
const NO_TIMER: &str = "interval_seconds = 86400";

/// The example with settings in `[watch]`.
fn watched(settings: &str) -> String {
    format!("{EXAMPLE}\n[watch]\n{NO_TIMER}\n{settings}\n")
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
