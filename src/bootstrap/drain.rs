//! Taking the pods off a worker before something is done to it.

use std::time::Duration;

use super::Progress;
use super::error::LeaveError;
use super::step::{Stage, StepEvent};
use crate::diagnostics::{Code, Failure};
use crate::provider::cluster::{ClusterError, NodeFacts};
use crate::provider::read_write::ClusterWrite;

/// Cordons a worker and has its pods evicted; answers how many went.
///
/// Where they do not go in time, the worker takes pods again: nothing has been
/// done to it yet.
///
/// # Errors
///
/// The cluster did not do its part, or pods do not go.
pub(super) async fn clear(
    cluster: &dyn ClusterWrite,
    node: &NodeFacts,
    within: Duration,
    progress: &Progress<'_>,
) -> Result<usize, LeaveError> {
    let name = node.name.as_str();
    let failed = |error: ClusterError| LeaveError::cluster(name, &error);
    progress(StepEvent::StageStarted(Stage::Cordon));
    cluster.cordon_for_work(node).await.map_err(failed)?;
    progress(StepEvent::StageCompleted(Stage::Cordon));
    // The kubelet of a Node that is not Ready does not terminate pods, so waiting for
    // evictions is pointless.
    if !node.ready {
        let text = format!("{name} is not Ready: its pods were not drained");
        progress(StepEvent::Warning(text));
        return Ok(0);
    }
    progress(StepEvent::StageStarted(Stage::Drain));
    let drained = evict(cluster, name, within, progress).await;
    match &drained {
        Ok(_) => progress(StepEvent::StageCompleted(Stage::Drain)),
        Err(_) => {
            uncordon(cluster, name, progress).await;
        }
    }
    drained
}

/// Cordons all of these nodes, so that no pod moves from one to another, and has their
/// pods evicted; answers how many went.
///
/// # Errors
///
/// The cluster did not do its part, or pods do not go: then all nodes take pods again.
pub async fn drain_nodes(
    cluster: &dyn ClusterWrite,
    nodes: &[NodeFacts],
    within: Duration,
    progress: &Progress<'_>,
) -> Result<usize, LeaveError> {
    let drained = cordon_and_clear(cluster, nodes, within, progress).await;
    if drained.is_err() {
        uncordon_nodes(cluster, nodes, progress).await;
    }
    drained
}

/// Lets nodes take pods again after work on them failed.
pub async fn uncordon_nodes(
    cluster: &dyn ClusterWrite,
    nodes: &[NodeFacts],
    progress: &Progress<'_>,
) {
    for node in nodes {
        uncordon(cluster, &node.name, progress).await;
    }
}

/// Lets a node take pods again. A failure is a warning: the work failed before.
pub(super) async fn uncordon(cluster: &dyn ClusterWrite, name: &str, progress: &Progress<'_>) {
    match cluster.uncordon_after_work(name).await {
        Ok(()) => progress(StepEvent::StageCompleted(Stage::Uncordon)),
        Err(error) => progress(StepEvent::Warning(format!("{name} stays cordoned: {error}"))),
    }
}

async fn cordon_and_clear(
    cluster: &dyn ClusterWrite,
    nodes: &[NodeFacts],
    within: Duration,
    progress: &Progress<'_>,
) -> Result<usize, LeaveError> {
    for node in nodes {
        let failed = |error: ClusterError| LeaveError::cluster(&node.name, &error);
        cluster.cordon_for_work(node).await.map_err(failed)?;
    }
    let mut evicted = 0;
    for node in nodes {
        evicted += clear(cluster, node, within, progress).await?;
    }
    Ok(evicted)
}

async fn evict(
    cluster: &dyn ClusterWrite,
    name: &str,
    within: Duration,
    progress: &Progress<'_>,
) -> Result<usize, LeaveError> {
    let report = cluster.drain(name, within).await;
    let report = report.map_err(|error| LeaveError::cluster(name, &error))?;
    for pod in &report.unmanaged {
        let text = format!("the pod {pod} has no controller and would not be recreated");
        progress(StepEvent::Warning(text));
    }
    if report.remaining.is_empty() {
        return Ok(report.evicted);
    }
    let mut message = format!(
        "these pods are still running after {} seconds: {}",
        within.as_secs(),
        report.remaining.join(", ")
    );
    if !report.budgets.is_empty() {
        let budgets = report.budgets.join(", ");
        message.push_str(&format!("; PodDisruptionBudgets do not allow the eviction of {budgets}"));
    }
    let remedy = "check `kubectl get poddisruptionbudgets -A`, delete the pods, or raise \
                  `[rollout] drain_seconds`; then run the same command again";
    let failure = Failure::new(Code::DrainBlocked, message, remedy);
    Err(LeaveError { hostname: name.to_owned(), failure })
}
