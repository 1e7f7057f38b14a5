//! The loop: waits for a trigger, reads the topology file, reconciles.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::events::{WatchEvent, WatchReporter};
use super::queue::{Jitter, Trigger, WorkQueue};
use super::reconciled::{ReconcileResult, Reconciled};
use super::triggers::Triggers;
use crate::apply::StopSignal;
use crate::diagnostics::Failure;
use crate::topology::load::Loaded;

/// Reads the topology file.
pub trait TopologySource: Send + Sync {
    /// The topology that the file holds now.
    ///
    /// # Errors
    ///
    /// The file is missing or invalid.
    fn load(&self) -> Result<Loaded, Failure>;
}

/// Reconciles a topology. The controller awaits it in place, so it may stay on one
/// thread.
#[async_trait(?Send)]
pub trait Reconciler {
    /// Reconciles once. `triggers` led to it, and `source` is where `topology` was read.
    async fn reconcile(
        &self,
        topology: &Loaded,
        source: &dyn TopologySource,
        triggers: &BTreeSet<Trigger>,
    ) -> Reconciled;

    /// The topology file became invalid, or valid again. Until then the last valid
    /// topology is reconciled.
    async fn file_state(&self, _invalid: Option<&Failure>) {}

    /// The next reconcile is due after this time, unless something triggers one before.
    fn scheduled(&self, _wait: Duration) {}

    /// The replica that reconciles, if it is another one: nothing is to do until then.
    fn leader_elsewhere(&self) -> Option<String> {
        None
    }

    /// Whether a replica that stands by reads live state at each interval all the same: it may
    /// not lead before it could.
    fn is_read_due(&self) -> bool {
        false
    }
}

/// Watches one topology.
pub struct Controller<'a> {
    /// Reads the file.
    pub source: &'a dyn TopologySource,
    /// Reconciles.
    pub reconciler: &'a dyn Reconciler,
    /// Receives every event.
    pub reporter: &'a dyn WatchReporter,
    /// Ends the loop: a running reconcile finishes its steps.
    pub stop: StopSignal,
    /// Varies intervals.
    pub jitter: &'a Jitter,
}

/// For how long a file must stay the same before its content counts: half of a file that
/// is being written may be a valid topology with fewer datacenters.
pub(super) const UNCHANGED_FOR: Duration = Duration::from_millis(500);

/// The topology that is reconciled, which may be older than the file.
struct ActiveTopology {
    topology: Loaded,
    /// Why the file is invalid now.
    invalid: Option<Failure>,
    /// Another content of the file, and when it was read first.
    candidate: Option<(Result<String, Failure>, Instant)>,
}

impl ActiveTopology {
    fn new(topology: Loaded) -> Self {
        Self { topology, invalid: None, candidate: None }
    }

    /// Whether the file has had this content for long enough.
    fn is_stable(&mut self, content: Result<String, Failure>) -> bool {
        let now = Instant::now();
        match &self.candidate {
            Some((candidate, since)) if *candidate == content => {
                now.duration_since(*since) >= UNCHANGED_FOR
            }
            _ => {
                self.candidate = Some((content, now));
                false
            }
        }
    }
}

/// The content of the file, compared with the active topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileState {
    /// The same, or nothing valid.
    Unchanged,
    /// Another topology, which is active now.
    Changed,
    /// Something else, which may still be written.
    Unsettled,
}

