//! The tailnet, by one list.

use std::collections::BTreeMap;

use super::{Observation, Scope};
use crate::inventory::Source;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::provider::tailnet::{Policy, TailnetDevice};
use crate::resource::ownership::SideName;
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{ObjectKey, Ownership, Pending, Resource};

/// What the tailnet answered.
pub(super) struct Answers {
    devices: Vec<TailnetDevice>,
    policy: Option<Policy>,
}

/// Reads devices and policy side by side.
///
/// A credential need not be allowed to read the policy: then the check of the
/// tag's owners is left out.
pub(super) async fn read(
    clients: &ReadClients,
    _scope: &Scope<'_>,
) -> Result<Answers, RequestError> {
    let (devices, policy) = tokio::join!(clients.tailnet.devices(), clients.tailnet.policy());
    Ok(Answers { devices: devices?, policy: policy.ok() })
}

/// Notes our devices and returns them by host name.
pub(super) fn note(
    answers: Result<Answers, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) -> BTreeMap<String, TailnetDevice> {
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            observation.gap(Source::Tailscale, error);
            return BTreeMap::new();
        }
    };
    observation.tailnet.owned_tags =
        answers.policy.map(|policy| policy.tag_owners.into_iter().collect());
    let tag = scope.topology.tailnet.tag.as_str();
    let mut ours = BTreeMap::new();
    for device in answers.devices {
        if !device.tags.iter().any(|other| other == tag) {
            // Host names need not be unique.
            let others = &mut observation.tailnet.served_by_others;
            let served = device.enabled.intersection(&device.advertised).copied();
            others.entry(device.hostname).or_default().extend(served);
            continue;
        }
        note_device(device, scope, &mut ours, observation);
    }
    for device in ours.values() {
        note_routes(device, scope, observation);
    }
    ours
}

/// Host names need not be unique: the connected device is the router, another
/// one of the name is what is left of an earlier machine.
fn note_device(
    device: TailnetDevice,
    scope: &Scope<'_>,
    ours: &mut BTreeMap<String, TailnetDevice>,
    observation: &mut Observation,
) {
    let name = device.hostname.clone();
    let stale = match ours.get(&name) {
        Some(other) if prefer(other, &device) => Some(device),
        _ => ours.insert(name, device),
    };
    if let Some(stale) = stale {
        let key = ObjectKey::Device(format!("{}#{}", stale.hostname, stale.id));
        note_one(&stale, key, scope, observation);
    }
}

fn prefer(one: &TailnetDevice, other: &TailnetDevice) -> bool {
    (one.online, &one.created) >= (other.online, &other.created)
}

fn note_one(
    device: &TailnetDevice,
    key: ObjectKey,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let side = scope.side_of_router(&device.hostname);
    let value = Device {
        hostname: device.hostname.clone(),
        authorized: device.authorized,
        online: device.online,
    };
    let ownership = Ownership::Ours { side: SideName::from(&side) };
    observation.inventory.note(key, Resource::TailnetDevice(value), ownership);
}

fn note_routes(device: &TailnetDevice, scope: &Scope<'_>, observation: &mut Observation) {
    let name = &device.hostname;
    note_one(device, ObjectKey::Device(name.clone()), scope, observation);
    let side = scope.side_of_router(name);
    let ownership = Ownership::Ours { side: SideName::from(&side) };
    let set = |prefixes: &std::collections::BTreeSet<ipnet::Ipv4Net>| RouteSet {
        hostname: name.clone(),
        prefixes: Pending::Known(prefixes.clone()),
    };
    observation.inventory.note(
        ObjectKey::DeviceAdvertised(name.clone()),
        Resource::AdvertisedRoutes(set(&device.advertised)),
        ownership.clone(),
    );
    observation.inventory.note(
        ObjectKey::DeviceApproved(name.clone()),
        Resource::ApprovedRoutes(set(&device.enabled)),
        ownership,
    );
    // Where SSH reaches the router, and what Servers name as their router.
    if let Some(address) = device.addresses.first()
        && (scope.is_existing(&side) || device.authorized)
    {
        observation.facts.router_addresses.insert(name.clone(), *address);
    }
}
