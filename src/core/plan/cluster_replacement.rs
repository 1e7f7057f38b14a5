//! Consequences of a cluster replacement for the rest of a plan.

use std::collections::BTreeSet;

use super::impact::{Current, Loss, Projection, Reachability, assess, current};
use super::{Action, Change, Plan, PlanContents};
use crate::connectivity::Sources;
use crate::resource::azure::MachineRole;
use crate::resource::{Address, Kind, Resource};

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
    let is_described = observed.desired.iter().any(|it| it.key.as_ref() == Some(&cluster.key));
    if !is_described {
        return lose_former_cluster(observed, cluster);
    }
    let Current { reachability: now, example } = current(observed);
    let losses = losses(example, now.kept, Some(cluster));
    Reachability { kept: 0, lost: now.kept, losses, ..now }
}

/// The same for a cluster with another name in the topology: its Nodes are not read, so its
/// pools and the machines of workers represent them.
fn lose_former_cluster(observed: Sources<'_>, cluster: &Change) -> Reachability {
    let pools = match &cluster.before {
        Some(Resource::ManagedCluster(cluster)) => cluster.node_pools.iter().collect(),
        _ => Vec::new(),
    };
    let pool_nodes =
        pools.into_iter().map(|(name, pool)| (name.clone(), u64::from(pool.scale.min_nodes())));
    let machines = observed.inventory.iter().filter_map(|(key, it)| match &it.resource {
        Resource::VirtualMachine(machine)
            if machine.role == MachineRole::Worker && it.ownership.is_ours() =>
        {
            Some(key.name().to_owned())
        }
        _ => None,
    });
    let existing = observed.topology.datacenters.iter().filter(|it| it.is_existing());
    let existing = existing.flat_map(|it| it.workers.iter().map(|it| it.name.to_string()));
    let workers = machines.chain(existing).map(|name| (name, 1));
    let nodes: Vec<(String, u64)> = pool_nodes.chain(workers).collect();
    let count: u64 = nodes.iter().map(|(_, count)| count).sum();
    let lost = count * count.saturating_sub(1);
    let mut names = nodes.into_iter().map(|(name, _)| name);
    let example = (names.next().unwrap_or_default(), names.next_back().unwrap_or_default());
    let resource = Some(cluster.address.clone());
    let losses = if lost > 0 { vec![Loss { pairs: lost, example, resource }] } else { Vec::new() };
    Reachability { lost, losses, ..Reachability::default() }
}

/// A plan that destroys and leaves the cluster: pairs with a deleted node are lost.
pub(super) fn lose_deleted_nodes(observed: Sources<'_>, plan: &Plan) -> Reachability {
    let Current { reachability: now, example } = current(observed);
    let after = assess(Projection { observed, plan, is_present: false }).reachability;
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
