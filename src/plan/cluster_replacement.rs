//! What the replacement of the whole cluster means for the rest of a plan.

use std::collections::BTreeSet;

use super::impact::{IntermediateState, Loss, Projection, Reachability, assess, path_model};
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
pub(super) fn lose_all_pairs(observed: Sources<'_>, plan: &Plan, cluster: &Change) -> Reachability {
    let unchanged = Plan { contents: plan.without_lists(), desired: plan.desired.clone() };
    let projection = Projection { observed, plan: &unchanged };
    let now = assess(projection).reachability;
    let model = path_model(projection, &IntermediateState::Observed);
    let mut nodes = model.sites.iter().rev().filter_map(|site| site.nodes.first());
    let mut name =
        || nodes.next().map_or_else(String::new, |it| model.network.name(*it).to_owned());
    let loss = Loss {
        pairs: now.kept,
        example: (name(), name()),
        resource: Some(cluster.address.clone()),
    };
    let losses = if now.kept > 0 { vec![loss] } else { Vec::new() };
    Reachability { kept: 0, lost: now.kept, losses, ..now }
}
