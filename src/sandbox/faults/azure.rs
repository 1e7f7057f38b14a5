//! Faults of Azure resources.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::{FaultError, Injection};
use crate::diagnostics::counted;
use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::resource::ownership::{MANAGED_BY_TAG, SITE_TAG, TOPOLOGY_TAG};
use crate::sandbox::hosts::{EmulatedHost, HostKind};
use crate::sandbox::state::SandboxState;

const TABLES: &str = "Microsoft.Network/routeTables";
const WORKERS_TABLE: &str = "stargate-workers-rt";
const ROUTER_TABLE: &str = "stargate-router-rt";

type Outcome = Result<String, FaultError>;

fn modify(sandbox: &mut SandboxState, id: &ArmId, change: impl FnOnce(&mut Value)) {
    let SandboxState { arm, entropy, .. } = sandbox;
    arm.modify(id, change, &mut || entropy.next_guid());
}

fn objects(sandbox: &SandboxState, resource_type: &str) -> Vec<(ArmId, Value)> {
    sandbox.arm.list(resource_type).map(|(id, body)| (id.clone(), body.clone())).collect()
}

fn table(
    sandbox: &SandboxState,
    name: &str,
    injection: Injection<'_>,
) -> Result<(ArmId, Value), FaultError> {
    let mut found = objects(sandbox, TABLES).into_iter();
    found.find(|(id, _)| id.name().eq_ignore_ascii_case(name)).ok_or_else(|| injection.no_target())
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

fn drop_route(sandbox: &mut SandboxState, table: &ArmId, name: &str) {
    modify(sandbox, table, |table| {
        if let Some(routes) = table.pointer_mut("/properties/routes").and_then(Value::as_array_mut)
        {
            routes.retain(|route| route["name"] != *name);
        }
    });
}

pub(super) fn route_missing(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (id, table) = table(sandbox, WORKERS_TABLE, injection)?;
    let (prefix, name) = injection.choose(by_prefix(&table))?;
    drop_route(sandbox, &id, &name);
    Ok(format!("removed the route to {prefix} from {WORKERS_TABLE}"))
}

pub(super) fn route_wrong_hop(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (id, table) = table(sandbox, WORKERS_TABLE, injection)?;
    let (prefix, name) = injection.choose(by_prefix(&table))?;
    let wrong = "10.224.0.250";
    modify(sandbox, &id, |table| {
        let routes = table.pointer_mut("/properties/routes").and_then(Value::as_array_mut);
        for route in routes.into_iter().flatten().filter(|route| route["name"] == *name) {
            route["properties"]["nextHopType"] = json!("VirtualAppliance");
            route["properties"]["nextHopIpAddress"] = json!(wrong);
        }
    });
    Ok(format!("changed the next hop of the route to {prefix} in {WORKERS_TABLE} to {wrong}"))
}

pub(super) fn route_stale(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (id, table) = table(sandbox, ROUTER_TABLE, injection)?;
    let taken: BTreeSet<String> = routes(&table).iter().map(prefix).collect();
    let fallback = free_range(sandbox, &taken).ok_or_else(|| injection.no_target())?;
    let expected = injection.target.and_then(|target| target.parse::<Ipv4Net>().ok());
    let range = expected.unwrap_or(fallback).to_string();
    let route = json!({
        "name": format!("gone-{}", range.replace(['.', '/'], "-")),
        "properties": {
            "addressPrefix": range,
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.224.0.99",
            "provisioningState": "Succeeded",
        },
    });
    modify(sandbox, &id, |table| {
        let mut all = routes(table);
        all.push(route);
        table["properties"]["routes"] = json!(all);
    });
    Ok(format!("added a route to {range} via 10.224.0.99, which no host has, to {ROUTER_TABLE}"))
}

/// A free range next to the ranges of the table: the one that the next node would get.
fn free_range(sandbox: &SandboxState, taken: &BTreeSet<String>) -> Option<Ipv4Net> {
    let (_, cluster) =
        objects(sandbox, "Microsoft.ContainerService/managedClusters").into_iter().next()?;
    let pod_cidr: Ipv4Net =
        cluster.pointer("/properties/networkProfile/podCidr")?.as_str()?.parse().ok()?;
    pod_cidr.subnets(24).ok()?.find(|range| !taken.contains(&range.to_string()))
}

pub(super) fn router_table_detached(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Outcome {
    let (table, _) = table(sandbox, ROUTER_TABLE, injection)?;
    let on_it = |subnet: &Value| {
        let id = subnet.pointer("/properties/routeTable/id").and_then(Value::as_str);
        id.is_some_and(|id| ArmId::new(id) == table)
    };
    let mut subnets = Vec::new();
    for (network, body) in objects(sandbox, "Microsoft.Network/virtualNetworks") {
        let all = body.pointer("/properties/subnets").and_then(Value::as_array);
        for subnet in all.into_iter().flatten().filter(|subnet| on_it(subnet)) {
            let name = subnet["name"].as_str().unwrap_or_default();
            subnets.push((name.to_owned(), network.child("subnets", name)));
        }
    }
    let (name, id) = injection.choose(subnets)?;
    modify(sandbox, &id, |subnet| {
        if let Some(properties) = subnet["properties"].as_object_mut() {
            properties.remove("routeTable");
        }
    });
    Ok(format!("detached {ROUTER_TABLE} from the subnet {name}"))
}

/// The VMs of a role, with the names of their hosts.
fn machines(sandbox: &SandboxState, role: MachineRole) -> Vec<(String, (ArmId, EmulatedHost))> {
    let of_role = |host: &&EmulatedHost| host.role == role;
    let vm = |host: &EmulatedHost| match &host.kind {
        HostKind::Vm { id, .. } => Some((host.name.clone(), (id.clone(), host.clone()))),
        HostKind::Existing { .. } => None,
    };
    sandbox.hosts.values().filter(of_role).filter_map(vm).collect()
}

fn interface(sandbox: &SandboxState, machine: &ArmId) -> Option<ArmId> {
    let path = "/properties/networkProfile/networkInterfaces/0/id";
    Some(ArmId::new(sandbox.arm.get(machine)?.pointer(path)?.as_str()?))
}

pub(super) fn interface_forwarding_off(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Outcome {
    let (name, (machine, _)) = injection.choose(machines(sandbox, MachineRole::Router))?;
    let interface = interface(sandbox, &machine).ok_or_else(|| injection.no_target())?;
    modify(sandbox, &interface, |interface| {
        interface["properties"]["enableIPForwarding"] = json!(false);
    });
    Ok(format!("disabled IP forwarding on {}, the interface of {name}", interface.name()))
}

pub(super) fn datacenter_route_missing(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Outcome {
    let workers: BTreeSet<Ipv4Addr> =
        machines(sandbox, MachineRole::Worker).into_iter().map(|(_, (_, host))| host.ip).collect();
    let to_worker = |route: &&Value| {
        let hop = route.pointer("/properties/nextHopIpAddress").and_then(Value::as_str);
        hop.and_then(|hop| hop.parse().ok()).is_some_and(|hop| workers.contains(&hop))
    };
    let mut candidates = Vec::new();
    for (id, table) in objects(sandbox, TABLES) {
        let ours = id.name().ends_with("-route-table") && !id.name().contains("-router-");
        for route in routes(&table).iter().filter(|_| ours).filter(to_worker) {
            let name = route["name"].as_str().unwrap_or_default().to_owned();
            candidates.push((prefix(route), (id.clone(), name)));
        }
    }
    let (prefix, (id, name)) = injection.choose(candidates)?;
    drop_route(sandbox, &id, &name);
    Ok(format!("removed the route to {prefix} from {}", id.name()))
}

fn group_of(sandbox: &SandboxState, host: &EmulatedHost, machine: &ArmId) -> Option<ArmId> {
    let id = |value: &Value| {
        value.pointer("/properties/networkSecurityGroup/id")?.as_str().map(ArmId::new)
    };
    let interface = sandbox.arm.get(&interface(sandbox, machine)?)?;
    let path = "/properties/ipConfigurations/0/properties/subnet/id";
    let subnet = interface.pointer(path).and_then(Value::as_str).map(ArmId::new);
    debug_assert_eq!(host.role, MachineRole::Router);
    id(interface).or_else(|| id(sandbox.arm.get(&subnet?)?))
}

fn security_groups(sandbox: &SandboxState) -> Vec<(String, ArmId)> {
    let routers = machines(sandbox, MachineRole::Router);
    let group = |(name, (machine, host)): (String, (ArmId, EmulatedHost))| {
        Some((name, group_of(sandbox, &host, &machine)?))
    };
    routers.into_iter().filter_map(group).collect()
}

pub(super) fn security_group_deny(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (router, id) = injection.choose(security_groups(sandbox))?;
    let rule = json!({ "name": "deny-all", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*",
        "provisioningState": "Succeeded",
    }});
    modify(sandbox, &id, |group| {
        let rules = group.pointer("/properties/securityRules").and_then(Value::as_array);
        let mut rules: Vec<Value> = rules.cloned().unwrap_or_default();
        rules.retain(|known| known["properties"]["priority"] != 100 && known["name"] != "deny-all");
        rules.push(rule);
        group["properties"]["securityRules"] = json!(rules);
    });
    Ok(format!(
        "added a rule that denies all inbound traffic to {}, the security group of {router}",
        id.name()
    ))
}

pub(super) fn tags_removed(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (id, _) = table(sandbox, WORKERS_TABLE, injection)?;
    modify(sandbox, &id, |table| {
        if let Some(tags) = table["tags"].as_object_mut() {
            tags.retain(|tag, _| ![MANAGED_BY_TAG, TOPOLOGY_TAG, SITE_TAG].contains(&tag.as_str()));
        }
    });
    Ok(format!("removed stargate's tags from {WORKERS_TABLE}"))
}

/// Prefers the resource group of a datacenter's router to that of the cluster's router.
pub(super) fn foreign_object(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let mut groups = security_groups(sandbox);
    let of_cluster = |id: &ArmId| {
        id.resource_group_name().is_some_and(|group| group.to_ascii_uppercase().starts_with("MC_"))
    };
    if injection.target.is_none() && groups.iter().any(|(_, id)| !of_cluster(id)) {
        groups.retain(|(_, id)| !of_cluster(id));
    }
    let (router, id) = injection.choose(groups)?;
    modify(sandbox, &id, |group| {
        group["tags"] = json!({ "owner": "another-team" });
        group["properties"]["securityRules"] = json!([]);
        let guid = "00000000-0000-4000-8000-00000000f0e1";
        group["properties"]["resourceGuid"] = json!(guid);
    });
    Ok(format!(
        "replaced {}, the security group of {router}, with one that stargate does not own",
        id.name()
    ))
}

pub(super) fn worker_vm_deleted(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let (name, (id, _)) = injection.choose(machines(sandbox, MachineRole::Worker))?;
    let SandboxState { arm, entropy, .. } = sandbox;
    arm.remove(&id, &mut || entropy.next_guid());
    Ok(format!("deleted the VM of {name}"))
}

pub(super) fn scale(sandbox: &mut SandboxState, injection: Injection<'_>, by: i64) -> Outcome {
    let clusters = objects(sandbox, "Microsoft.ContainerService/managedClusters");
    let (id, body) = clusters.into_iter().next().ok_or_else(|| injection.no_target())?;
    let profiles = body.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    let pools: Vec<(String, i64)> = profiles
        .into_iter()
        .flatten()
        .filter_map(|pool| Some((pool["name"].as_str()?.to_owned(), pool["count"].as_i64()?)))
        .filter(|(_, count)| count + by >= 1)
        .collect();
    let (pool, count) = injection.choose(pools)?;
    let expected = count + by;
    modify(sandbox, &id, |cluster| {
        let path = "/properties/agentPoolProfiles";
        let profiles = cluster.pointer_mut(path).and_then(Value::as_array_mut);
        for profile in profiles.into_iter().flatten().filter(|it| it["name"] == *pool) {
            // The count may leave the autoscaler's bounds: Azure removes and replaces machines at
            // any time.
            profile["count"] = json!(expected);
        }
    });
    let expected = counted(u64::try_from(expected).unwrap_or_default(), "node");
    Ok(format!("scaled node pool {pool} from {count} to {expected}"))
}
