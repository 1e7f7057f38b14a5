//! Metrics of `watch` for Prometheus, and the state of its probes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use serde::Serialize;

use super::events::{WatchEvent, WatchReporter};
use super::queue::Trigger;
use super::reconciled::{ReconcileResult, Reconciled};
use super::remaining::WorkerCounts;
use super::request_phases::OperationCounts;
use super::topology_status::is_pause;
use crate::provider::http::{Api, StatusClass};
use crate::resource::names::TopologyName;

/// A label and its value, which is one of a fixed set.
type Label = (&'static str, String);
type Seconds = Gauge<f64, AtomicU64>;

/// Measures a watch by its events.
#[derive(Debug)]
pub struct Monitor {
    registry: Registry,
    reconciles: Family<[Label; 2], Counter>,
    duration: Histogram,
    last_success: Seconds,
    last_progress: Seconds,
    changes: Family<[Label; 2], Counter>,
    drift: Family<[Label; 1], Gauge>,
    pairs: Family<[Label; 1], Gauge>,
    approvals: Gauge,
    requests: Family<[Label; 2], Counter>,
    workers: Family<[Label; 1], Gauge>,
    operations: Family<[Label; 1], Gauge>,
    queue: Gauge,
    changes_paused: Gauge,
    reconciling: Gauge,
    leader: Gauge,
    topology_valid: Gauge,
    /// The requests of the current clients that are counted.
    counted: Mutex<BTreeMap<(Api, StatusClass), u64>>,
    /// The first trigger of the current reconcile.
    trigger: Mutex<Option<Trigger>>,
    is_refreshed: AtomicBool,
    has_finished_reconcile: AtomicBool,
    now: fn() -> Timestamp,
}

impl Monitor {
    /// Measures from now on. `version` is the version of the program.
    pub fn new(version: &str, now: fn() -> Timestamp) -> Self {
        Self::with_registry(Registry::with_prefix("stargate"), version, now)
    }

    /// The same for one of several topologies, which each metric names.
    pub fn of_topology(topology: &TopologyName, version: &str, now: fn() -> Timestamp) -> Self {
        let label = ("topology".into(), topology.to_string().into());
        let registry = Registry::with_prefix_and_labels("stargate", [label].into_iter());
        Self::with_registry(registry, version, now)
    }

    fn with_registry(registry: Registry, version: &str, now: fn() -> Timestamp) -> Self {
        let mut monitor = Self {
            registry,
            reconciles: Family::default(),
            // From 0.1 seconds to almost two hours.
            duration: Histogram::new(exponential_buckets(0.1, 2.0, 17)),
            last_success: Seconds::default(),
            last_progress: Seconds::default(),
            changes: Family::default(),
            drift: Family::default(),
            pairs: Family::default(),
            approvals: Gauge::default(),
            requests: Family::default(),
            workers: Family::default(),
            operations: Family::default(),
            queue: Gauge::default(),
            changes_paused: Gauge::default(),
            reconciling: Gauge::default(),
            leader: Gauge::default(),
            topology_valid: Gauge::default(),
            counted: Mutex::default(),
            trigger: Mutex::default(),
            is_refreshed: AtomicBool::new(false),
            has_finished_reconcile: AtomicBool::new(false),
            now,
        };
        monitor.register(version);
        monitor
    }

    fn register(&mut self, version: &str) {
        let registry = &mut self.registry;
        let build = Info::new([("version", version.to_owned())]);
        registry.register("build", "The version of stargate", build);
        let help = "Reconciles by result and first trigger";
        registry.register("reconciles", help, self.reconciles.clone());
        let help = "The duration of reconciles";
        let duration = self.duration.clone();
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, duration);
        let help = "The time of the last reconcile after which only changes that await approval \
                    were left";
        let success = self.last_success.clone();
        registry.register_with_unit("last_success_timestamp", help, Unit::Seconds, success);
        let help = "The time at which a reconcile or a change last began or ended";
        let progress = self.last_progress.clone();
        registry.register_with_unit("last_progress_timestamp", help, Unit::Seconds, progress);
        let help = "Changes that ended, by action and outcome";
        registry.register("changes", help, self.changes.clone());
        let help = "Resources that differ from the topology after the last reconcile, by kind";
        registry.register("drift_resources", help, self.drift.clone());
        let help = "Pairs of nodes by whether their pods reach each other";
        registry.register("pairs", help, self.pairs.clone());
        let help = "Changes that await approval";
        registry.register("pending_approvals", help, self.approvals.clone());
        let help = "Completed requests, by API and status class";
        registry.register("requests", help, self.requests.clone());
        let help = "Workers by health";
        registry.register("workers", help, self.workers.clone());
        let help = "Requested Operations by phase";
        registry.register("operations", help, self.operations.clone());
        let help = "Triggers that wait for the end of the running reconcile";
        registry.register("queue_triggers", help, self.queue.clone());
        let help = "Whether changes are paused after too many removals or failures";
        registry.register("changes_paused", help, self.changes_paused.clone());
        let help = "Whether a reconcile is running";
        registry.register("reconciling", help, self.reconciling.clone());
        let help = "Whether this replica holds the lease of the leader";
        registry.register("leader", help, self.leader.clone());
        let help = "Whether the topology file is valid";
        registry.register("topology_valid", help, self.topology_valid.clone());
    }

    /// The metrics in the text format of OpenMetrics. `leads` says whether this replica
    /// holds the Lease of the leader, and `waiting` how many triggers wait. `operations` are
    /// those of the topology.
    ///
    /// # Errors
    ///
    /// A metric cannot be written as text.
    pub fn metrics(
        &self,
        leads: bool,
        waiting: usize,
        operations: &OperationCounts,
    ) -> Result<String, std::fmt::Error> {
        for (phase, count) in operations.now() {
            let phase = phase.as_str().to_lowercase();
            self.operations.get_or_create(&[("phase", phase)]).set(gauge(count));
        }
        self.leader.set(i64::from(leads));
        self.queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Whether live state was read once, or another replica was found that reconciles.
    pub fn is_ready(&self) -> bool {
        self.is_refreshed.load(Ordering::Relaxed)
    }

    /// Whether the first reconcile has ended, even if live state could not be read.
    pub fn has_finished_reconcile(&self) -> bool {
        self.has_finished_reconcile.load(Ordering::Relaxed)
    }

    /// Counts the requests of the current clients, which count from their creation.
    pub fn count_requests(&self, by_class: &BTreeMap<(Api, StatusClass), u64>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, total) in by_class {
            let before = counted.get(key).copied().unwrap_or_default();
            // Other clients begin at zero.
            let new = total.checked_sub(before).unwrap_or(*total);
            let (api, class) = key;
            let labels =
                [("api", api.to_string().to_lowercase()), ("status", class.as_str().to_owned())];
            self.requests.get_or_create(&labels).inc_by(new);
        }
        counted.clone_from(by_class);
    }

    /// Notes that a reconcile goes on.
    fn note_progress(&self) {
        self.last_progress.set((self.now)().as_duration().as_secs_f64());
    }

    fn started(&self, trigger: Option<Trigger>) {
        *self.trigger.lock().unwrap_or_else(PoisonError::into_inner) = trigger;
        self.reconciling.set(1);
        self.note_progress();
    }

    fn finished(&self, reconciled: &Reconciled, took: Duration) {
        self.reconciling.set(0);
        self.note_progress();
        let trigger = *self.trigger.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [("result", word(&reconciled.result)), ("trigger", word(&trigger))];
        self.reconciles.get_or_create(&labels).inc();
        self.duration.observe(took.as_secs_f64());
        self.has_finished_reconcile.store(true, Ordering::Relaxed);
        match reconciled.result {
            ReconcileResult::Failed | ReconcileResult::Interrupted => return,
            // The leader exports the remaining work.
            ReconcileResult::StandingBy => self.clear_remaining(),
            ReconcileResult::Matches | ReconcileResult::AwaitsApproval => {
                self.last_success.set((self.now)().as_duration().as_secs_f64());
                self.set_remaining(reconciled);
            }
            ReconcileResult::Blocked => self.set_remaining(reconciled),
        }
        self.is_refreshed.store(true, Ordering::Relaxed);
    }

    /// Sets the metrics of the remaining work.
    fn set_remaining(&self, reconciled: &Reconciled) {
        self.clear_remaining();
        let kinds = reconciled.remaining.iter().flat_map(|it| &it.kinds);
        for (kind, count) in kinds {
            self.drift.get_or_create(&[("kind", kind.as_str().to_owned())]).set(gauge(*count));
        }
        if let Some(WorkerCounts { ready, not_ready, missing, unknown }) = reconciled.workers {
            for (health, count) in [
                ("ready", ready),
                ("not_ready", not_ready),
                ("missing", missing),
                ("unknown", unknown),
            ] {
                self.workers.get_or_create(&[("health", health.to_owned())]).set(gauge(count));
            }
        }
        let pairs = &reconciled.pairs;
        for (state, count) in
            [("reached", pairs.reached), ("broken", pairs.broken), ("unknown", pairs.unknown)]
        {
            self.pairs.get_or_create(&[("state", state.to_owned())]).set(gauge(count));
        }
        let awaiting = &reconciled.awaiting_approval;
        self.approvals.set(gauge(u64::try_from(awaiting.len()).unwrap_or(u64::MAX)));
        self.changes_paused.set(i64::from(awaiting.iter().any(|it| is_pause(&it.reason))));
    }

    fn clear_remaining(&self) {
        self.drift.clear();
        self.pairs.clear();
        self.workers.clear();
        self.approvals.set(0);
        self.changes_paused.set(0);
    }
}

