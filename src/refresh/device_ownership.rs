//! Decides which devices with the topology's tag belong to the topology.
//!
//! A tag is the only mark of a device, and two topologies can share one. A device belongs
//! to the topology if one of its Servers records the address, or if it is the only one with
//! the name of a router whose machine the topology owns, or owned: that machine is deleted,
//! and the tag names the topology. Every other device is left alone: it may be a router of
//! another topology, connected or not.

use std::collections::BTreeSet;

use super::router_devices::{TaggedDevices, device_keys, router_keys};
use super::{Observation, Scope, other_subscription, tailnet};
use crate::desired::names;
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Source};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::clients::ReadClients;
use crate::provider::tailnet::TailnetDevice;
use crate::resource::kubernetes::ManifestKind;
use crate::resource::ownership::default_tag;
use crate::resource::{ArmId, Kind, ObjectKey, Ownership, Resource};
use crate::topology::model::DatacenterKind;

/// Marks as foreign each device that is not proven to belong to the topology, so that it is
/// not deleted, and as unread each router whose device may belong to another machine.
pub(super) async fn check(
    clients: &ReadClients,
    tagged: &mut TaggedDevices,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let evidence = DeviceRecords::of(observation);
    let mut is_shared = false;
    for (name, device) in &tagged.devices {
        if !scope.is_router(name) && !evidence.proves(name, device) {
            is_shared = true;
            mark_foreign(name, device, unrecorded(name, scope), observation);
        }
    }
    for (known_as, device) in &tagged.namesakes {
        if !evidence.records(device) {
            mark_foreign(known_as, device, namesake(device), observation);
        }
    }
    let routers: Vec<String> =
        tagged.devices.keys().filter(|name| scope.is_router(name)).cloned().collect();
    let mut without_machine = Vec::new();
    for name in routers {
        let Some(device) = tagged.devices.get(&name) else { continue };
        if evidence.records(device) {
            continue;
        }
        let has_namesake = tagged.namesakes(&name).next().is_some();
        let contested = device.online && tagged.namesakes(&name).any(|other| other.online);
        let machine = evidence.machine(clients, &name, scope, observation).await;
        match machine {
            _ if contested => {
                mark_unread(&name, (contested_reason(&name), false), scope, observation);
            }
            Machine::Exists => {}
            Machine::Unknown => {
                mark_unread(&name, (unread_reason(&name), false), scope, observation);
            }
            Machine::Absent { .. } if device.online => without_machine.push(name),
            Machine::Absent { has_remains }
                if (has_remains || is_unique(scope)) && !is_shared && !has_namesake => {}
            Machine::Absent { .. } => {
                if let Some(device) = tagged.devices.remove(&name) {
                    leave_out(&name, &device, observation);
                }
            }
        }
    }
    let explained = other_subscription::note(&without_machine, scope, observation);
    for name in without_machine {
        mark_unread(&name, (strange_reason(&name), explained), scope, observation);
    }
}

/// Whether the topology has a tag that names it: no other topology has the same by
/// default.
fn is_unique(scope: &Scope<'_>) -> bool {
    scope.topology.tailnet.tag.as_str() == default_tag(&scope.topology.name)
}

/// Whether the virtual machine of a router exists.
enum Machine {
    /// It exists, or may exist, or the router is a machine that existed before: its host says
    /// which device it has.
    Exists,
    /// It could not be read, and another topology may use the tag.
    Unknown,
    /// It is proven absent.
    Absent {
        /// Whether its network interface is left.
        has_remains: bool,
    },
}

/// The records that prove that a device belongs to the topology.
struct DeviceRecords {
    /// How Servers of the topology name their routers: by address in the tailnet or, if an
    /// older program wrote them, by host name.
    recorded: BTreeSet<String>,
    /// The names of the topology's virtual machines, in lower case.
    machines: BTreeSet<String>,
    /// The names of the machines whose network interfaces the topology owns, in lower case.
    interfaces: BTreeSet<String>,
}

impl DeviceRecords {
    fn of(observation: &Observation) -> Self {
        let mut evidence = Self {
            recorded: BTreeSet::new(),
            machines: BTreeSet::new(),
            interfaces: BTreeSet::new(),
        };
        let objects = observation.inventory.iter();
        for (key, observed) in objects.filter(|(_, observed)| observed.ownership.is_ours()) {
            let name = key.name().to_ascii_lowercase();
            match &observed.resource {
                Resource::Manifest(manifest) if manifest.kind == ManifestKind::Server => {
                    let router = manifest.body.pointer("/spec/routerIP");
                    evidence.recorded.extend(router.and_then(|it| it.as_str()).map(str::to_owned));
                }
                Resource::VirtualMachine(_) => {
                    evidence.machines.insert(name);
                }
                Resource::NetworkInterface(_) => {
                    evidence.interfaces.extend(names::machine_of(&name).map(str::to_owned));
                }
                _ => {}
            }
        }
        evidence
    }

    fn records(&self, device: &TailnetDevice) -> bool {
        device.addresses.iter().any(|address| self.recorded.contains(&address.to_string()))
    }

    /// Whether a device that no router of the topology has for its own was one's.
    fn proves(&self, name: &str, device: &TailnetDevice) -> bool {
        self.records(device) || self.recorded.contains(name) || self.machines.contains(name)
    }

