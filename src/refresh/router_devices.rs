//! Assigns devices of the tailnet to routers of the topology.
//!
//! Every user of a host can change its host name in the tailnet, so the name only suggests
//! the router. A router without a device of its name may have a connected device of another
//! name: the one that serves its prefixes, or that its host names as its own. That device
//! is taken for the router's, and its host must confirm it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::{Observation, Scope, tailnet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Source};
use crate::provider::host::{HostError, RouterProbe};
use crate::provider::tailnet::TailnetDevice;
use crate::resource::{Kind, ObjectKey};
use crate::topology::model::DatacenterKind;

/// The tailnet's devices with the topology's tag, by the name of their router; devices
/// that are no router's by their host name.
pub(super) type Devices = BTreeMap<String, TailnetDevice>;

/// The devices with one of the topology's tags.
#[derive(Debug, Default)]
pub(super) struct TaggedDevices {
    /// One device of each host name.
    pub(super) devices: Devices,
    /// The others of those host names, each as `HOSTNAME#ID`.
    pub(super) namesakes: Devices,
}

impl TaggedDevices {
    /// The other devices of a host name.
    pub(super) fn namesakes(&self, name: &str) -> impl Iterator<Item = &TailnetDevice> {
        self.namesakes.values().filter(move |device| device.hostname.eq_ignore_ascii_case(name))
    }
}

/// A router of the topology, and the prefixes that only it serves.
struct Router<'a> {
    name: &'a str,
    prefixes: BTreeSet<Ipv4Net>,
    /// Whether its device comes with a virtual machine.
    has_machine: bool,
}

fn routers<'a>(scope: &Scope<'a>, observation: &Observation) -> Vec<Router<'a>> {
    let cluster = observation.facts.cluster.as_ref();
    let subnets = cluster.map(|cluster| cluster.node_subnets.iter().map(|subnet| subnet.prefix));
    let of_cluster = Router {
        name: scope.topology.cluster.router.name.as_str(),
        prefixes: subnets.into_iter().flatten().collect(),
        has_machine: true,
    };
    let of_datacenters = scope.topology.datacenters.iter().map(|datacenter| Router {
        name: datacenter.router.name.as_str(),
        prefixes: datacenter.pod_pool.into_iter().chain([datacenter.network()]).collect(),
        has_machine: matches!(datacenter.kind, DatacenterKind::Azure(_)),
    });
    std::iter::once(of_cluster).chain(of_datacenters).collect()
}

/// Gives each router without a device of its name the connected device that serves its
/// prefixes, if exactly one does.
pub(super) fn recognise(devices: &mut Devices, scope: &Scope<'_>, observation: &mut Observation) {
    let routers = routers(scope, observation);
    let names: BTreeSet<&str> = routers.iter().map(|router| router.name).collect();
    for router in &routers {
        if devices.contains_key(router.name) || !machine_exists(router, observation) {
            continue;
        }
        let serves = |device: &TailnetDevice| {
            let mut routes = device.advertised.union(&device.enabled);
            device.online && routes.any(|prefix| router.prefixes.contains(prefix))
        };
        let candidates: Vec<String> = devices
            .iter()
            .filter(|(name, device)| !names.contains(name.as_str()) && serves(device))
            .map(|(name, _)| name.clone())
            .collect();
        match candidates.as_slice() {
            [name] => {
                if let Some(device) = devices.remove(name) {
                    devices.insert(router.name.to_owned(), device);
                }
            }
            several => mark_all_unread(router.name, several, devices, observation),
        }
    }
}

/// Leaves alone several devices that serve the prefixes of one router: it is unknown
/// which of them is the router's.
fn mark_all_unread(
    router: &str,
    names: &[String],
    devices: &mut Devices,
    observation: &mut Observation,
) {
    let [_, ..] = names else { return };
    let failure = Failure::new(
        Code::SourceGap,
        format!(
            "the devices {} of the tailnet all serve the prefixes of router {router}",
            names.join(" and ")
        ),
        format!(
            "run `tailscale set --hostname={router}` on the router, and remove the other devices \
             in the admin console"
        ),
    );
    for name in names.iter().map(String::as_str).chain([router]) {
        devices.remove(name);
        for key in device_keys(name) {
            observation.unread(key, Source::Tailscale, failure.clone());
        }
    }
}

/// Whether the machine of a router exists. A router that is renamed in the topology
/// gets another machine, which the device of the old one does not belong to.
fn machine_exists(router: &Router<'_>, observation: &Observation) -> bool {
    let is_machine = |key: &ObjectKey| matches!(key, ObjectKey::Azure(id) if id.name().eq_ignore_ascii_case(router.name));
    !router.has_machine
        || observation.inventory.gap_for(Kind::VirtualMachine, None).is_some()
        || observation.inventory.iter().any(|(key, observed)| {
            observed.resource.kind() == Kind::VirtualMachine && is_machine(key)
        })
}

