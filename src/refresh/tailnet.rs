//! The tailnet, by one list.

use std::collections::BTreeMap;

use super::{Observation, Scope};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::plan::{Finding, FindingSeverity};
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::provider::tailnet::{TailnetDevice, TailnetPolicy};
use crate::resource::ownership::SiteName;
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{ObjectKey, Ownership, Pending, Resource, Site};

/// What the tailnet answered.
pub(super) struct TailnetResponses {
    devices: Vec<TailnetDevice>,
    policy: Result<TailnetPolicy, RequestError>,
}

/// Reads devices and policy side by side.
///
/// The policy is read for a check of the tag's owners alone: that it cannot be read
/// hides nothing of the tailnet.
pub(super) async fn read(
    clients: &ReadClients,
    _scope: &Scope<'_>,
) -> Result<TailnetResponses, RequestError> {
    let (devices, policy) = tokio::join!(clients.tailnet.devices(), clients.tailnet.policy());
    Ok(TailnetResponses { devices: devices?, policy })
}

/// Notes our devices and returns them by host name.
pub(super) fn note(
    responses: Result<TailnetResponses, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) -> BTreeMap<String, TailnetDevice> {
    let responses = match responses {
        Ok(responses) => responses,
        Err(error) => {
            observation.gap(Source::Tailscale, error);
            return BTreeMap::new();
        }
    };
    note_policy(responses.policy, observation);
    let tag = scope.topology.tailnet.tag.as_str();
    let mut ours = BTreeMap::new();
    let mut without_tag = Vec::new();
    for device in responses.devices {
        if device.tags.is_empty() && is_router(&device, scope) {
            without_tag.push(device.hostname.clone());
        }
        if !device.tags.iter().any(|other| other == tag) {
            // Host names need not be unique.
            let others = &mut observation.tailnet.advertised_by_others;
            let served = device.enabled.intersection(&device.advertised).copied();
            others.entry(device.hostname).or_default().extend(served);
            continue;
        }
        if device.hostname.is_empty() {
            observation.gap(Source::Tailscale, without_name(&device));
            continue;
        }
        note_device(device, scope, &mut ours, observation);
    }
    for name in without_tag.iter().filter(|name| !ours.contains_key(*name)) {
        hide_router(name, tag, observation);
    }
    for device in ours.values() {
        note_routes(device, scope, observation);
    }
    ours
}

/// Nothing tells which router it is.
fn without_name(device: &TailnetDevice) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("Tailscale answers no host name of the device {}", device.node_id),
        "run the same command again; `tailscale status` on a router shows its host name",
    )
}

/// A credential need not be allowed to read the policy.
fn note_policy(policy: Result<TailnetPolicy, RequestError>, observation: &mut Observation) {
    match policy {
        Ok(policy) => {
            observation.tailnet.owned_tags = Some(policy.tag_owners.into_iter().collect());
        }
        Err(error) if error.status() == Some(403) => {}
        Err(error) => {
            let message = "the owners of the tailnet's tag were not checked";
            let failure = Failure::from(&error).within(message);
            observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
        }
    }
}

/// Whether a device has the name of one of the topology's routers and serves prefixes,
/// as a router does.
fn is_router(device: &TailnetDevice, scope: &Scope<'_>) -> bool {
    let topology = scope.topology;
    let of_datacenters = topology.datacenters.iter().map(|datacenter| &datacenter.router.name);
    let mut names = std::iter::once(&topology.cluster.router.name).chain(of_datacenters);
    names.any(|name| name.as_str() == device.hostname) && !device.advertised.is_empty()
}

/// A router that lost its tag is there: a machine in its place would cut off what it
/// serves.
fn hide_router(name: &str, tag: &str, observation: &mut Observation) {
    let failure = Failure::new(
        Code::SourceGap,
        format!(
            "the device {name} of the tailnet advertises routes as a router does, and has no tag"
        ),
        format!(
            "give it the tag {tag} in the admin console, or remove or rename the device if it is \
             not the router"
        ),
    );
    let keys: [fn(String) -> ObjectKey; 4] = [
        ObjectKey::Device,
        ObjectKey::DeviceAdvertised,
        ObjectKey::DeviceApproved,
        ObjectKey::Host,
    ];
    for key in keys {
        observation.unread(key(name.to_owned()), Source::Tailscale, failure.clone());
    }
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
    let site = scope.site_of_router(&device.hostname);
    let value = Device {
        hostname: device.hostname.clone(),
        authorized: device.authorized,
        online: device.online,
    };
    let ownership = Ownership::Ours { site: SiteName::from(&site) };
    observation.inventory.note(key, Resource::TailnetDevice(value), ownership);
}

fn note_routes(device: &TailnetDevice, scope: &Scope<'_>, observation: &mut Observation) {
    let name = &device.hostname;
    note_one(device, ObjectKey::Device(name.clone()), scope, observation);
    let site = scope.site_of_router(name);
    let ownership = Ownership::Ours { site: SiteName::from(&site) };
    let set = |prefixes: &std::collections::BTreeSet<ipnet::Ipv4Net>| RouteSet {
        hostname: name.clone(),
        prefixes: Pending::Known(prefixes.clone()),
    };
    let advertised = ObjectKey::DeviceAdvertised(name.clone());
    let approved = ObjectKey::DeviceApproved(name.clone());
    if let Some(route) = &device.unreadable_route {
        let failure = Failure::new(
            Code::SourceGap,
            format!("Tailscale answers the route `{route}` of the device {name}: it is no prefix"),
            "run the same command again; the device's page in the admin console shows its routes",
        );
        observation.unread(advertised, Source::Tailscale, failure.clone());
        observation.unread(approved, Source::Tailscale, failure);
    } else {
        let value = Resource::AdvertisedRoutes(set(&device.advertised));
        observation.inventory.note(advertised, value, ownership.clone());
        let value = Resource::ApprovedRoutes(set(&device.enabled));
        observation.inventory.note(approved, value, ownership);
    }
    note_address(device, &site, scope, observation);
}

fn note_address(
    device: &TailnetDevice,
    site: &Site,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let name = &device.hostname;
    if device.addresses.is_empty() && !scope.is_existing(site) {
        let failure = Failure::new(
            Code::SourceGap,
            format!("Tailscale answers no IPv4 address of the device {name}"),
            "run the same command again; the device's page in the admin console shows its addresses",
        );
        observation.gap(Source::Host(name.clone()), failure);
    }
    // Where SSH reaches the router, and what Servers name as their router.
    if let Some(address) = device.addresses.first()
        && (scope.is_existing(site) || device.authorized)
    {
        observation.facts.router_addresses.insert(name.clone(), *address);
    }
}
