//! The order in which node pools are created and deleted, and its consequences.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::follow_ups::{FollowUp, FollowUps};
use super::{Action, Blocked, Change, Deferred, FieldChange};
use crate::desired::DesiredResource;
use crate::desired::facts::AksNode;
use crate::desired::names::ROUTER_ROUTE_TABLE;
use crate::diagnostics::{Code, Failure};
use crate::resource::azure::NodePool;
use crate::resource::settings::NodePoolMode;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Blocks a pool that differs in a field that AKS cannot change in place, if it has no
/// successor or would be adopted.
pub(super) fn refuse(desired: &DesiredResource, fields: &[FieldChange]) -> Option<Blocked> {
    let Resource::NodePool(pool) = &desired.resource else { return None };
    let blocked = |action: Action, failure: Failure| Blocked {
        address: desired.address.clone(),
        action,
        fields: fields.to_vec(),
        failure,
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    };
    if pool.mode == NodePoolMode::System && pool.scale.min_nodes() == 0 && !fields.is_empty() {
        return Some(blocked(Action::Update, without_nodes(&pool.key)));
    }
    let fixed: Vec<String> = fields
        .iter()
        .filter(|field| field.forces_replacement)
        .map(|field| format!("`{}`", field.path))
        .collect();
    if fixed.is_empty() {
        return None;
    }
    let failure = Failure::new(
        Code::NodePoolNotReplaceable,
        format!(
            "AKS cannot change {} of node pool {} in place, and its key is too long to name a \
             successor",
            fixed.join(" and "),
            pool.key
        ),
        format!(
            "undo the edit; or rename [cluster.node_pools.{}] to a key of at most 11 characters: the \
             new pool is created before the old one is deleted",
            pool.key
        ),
    );
    Some(blocked(Action::Replace, failure))
}

fn without_nodes(key: &str) -> Failure {
    Failure::new(
        Code::NoSystemPool,
        format!("node pool {key} is a system pool: AKS needs at least one node in it"),
        format!(
            "raise `count` or `min` of [cluster.node_pools.{key}], or set `mode = \"user\"` in it \
             and `mode = \"system\"` in another pool"
        ),
    )
}

/// Defers the deletion of pools until those that take their place have nodes with
/// routes: pods that are evicted go there. It also waits until another pool is a system
/// pool.
pub(super) fn defer_deletions(decisions: &mut ResourceDecisions) {
    let changes = || decisions.values().filter_map(change_of);
    let pools = decisions.iter().filter(|(address, _)| address.kind == Kind::NodePool);
    let pools = pools.filter_map(|(_, decision)| change_of(decision));
    let deletions: Vec<Deferred> =
        pools.filter(|it| it.action == Action::Delete).map(deferred_deletion).collect();
    // Fast path: most plans delete no pool.
    if deletions.is_empty() {
        return;
    }
    let mut waits_for: Vec<Address> =
        changes().filter(|it| prepares(it)).map(|it| it.address.clone()).collect();
    waits_for.extend(changes().filter(|it| adds_routes(it)).map(|it| it.address.clone()));
    // A pool that could not be created or changed is still needed, and so are routes to its
    // nodes that cannot be read or written now.
    let needed = [
        Kind::NodePool,
        Kind::RouteTable,
        Kind::RouterHost,
        Kind::AdvertisedRoutes,
        Kind::ApprovedRoutes,
    ];
    let held = decisions.iter().filter(|(address, decision)| {
        needed.contains(&address.kind)
            && matches!(
                decision,
                ResourceDecision::Blocked(_)
                    | ResourceDecision::Deferred(_)
                    | ResourceDecision::Unreadable(_)
            )
    });
    waits_for.extend(held.map(|(address, _)| address.clone()));
    if waits_for.is_empty() {
        return;
    }
    for deletion in deletions {
        let deferred = Deferred { waits_for: waits_for.clone(), ..deletion };
        decisions.insert(deferred.address.clone(), deferred.into());
    }
}

fn change_of(decision: &ResourceDecision) -> Option<&Change> {
    match decision {
        ResourceDecision::Change(change) => Some(change),
        _ => None,
    }
}

fn deferred_deletion(change: &Change) -> Deferred {
    let reason = &change.planned_because_of;
    Deferred {
        interrupts: change.interrupts.clone(),
        ..Deferred::new(change.address.clone(), Action::Delete, reason)
    }
}

/// Whether a change creates a pool, or makes one a system pool.
fn prepares(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (None, Some(Resource::NodePool(_))) => true,
        (Some(Resource::NodePool(before)), Some(Resource::NodePool(after))) => {
            before.mode == NodePoolMode::User && after.mode == NodePoolMode::System
        }
        _ => false,
    }
}

/// Whether a change adds routes that were missing.
fn adds_routes(change: &Change) -> bool {
    let before = change.before.as_ref().map(prefixes).unwrap_or_default();
    let after = change.after.as_ref().map(prefixes).unwrap_or_default();
    after.iter().any(|prefix| !before.contains(prefix))
}