/// Whether a device has another host name than the router that it is taken for.
fn is_renamed(name: &str, device: &TailnetDevice) -> bool {
    !device.hostname.eq_ignore_ascii_case(name)
}

/// Compares the device of a router with the facts from the router's host.
///
/// A device of another name that the host does not confirm is neither changed nor deleted:
/// it serves the prefixes of the router.
pub(super) fn confirm(
    name: &str,
    probe: Result<&RouterProbe, &HostError>,
    devices: &mut Devices,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let own = probe.ok().and_then(|probe| probe.tailscale.as_ref()).and_then(|it| it.address);
    let Some(device) = devices.get(name) else {
        if let Some(address) = own {
            claim(name, address, devices, scope, observation);
        }
        return;
    };
    let reason = match (probe, own) {
        (Err(error @ HostError::WrongHost { .. }), _) if is_renamed(name, device) => {
            return mark_misnamed(name, error, observation);
        }
        (Err(error), _) if is_renamed(name, device) => {
            format!("its host cannot confirm that: {error}")
        }
        (Ok(_), Some(address)) if !device.addresses.contains(&address) => {
            format!("the host {name} has the tailnet address {address}")
        }
        _ => return,
    };
    mark_unread(name, device, &reason, observation);
}

/// Leaves alone each device of another name whose router's host could not be probed for
/// lack of a path: the host cannot confirm that it is the router's.
pub(super) fn leave_unconfirmed(
    devices: &Devices,
    probed: &BTreeSet<String>,
    observation: &mut Observation,
) {
    for (name, device) in devices {
        if is_renamed(name, device) && !probed.contains(name) {
            mark_unread(name, device, "its host cannot be reached to confirm that", observation);
        }
    }
}

/// Takes the device that a host names as its own, although neither name nor prefixes
/// suggest it.
fn claim(
    name: &str,
    address: std::net::Ipv4Addr,
    devices: &mut Devices,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let found = devices.iter().find(|(_, device)| device.addresses.contains(&address));
    let Some(known_as) = found.map(|(known_as, _)| known_as.clone()) else { return };
    if routers(scope, observation).iter().any(|router| router.name == known_as) {
        return;
    }
    if let Some(device) = devices.remove(&known_as) {
        let keys = device_keys(&known_as);
        observation.inventory.retain(|key| !keys.contains(key));
        tailnet::note_routes(name, &device, scope, observation);
        devices.insert(name.to_owned(), device);
    }
}

/// The keys of a router: of its device, its routes and its host.
pub(super) fn router_keys(name: &str) -> impl Iterator<Item = ObjectKey> {
    device_keys(name).into_iter().chain([ObjectKey::Host(name.to_owned())])
}

/// The keys of a device and of its routes.
pub(super) fn device_keys(name: &str) -> [ObjectKey; 3] {
    [
        ObjectKey::Device(name.to_owned()),
        ObjectKey::DeviceAdvertised(name.to_owned()),
        ObjectKey::DeviceApproved(name.to_owned()),
    ]
}

/// Another name of a router in the topology does not rename its host: the device stays the
/// host's. The plan refuses the edit.
fn mark_misnamed(name: &str, error: &HostError, observation: &mut Observation) {
    let failure = Failure::new(
        Code::WrongHost,
        error.to_string(),
        format!(
            "undo the edit of the topology; or give the host its other name first, with \
             `hostnamectl set-hostname {name}` and `tailscale set --hostname={name}`"
        ),
    );
    for key in router_keys(name) {
        let source = Source::Tailscale;
        let gap = Gap { source, failure: failure.clone(), explained: true, in_part: true };
        observation.inventory.note_unread(key, gap);
    }
}

fn mark_unread(name: &str, device: &TailnetDevice, reason: &str, observation: &mut Observation) {
    let found = &device.hostname;
    let suggests = if is_renamed(name, device) {
        format!("serves the prefixes of router {name}")
    } else {
        format!("has the name of router {name}")
    };
    let failure = Failure::new(
        Code::SourceGap,
        format!("the device {found} of the tailnet {suggests}; {reason}"),
        format!(
            "if it is the router, run `tailscale set --hostname={name}` on it; if it is not, \
             withdraw its routes or remove it in the admin console"
        ),
    );
    for key in device_keys(name) {
        observation.unread(key, Source::Tailscale, failure.clone());
    }
}
