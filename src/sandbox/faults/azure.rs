//! Faults of Azure's objects.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{FaultError, Strike};
use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::resource::ownership::{MANAGED_BY_TAG, SIDE_TAG, TOPOLOGY_TAG};
use crate::sandbox::hosts::{Host, HostKind};
use crate::sandbox::world::World;

const TABLES: &str = "Microsoft.Network/routeTables";
const WORKERS_TABLE: &str = "stargate-workers-rt";
const ROUTER_TABLE: &str = "stargate-router-rt";

type Outcome = Result<String, FaultError>;

fn modify(world: &mut World, id: &ArmId, change: impl FnOnce(&mut Value)) {
    let World { arm, entropy, .. } = world;
    arm.modify(id, change, &mut || entropy.next_guid());
}

fn objects(world: &World, resource_type: &str) -> Vec<(ArmId, Value)> {
    world.arm.list(resource_type).map(|(id, body)| (id.clone(), body.clone())).collect()
}

fn table(world: &World, name: &str, strike: Strike<'_>) -> Result<(ArmId, Value), FaultError> {
    let mut found = objects(world, TABLES).into_iter();
    found.find(|(id, _)| id.name().eq_ignore_ascii_case(name)).ok_or_else(|| strike.nothing())
}

fn routes(table: &Value) -> Vec<Value> {
    let routes = table.pointer("/properties/routes").and_then(Value::as_array);
    routes.cloned().unwrap_or_default()
}

fn prefix(route: &Value) -> String {
    let prefix = route.pointer("/properties/addressPrefix").and_then(Value::as_str);
    prefix.unwrap_or_default().to_owned()
}

/// Routes by their prefix, each with its name.
fn by_prefix(table: &Value) -> Vec<(String, String)> {
    let named = |route: &Value| route["name"].as_str().unwrap_or_default().to_owned();
    routes(table).iter().map(|route| (prefix(route), named(route))).collect()
}

fn drop_route(world: &mut World, table: &ArmId, name: &str) {
    modify(world, table, |table| {
        if let Some(routes) = table.pointer_mut("/properties/routes").and_then(Value::as_array_mut)
        {
            routes.retain(|route| route["name"] != *name);
        }
    });
}

pub(super) fn route_missing(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (id, table) = table(world, WORKERS_TABLE, strike)?;
    let (prefix, name) = strike.choose(by_prefix(&table))?;
    drop_route(world, &id, &name);
    Ok(format!("removed the route to {prefix} from {WORKERS_TABLE}"))
}

pub(super) fn route_wrong_hop(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (id, table) = table(world, WORKERS_TABLE, strike)?;
    let (prefix, name) = strike.choose(by_prefix(&table))?;
    let wrong = "10.224.0.250";
    modify(world, &id, |table| {
        let routes = table.pointer_mut("/properties/routes").and_then(Value::as_array_mut);
        for route in routes.into_iter().flatten().filter(|route| route["name"] == *name) {
            route["properties"]["nextHopType"] = json!("VirtualAppliance");
            route["properties"]["nextHopIpAddress"] = json!(wrong);
        }
    });
    Ok(format!("the route to {prefix} in {WORKERS_TABLE} now points at {wrong}"))
}

pub(super) fn route_stale(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (id, table) = table(world, ROUTER_TABLE, strike)?;
    let taken: BTreeSet<String> = routes(&table).iter().map(prefix).collect();
    let fallback = free_range(world, &taken).ok_or_else(|| strike.nothing())?;
    let wanted = strike.target.and_then(|target| target.parse::<Ipv4Net>().ok());
    let range = wanted.unwrap_or(fallback).to_string();
    let route = json!({
        "name": format!("gone-{}", range.replace(['.', '/'], "-")),
        "properties": {
            "addressPrefix": range,
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.224.0.99",
            "provisioningState": "Succeeded",
        },
    });
    modify(world, &id, |table| {
        let mut all = routes(table);
        all.push(route);
        table["properties"]["routes"] = json!(all);
    });
    Ok(format!("added a route to {range} via 10.224.0.99, which is nobody, to {ROUTER_TABLE}"))
}

