//! The order in which node pools are created and deleted, and its consequences.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::{Action, Blocked, Change, Deferred, FieldChange};
use crate::desired::DesiredResource;
use crate::desired::names::ROUTER_ROUTE_TABLE;
use crate::diagnostics::{Code, Failure};
use crate::resource::settings::NodePoolMode;
use crate::resource::{Address, Kind, Resource, Site};

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
    Deferred {
        address: change.address.clone(),
        action: Action::Delete,
        waits_for: Vec::new(),
        fields: Vec::new(),
        planned_because_of: change.planned_because_of.clone(),
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
/// are written afterwards, in the same apply.
pub(super) fn defer_routes(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let changes_nodes = |decision: &ResourceDecision| match decision {
        ResourceDecision::Change(change) => changes_nodes(change),
        ResourceDecision::Deferred(_) => true,
        _ => false,
    };
    let pools = decisions.iter().filter(|(address, _)| address.kind == Kind::NodePool);
    let pools = pools.filter(|(_, decision)| changes_nodes(decision));
    let pools: Vec<Address> = pools.map(|(address, _)| address.clone()).collect();
    if pools.is_empty() {
        return;
    }
    for desired in input.desired.iter().filter(|desired| holds_node_routes(desired)) {
        if decisions.get(&desired.address) != Some(&ResourceDecision::Unchanged) {
            continue;
        }
        let deferred = Deferred {
            address: desired.address.clone(),
            action: Action::Update,
            waits_for: pools.clone(),
            fields: Vec::new(),
            planned_because_of: "routes to the pods of the pools' nodes".to_owned(),
        };
        decisions.insert(desired.address.clone(), deferred.into());
    }
}

/// Whether a change of a pool adds, removes or recreates nodes.
fn changes_nodes(change: &Change) -> bool {
    const FIELDS: [&str; 2] = ["scale", "kubernetes_version"];
    let is_one = |field: &FieldChange| {
        field.path.0.first().is_some_and(|name| FIELDS.contains(&name.as_str()))
    };
    match change.action {
        Action::Create => true,
        // The routes of its nodes are withdrawn in the same plan.
        Action::Delete => false,
        _ => change.differences.iter().any(is_one),
    }
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
