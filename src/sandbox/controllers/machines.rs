//! Boots VMs as hosts, and removes the hosts of deleted VMs.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Deref;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::sandbox::arm::ArmStore;
use crate::sandbox::hosts::change::HostEnvironment;
use crate::sandbox::hosts::{EmulatedHost, HostKind};
use crate::sandbox::state::SandboxState;

/// The prefix of the cloud-init line that describes the machine.
pub(crate) const MACHINE_LINE: &str = "# stargate-machine:";
const VIRTUAL_MACHINES: &str = "Microsoft.Compute/virtualMachines";

/// The description of a machine in its cloud-init.
#[derive(Debug, Clone, Deserialize)]
struct MachineDescription {
    hostname: String,
    role: MachineRole,
    #[serde(default)]
    auth_key: Option<String>,
    /// Whether the cloud-init enables IP forwarding.
    #[serde(default)]
    ip_forwarding: bool,
}

const INTERFACES: &str = "Microsoft.Network/networkInterfaces";
const PUBLIC_ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";

pub(super) fn reconcile(sandbox: &mut SandboxState, now: Timestamp) {
    // Machines depend only on Azure's objects.
    if sandbox.reconciled.azure == Some(sandbox.arm.version()) {
        return;
    }
    let affected = affected(sandbox);
    for id in &affected {
        remove_lost(sandbox, id, now);
    }
    for id in affected.iter().chain(&std::mem::take(&mut sandbox.reconciled.machines.waiting)) {
        boot(sandbox, id, now);
    }
    for id in &affected {
        publish(sandbox, id);
        resize(sandbox, id);
        power(sandbox, id);
    }
}

/// The VMs that changed, or whose address depends on a changed object.
fn affected(sandbox: &mut SandboxState) -> BTreeSet<ArmId> {
    let SandboxState { arm, hosts, reconciled, .. } = sandbox;
    let touched = arm.take_touched();
    if reconciled.azure.is_some() {
        let mut found = BTreeSet::new();
        touched.into_iter().for_each(|id| add_machines(arm, &ArmId::new(id), &mut found));
        return found;
    }
    let vm = |(label, host): (&String, &EmulatedHost)| match &host.kind {
        HostKind::Vm { id, .. } => Some((id.clone(), label.clone())),
        HostKind::Existing { .. } => None,
    };
    reconciled.machines.booted = hosts.iter().filter_map(vm).collect();
    let all = arm.list(VIRTUAL_MACHINES).map(|(id, _)| id);
    all.chain(reconciled.machines.booted.keys()).cloned().collect()
}

/// Adds the VMs that use a VM, an interface or a public address.
fn add_machines(arm: &ArmStore, id: &ArmId, found: &mut BTreeSet<ArmId>) {
    let resource_type = id.resource_type().unwrap_or_default();
    if resource_type.eq_ignore_ascii_case(VIRTUAL_MACHINES) {
        found.insert(id.clone());
    }
    let leads_on = |kind: &str| resource_type.eq_ignore_ascii_case(kind);
    if leads_on(INTERFACES) || leads_on(PUBLIC_ADDRESSES) {
        for user in arm.users(id) {
            // The user of an address is an IP configuration of an interface.
            let complete_sandbox = user.parent().filter(|parent| arm.get(parent).is_some());
            add_machines(arm, &complete_sandbox.unwrap_or_else(|| user.clone()), found);
        }
    }
}

fn remove_lost(sandbox: &mut SandboxState, id: &ArmId, now: Timestamp) {
    let SandboxState { arm, hosts, tailnet, reconciled, .. } = sandbox;
    let Some(label) = reconciled.machines.booted.get(id) else { return };
    let lost = match hosts.deref().get(label).map(|host| &host.kind) {
        Some(HostKind::Vm { instance: known, .. }) => {
            arm.get(id).is_none_or(|machine| instance(machine) != *known)
        }
        _ => true,
    };
    if !lost {
        return;
    }
    if let Some(EmulatedHost { tailscale: Some(tailscale), .. }) = hosts.remove(label)
        && let Some(device) = &tailscale.device
    {
        tailnet.report(device, false, &tailscale.advertised_routes, now);
    }
    reconciled.machines.booted.remove(id);
}

/// Copies the public address of the interface to the host.
fn publish(sandbox: &mut SandboxState, id: &ArmId) {
    let SandboxState { arm, hosts, reconciled, .. } = sandbox;
    let Some(label) = reconciled.machines.booted.get(id) else { return };
    let address = interface(arm, id).and_then(|interface| public_address(arm, interface));
    if hosts.deref().get(label).is_some_and(|host| host.public_ip != address)
        && let Some(host) = hosts.get_labelled_mut(label)
    {
        host.public_ip = address;
    }
}

