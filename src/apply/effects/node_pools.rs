//! Work on node pools of AKS.

use super::azure;
use super::kubernetes::access;
use super::report::{failed, progress};
use crate::apply::events::{Event, Outcome};
use crate::apply::guard::{self, GuardVerdict};
use crate::apply::iteration::Iteration;
use crate::bootstrap::{self, StepEvent};
use crate::diagnostics::{Code, Failure};
use crate::plan::{Change, Execution};
use crate::provider::cluster::NodeFacts;
use crate::refresh::object_of_body;
use crate::resource::{ArmId, ObjectKey};

/// The label with the pool of a node.
const AGENT_POOL_LABEL: &str = "kubernetes.azure.com/agentpool";

/// Waits until the operations of Azure on the cluster have ended: it refuses every write to
/// a pool while another one is in progress.
pub(super) async fn wait_for_cluster(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<(), Outcome> {
    let ObjectKey::Azure(id) = &change.key else { return Ok(()) };
    match id.parent() {
        Some(cluster) => azure::wait(iteration, &cluster).await,
        None => Ok(()),
    }
}

/// Cordons and drains the nodes of a pool, then deletes it: AKS deletes the nodes of a
/// pool without evicting their pods first (*Delete node pools*). If the deletion fails,
/// the nodes take pods again.
pub(super) async fn remove(
    iteration: &Iteration<'_>,
    change: &Change,
    pool: &ArmId,
) -> Result<(), Outcome> {
    wait_for_cluster(iteration, change).await?;
    let Execution::NodePool(execution) = &change.execution else {
        let message = format!("the plan does not say how {} is drained", change.address);
        let failure = Failure::new(Code::StalePlan, message, "run `stargate plan` again");
        return Err(failed(failure));
    };
    let cluster = access(iteration)?.client.as_ref();
    let nodes = cluster.nodes().await.map_err(failed)?;
    let is_of_pool = |node: &NodeFacts| {
        node.labels.get(AGENT_POOL_LABEL).is_some_and(|name| name.eq_ignore_ascii_case(pool.name()))
    };
    let nodes: Vec<NodeFacts> = nodes.into_iter().filter(is_of_pool).collect();
    let report = |event| report(iteration, change, event);
    let drained = bootstrap::drain_nodes(cluster, &nodes, execution.drain_within, &report).await;
    drained.map_err(failed)?;
    let deleted = delete_unless_changed(iteration, change, pool).await;
    if deleted.is_err() {
        bootstrap::uncordon_nodes(cluster, &nodes, &report).await;
    }
    deleted
}

/// Draining takes minutes: the pool is read and guarded again, so that only the version
/// that was read is deleted.
async fn delete_unless_changed(
    iteration: &Iteration<'_>,
    change: &Change,
    pool: &ArmId,
) -> Result<(), Outcome> {
    let body = iteration.clients.azure.get(pool).await.map_err(|error| failed(&error))?;
    let Some(body) = body else { return Ok(()) };
    let current = object_of_body(&iteration.settings.owner, change, body).map_err(failed)?;
    if let GuardVerdict::Stale(reason) = guard::check(change, current.observed.as_ref()) {
        return Err(Outcome::GuardFailed { reason });
    }
    azure::delete(iteration, pool, current.body.as_ref()).await
}

fn report(iteration: &Iteration<'_>, change: &Change, event: StepEvent) {
    match event {
        StepEvent::StageStarted(stage) => {
            let (address, phase) = (change.address.clone(), stage.as_str().to_owned());
            iteration.reporter.event(&Event::PhaseStarted { address, phase });
        }
        StepEvent::Warning(text) => progress(iteration, change, text),
        _ => {}
    }
}
