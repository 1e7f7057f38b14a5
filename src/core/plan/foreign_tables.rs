//! Routes of the topology in route tables of other owners.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::diff::{self, ObjectDiff};
use super::{Action, Blocked, Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, TableRoute};
use crate::resource::azure::{NextHop, SingleRoute};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource};
use crate::topology::lints::MAX_ROUTES_PER_TABLE;

/// How many routes a message names.
const MAX_NAMED: usize = 8;

/// The decision about a route that does not exist while its table has one of another owner to
/// the same destination: Azure permits one. With the same next hop nothing is missing.
pub(super) fn refuse(input: Comparison<'_>, desired: &DesiredResource) -> Option<ResourceDecision> {
    let (table, route) = single_route(desired)?;
    let theirs = input.inventory.table_routes.get(&ObjectKey::Azure(table.clone()))?;
    let taken = theirs.iter().find(|it| it.prefix() == Some(route.address_prefix))?;
    if leads_to(taken, route.next_hop) {
        return Some(ResourceDecision::Unchanged);
    }
    let blocked = Blocked {
        address: desired.address.clone(),
        action: Action::Create,
        fields: diff::whole(&desired.resource, ObjectDiff::Created),
        failure: taken_from(&table, taken, route, "the same destination"),
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    };
    Some(blocked.into())
}

/// The table of a single route, and the route.
fn single_route(desired: &DesiredResource) -> Option<(ArmId, &SingleRoute)> {
    match (&desired.resource, &desired.key) {
        (Resource::Route(route), Some(ObjectKey::Azure(id))) => Some((id.parent()?, route)),
        _ => None,
    }
}

fn leads_to(route: &TableRoute, hop: NextHop) -> bool {
    hop.address().is_some_and(|address| route.next_hop.parse() == Ok(address))
}

fn taken_from(table: &ArmId, taken: &TableRoute, route: &SingleRoute, what: &str) -> Failure {
    let router = route.next_hop.address().map(|it| it.to_string()).unwrap_or_default();
    Failure::new(
        Code::ForeignRoute,
        format!(
            "route {} ({taken}) in the route table {} has {what} as the topology's route {}: its \
             packets do not reach the router {router}",
            taken.name,
            table.name(),
            route.address_prefix
        ),
        format!(
            "ask the owner of the table to remove the route, or to set its next hop to {router}: \
             `az network route-table route update --ids {}/routes/{} --next-hop-type \
             VirtualAppliance --next-hop-ip-address {router}`",
            table, taken.name
        ),
    )
}

/// Findings about the routes of owners beside those of the topology: more specific ones that
/// take a part of the packets, and tables that have no room.
pub(super) fn findings(desired: &DesiredSet, inventory: &Inventory) -> Vec<Finding> {
    let mut tables: BTreeMap<ArmId, Vec<(&Address, &SingleRoute)>> = BTreeMap::new();
    for one in desired.iter().filter(|it| it.address.kind == Kind::Route) {
        let Some((table, route)) = single_route(one) else { continue };
        tables.entry(table).or_default().push((&one.address, route));
    }
    let mut findings = Vec::new();
    for (table, routes) in &tables {
        let key = ObjectKey::Azure(table.clone());
        let Some(theirs) = inventory.table_routes.get(&key) else { continue };
        // An equal route of the owner is not added a second time.
        let is_added = |route: &SingleRoute| {
            !theirs.iter().any(|it| it.prefix() == Some(route.address_prefix))
        };
        let ours = routes
            .iter()
            .filter(|(address, route)| is_added(route) || is_live(desired, inventory, address));
        findings.extend(too_many(table, theirs.len(), ours.count()));
        for (address, route) in routes {
            let captured = theirs.iter().filter(|it| captures(it, route));
            findings.extend(captured.map(|taken| Finding {
                address: Some((*address).clone()),
                ..Finding::new(
                    FindingSeverity::Warning,
                    taken_from(table, taken, route, "a part of the same destination"),
                )
            }));
        }
    }
    findings
}

/// Whether a route of another owner is more specific than one of the topology, and leads
/// elsewhere.
fn captures(theirs: &TableRoute, ours: &SingleRoute) -> bool {
    let is_part =
        |prefix: Ipv4Net| ours.address_prefix.contains(&prefix) && prefix != ours.address_prefix;
    theirs.prefix().is_some_and(is_part) && !leads_to(theirs, ours.next_hop)
}

