//! Watches the objects of the cluster that plans are made from.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt as _;
use tokio::task::JoinHandle;

use super::queue::Trigger;
use super::relevance::Relevance;
use super::triggers::Triggers;
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::{WatchStream, WatchedKind};

/// The watches of one cluster. They end when it is dropped.
#[derive(Debug)]
pub struct ClusterWatchers {
    triggers: Triggers,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    /// The API server, and the CA that it is known by.
    server: (String, String),
    tasks: BTreeMap<WatchedKind, JoinHandle<()>>,
}

impl ClusterWatchers {
    /// Watches of no cluster yet, which will add triggers.
    pub fn new(triggers: Triggers) -> Self {
        Self { triggers, running: Mutex::default() }
    }

    /// Requests another reconcile, as if an object had changed.
    pub(super) fn request_reconcile(&self) {
        self.triggers.add(Trigger::Cluster);
    }

    /// Watches a cluster, unless it is watched already. A watch that the cluster refused,
    /// or whose kind it did not know, is started again.
    pub fn follow(&self, access: &ClusterAccess) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let credentials = &access.credentials;
        let server = (credentials.api_server.clone(), credentials.certificate_authority.clone());
        if running.server != server {
            running.stop();
            running.server = server;
        }
        running.tasks.retain(|_, task| !task.is_finished());
        for kind in WatchedKind::ALL {
            running.tasks.entry(kind).or_insert_with(|| {
                let stream = access.client.watch(kind);
                tokio::spawn(add_triggers(kind, stream, self.triggers.clone()))
            });
        }
    }
}

impl Running {
    fn stop(&mut self) {
        std::mem::take(&mut self.tasks).into_values().for_each(|task| task.abort());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn add_triggers(kind: WatchedKind, mut stream: WatchStream, triggers: Triggers) {
    let mut relevance = Relevance::new(kind);
    while let Some(event) = stream.next().await {
        match event {
            Ok(change) => {
                if relevance.note(&change) {
                    triggers.add(Trigger::Cluster);
                }
            }
            // Another attempt needs other credentials, or the kind to be served.
            Err(error) if error.is_refused() || error.is_not_found() => {
                tracing::debug!(%error, "the watch ends until the next reconcile");
                return;
            }
            Err(error) => tracing::warn!(%error, "the watch is repeated"),
        }
    }
}
