//! A VM boots and becomes a host; a VM that goes takes its host along.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::sandbox::arm::ArmStore;
use crate::sandbox::hosts::change::Outside;
use crate::sandbox::hosts::{Host, HostKind};
use crate::sandbox::world::World;

/// What stands before the line of cloud-init that tells a machine who it is.
pub(crate) const MACHINE_LINE: &str = "# stargate-machine:";
const VIRTUAL_MACHINES: &str = "Microsoft.Compute/virtualMachines";

/// Who a machine is, by its cloud-init.
#[derive(Debug, Clone, Deserialize)]
struct Machine {
    hostname: String,
    role: MachineRole,
    #[serde(default)]
    auth_key: Option<String>,
    /// Whether its cloud-init switches forwarding on.
    #[serde(default)]
    ip_forwarding: bool,
}

pub(super) fn settle(world: &mut World, now: Timestamp) {
    // Machines follow from nothing but Azure's objects.
    if world.settled.azure == Some(world.arm.version()) {
        return;
    }
    remove_lost(world, now);
    let booted: HashSet<&ArmId> = world.hosts.values().filter_map(vm).collect();
    let running: Vec<(ArmId, String)> = world
        .arm
        .list(VIRTUAL_MACHINES)
        .filter(|(id, machine)| succeeded(machine) && !booted.contains(id))
        .map(|(id, machine)| (id.clone(), instance(machine)))
        .collect();
    for (id, instance) in running {
        boot(world, &id, instance, now);
    }
    publish(world);
}

fn vm(host: &Host) -> Option<&ArmId> {
    match &host.kind {
        HostKind::Vm { id, .. } => Some(id),
        HostKind::Existing { .. } => None,
    }
}

/// Gives each machine the public address that its interface has.
fn publish(world: &mut World) {
    let World { arm, hosts, .. } = world;
    let address =
        |id: &ArmId| interface(arm, id).and_then(|interface| public_address(arm, interface));
    let moved: Vec<(String, Option<Ipv4Addr>)> = hosts
        .values()
        .filter_map(|host| Some((host, address(vm(host)?))))
        .filter(|(host, address)| host.public_ip != *address)
        .map(|(host, address)| (host.name.clone(), address))
        .collect();
    for (name, address) in moved {
        if let Some(host) = hosts.get_mut(&name) {
            host.public_ip = address;
        }
    }
}

fn remove_lost(world: &mut World, now: Timestamp) {
    let World { arm, hosts, tailnet, .. } = world;
    let is_lost = |host: &&Host| match &host.kind {
        HostKind::Vm { id, instance: known } => {
            arm.get(id).is_none_or(|machine| instance(machine) != *known)
        }
        HostKind::Existing { .. } => false,
    };
    let lost: Vec<String> = hosts.values().filter(is_lost).map(|host| host.name.clone()).collect();
    for name in lost {
        let Some(Host { tailscale: Some(tailscale), .. }) = hosts.remove(&name) else { continue };
        if let Some(device) = &tailscale.device {
            tailnet.report(device, false, &tailscale.advertised_routes, now);
        }
    }
}

fn boot(world: &mut World, id: &ArmId, instance: String, now: Timestamp) {
    let Some(address) = interface(&world.arm, id).and_then(private_address) else { return };
    let machine = world.arm.custom_data(id).and_then(read_machine);
    let name = machine.as_ref().map_or_else(|| id.name().to_owned(), |it| it.hostname.clone());
    let role = machine.as_ref().map_or(MachineRole::Worker, |machine| machine.role);
    if world.hosts.contains_key(&name) {
        return;
    }
    let kind = HostKind::Vm { id: id.clone(), instance };
    let mut host = Host::bare(&name, address, kind, role);
    if let Some(machine) = machine {
        host.kernel.ip_forwarding = machine.ip_forwarding;
        if let Some(key) = machine.auth_key {
            let World { tailnet, entropy, .. } = world;
            // A key that is not good leaves a host that is logged out.
            let _joined = host.join_tailnet(&key, &mut Outside { tailnet, entropy, now });
        }
    }
    world.hosts.insert(host);
}

fn read_machine(custom_data: &str) -> Option<Machine> {
    let line = custom_data.lines().find_map(|line| line.trim().strip_prefix(MACHINE_LINE))?;
    serde_json::from_str(line.trim()).ok()
}

/// Whether Azure has finished with an object.
pub(super) fn succeeded(object: &Value) -> bool {
    object.pointer("/properties/provisioningState").and_then(Value::as_str) == Some("Succeeded")
}

fn instance(machine: &Value) -> String {
    let id = machine.pointer("/properties/vmId").and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

fn interface<'a>(arm: &'a ArmStore, machine: &ArmId) -> Option<&'a Value> {
    let path = "/properties/networkProfile/networkInterfaces/0/id";
    let id = arm.get(machine)?.pointer(path)?.as_str()?;
    arm.get(&ArmId::new(id))
}

fn private_address(interface: &Value) -> Option<Ipv4Addr> {
    let path = "/properties/ipConfigurations/0/properties/privateIPAddress";
    interface.pointer(path)?.as_str()?.parse().ok()
}

fn public_address(arm: &ArmStore, interface: &Value) -> Option<Ipv4Addr> {
    let path = "/properties/ipConfigurations/0/properties/publicIPAddress/id";
    let id = interface.pointer(path)?.as_str()?;
    arm.get(&ArmId::new(id))?.pointer("/properties/ipAddress")?.as_str()?.parse().ok()
}
