//! Writes to the cluster.

use std::time::Duration;

use tokio::time::Instant;

use super::failed;
use crate::apply::Round;
use crate::apply::events::Outcome;
use crate::plan::Change;
use crate::provider::access::ClusterAccess;
use crate::refresh::no_cluster;
use crate::resource::kubernetes::{CiliumNode, Manifest};

/// How long Cilium's agent may take to make a worker's CiliumNode.
const AGENT_WITHIN: Duration = Duration::from_secs(180);
const AGENT_POLL: Duration = Duration::from_secs(2);

/// The client of the cluster.
///
/// # Errors
///
/// The cluster had no usable credentials when the round began.
pub(super) fn access<'a>(round: &'a Round<'_>) -> Result<&'a ClusterAccess, Outcome> {
    round.access.as_ref().ok_or_else(|| failed(no_cluster()))
}

/// Applies an object. It carries our mark or is made by us, so its fields are
/// taken back from whoever changed them.
pub(super) async fn apply(
    round: &Round<'_>,
    change: &Change,
    manifest: &Manifest,
) -> Result<(), Outcome> {
    let door = &access(round)?.door;
    let applied = door.apply(manifest, &change.address.side, true).await;
    applied.map(drop).map_err(failed)
}

/// Deletes an object and waits until it is gone.
pub(super) async fn delete(round: &Round<'_>, manifest: &Manifest) -> Result<(), Outcome> {
    let door = &access(round)?.door;
    let namespace = manifest.namespace.as_deref();
    door.delete(manifest.kind, namespace, &manifest.name).await.map_err(failed)
}

/// Sets a worker's pod CIDRs, once Cilium's agent has made the object.
pub(super) async fn cilium_node(round: &Round<'_>, node: &CiliumNode) -> Result<(), Outcome> {
    let door = &access(round)?.door;
    let deadline = Instant::now() + AGENT_WITHIN;
    loop {
        match door.set_cilium_pod_cidrs(&node.name, &node.pod_cidrs).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_not_found() && Instant::now() < deadline => {
                tokio::time::sleep(AGENT_POLL).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}
