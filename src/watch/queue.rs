//! When the next reconcile of each topology is due. Pure: the caller passes the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The trigger of a reconcile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// The command was started.
    Start,
    /// The topology file changed.
    TopologyFile,
    /// An object of the cluster changed.
    Cluster,
    /// The interval has passed.
    Interval,
    /// The last reconcile failed.
    Retry,
    /// SIGHUP requested it.
    Request,
    /// This replica became the one that reconciles, or another one did.
    Leadership,
}

/// For how long further triggers of a kind are awaited.
#[derive(Debug, Clone, Copy)]
struct Debounce {
    /// The time without another one after which a reconcile is due.
    silence: Duration,
    /// The time after the first one at which it is due in any case.
    at_most: Duration,
}

impl Trigger {
    fn debounce(self) -> Debounce {
        match self {
            // An editor writes a file in several steps.
            Self::TopologyFile => {
                Debounce { silence: Duration::from_millis(500), at_most: Duration::from_secs(5) }
            }
            // A node that joins changes its object several times.
            Self::Cluster => Debounce {
                silence: Duration::from_millis(100),
                at_most: Duration::from_millis(500),
            },
            Self::Start | Self::Interval | Self::Retry | Self::Request | Self::Leadership => {
                Debounce { silence: Duration::ZERO, at_most: Duration::ZERO }
            }
        }
    }

    /// Whether a person requested it.
    pub fn is_requested(self) -> bool {
        matches!(self, Self::Start | Self::TopologyFile | Self::Request)
    }

    /// Whether it does not wait for the end of a retry delay.
    fn is_urgent(self) -> bool {
        self.is_requested() || self == Self::Leadership
    }
}

/// The time between the starts of two reconciles that the cluster triggers.
const MIN_SPACING: Duration = Duration::from_millis(500);
/// The time until the first retry; it doubles with each failure, up to the interval.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The share by which intervals and retries vary, so that replicas do not act in step.
const JITTER: f64 = 0.1;

/// Returns a random number from 0 to 1.
pub type Jitter = dyn Fn() -> f64 + Send + Sync;

/// The triggers of one kind that wait for a reconcile.
#[derive(Debug, Clone, Copy)]
struct Pending {
    first: Instant,
    last: Instant,
}

/// One topology.
#[derive(Debug)]
struct Entry {
    interval: Duration,
    pending: BTreeMap<Trigger, Pending>,
    /// The next reconcile without a trigger, and its reason.
    timer: (Instant, Trigger),
    /// Triggers that are not urgent wait until then.
    not_before: Instant,
    failures: u32,
    is_running: bool,
}

impl Entry {
    fn due_by(&self, trigger: Trigger, pending: Pending) -> Instant {
        let Debounce { silence, at_most } = trigger.debounce();
        let ready = (pending.last + silence).min(pending.first + at_most);
        if trigger.is_urgent() { ready } else { ready.max(self.not_before) }
    }

    fn due(&self) -> Instant {
        let pending = self.pending.iter().map(|(trigger, it)| self.due_by(*trigger, *it));
        pending.fold(self.timer.0, Instant::min)
    }

    /// Takes the triggers that are due.
    fn take(&mut self, now: Instant) -> BTreeSet<Trigger> {
        let is_ready = |(trigger, pending): (&Trigger, &Pending)| {
            (self.due_by(*trigger, *pending) <= now).then_some(*trigger)
        };
        let mut triggers: BTreeSet<Trigger> = self.pending.iter().filter_map(is_ready).collect();
        self.pending.retain(|trigger, _| !triggers.contains(trigger));
        if self.timer.0 <= now {
            triggers.insert(self.timer.1);
        }
        triggers
    }
}

/// Topologies and the triggers of their next reconciles. One topology is never
/// reconciled twice at the same time, and triggers of a topology coalesce.
pub struct WorkQueue<'a, K> {
    entries: BTreeMap<K, Entry>,
    jitter: &'a Jitter,
}

impl<K> std::fmt::Debug for WorkQueue<'_, K> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WorkQueue")
            .field("len", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl<'a, K: Ord + Clone> WorkQueue<'a, K> {
    /// An empty queue.
    pub fn new(jitter: &'a Jitter) -> Self {
        Self { entries: BTreeMap::new(), jitter }
    }

    /// Adds a topology, whose first reconcile is due now, or sets its interval, which
    /// counts from the next reconcile on.
    pub fn insert(&mut self, key: K, interval: Duration, now: Instant) {
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            interval,
            pending: BTreeMap::new(),
            timer: (now, Trigger::Start),
            not_before: now,
            failures: 0,
            is_running: false,
        });
        entry.interval = interval;
    }

    /// Adds a trigger. One that comes while the topology is reconciled leads to another
    /// reconcile after it.
    pub fn add(&mut self, key: &K, trigger: Trigger, now: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            let pending = entry.pending.entry(trigger).or_insert(Pending { first: now, last: now });
            pending.last = now;
        }
    }

    /// When the next reconcile is due; `None` while all topologies are reconciled.
    pub fn due(&self) -> Option<Instant> {
        self.entries.values().filter(|it| !it.is_running).map(Entry::due).min()
    }

    /// Begins the due reconcile, and returns the topology and the triggers.
    pub fn begin(&mut self, now: Instant) -> Option<(K, BTreeSet<Trigger>)> {
        let idle = self.entries.iter_mut().filter(|(_, entry)| !entry.is_running);
        let (key, entry) = idle.min_by_key(|(_, entry)| entry.due())?;
        if entry.due() > now {
            return None;
        }
        let triggers = entry.take(now);
        entry.is_running = true;
        entry.not_before = now + MIN_SPACING;
        Some((key.clone(), triggers))
    }

    /// Makes a reconcile due at a time, unless one is due before.
    pub fn recheck(&mut self, key: &K, due: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.timer.0 = entry.timer.0.min(due);
        }
    }

    /// Returns a turn without work; the timer continues.
    pub fn end_unused(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.is_running = false;
        }
    }

    /// Ends a reconcile, and sets when the next one is due.
    pub fn end(&mut self, key: &K, succeeded: bool, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.is_running = false;
        entry.failures = if succeeded { 0 } else { entry.failures.saturating_add(1) };
        let wait = match entry.failures.checked_sub(1) {
            None => entry.interval,
            Some(before) => {
                FIRST_RETRY.saturating_mul(2_u32.saturating_pow(before)).min(entry.interval)
            }
        };
        let factor = 1.0 - JITTER + 2.0 * JITTER * (self.jitter)().clamp(0.0, 1.0);
        let due = now + wait.mul_f64(factor);
        entry.timer = (due, if succeeded { Trigger::Interval } else { Trigger::Retry });
        if !succeeded {
            entry.not_before = due;
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
