//! The routes in the cluster's VNet: the table on the subnets of AKS nodes, or single routes in
//! the tables that these have, and the table on the router's subnet.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::cluster_site::address;
use super::context::DesiredContext;
use super::facts::NodeSubnet;
use super::set::{DesiredSet, ResourceBuilder};
use super::{DesiredResource, names};
use crate::resource::azure::{NextHop, RouteTable, RouteTableAssociation, SingleRoute};
use crate::resource::route_name::{destination, route_name};
use crate::resource::settings::NodeRouteTable;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Pending, Resource};

const ON_NODES: &str = "stargate-workers-rt on every subnet of AKS nodes";

/// The tables, the associations of AKS's node subnets, and the routes in tables of others.
pub(super) fn all(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    let foreign = foreign_tables(context);
    if needs_own_table(context) {
        let routes = Pending::Known(workers_routes(context));
        let reason = "route datacenter networks and their pods via the AKS router";
        set.add(table(context, names::WORKERS_ROUTE_TABLE, routes, reason));
    }
    let routes = router_routes(context);
    let reason = "route each AKS node's pods to that node";
    set.add(table(context, names::ROUTER_ROUTE_TABLE, routes, reason));
    for subnet in node_subnets(context).filter(|subnet| keeps(context, subnet).is_none()) {
        set.add(association(
            context,
            address(Kind::RouteTableAssociation, subnet.id.name()),
            Pending::Known(subnet.id.clone()),
        ));
    }
    if context.facts.cluster.is_none() {
        set.add(association(
            context,
            address(Kind::RouteTableAssociation, "aks-subnet"),
            Pending::after(context.cluster_address()),
        ));
    }
    for (id, name) in &foreign {
        for (prefix, hop) in workers_routes(context) {
            set.add(route(context, (id, name), prefix, hop));
        }
    }
}

fn table(
    context: &DesiredContext<'_>,
    name: &str,
    routes: Pending<BTreeMap<Ipv4Net, NextHop>>,
    planned_because_of: &str,
) -> DesiredResource {
    let location = context.cluster_location();
    ResourceBuilder::new(
        address(Kind::RouteTable, name),
        context.in_network_group(Kind::RouteTable, name),
        Resource::RouteTable(RouteTable { location, routes, protected_by: None }.into()),
    )
    .contained_in_all(context.cluster_dependencies())
    .planned_because_of(planned_because_of)
}

fn association(
    context: &DesiredContext<'_>,
    address: Address,
    subnet: Pending<ArmId>,
) -> DesiredResource {
    let key = subnet.known().cloned().map(ObjectKey::AzureAssociation);
    let table = context.id_in_network_group(Kind::RouteTable, names::WORKERS_ROUTE_TABLE);
    let association = RouteTableAssociation { subnet, route_table: Some(table) };
    ResourceBuilder::new(address, key, Resource::RouteTableAssociation(association))
        .depends_on(self::address(Kind::RouteTable, names::WORKERS_ROUTE_TABLE))
        .planned_because_of(ON_NODES)
}

fn route(
    context: &DesiredContext<'_>,
    (table, name): (&ArmId, &str),
    address_prefix: Ipv4Net,
    next_hop: NextHop,
) -> DesiredResource {
    let id = table.child("routes", &route_name(&context.topology.name, &address_prefix));
    ResourceBuilder::new(
        address(Kind::Route, &format!("{name}/{}", destination(&address_prefix))),
        Some(ObjectKey::Azure(id)),
        Resource::Route(SingleRoute { address_prefix, next_hop }),
    )
    .planned_because_of("[cluster] route_table = \"existing\"")
}

fn node_subnets<'a>(context: &DesiredContext<'a>) -> impl Iterator<Item = &'a NodeSubnet> {
    context.facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets)
}

/// The table of another owner that a subnet keeps.
fn keeps<'a>(context: &DesiredContext<'a>, subnet: &'a NodeSubnet) -> Option<&'a ArmId> {
    let is_kept = context.topology.cluster.route_table == NodeRouteTable::Existing;
    subnet.foreign_route_table.as_ref().filter(|_| is_kept)
}

/// Each table of another owner once, with the name that it has in addresses.
fn foreign_tables(context: &DesiredContext<'_>) -> Vec<(ArmId, String)> {
    let mut ids: Vec<&ArmId> =
        node_subnets(context).filter_map(|subnet| keeps(context, subnet)).collect();
    ids.sort();
    ids.dedup();
    let is_unique = |id: &ArmId| {
        ids.iter().filter(|other| other.name().eq_ignore_ascii_case(id.name())).count() == 1
    };
    let name = |id: &ArmId| match is_unique(id) {
        true => id.name().to_owned(),
        false => format!("{}/{}", id.resource_group_name().unwrap_or_default(), id.name()),
    };
    ids.iter().map(|id| ((*id).clone(), name(id))).collect()
}

/// Whether a subnet of AKS nodes gets the topology's table.
fn needs_own_table(context: &DesiredContext<'_>) -> bool {
    context.facts.cluster.is_none()
        || node_subnets(context).any(|subnet| keeps(context, subnet).is_none())
}

fn workers_routes(context: &DesiredContext<'_>) -> BTreeMap<Ipv4Net, NextHop> {
    let hop = NextHop::Appliance(context.cluster_router_ip());
    context.remote_prefixes(None).into_iter().map(|prefix| (prefix, hop)).collect()
}

fn router_routes(context: &DesiredContext<'_>) -> Pending<BTreeMap<Ipv4Net, NextHop>> {
    let facts = context.facts;
    if facts.cluster.is_none() || facts.nodes.is_empty() || context.has_unread_routes() {
        return Pending::after(context.cluster_address());
    }
    let nodes = facts.nodes.iter();
    Pending::Known(nodes.map(|node| (node.pod_cidr, NextHop::Appliance(node.address))).collect())
}
