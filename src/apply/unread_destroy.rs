//! The end of a destroy that began while the cluster could not be read: only its records name the
//! hosts of workers that had left the topology.

use super::context::ApplyContext;
use super::status::ApplyStatus;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Observed;
use crate::refresh::Observation;
use crate::resource::{Kind, ObjectKey, Resource};

/// Whether this is such a destroy.
pub(super) fn begins(context: &ApplyContext<'_>, observation: &Observation) -> bool {
    let inventory = &observation.inventory;
    let is_unread =
        || inventory.cluster_gap().is_some() || inventory.gap_for(Kind::Worker, None).is_some();
    context.pipeline.scope.options.destroy && is_unread()
}

/// How such a destroy ends that left nothing to delete: a router with the topology's tag that
/// nothing records may be one that left the topology, with workers behind it.
pub(super) fn end(observation: &Observation) -> ApplyStatus {
    let is_unrecorded = |(key, observed): &(&ObjectKey, &Observed)| {
        matches!(key, ObjectKey::Device(_))
            && matches!(observed.resource, Resource::TailnetDevice(_))
            && !observed.ownership.is_ours()
    };
    let devices = observation.inventory.iter().filter(is_unrecorded);
    let devices: Vec<&str> = devices.map(|(key, _)| key.name()).collect();
    if devices.is_empty() {
        return ApplyStatus::Converged;
    }
    let message = format!(
        "the cluster was not read, so hosts that had left the topology were not reset: they may \
         still be configured behind a router that has the topology's tag: {}",
        devices.join(", ")
    );
    let remedy = "if they were the topology's, add the blocks of their datacenters and workers to it \
                  again and run `stargate destroy`, which resets the hosts; if another topology \
                  uses the tag, give each its own `[tailnet] tag`";
    ApplyStatus::Partial(Failure::new(Code::PartlyApplied, message, remedy))
}