impl WatchReporter for Monitor {
    fn event(&self, event: &WatchEvent) {
        match event {
            WatchEvent::TopologyLoaded { .. } => {
                self.topology_valid.set(1);
            }
            WatchEvent::TopologyInvalid { .. } => {
                self.topology_valid.set(0);
            }
            WatchEvent::ReconcileStarted { triggers, .. } => {
                self.started(triggers.first().copied());
            }
            WatchEvent::ReconcileFinished { reconciled, milliseconds, .. } => {
                self.finished(reconciled, Duration::from_millis(*milliseconds));
            }
            WatchEvent::ChangeFinished { action, outcome, .. } => {
                let outcome = serde_json::to_value(outcome).unwrap_or_default();
                let outcome = outcome["outcome"].as_str().unwrap_or_default().to_owned();
                let labels = [("action", word(action)), ("outcome", outcome)];
                self.changes.get_or_create(&labels).inc();
                self.note_progress();
            }
            WatchEvent::ChangeStarted { .. } | WatchEvent::WaitingForLease { .. } => {
                self.note_progress();
            }
            WatchEvent::Warning { .. }
            | WatchEvent::StandingBy { .. }
            | WatchEvent::Listening { .. }
            | WatchEvent::Operation { .. }
            | WatchEvent::Approval { .. }
            | WatchEvent::WatchStarted { .. }
            | WatchEvent::FileMoved { .. }
            | WatchEvent::WatchEnded { .. }
            | WatchEvent::FileInvalid { .. }
            | WatchEvent::Stopping => {}
        }
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The word for a value, as in JSON.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
