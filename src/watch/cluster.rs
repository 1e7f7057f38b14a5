//! Watches the objects of the cluster that plans are made from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::queue::Trigger;
use super::relevance::Relevance;
use super::request_phases::{OperationCounts, RequestPhases};
use super::triggers::Triggers;
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::{WatchStream, WatchedChange, WatchedKind};
use crate::resource::names::TopologyName;

/// The watches of one cluster. They end when it is dropped.
#[derive(Debug)]
pub struct ClusterWatchers {
    triggers: Triggers,
    operations: OperationCounts,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// The API server, the CA that it is known by, and the topology.
    server: (String, String, String),
    watchers: BTreeMap<WatchedKind, Watcher>,
}

/// The watch of one kind. It ends when it is dropped.
#[derive(Debug)]
struct Watcher {
    task: JoinHandle<()>,
    /// How many objects it remembers.
    remembered: Arc<AtomicUsize>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ClusterWatchers {
    /// Watches of no cluster yet, which will add triggers.
    pub fn new(triggers: Triggers) -> Self {
        Self { triggers, operations: OperationCounts::default(), running: Mutex::default() }
    }

    /// Requests another reconcile, as if an object had changed.
    pub(super) fn request_reconcile(&self) {
        self.triggers.add(Trigger::Cluster);
    }

    /// How many requested Operations are in each phase.
    pub fn operations(&self) -> OperationCounts {
        self.operations.clone()
    }

    /// Watches the cluster of a topology, unless it is watched already. A watch that the
    /// cluster refused, or whose kind it did not know, is started again.
    pub fn follow(&self, access: &ClusterAccess, topology: &TopologyName) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = &access.credentials;
        let server = (
            credentials.api_server.clone(),
            credentials.certificate_authority.clone(),
            topology.to_string(),
        );
        if running.server != server {
            *running = Running { server, watchers: BTreeMap::new() };
        }
        running.watchers.retain(|_, watcher| !watcher.task.is_finished());
        for kind in WatchedKind::ALL {
            running.watchers.entry(kind).or_insert_with(|| {
                let (stream, remembered) = (access.client.watch(kind), Arc::default());
                let watch = Watch {
                    relevance: Relevance::new(kind),
                    requests: RequestPhases::new(topology.clone()),
                    operations: self.operations.clone(),
                    triggers: self.triggers.clone(),
                    remembered: Arc::clone(&remembered),
                };
                Watcher { task: tokio::spawn(watch.run(kind, stream)), remembered }
            });
        }
    }

    /// How many objects the watches remember, to tell which changes matter.
    pub fn remembered(&self) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.watchers.values().map(|it| it.remembered.load(Ordering::Relaxed)).sum()
    }
}

/// Handles the events of the watch of one kind.
struct Watch {
    relevance: Relevance,
    requests: RequestPhases,
    operations: OperationCounts,
    triggers: Triggers,
    remembered: Arc<AtomicUsize>,
}

impl Watch {
    async fn run(mut self, kind: WatchedKind, mut stream: WatchStream) {
        while let Some(event) = stream.next().await {
            match event {
                Ok(change) => self.note(kind, &change),
                // Another attempt needs other credentials, or the kind to be served.
                Err(error) if error.is_refused() || error.is_not_found() => {
                    tracing::debug!(%error, "the watch ends until the next reconcile");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the watch is repeated"),
            }
        }
    }

    fn note(&mut self, kind: WatchedKind, change: &WatchedChange) {
        if self.relevance.note(change) {
            self.triggers.add(Trigger::Cluster);
        }
        self.remembered.store(self.relevance.len(), Ordering::Relaxed);
        if kind == WatchedKind::Operation {
            self.operations.set(self.requests.note(change));
        }
    }
}