/// A range beside those that the table has: what the next node would get.
fn free_range(world: &World, taken: &BTreeSet<String>) -> Option<Ipv4Net> {
    let (_, cluster) =
        objects(world, "Microsoft.ContainerService/managedClusters").into_iter().next()?;
    let pod_cidr: Ipv4Net =
        cluster.pointer("/properties/networkProfile/podCidr")?.as_str()?.parse().ok()?;
    pod_cidr.subnets(24).ok()?.find(|range| !taken.contains(&range.to_string()))
}

pub(super) fn router_table_detached(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (table, _) = table(world, ROUTER_TABLE, strike)?;
    let on_it = |subnet: &Value| {
        let id = subnet.pointer("/properties/routeTable/id").and_then(Value::as_str);
        id.is_some_and(|id| ArmId::new(id) == table)
    };
    let mut subnets = Vec::new();
    for (network, body) in objects(world, "Microsoft.Network/virtualNetworks") {
        let all = body.pointer("/properties/subnets").and_then(Value::as_array);
        for subnet in all.into_iter().flatten().filter(|subnet| on_it(subnet)) {
            let name = subnet["name"].as_str().unwrap_or_default();
            subnets.push((name.to_owned(), network.child("subnets", name)));
        }
    }
    let (name, id) = strike.choose(subnets)?;
    modify(world, &id, |subnet| {
        if let Some(properties) = subnet["properties"].as_object_mut() {
            properties.remove("routeTable");
        }
    });
    Ok(format!("took {ROUTER_TABLE} off the subnet {name}"))
}

/// Machines of a role that are VMs, with their hosts.
fn machines(world: &World, role: MachineRole) -> Vec<(String, (ArmId, Host))> {
    let of_role = |host: &&Host| host.role == role;
    let vm = |host: &Host| match &host.kind {
        HostKind::Vm { id, .. } => Some((host.name.clone(), (id.clone(), host.clone()))),
        HostKind::Existing { .. } => None,
    };
    world.hosts.values().filter(of_role).filter_map(vm).collect()
}

fn interface(world: &World, machine: &ArmId) -> Option<ArmId> {
    let path = "/properties/networkProfile/networkInterfaces/0/id";
    Some(ArmId::new(world.arm.get(machine)?.pointer(path)?.as_str()?))
}

pub(super) fn interface_forwarding_off(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (name, (machine, _)) = strike.choose(machines(world, MachineRole::Router))?;
    let interface = interface(world, &machine).ok_or_else(|| strike.nothing())?;
    modify(world, &interface, |interface| {
        interface["properties"]["enableIPForwarding"] = json!(false);
    });
    Ok(format!("switched IP forwarding off on {}, the interface of {name}", interface.name()))
}

pub(super) fn datacenter_route_missing(world: &mut World, strike: Strike<'_>) -> Outcome {
    let workers: BTreeSet<Ipv4Addr> =
        machines(world, MachineRole::Worker).into_iter().map(|(_, (_, host))| host.ip).collect();
    let to_worker = |route: &&Value| {
        let hop = route.pointer("/properties/nextHopIpAddress").and_then(Value::as_str);
        hop.and_then(|hop| hop.parse().ok()).is_some_and(|hop| workers.contains(&hop))
    };
    let mut candidates = Vec::new();
    for (id, table) in objects(world, TABLES) {
        let ours = id.name().ends_with("-route-table") && !id.name().contains("-router-");
        for route in routes(&table).iter().filter(|_| ours).filter(to_worker) {
            let name = route["name"].as_str().unwrap_or_default().to_owned();
            candidates.push((prefix(route), (id.clone(), name)));
        }
    }
    let (prefix, (id, name)) = strike.choose(candidates)?;
    drop_route(world, &id, &name);
    Ok(format!("removed the route to {prefix} from {}", id.name()))
}

fn group_of(world: &World, host: &Host, machine: &ArmId) -> Option<ArmId> {
    let id = |value: &Value| {
        value.pointer("/properties/networkSecurityGroup/id")?.as_str().map(ArmId::new)
    };
    let interface = world.arm.get(&interface(world, machine)?)?;
    let path = "/properties/ipConfigurations/0/properties/subnet/id";
    let subnet = interface.pointer(path).and_then(Value::as_str).map(ArmId::new);
    debug_assert_eq!(host.role, MachineRole::Router);
    id(interface).or_else(|| id(world.arm.get(&subnet?)?))
}