fn prefixes(resource: &Resource) -> BTreeSet<Ipv4Net> {
    match resource {
        Resource::RouteTable(table) => {
            table.routes.known().map(|it| it.keys().copied().collect()).unwrap_or_default()
        }
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            routes.prefixes.known().cloned().unwrap_or_default()
        }
        Resource::RouterHost(router) => {
            router.kernel_routes.known().map(|it| it.keys().copied().collect()).unwrap_or_default()
        }
        _ => BTreeSet::new(),
    }
}

/// Shows the routes to the new nodes of pools. AKS assigns their pod CIDRs, so the routes
/// are written afterwards, in the same apply. Those to the nodes of a replaced pool are
/// withdrawn once more after it is deleted.
pub(super) fn defer_routes(
    input: Comparison<'_>,
    decisions: &mut ResourceDecisions,
    follow_ups: &mut FollowUps,
) {
    let mut resized = Vec::new();
    let mut upgraded = Vec::new();
    let mut leaving = Vec::new();
    let pools = decisions.iter().filter(|(address, _)| address.kind == Kind::NodePool);
    for (address, decision) in pools {
        match decision {
            ResourceDecision::Change(change) if changes_nodes(input, change) => &mut resized,
            ResourceDecision::Change(change) if upgrades_nodes(change) => &mut upgraded,
            ResourceDecision::Deferred(it) if it.action == Action::Delete => {
                if !may_have_nodes(input, address) {
                    continue;
                }
                &mut leaving
            }
            ResourceDecision::Deferred(_) => &mut resized,
            _ => continue,
        }
        .push(address.clone());
    }
    let routes = "routes to the pods of the pools' nodes";
    let follow_up = |waits_for, planned_because_of, is_conditional| FollowUp {
        waits_for,
        planned_because_of,
        is_conditional,
    };
    let all = [
        follow_up(resized, routes, false),
        follow_up(leaving, "routes to the pods of deleted nodes are withdrawn", false),
        // A node that AKS upgrades keeps its name, and usually its pod CIDR.
        follow_up(upgraded, routes, true),
    ];
    for follow_up in all.iter().filter(|it| !it.waits_for.is_empty()) {
        for desired in input.desired.iter().filter(|desired| holds_node_routes(desired)) {
            follow_ups.add(&desired.address, follow_up, decisions);
        }
    }
}

/// Whether a change of a pool adds or removes nodes.
fn changes_nodes(input: Comparison<'_>, change: &Change) -> bool {
    match change.action {
        // AKS creates as many nodes as are requested, and the autoscaler's minimum.
        Action::Create => match &change.after {
            Some(Resource::NodePool(pool)) => pool.scale.min_nodes() > 0,
            _ => true,
        },
        // The routes of its nodes are withdrawn in the same plan.
        Action::Delete => false,
        _ => differs_in(change, "scale") && is_resized(input, change),
    }
}

/// Whether a pool that is deleted later may have nodes. Its address has its key, and its name in
/// Azure if there are several pools of this key.
fn may_have_nodes(input: Comparison<'_>, address: &Address) -> bool {
    let name = address.name.rsplit('/').next().unwrap_or_default();
    let is_meant = |key: &ObjectKey, pool: &NodePool| {
        key.name().eq_ignore_ascii_case(name) || *address.name == *pool.key
    };
    let mut pools = input.inventory.iter();
    pools.any(|(key, observed)| match &observed.resource {
        Resource::NodePool(pool) => is_meant(key, pool) && pool.scale.max_nodes() > 0,
        _ => false,
    })
}

/// Whether a change of a pool makes its nodes again, with another version.
fn upgrades_nodes(change: &Change) -> bool {
    change.action != Action::Delete && differs_in(change, "kubernetes_version")
}

fn differs_in(change: &Change, field: &str) -> bool {
    let mut paths = change.differences.iter().map(|it| &it.path.0);
    paths.any(|path| path.first().is_some_and(|first| first == field))
}

/// Whether a pool has more or fewer nodes than its new scale allows. AKS keeps the number
/// that is between the limits of the autoscaler.
fn is_resized(input: Comparison<'_>, change: &Change) -> bool {
    let Some(Resource::NodePool(pool)) = &change.after else { return true };
    let count = live_nodes(input, change.key.name());
    let limits = pool.scale.min_nodes()..=pool.scale.max_nodes();
    !u32::try_from(count).is_ok_and(|count| limits.contains(&count))
}

/// The number of nodes that a pool has, by its name in Azure.
fn live_nodes(input: Comparison<'_>, pool: &str) -> usize {
    let is_of_pool =
        |node: &&AksNode| node.pool.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(pool));
    input.nodes.iter().filter(is_of_pool).count()
}

/// Whether a resource routes to the pods of single AKS nodes.
fn holds_node_routes(desired: &DesiredResource) -> bool {
    let Address { kind, site, name } = &desired.address;
    let is_cluster = *site == Site::Cluster;
    match kind {
        Kind::RouteTable => is_cluster && name.as_str() == ROUTER_ROUTE_TABLE,
        Kind::AdvertisedRoutes | Kind::ApprovedRoutes => is_cluster,
        Kind::RouterHost => true,
        _ => false,
    }
}
