//! The effect of a node pool's removal on reachability: its nodes are deleted, and with
//! them the pairs of their pods.

use std::collections::BTreeSet;

use super::impact::{Loss, Projection, Reachability, assess};
use super::{Action, Change, Plan};
use crate::connectivity::{PresentTopology, Sources};
use crate::desired::Facts;
use crate::desired::facts::AksNode;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// The pools that a plan removes, by their names in Azure.
#[derive(Debug, Default)]
pub(super) struct LeavingPools {
    /// Removed pools whose key has another pool, with their addresses: its nodes replace
    /// theirs.
    superseded: Vec<(String, Address)>,
    /// Removed pools whose key is no longer in the topology, with their addresses.
    lost: Vec<(String, Address)>,
}

impl LeavingPools {
    /// The pools that a plan deletes, now or once their successors exist.
    pub(super) fn of(facts: &Facts, plan: &Plan) -> Self {
        let mut leaving = Self::default();
        let desired: Vec<(&str, &str)> = plan.desired().iter().filter_map(desired_pool).collect();
        let live = facts.cluster.iter().flat_map(|cluster| &cluster.node_pools);
        for (name, pool) in live.filter(|(_, pool)| pool.is_ours) {
            let Some(value) = &pool.value else { continue };
            let is_desired = desired.iter().any(|(_, desired)| desired.eq_ignore_ascii_case(name));
            let deleted = deletion(plan, &value.key, name).filter(|_| !is_desired);
            let Some(deleted) = deleted else { continue };
            if desired.iter().any(|(key, _)| *key == value.key) {
                leaving.superseded.push((name.clone(), deleted));
            } else {
                leaving.lost.push((name.clone(), deleted));
            }
        }
        leaving
    }

    pub(super) fn is_empty(&self) -> bool {
        self.superseded.is_empty() && self.lost.is_empty()
    }

    /// The facts without the nodes of all of these pools.
    pub(super) fn without_nodes(&self, facts: &Facts) -> Facts {
        let all = self.superseded.iter().chain(&self.lost);
        without(facts, &all.map(|(name, _)| name.as_str()).collect())
    }

    /// Adds the pairs that are lost with the pools to the report. The nodes of a pool with
    /// a successor are replaced, so no pair is lost with them.
    pub(super) fn add_losses(
        &self,
        observed: Sources<'_>,
        plan: &Plan,
        mut rest: Reachability,
    ) -> Reachability {
        let mut removed = BTreeSet::new();
        let mut before = reached(observed, plan, &removed);
        let superseded = self.superseded.iter().map(|pool| (pool, true));
        for ((name, address), has_successor) in
            superseded.chain(self.lost.iter().map(|pool| (pool, false)))
        {
            let nodes = observed.facts.nodes.iter();
            let node = nodes.clone().find(|node| is_of(node, name));
            removed.insert(name);
            let after = reached(observed, plan, &removed);
            let pairs = before.saturating_sub(after);
            before = after;
            let Some(node) = node.filter(|_| pairs > 0) else { continue };
            let mut others = nodes.filter(|other| other.name != node.name);
            let other = others.next().map_or_else(String::new, |other| other.name.clone());
            let example = (node.name.clone(), other);
            let loss = Loss { pairs, example, resource: Some(address.clone()) };
            if has_successor {
                rest.removed += pairs;
                rest.removals.push(loss);
            } else {
                rest.lost += pairs;
                rest.losses.push(loss);
            }
        }
        rest
    }
}

/// The key of a desired pool, and its name in Azure.
fn desired_pool(desired: &crate::desired::DesiredResource) -> Option<(&str, &str)> {
    let (Resource::NodePool(pool), Some(ObjectKey::Azure(id))) = (&desired.resource, &desired.key)
    else {
        return None;
    };
    Some((&pool.key, id.name()))
}

/// The address of the deletion of a pool, now or once its successor exists.
fn deletion(plan: &Plan, key: &str, name: &str) -> Option<Address> {
    let is_pool = |change: &&Change| {
        change.address.kind == Kind::NodePool
            && change.action == Action::Delete
            && change.key.name().eq_ignore_ascii_case(name)
    };
    if let Some(change) = plan.changes.iter().find(is_pool) {
        return Some(change.address.clone());
    }
    // A deferred deletion has no key. Only of several pools of one key the address names
    // the pool.
    let address = |name: &str| Address::new(Kind::NodePool, Site::Cluster, name);
    let is_deferred = |address: &Address| {
        let mut deferred = plan.deferred.iter();
        deferred.any(|it| it.address == *address && it.action == Action::Delete)
    };
    [address(&format!("{key}/{name}")), address(key)].into_iter().find(is_deferred)
}

fn is_of(node: &AksNode, pool: &str) -> bool {
    node.pool.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(pool))
}

fn without(facts: &Facts, pools: &BTreeSet<&str>) -> Facts {
    let mut facts = facts.clone();
    facts.nodes.retain(|node| !pools.iter().any(|pool| is_of(node, pool)));
    facts
}

/// How many pairs reach each other before the plan, without the nodes of these pools: the
/// workers count where they are now.
fn reached(observed: Sources<'_>, plan: &Plan, pools: &BTreeSet<&str>) -> u64 {
    let facts = without(observed.facts, pools);
    let observed = Sources { facts: &facts, ..observed };
    let present_topology = PresentTopology::of(observed);
    let observed = present_topology
        .as_ref()
        .map_or(observed, |present_topology| present_topology.sources(observed));
    let unchanged = Plan { contents: plan.without_lists(), desired: plan.desired.clone() };
    assess(Projection { observed, plan: &unchanged, is_present: false }).reachability.kept
}
