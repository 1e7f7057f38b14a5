//! Writes to the cluster.

use std::time::Duration;

use tokio::time::Instant;

use super::report::failed;
use crate::apply::context::ClusterWriter;
use crate::apply::events::Outcome;
use crate::apply::iteration::Iteration;
use crate::plan::{Action, Change};
use crate::resource::kubernetes::{CiliumNode, Manifest, ManifestKind};
use crate::resource::names::WorkerName;

/// How long Cilium's agent may take to make a worker's CiliumNode.
const AGENT_TIMEOUT: Duration = Duration::from_secs(180);
const AGENT_POLL: Duration = Duration::from_secs(2);

/// The client of the cluster.
///
/// # Errors
///
/// The cluster had no usable credentials when the iteration began.
pub(super) fn access<'a>(iteration: &'a Iteration<'_>) -> Result<&'a ClusterWriter, Outcome> {
    iteration.cluster.as_ref().map_err(|failure| failed(failure.clone()))
}

/// Applies an object. The topology owns it, so its fields are taken back from any
/// other field manager.
pub(super) async fn apply(
    iteration: &Iteration<'_>,
    change: &Change,
    manifest: &Manifest,
) -> Result<(), Outcome> {
    let client = &access(iteration)?.client;
    let applied = client.apply(manifest, &change.address.site, true).await;
    applied.map_err(failed)?;
    if change.action == Action::Adopt && manifest.kind == ManifestKind::Server {
        let worker = WorkerName::new(&manifest.name);
        client.take_over_operations(&worker).await.map_err(failed)?;
    }
    Ok(())
}

/// Deletes an object and waits until it is deleted.
pub(super) async fn delete(iteration: &Iteration<'_>, manifest: &Manifest) -> Result<(), Outcome> {
    let client = &access(iteration)?.client;
    let namespace = manifest.namespace.as_deref();
    client.delete(manifest.kind, namespace, &manifest.name).await.map_err(failed)
}

/// Sets a worker's pod CIDRs, once Cilium's agent has made the object.
pub(super) async fn cilium_node(
    iteration: &Iteration<'_>,
    node: &CiliumNode,
) -> Result<(), Outcome> {
    let client = &access(iteration)?.client;
    let deadline = Instant::now() + AGENT_TIMEOUT;
    loop {
        match client.set_cilium_pod_cidrs(&node.name, &node.pod_cidrs).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_not_found() && Instant::now() < deadline => {
                tokio::time::sleep(AGENT_POLL).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}
