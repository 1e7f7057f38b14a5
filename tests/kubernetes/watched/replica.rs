//! A watch of the deployment, as one replica runs it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use stargate::apply::StopSignal;
use stargate::watch::{ReconcileResult, TopologyRecorder, Triggers, WatchEvent};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use crate::harness::Deployment;
use crate::watch_harness::{EventLog, MemoryFile, run_replica};

/// Longer than anything takes that a watch does here.
const LIMIT: Duration = Duration::from_secs(60);

/// A running watch.
pub(super) struct Replica {
    pub(super) name: &'static str,
    pub(super) log: Arc<EventLog>,
    pub(super) triggers: Triggers,
    stop: StopSignal,
    task: JoinHandle<()>,
}

impl Replica {
    pub(super) fn start(name: &'static str, deployment: Deployment, text: &str) -> Self {
        let (log, triggers) = (Arc::new(EventLog::default()), Triggers::default());
        let (stop, file) = (deployment.stop.clone(), MemoryFile::new(text));
        let recorder = TopologyRecorder::new("1.2.3", Timestamp::now);
        let task = spawn_local(run_replica(
            deployment,
            file,
            log.clone(),
            (name, triggers.clone()),
            Some(recorder),
        ));
        Self { name, log, triggers, stop, task }
    }

    /// Ends it at once, as SIGKILL does.
    pub(super) async fn kill(self) -> Arc<EventLog> {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
        self.log
    }

    /// Ends it as SIGTERM does.
    pub(super) async fn end(self) {
        self.stop.stop();
        self.task.await.unwrap();
    }

    /// How many changes it began.
    pub(super) fn changes(&self) -> usize {
        let events = self.log.events().into_iter();
        events.filter(|it| matches!(it, WatchEvent::ChangeStarted { .. })).count()
    }

    pub(super) fn last_result(&self) -> Option<ReconcileResult> {
        self.log.finished().last().map(|it| it.reconciled.result)
    }

    /// Waits until it has finished a reconcile with this result, and no other one runs.
    pub(super) async fn results_in(&self, expected: ReconcileResult) {
        let is_so = || {
            let events = self.log.events();
            let running = matches!(events.last(), Some(WatchEvent::ReconcileStarted { .. }));
            !running && self.last_result() == Some(expected)
        };
        until(&format!("{} has {expected:?}", self.name), is_so, || {
            format!("{:#?}", self.log.events().iter().rev().take(3).collect::<Vec<_>>())
        })
        .await;
    }

    /// Waits until no reconcile has begun or ended for two seconds.
    pub(super) async fn is_idle(&self) {
        loop {
            let before = self.log.events().len();
            sleep(Duration::from_secs(2)).await;
            let events = self.log.events();
            let running = matches!(events.last(), Some(WatchEvent::ReconcileStarted { .. }));
            if events.len() == before && !running {
                return;
            }
        }
    }
}

/// Waits for a condition, and returns how long that took.
pub(super) async fn until(
    what: &str,
    holds: impl Fn() -> bool,
    found: impl Fn() -> String,
) -> Duration {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < LIMIT, "not in time: {what}\n{}", found());
        sleep(Duration::from_millis(20)).await;
    }
    begin.elapsed()
}