/// Restarts the host of a VM whose size changed: it is down until the VM is updated.
fn resize(sandbox: &mut SandboxState, id: &ArmId) {
    let SandboxState { arm, hosts, reconciled, .. } = sandbox;
    let (Some(machine), Some(label)) = (arm.get(id), reconciled.machines.booted.get(id)) else {
        return;
    };
    let (expected, is_updated) = (size(machine), succeeded(machine));
    let differs =
        |host: &EmulatedHost| matches!(&host.kind, HostKind::Vm { size, .. } if *size != expected);
    if !hosts.deref().get(label).is_some_and(differs) {
        return;
    }
    let Some(host) = hosts.get_labelled_mut(label) else { return };
    let is_on = host.powered_on;
    let HostKind::Vm { size, is_resizing, .. } = &mut host.kind else { return };
    match (size.is_empty(), is_updated) {
        (true, _) => *size = expected,
        (false, false) => {
            *is_resizing |= is_on;
            host.powered_on = false;
        }
        (false, true) => {
            let restarts = std::mem::take(is_resizing) || is_on;
            *size = expected;
            if restarts {
                host.powered_on = true;
                host.reboot();
            }
        }
    }
}

/// Stops, starts or restarts the host of a VM as Azure's actions ask for.
fn power(sandbox: &mut SandboxState, id: &ArmId) {
    let SandboxState { arm, hosts, reconciled, .. } = sandbox;
    let Some(label) = reconciled.machines.booted.get(id) else { return };
    let is_off = arm.power_off(id).is_some();
    let was_stopped = match hosts.deref().get(label).map(|host| &host.kind) {
        Some(HostKind::Vm { is_stopped, .. }) => *is_stopped,
        _ => return,
    };
    let restarts = arm.take_restart(id);
    if is_off == was_stopped && !restarts {
        return;
    }
    let Some(host) = hosts.get_labelled_mut(label) else { return };
    if let HostKind::Vm { is_stopped, .. } = &mut host.kind {
        *is_stopped = is_off;
    }
    host.powered_on = !is_off;
    if !is_off {
        host.reboot();
    }
}

/// Creates the host of a provisioned VM unless it exists.
fn boot(sandbox: &mut SandboxState, id: &ArmId, now: Timestamp) {
    let machine = sandbox.arm.get(id).filter(|machine| succeeded(machine));
    let Some(instance) = machine.map(instance) else { return };
    if sandbox.reconciled.machines.booted.contains_key(id) {
        return;
    }
    match start(sandbox, id, instance, now) {
        Some(label) => drop(sandbox.reconciled.machines.booted.insert(id.clone(), label)),
        None => drop(sandbox.reconciled.machines.waiting.insert(id.clone())),
    }
}

fn start(
    sandbox: &mut SandboxState,
    id: &ArmId,
    instance: String,
    now: Timestamp,
) -> Option<String> {
    let id = &sandbox.arm.id_as_created(id)?.clone();
    let address = interface(&sandbox.arm, id).and_then(private_address)?;
    let machine = sandbox.arm.custom_data(id).and_then(read_machine);
    let name = machine.as_ref().map_or_else(|| id.name().to_owned(), |it| it.hostname.clone());
    let role = machine.as_ref().map_or(MachineRole::Worker, |machine| machine.role);
    let size = sandbox.arm.get(id).map(size).unwrap_or_default();
    let kind =
        HostKind::Vm { id: id.clone(), instance, size, is_resizing: false, is_stopped: false };
    let mut host = EmulatedHost::bare(&name, address, kind, role);
    host.on_link = interface(&sandbox.arm, id).and_then(|it| subnet(&sandbox.arm, it));
    if let Some(machine) = machine {
        host.kernel.ip_forwarding = machine.ip_forwarding;
        if let Some(key) = machine.auth_key {
            let SandboxState { tailnet, entropy, .. } = sandbox;
            // With an invalid key the host stays logged out.
            let _joined = host.join_tailnet(&key, &mut HostEnvironment { tailnet, entropy, now });
        }
    }
    Some(sandbox.hosts.insert(host))
}

fn read_machine(custom_data: &str) -> Option<MachineDescription> {
    let line = custom_data.lines().find_map(|line| line.trim().strip_prefix(MACHINE_LINE))?;
    serde_json::from_str(line.trim()).ok()
}

/// Whether the provisioning state of an object is `Succeeded`.
pub(super) fn succeeded(object: &Value) -> bool {
    object.pointer("/properties/provisioningState").and_then(Value::as_str) == Some("Succeeded")
}

fn instance(machine: &Value) -> String {
    let id = machine.pointer("/properties/vmId").and_then(Value::as_str);
    id.unwrap_or_default().to_owned()
}

fn size(machine: &Value) -> String {
    let size = machine.pointer("/properties/hardwareProfile/vmSize").and_then(Value::as_str);
    size.unwrap_or_default().to_owned()
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

/// The range of the interface's subnet: its addresses are next hops that the kernel accepts.
fn subnet(arm: &ArmStore, interface: &Value) -> Option<Ipv4Net> {
    let id = interface.pointer("/properties/ipConfigurations/0/properties/subnet/id")?.as_str()?;
    let properties = arm.get(&ArmId::new(id))?.get("properties")?;
    let several = || properties.pointer("/addressPrefixes/0")?.as_str();
    properties["addressPrefix"].as_str().or_else(several)?.parse().ok()
}

fn public_address(arm: &ArmStore, interface: &Value) -> Option<Ipv4Addr> {
    let path = "/properties/ipConfigurations/0/properties/publicIPAddress/id";
    let id = interface.pointer(path)?.as_str()?;
    arm.get(&ArmId::new(id))?.pointer("/properties/ipAddress")?.as_str()?.parse().ok()
}