    /// Reads the machine of a router, which a list may omit.
    async fn machine(
        &self,
        clients: &ReadClients,
        name: &str,
        scope: &Scope<'_>,
        observation: &Observation,
    ) -> Machine {
        // It may stand where the topology had it before, such as beside a former cluster.
        if self.machines.contains(&name.to_ascii_lowercase()) {
            return Machine::Exists;
        }
        let Some(id) = machine_id(name, scope, observation) else { return Machine::Exists };
        let key = ObjectKey::Azure(id.clone());
        let inventory = &observation.inventory;
        // The default tag is no other topology's: there an unread machine is enough.
        let unread = if is_unique(scope) { Machine::Exists } else { Machine::Unknown };
        if inventory.get(&key).is_some() {
            return Machine::Exists;
        }
        let is_hidden = inventory.gap_for(Kind::VirtualMachine, Some(&key)).is_some();
        if is_hidden || has_unknown_group(name, scope, observation) {
            return unread;
        }
        match clients.azure.get(&id).await {
            Ok(None) => Machine::Absent { has_remains: self.interfaces.contains(name) },
            Ok(Some(_)) => Machine::Exists,
            // Unreadable objects are noted when all objects that the lists lack are read.
            Err(_) => unread,
        }
    }
}

/// Whether the resource group of a router's machine is unknown: AKS chooses that of an existing
/// cluster.
fn has_unknown_group(name: &str, scope: &Scope<'_>, observation: &Observation) -> bool {
    let cluster = &scope.topology.cluster;
    cluster.existing
        && cluster.router.name.as_str() == name
        && observation.inventory.cluster_gap().is_some()
}

/// The id of the virtual machine of a router; `None` for a machine that existed before.
fn machine_id(name: &str, scope: &Scope<'_>, observation: &Observation) -> Option<ArmId> {
    let topology = scope.topology;
    let mut datacenters = topology.datacenters.iter();
    let datacenter = datacenters.find(|datacenter| datacenter.router.name.as_str() == name);
    let group_of = |name: &str| ArmId::resource_group(scope.subscription.as_str(), name);
    let group = match datacenter.map(|datacenter| &datacenter.kind) {
        Some(DatacenterKind::Existing(_)) => return None,
        Some(DatacenterKind::Azure(azure)) => group_of(azure.resource_group.as_str()),
        None => match &observation.facts.cluster {
            Some(cluster) => cluster.network_group(),
            None => {
                let location = topology.azure.location.as_str();
                group_of(&names::node_resource_group(&topology.cluster, location))
            }
        },
    };
    Some(group.in_group(Kind::VirtualMachine.arm_type(), name))
}

/// Notes a device and its routes as foreign, with the reason.
fn mark_foreign(
    name: &str,
    device: &TailnetDevice,
    failure: Failure,
    observation: &mut Observation,
) {
    for key in device_keys(name) {
        if let Some(observed) = observation.inventory.get(&key).cloned() {
            observation.inventory.note(key, observed.resource, Ownership::Foreign);
        }
    }
    observation.inventory.foreign_peers.extend(tailnet::foreign_peer(device));
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}

/// Leaves out a device that is off and has the name of a router without a machine: the
/// router's machine will join as another device.
fn leave_out(name: &str, device: &TailnetDevice, observation: &mut Observation) {
    let keys = device_keys(name);
    observation.inventory.retain(|key| !keys.contains(key));
    observation.facts.router_addresses.remove(name);
    observation.facts.unauthorized_routers.remove(name);
    observation.findings.push(Finding::new(FindingSeverity::Warning, namesake(device)));
}

fn unrecorded(name: &str, scope: &Scope<'_>) -> Failure {
    let tag = &scope.topology.tailnet.tag;
    Failure::new(
        Code::OwnedByOtherTopology,
        format!(
            "the device {name} has the topology's tag {tag}, and no object of the topology \
             that could be read records it: it is not deleted"
        ),
        "if another topology uses the tag, give each its own `[tailnet] tag`; if the device is \
         left over, remove it in the admin console",
    )
}

fn namesake(device: &TailnetDevice) -> Failure {
    let (name, id) = (&device.hostname, &device.node_id);
    Failure::new(
        Code::OwnedByOtherTopology,
        format!(
            "the device {name} of the tailnet (node id {id}) has the topology's tag and the name \
             of a router, and no object of the topology that could be read records it: it is not \
             deleted"
        ),
        "if another topology uses the tag, give each its own `[tailnet] tag` and names; if the \
         device is left of an earlier machine, remove it in the admin console",
    )
}

fn contested_reason(name: &str) -> String {
    format!("several connected devices of the tailnet have the name {name}")
}

fn unread_reason(name: &str) -> String {
    format!(
        "the machine of the device {name} of the tailnet could not be read, and another topology \
         may use the tag"
    )
}

fn strange_reason(name: &str) -> String {
    format!(
        "the device {name} of the tailnet is connected, and the topology has no machine of that \
         name"
    )
}

/// It is unknown which machine a device is: nothing is deleted, and no second router is
/// made beside it.
///
/// `explained` says that a finding gives the reason.
fn mark_unread(
    name: &str,
    (reason, explained): (String, bool),
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let failure = Failure::new(
        Code::OwnedByOtherTopology,
        reason,
        "if a machine was deleted a moment ago, run the same command again in a minute; if \
         another topology uses the tag, give each its own `[tailnet] tag` and router names; if a \
         device is left over, remove it in the admin console",
    );
    observation.facts.router_addresses.remove(name);
    observation.facts.unauthorized_routers.remove(name);
    let machine = machine_id(name, scope, observation).map(ObjectKey::Azure);
    for key in router_keys(name).chain(machine) {
        let gap =
            Gap { source: Source::Tailscale, failure: failure.clone(), explained, in_part: true };
        observation.inventory.note_unread(key, gap);
    }
}
