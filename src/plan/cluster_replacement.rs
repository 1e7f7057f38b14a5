//! What the replacement of the whole cluster means for the rest of a plan.

use std::collections::BTreeSet;

use super::impact::{Current, Loss, Projection, Reachability, assess, current};
use super::{Action, Change, Plan, PlanContents};
use crate::connectivity::Sources;
use crate::resource::{Address, Kind};

/// Whether the plan takes the cluster away, for good or until it is created again.
pub(super) fn loses_cluster(plan: &PlanContents) -> Option<&Change> {
    plan.changes.iter().find(|change| {
        change.address.kind == Kind::ManagedCluster
            && matches!(change.action, Action::Replace | Action::Delete)
    })
}

/// Marks deferred resources as replaced that exist in the cluster now: they are deleted
/// with it, and their new values are known only after the new one exists.
pub(super) fn mark_replaced(before: &PlanContents, after: &mut PlanContents) {
    let replaced: BTreeSet<&Address> = before
        .changes
        .iter()
        .filter(|change| change.action == Action::Replace)
        .map(|change| &change.address)
        .collect();
    for deferred in &mut after.deferred {
        if replaced.contains(&deferred.address) {
            deferred.action = Action::Replace;
        }
    }
}

/// Every pair that reaches each other now is lost: no node outlives its cluster.
pub(super) fn lose_all_pairs(observed: Sources<'_>, cluster: &Change) -> Reachability {
    let Current { reachability: now, example } = current(observed);
    let losses = losses(example, now.kept, Some(cluster));
    Reachability { kept: 0, lost: now.kept, losses, ..now }
}

/// A plan that destroys and leaves the cluster: pairs with a node that goes are lost.
pub(super) fn lose_deleted_nodes(observed: Sources<'_>, plan: &Plan) -> Reachability {
    let Current { reachability: now, example } = current(observed);
    let after = assess(Projection { observed, plan }).reachability;
    let lost = now.kept.saturating_sub(after.kept);
    let worker = plan.changes.iter().find(|change| change.address.kind == Kind::Worker);
    let losses = losses(example, lost, worker);
    Reachability { kept: after.kept, lost, losses, ..now }
}

fn losses(example: (String, String), pairs: u64, cause: Option<&Change>) -> Vec<Loss> {
    if pairs == 0 {
        return Vec::new();
    }
    let resource = cause.map(|change| change.address.clone());
    vec![Loss { pairs, example, resource }]
}
