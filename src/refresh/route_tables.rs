//! Route tables of other owners: those on the subnets of AKS nodes, and the topology's routes
//! in them.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use serde_json::Value;

use super::cluster_facts::ClusterResponse;
use super::single::{get_printable, unreadable};
use super::{Observation, Scope, azure};
use crate::desired::facts::ClusterFacts;
use crate::desired::names;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::resource::route_name::route_ownership;
use crate::resource::settings::NodeRouteTable;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership, Resource};

/// The tables on subnets of AKS nodes that no list has, with the reason: their routes are
/// neither known to be there nor to be missing.
pub(super) type UnreadTables = Vec<(ArmId, Failure)>;

/// Reads each table on a subnet of AKS nodes by its ID that the lists lack, and adds it to
/// them: the owner may keep it in a group that the identity may not list. Without
/// `route_table = "existing"` it may have routes of the topology from before.
pub(super) async fn read_missing(
    clients: &ReadClients,
    scope: &Scope<'_>,
    cluster: &ClusterResponse,
    objects: &mut BTreeMap<Kind, Vec<Value>>,
) -> UnreadTables {
    let ClusterResponse::Facts(facts) = cluster else { return Vec::new() };
    let tables = objects.entry(Kind::RouteTable).or_default();
    let is_listed = |id: &ArmId| tables.iter().any(|table| codec::id(table).as_ref() == Some(id));
    let mut missing: Vec<ArmId> =
        facts.node_subnets.iter().filter_map(|subnet| subnet.foreign_route_table.clone()).collect();
    missing.sort();
    missing.dedup();
    let own = own_table(facts);
    missing.retain(|id| *id != own && !is_listed(id));
    let reads = missing.into_iter().map(|id| async move {
        let response = get_printable(clients, &id).await;
        (id, response)
    });
    let mut unread = Vec::new();
    for (id, response) in join_all(reads).await {
        match response {
            Ok(Some(table)) => tables.push(table),
            // It has no routes, and gets none.
            Ok(None) if scope.topology.cluster.route_table != NodeRouteTable::Existing => {}
            Ok(None) => unread.push((id.clone(), unread_table(&id, "Azure has no such table"))),
            Err(error) => unread.push((id.clone(), unread_table(&id, &error.to_string()))),
        }
    }
    unread
}

fn unread_table(id: &ArmId, reason: &str) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("cannot read the route table {id} on a subnet of AKS nodes: {reason}"),
        format!(
            "assign the identity a role on the route table that permits \
             `Microsoft.Network/routeTables/read` and `Microsoft.Network/routeTables/routes/*`, \
             such as Network Contributor; `az network route-table show --ids {id}` shows whether \
             it can be read"
        ),
    )
}

/// Notes the tables that could not be read.
pub(super) fn note_unread(unread: &UnreadTables, observation: &mut Observation) {
    for (id, failure) in unread {
        observation.unread(ObjectKey::Azure(id.clone()), Source::Azure, failure.clone());
    }
}

/// The topology's own table, which is read by its ID with the other desired objects.
fn own_table(facts: &ClusterFacts) -> ArmId {
    facts.network_group().in_group(Kind::RouteTable.arm_type(), names::WORKERS_ROUTE_TABLE)
}

/// Keeps in the facts only the tables that are neither the topology's own nor those of another
/// topology, which writes its tables whole and would remove single routes.
pub(super) fn keep_foreign(facts: &mut ClusterFacts, observation: &Observation) {
    let own = own_table(facts);
    for subnet in &mut facts.node_subnets {
        subnet.foreign_route_table.take_if(|table| {
            let key = ObjectKey::Azure(table.clone());
            let observed = observation.inventory.get(&key);
            let is_marked = observed.is_some_and(|it| it.ownership != Ownership::Foreign);
            *table == own || is_marked || observation.without_name.contains_key(&key)
        });
    }
}

/// Notes the routes of tables that the topology does not own, and those of them that are the
/// topology's. A name proves that only where the topology may have written: an owner may copy a
/// route to a table that it never had.
pub(super) fn note_routes(
    tables: Option<&Vec<Value>>,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for table in tables.into_iter().flatten() {
        let Some(id) = codec::id(table) else { continue };
        let place = Place::of(&id, table, cluster);
        let key = ObjectKey::Azure(id);
        let is_ours = azure::ownership(table, &owner, scope).is_ours()
            || observation.without_name.contains_key(&key);
        if is_ours {
            continue;
        }
        let mut routes = Vec::new();
        for (id, route, body) in codec::route::in_table(table) {
            let ownership = route_ownership(&owner, &route.name);
            if ownership.is_ours() && place.may_have_ours {
                note_route(id, body, ownership, observation);
            } else {
                routes.push(route);
            }
        }
        if !place.node_subnets.is_empty() {
            observation.inventory.tables_on_nodes.insert(key.clone(), place.node_subnets);
        }
        observation.inventory.table_routes.insert(key, routes);
    }
}

/// Where a table of another owner is.
struct Place {
    /// The subnets of AKS nodes that the table itself names.
    node_subnets: BTreeSet<ArmId>,
    /// Whether the topology may have written routes to it: it is on a subnet of AKS nodes, or on
    /// no subnet, as one that its owner detached.
    may_have_ours: bool,
}

impl Place {
    fn of(id: &ArmId, table: &Value, cluster: Option<&ClusterFacts>) -> Self {
        let of_nodes = || cluster.into_iter().flat_map(|facts| &facts.node_subnets);
        let is_named = of_nodes().any(|subnet| subnet.foreign_route_table.as_ref() == Some(id));
        let subnets = codec::route_table::subnets(table);
        let is_unattached = subnets.as_ref().is_ok_and(Vec::is_empty);
        let subnets = subnets.unwrap_or_default().into_iter();
        let node_subnets: BTreeSet<ArmId> =
            subnets.filter(|id| of_nodes().any(|subnet| subnet.id == *id)).collect();
        let may_have_ours = is_named || is_unattached || !node_subnets.is_empty();
        Self { node_subnets, may_have_ours }
    }
}

fn note_route(id: ArmId, body: &Value, ownership: Ownership, observation: &mut Observation) {
    match codec::route::decode(body) {
        Ok(route) => {
            let key = ObjectKey::Azure(id);
            observation.inventory.note(key, Resource::Route(route), ownership);
        }
        Err(error) => {
            let failure = unreadable(&id, &error);
            observation.unread(ObjectKey::Azure(id), Source::Azure, failure);
        }
    }
}
