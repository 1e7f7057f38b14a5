//! Triggers on their way to the controller.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::queue::Trigger;

/// The triggers that the controller has not taken yet, at most one of each kind. None is
/// lost, however long a reconcile takes: another one of a kind coalesces with the first.
#[derive(Debug, Clone, Default)]
pub struct Triggers(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    kinds: Mutex<BTreeSet<Trigger>>,
    added: Notify,
}

impl Triggers {
    /// Adds a trigger. Threads outside of the runtime may call it.
    pub fn add(&self, trigger: Trigger) {
        self.kinds().insert(trigger);
        self.0.added.notify_one();
    }

    /// How many kinds of triggers wait for a reconcile.
    pub fn waiting(&self) -> usize {
        self.kinds().len()
    }

    /// Takes all added triggers, without waiting.
    pub fn take(&self) -> BTreeSet<Trigger> {
        std::mem::take(&mut *self.kinds())
    }

    /// Waits until a trigger is added, and takes all of them. Cancelling it loses no trigger. Only one task may wait.
    pub async fn added(&self) -> BTreeSet<Trigger> {
        loop {
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            self.0.added.notified().await;
        }
    }

    fn kinds(&self) -> std::sync::MutexGuard<'_, BTreeSet<Trigger>> {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn no_kind_is_lost_among_many_of_another_kind() {
        let triggers = Triggers::default();
        for _ in 0..1_000 {
            triggers.add(Trigger::Cluster);
        }
        triggers.add(Trigger::TopologyFile);
        triggers.add(Trigger::Request);
        let kinds = [Trigger::TopologyFile, Trigger::Cluster, Trigger::Request];
        assert_eq!(triggers.added().await, kinds.into());
        assert_eq!(triggers.added().now_or_never(), None, "each is taken once");
    }

    #[tokio::test]
    async fn a_wait_that_is_cancelled_loses_nothing() {
        let triggers = Triggers::default();
        assert_eq!(triggers.added().now_or_never(), None);
        let mut cancelled = Box::pin(triggers.added());
        assert_eq!(cancelled.as_mut().now_or_never(), None);
        triggers.add(Trigger::Cluster);
        drop(cancelled);
        assert_eq!(triggers.added().now_or_never(), Some([Trigger::Cluster].into()));
    }
}