impl Controller<'_> {
    /// Reconciles until it is asked to stop. The file must hold a valid topology at the
    /// start; later an invalid one leaves the last valid one active.
    ///
    /// # Errors
    ///
    /// The file holds no valid topology at the start.
    pub async fn run(&self, triggers: &Triggers) -> Result<(), Failure> {
        let mut active = ActiveTopology::new(self.source.load()?);
        self.report_loaded(&active.topology);
        let key = active.topology.topology.name.clone();
        let mut queue = WorkQueue::new(self.jitter);
        let mut number = 0;
        let mut leader = None;
        loop {
            let interval = active.topology.topology.watch.interval;
            queue.insert(key.clone(), interval, Instant::now());
            let Some(mut causes) = self.wait(&mut queue, &key, triggers).await else {
                return Ok(());
            };
            let was_invalid = active.invalid.is_some();
            let file = self.reload(&mut active);
            if was_invalid != active.invalid.is_some() {
                self.reconciler.file_state(active.invalid.as_ref()).await;
            }
            if file == FileState::Unsettled {
                queue.add(&key, Trigger::TopologyFile, Instant::now());
            }
            // Only another content is an edit; a write beside the file changes nothing.
            match file {
                FileState::Changed => causes.insert(Trigger::TopologyFile),
                _ => causes.remove(&Trigger::TopologyFile),
            };
            if causes.is_empty() {
                queue.end_unused(&key);
                continue;
            }
            let elsewhere = self.reconciler.leader_elsewhere();
            let reads = causes.contains(&Trigger::Interval) && self.reconciler.is_read_due();
            if self.stands_by(&mut leader, elsewhere) && !reads {
                queue.end(&key, true, Instant::now());
                continue;
            }
            number += 1;
            let (result, recheck) = self.reconcile(number, &active.topology, causes).await;
            self.stands_by(&mut leader, self.reconciler.leader_elsewhere());
            queue.end(&key, !result.is_retried(), Instant::now());
            if let Some(recheck) = recheck {
                queue.recheck(&key, Instant::now() + recheck);
            }
            if let Some(due) = queue.due() {
                self.reconciler.scheduled(due.saturating_duration_since(Instant::now()));
            }
            if result == ReconcileResult::Interrupted && self.stop.is_set() {
                return Ok(());
            }
        }
    }

    /// Whether another replica reconciles. Each one is reported once.
    fn stands_by(&self, known: &mut Option<String>, leader: Option<String>) -> bool {
        if let Some(holder) = leader.clone().filter(|_| *known != leader) {
            self.reporter.event(&WatchEvent::StandingBy { holder });
        }
        *known = leader;
        known.is_some()
    }

    async fn reconcile(
        &self,
        number: u64,
        topology: &Loaded,
        triggers: BTreeSet<Trigger>,
    ) -> (ReconcileResult, Option<Duration>) {
        let begin = Instant::now();
        let started = WatchEvent::ReconcileStarted { number, triggers: triggers.clone() };
        self.reporter.event(&started);
        let reconciled = self.reconciler.reconcile(topology, self.source, &triggers).await;
        let ended = (reconciled.result, reconciled.recheck);
        let milliseconds = milliseconds(begin.elapsed());
        let reconciled = Box::new(reconciled);
        self.reporter.event(&WatchEvent::ReconcileFinished { number, reconciled, milliseconds });
        ended
    }

    /// Waits until a reconcile is due and returns its triggers; `None` after a request to
    /// stop.
    async fn wait<K: Ord + Clone>(
        &self,
        queue: &mut WorkQueue<'_, K>,
        key: &K,
        triggers: &Triggers,
    ) -> Option<BTreeSet<Trigger>> {
        loop {
            if let Some((_, causes)) = queue.begin(Instant::now()) {
                return Some(causes);
            }
            let due = queue.due()?;
            tokio::select! {
                biased;
                () = self.stop.requested() => return None,
                added = triggers.added() => {
                    let now = Instant::now();
                    added.into_iter().for_each(|trigger| queue.add(key, trigger, now));
                }
                () = sleep_until(due) => {}
            }
        }
    }

    /// Reads the file again and reports the result. New content is used once two reads
    /// agree.
    fn reload(&self, active: &mut ActiveTopology) -> FileState {
        let loaded = self.source.load();
        let content = loaded.as_ref().map(|it| it.digest.clone()).map_err(Clone::clone);
        if content.as_ref() == Ok(&active.topology.digest) {
            active.candidate = None;
            if active.invalid.take().is_some() {
                self.report_loaded(&active.topology);
            }
            return FileState::Unchanged;
        }
        if content.as_ref().is_err_and(|failure| active.invalid.as_ref() == Some(failure)) {
            return FileState::Unchanged;
        }
        if !active.is_stable(content) {
            return FileState::Unsettled;
        }
        match loaded {
            Ok(loaded) => {
                self.report_loaded(&loaded);
                *active = ActiveTopology::new(loaded);
                FileState::Changed
            }
            Err(failure) => {
                self.reporter.event(&WatchEvent::TopologyInvalid { failure: failure.clone() });
                active.invalid = Some(failure);
                FileState::Unchanged
            }
        }
    }

    fn report_loaded(&self, loaded: &Loaded) {
        let settings = loaded.topology.watch;
        self.reporter.event(&WatchEvent::TopologyLoaded {
            digest: loaded.digest.clone(),
            apply: settings.apply,
            interval_seconds: settings.interval.as_secs(),
        });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
