//! Keeping pods off a worker while its machine is changed from outside.

use std::ops::ControlFlow;
use std::time::Duration;

use super::error::LeaveError;
use super::step::{Stage, StepEvent};
use super::waiting::POLL;
use super::{Progress, drain};
use crate::diagnostics::{Code, Failure};
use crate::provider::cluster::NodeFacts;
use crate::provider::poll::Polling;
use crate::provider::read_write::ClusterWrite;
use crate::topology::names::WorkerName;

/// How long a Node may take to be Ready once its machine has restarted.
const READY: Polling = Polling { interval: POLL, timeout: Duration::from_secs(300) };

/// The worker whose machine is changed.
#[derive(Clone)]
pub struct MaintenanceContext<'a> {
    /// The client of the cluster.
    pub cluster: &'a dyn ClusterWrite,
    /// The worker.
    pub worker: WorkerName,
    /// The time limit of the drain.
    pub drain_within: Duration,
}

/// Cordons and drains a worker before its machine restarts. Returns its Node as it was;
/// `None` for a machine that has not joined.
///
/// # Errors
///
/// The cluster refused, or pods are still running after the time limit.
pub async fn begin_maintenance(
    context: &MaintenanceContext<'_>,
    progress: &Progress<'_>,
) -> Result<Option<NodeFacts>, LeaveError> {
    let name = context.worker.as_str();
    let node = context.cluster.node(name).await;
    let Some(node) = node.map_err(|error| LeaveError::cluster(name, &error))? else {
        return Ok(None);
    };
    drain::clear(context.cluster, &node, context.drain_within, progress).await?;
    Ok(Some(node))
}

/// Waits until the Node of a worker is Ready again after a restart of its machine, and
/// uncordons it. A Node that was not Ready before is only uncordoned.
///
/// # Errors
///
/// The Node is not Ready before the timeout, or the cluster refused a request. The worker
/// stays cordoned, and the next plan reports that.
pub async fn end_maintenance(
    context: &MaintenanceContext<'_>,
    before: &NodeFacts,
    progress: &Progress<'_>,
) -> Result<(), LeaveError> {
    let name = context.worker.as_str();
    if before.ready {
        progress(StepEvent::StageStarted(Stage::Ready));
        let has_restarted = |node: &NodeFacts| {
            node.ready && (before.boot_id.is_empty() || node.boot_id != before.boot_id)
        };
        let ready = wait_until_ready(context.cluster, name, has_restarted).await;
        ready.map_err(|failure| LeaveError { hostname: name.to_owned(), failure })?;
        progress(StepEvent::StageCompleted(Stage::Ready));
    }
    let uncordoned = context.cluster.uncordon_after_work(name).await;
    uncordoned.map_err(|error| LeaveError::cluster(name, &error))
}

/// Uncordons a worker whose machine could not be changed.
pub async fn cancel_maintenance(context: &MaintenanceContext<'_>, progress: &Progress<'_>) {
    drain::uncordon(context.cluster, context.worker.as_str(), progress).await;
}

/// Waits until a Node is as required, at most five minutes.
pub(super) async fn wait_until_ready(
    cluster: &dyn ClusterWrite,
    name: &str,
    is_ready: impl Fn(&NodeFacts) -> bool,
) -> Result<(), Failure> {
    let polled = READY.poll_until(|| async {
        let observed = match cluster.node(name).await {
            Ok(node) => node,
            Err(error) if error.is_unavailable() => None,
            Err(error) => return Err(LeaveError::cluster(name, &error).failure),
        };
        let is_ready = observed.as_ref().is_some_and(&is_ready);
        Ok(if is_ready { ControlFlow::Break(()) } else { ControlFlow::Continue(observed) })
    });
    let ControlFlow::Continue(observed) = polled.await? else { return Ok(()) };
    let condition = observed.and_then(|node| node.not_ready_because).unwrap_or_default();
    let message = format!("its Node is not Ready after five minutes: {condition}");
    let message = message.trim_end_matches(": ");
    let remedy = "look at `journalctl -u kubelet -u containerd` on the worker";
    Err(Failure::new(Code::StepTimedOut, message, remedy))
}