fn security_groups(world: &World) -> Vec<(String, ArmId)> {
    let routers = machines(world, MachineRole::Router);
    let group = |(name, (machine, host)): (String, (ArmId, Host))| {
        Some((name, group_of(world, &host, &machine)?))
    };
    routers.into_iter().filter_map(group).collect()
}

pub(super) fn deny_all(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (router, id) = strike.choose(security_groups(world))?;
    let rule = json!({ "name": "deny-all", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*",
        "provisioningState": "Succeeded",
    }});
    modify(world, &id, |group| {
        let rules = group.pointer("/properties/securityRules").and_then(Value::as_array);
        let mut rules: Vec<Value> = rules.cloned().unwrap_or_default();
        rules.retain(|known| known["properties"]["priority"] != 100 && known["name"] != "deny-all");
        rules.push(rule);
        group["properties"]["securityRules"] = json!(rules);
    });
    Ok(format!("put a rule that drops everything into {}, the group of {router}", id.name()))
}

pub(super) fn tags_removed(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (id, _) = table(world, WORKERS_TABLE, strike)?;
    modify(world, &id, |table| {
        if let Some(tags) = table["tags"].as_object_mut() {
            tags.retain(|tag, _| ![MANAGED_BY_TAG, TOPOLOGY_TAG, SIDE_TAG].contains(&tag.as_str()));
        }
    });
    Ok(format!("stripped our tags from {WORKERS_TABLE}"))
}

/// Prefers the group of a datacenter's router to that of the cluster's.
pub(super) fn foreign_object(world: &mut World, strike: Strike<'_>) -> Outcome {
    let mut groups = security_groups(world);
    let of_cluster = |id: &ArmId| {
        id.resource_group_name().is_some_and(|group| group.to_ascii_uppercase().starts_with("MC_"))
    };
    if strike.target.is_none() && groups.iter().any(|(_, id)| !of_cluster(id)) {
        groups.retain(|(_, id)| !of_cluster(id));
    }
    let (router, id) = strike.choose(groups)?;
    modify(world, &id, |group| {
        group["tags"] = json!({ "owner": "somebody-else" });
        group["properties"]["securityRules"] = json!([]);
        let guid = "00000000-0000-4000-8000-00000000f0e1";
        group["properties"]["resourceGuid"] = json!(guid);
    });
    Ok(format!(
        "replaced {}, the group of {router}, by somebody else's of the same name",
        id.name()
    ))
}

pub(super) fn worker_vm_deleted(world: &mut World, strike: Strike<'_>) -> Outcome {
    let (name, (id, _)) = strike.choose(machines(world, MachineRole::Worker))?;
    let World { arm, entropy, .. } = world;
    arm.remove(&id, &mut || entropy.next_guid());
    Ok(format!("deleted the VM of {name}"))
}

pub(super) fn scale(world: &mut World, strike: Strike<'_>, by: i64) -> Outcome {
    let clusters = objects(world, "Microsoft.ContainerService/managedClusters");
    let (id, body) = clusters.into_iter().next().ok_or_else(|| strike.nothing())?;
    let profiles = body.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    let pools: Vec<(String, i64)> = profiles
        .into_iter()
        .flatten()
        .filter_map(|pool| Some((pool["name"].as_str()?.to_owned(), pool["count"].as_i64()?)))
        .filter(|(_, count)| count + by >= 1)
        .collect();
    let (pool, count) = strike.choose(pools)?;
    let wanted = count + by;
    modify(world, &id, |cluster| {
        let path = "/properties/agentPoolProfiles";
        let profiles = cluster.pointer_mut(path).and_then(Value::as_array_mut);
        for profile in profiles.into_iter().flatten().filter(|it| it["name"] == *pool) {
            // Outside of an autoscaler's bounds too: Azure takes machines back
            // and replaces them as it likes.
            profile["count"] = json!(wanted);
        }
    });
    Ok(format!("node pool {pool} went from {count} to {wanted} nodes"))
}