fn is_live(desired: &DesiredSet, inventory: &Inventory, address: &Address) -> bool {
    let key = desired.get(address).and_then(|it| it.key.as_ref());
    key.is_some_and(|key| inventory.get(key).is_some())
}

fn too_many(table: &ArmId, theirs: usize, ours: usize) -> Option<Finding> {
    let fits = u64::try_from(theirs + ours).is_ok_and(|all| all <= MAX_ROUTES_PER_TABLE);
    let failure = || {
        Failure::new(
            Code::TooManyRoutes,
            format!(
                "the route table {} would have {} routes, {theirs} of them its owner's: Azure \
                 permits {MAX_ROUTES_PER_TABLE}",
                table.name(),
                theirs + ours
            ),
            "set a `pod_pool` for each datacenter, or ask the owner to combine routes",
        )
    };
    (!fits).then(|| Finding::new(FindingSeverity::Error, failure()))
}

/// The routes that a subnet loses with its table, as text; `None` if the table has none that
/// are known.
pub(super) fn routes_lost(inventory: &Inventory, table: &ArmId) -> Option<String> {
    let routes = inventory.table_routes.get(&ObjectKey::Azure(table.clone()))?;
    let named: Vec<String> =
        routes.iter().take(MAX_NAMED).map(|route| format!("{} ({route})", route.name)).collect();
    let more = routes.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("{}{more}", named.join(", ")))
}

/// Keeps the topology's routes in a table of another owner while a subnet has that table and
/// does not get the topology's own in this plan: without them nothing leads to the router.
pub(super) fn keep_used_routes(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    if input.desired.is_empty() {
        return;
    }
    let mut deleted: BTreeMap<ArmId, Vec<Address>> = BTreeMap::new();
    for (address, decision) in decisions.iter() {
        let ResourceDecision::Change(change) = decision else { continue };
        let table = change.deleted_route().and_then(ArmId::parent);
        if let Some(table) = table {
            deleted.entry(table).or_default().push(address.clone());
        }
    }
    for (table, routes) in deleted {
        if is_in_use(input, decisions, &table) || stays_on_nodes(input, decisions, &table) {
            routes.iter().for_each(|address| drop(decisions.remove(address)));
        }
    }
}

/// Whether the topology has desired routes in a table of another owner: then single ones go
/// while the table is in use.
pub(super) fn has_desired_routes(desired: &DesiredSet, table: &ArmId) -> bool {
    let routes = desired.iter().filter(|it| it.address.kind == Kind::Route);
    routes.filter_map(single_route).any(|(of, _)| of == *table)
}

/// Whether the table itself names a subnet of AKS nodes that does not get another one in this
/// plan. The subnet's own answer may be older, and lack the table.
fn stays_on_nodes(input: Comparison<'_>, decisions: &ResourceDecisions, table: &ArmId) -> bool {
    let named = input.inventory.tables_on_nodes.get(&ObjectKey::Azure(table.clone()));
    let Some(named) = named.filter(|_| !has_desired_routes(input.desired, table)) else {
        return false;
    };
    let has_it = |resource: Option<&Resource>| match resource {
        Some(Resource::RouteTableAssociation(it)) => it.route_table.as_ref() == Some(table),
        _ => false,
    };
    let gets_another = |key: &ObjectKey| {
        decisions.values().any(|decision| match decision {
            ResourceDecision::Change(change) => {
                change.key == *key && !has_it(change.after.as_ref())
            }
            _ => false,
        })
    };
    named.iter().any(|subnet| {
        let key = ObjectKey::AzureAssociation(subnet.clone());
        let observed = input.inventory.get(&key).map(|it| &it.resource);
        !has_it(observed) || !gets_another(&key)
    })
}

/// Whether a subnet that should get another table has this one and keeps it.
fn is_in_use(input: Comparison<'_>, decisions: &ResourceDecisions, table: &ArmId) -> bool {
    let associations =
        input.desired.iter().filter(|it| it.address.kind == Kind::RouteTableAssociation);
    let mut associations = associations.filter(|desired| {
        let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
        // Unless it was read, it may have any table.
        observed.is_none_or(|observed| match &observed.resource {
            Resource::RouteTableAssociation(association) => {
                association.route_table.as_ref() == Some(table)
            }
            _ => false,
        })
    });
    let changes = |address: &Address| {
        matches!(
            decisions.get(address),
            Some(ResourceDecision::Change(_) | ResourceDecision::Unchanged)
        )
    };
    associations.any(|desired| !changes(&desired.address))
}
