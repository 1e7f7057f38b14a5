//! A VM boots and becomes a host; a VM that goes takes its host along.

use std::collections::{BTreeMap, BTreeSet};
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

const INTERFACES: &str = "Microsoft.Network/networkInterfaces";
const PUBLIC_ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";

/// The VMs of which there are machines, and those that wait for becoming one.
#[derive(Debug, Clone, Default)]
pub(super) struct Machines {
    /// The names of their hosts.
    booted: BTreeMap<ArmId, String>,
    /// Their name was taken, or they had no address.
    waiting: BTreeSet<ArmId>,
}

pub(super) fn reconcile(world: &mut World, now: Timestamp) {
    // Machines follow from nothing but Azure's objects.
    if world.reconciled.azure == Some(world.arm.version()) {
        return;
    }
    let concerned = concerned(world);
    for id in &concerned {
        remove_lost(world, id, now);
    }
    for id in concerned.iter().chain(&std::mem::take(&mut world.reconciled.machines.waiting)) {
        boot(world, id, now);
    }
    for id in &concerned {
        publish(world, id);
    }
}

/// The VMs that changed, or something that they have their addresses from.
fn concerned(world: &mut World) -> BTreeSet<ArmId> {
    let World { arm, hosts, reconciled, .. } = world;
    let touched = arm.take_touched();
    if reconciled.azure.is_some() {
        let mut found = BTreeSet::new();
        touched.into_iter().for_each(|id| add_machines(arm, &ArmId::new(id), &mut found));
        return found;
    }
    let vm = |host: &Host| match &host.kind {
        HostKind::Vm { id, .. } => Some((id.clone(), host.name.clone())),
        HostKind::Existing { .. } => None,
    };
    reconciled.machines.booted = hosts.values().filter_map(vm).collect();
    let all = arm.list(VIRTUAL_MACHINES).map(|(id, _)| id);
    all.chain(reconciled.machines.booted.keys()).cloned().collect()
}

/// The VMs behind a VM, an interface or a public address.
fn add_machines(arm: &ArmStore, id: &ArmId, found: &mut BTreeSet<ArmId>) {
    let resource_type = id.resource_type().unwrap_or_default();
    if resource_type.eq_ignore_ascii_case(VIRTUAL_MACHINES) {
        found.insert(id.clone());
    }
    let leads_on = |kind: &str| resource_type.eq_ignore_ascii_case(kind);
    if leads_on(INTERFACES) || leads_on(PUBLIC_ADDRESSES) {
        for user in arm.users(id) {
            // An address is used by a part of an interface.
            let whole = user.parent().filter(|parent| arm.get(parent).is_some());
            add_machines(arm, &whole.unwrap_or_else(|| user.clone()), found);
        }
    }
}

fn remove_lost(world: &mut World, id: &ArmId, now: Timestamp) {
    let World { arm, hosts, tailnet, reconciled, .. } = world;
    let Some(name) = reconciled.machines.booted.get(id) else { return };
    let lost = match hosts.get(name).map(|host| &host.kind) {
        Some(HostKind::Vm { instance: known, .. }) => {
            arm.get(id).is_none_or(|machine| instance(machine) != *known)
        }
        _ => true,
    };
    if !lost {
        return;
    }
    if let Some(Host { tailscale: Some(tailscale), .. }) = hosts.remove(name)
        && let Some(device) = &tailscale.device
    {
        tailnet.report(device, false, &tailscale.advertised_routes, now);
    }
    reconciled.machines.booted.remove(id);
}

/// Gives a machine the public address that its interface has.
fn publish(world: &mut World, id: &ArmId) {
    let World { arm, hosts, reconciled, .. } = world;
    let Some(name) = reconciled.machines.booted.get(id) else { return };
    let address = interface(arm, id).and_then(|interface| public_address(arm, interface));
    if hosts.get(name).is_some_and(|host| host.public_ip != address)
        && let Some(host) = hosts.get_mut(name)
    {
        host.public_ip = address;
    }
}

/// Makes a host of a VM that Azure has finished with, unless there is one.
fn boot(world: &mut World, id: &ArmId, now: Timestamp) {
    let machine = world.arm.get(id).filter(|machine| succeeded(machine));
    let Some(instance) = machine.map(instance) else { return };
    if world.reconciled.machines.booted.contains_key(id) {
        return;
    }
    match start(world, id, instance, now) {
        Some(name) => drop(world.reconciled.machines.booted.insert(id.clone(), name)),
        None => drop(world.reconciled.machines.waiting.insert(id.clone())),
    }
}

fn start(world: &mut World, id: &ArmId, instance: String, now: Timestamp) -> Option<String> {
    let id = &world.arm.id_as_created(id)?.clone();
    let address = interface(&world.arm, id).and_then(private_address)?;
    let machine = world.arm.custom_data(id).and_then(read_machine);
    let name = machine.as_ref().map_or_else(|| id.name().to_owned(), |it| it.hostname.clone());
    let role = machine.as_ref().map_or(MachineRole::Worker, |machine| machine.role);
    if world.hosts.contains_key(&name) {
        return None;
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
    Some(name)
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
