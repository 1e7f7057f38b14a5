//! The tailnet, by one list.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::router_devices::{self, TaggedDevices};
use super::{Observation, Scope, host_findings, key_expiry};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{ForeignPeer, Source};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::provider::tailnet::{TailnetDevice, TailnetPolicy};
use crate::resource::ownership::SiteName;
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{ObjectKey, Observable, Owner, Ownership, Pending, Resource, Site};

/// The responses of the tailnet.
pub(super) struct TailnetResponses {
    devices: Vec<TailnetDevice>,
    policy: Result<TailnetPolicy, RequestError>,
}

/// Reads devices and policy side by side.
///
/// The policy is read for a check of the tag's owners alone: that it cannot be read
/// hides nothing of the tailnet.
pub(super) async fn read(clients: &ReadClients) -> Result<TailnetResponses, RequestError> {
    let (devices, policy) = tokio::join!(clients.tailnet.devices(), clients.tailnet.policy());
    Ok(TailnetResponses { devices: devices?, policy })
}

/// Notes our devices and returns them, routers by the names that the topology has.
pub(super) fn note(
    responses: Result<TailnetResponses, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) -> TaggedDevices {
    let responses = match responses {
        Ok(responses) => responses,
        Err(error) => {
            observation.gap(Source::Tailscale, error);
            return TaggedDevices::default();
        }
    };
    note_policy(responses.policy, observation);
    let owner = scope.owner();
    let tag = owner.tag.as_str();
    let mut tagged = TaggedDevices::default();
    let mut without_tag = Vec::new();
    for device in responses.devices {
        if let Some(reason) = &device.unreadable {
            note_unreadable(&device, reason, scope, observation);
            continue;
        }
        if device.tags.is_empty() && is_router(&device, scope) {
            without_tag.push(device.hostname.to_ascii_lowercase());
        }
        if owner.tag_among(&device.tags).is_none() {
            observation.inventory.foreign_peers.extend(foreign_peer(&device));
            continue;
        }
        if device.hostname.is_empty() {
            observation.gap(Source::Tailscale, without_name(&device));
            continue;
        }
        note_device(device, scope, &mut tagged, observation);
    }
    let ours = &mut tagged.devices;
    for name in without_tag.iter().filter(|name| !ours.contains_key(*name)) {
        mark_router_unread(name, tag, observation);
    }
    router_devices::recognise(ours, scope, observation);
    for (name, device) in &*ours {
        note_routes(name, device, scope, observation);
        if scope.is_router(name) {
            key_expiry::check(name, device, observation);
            host_findings::note_device(name, device, observation);
        }
    }
    tagged
}

/// Marks a device that cannot be read as unread, if it may be the topology's.
fn note_unreadable(
    device: &TailnetDevice,
    reason: &str,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let name = device.hostname.to_ascii_lowercase();
    let is_foreign = !device.tags.is_empty() && scope.owner().tag_among(&device.tags).is_none();
    if is_foreign && !scope.is_router(&name) {
        return;
    }
    let failure = Failure::new(
        Code::SourceGap,
        format!("Tailscale's answer for the device {name} cannot be read: {reason}"),
        "run the same command again; the device's page in the admin console shows its state",
    );
    for key in router_devices::router_keys(&name) {
        observation.unread(key, Source::Tailscale, failure.clone());
    }
}

/// A device of others, if it serves prefixes.
pub(super) fn foreign_peer(device: &TailnetDevice) -> Option<ForeignPeer> {
    let served = device.enabled.intersection(&device.advertised).copied();
    let prefixes: BTreeSet<Ipv4Net> = served.filter(|prefix| prefix.prefix_len() > 0).collect();
    let takes_part = device.authorized && device.lock_error.is_none();
    (takes_part && !prefixes.is_empty()).then(|| ForeignPeer {
        address: device.addresses.first().copied(),
        hostname: device.hostname.clone(),
        tags: device.tags.clone(),
        online: device.online,
        prefixes,
    })
}

/// It is unknown which router it is.
fn without_name(device: &TailnetDevice) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("Tailscale returned no host name of the device {}", device.node_id),
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
    scope.is_router(&device.hostname.to_ascii_lowercase()) && !device.advertised.is_empty()
}

/// A router that lost its tag exists: a machine in its place would interrupt its prefixes.
fn mark_router_unread(name: &str, tag: &str, observation: &mut Observation) {
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
    for key in router_devices::router_keys(name) {
        observation.unread(key, Source::Tailscale, failure.clone());
    }
}

/// Host names need not be unique: the connected device is the router, and others of the
/// name may belong to an earlier machine.
fn note_device(
    device: TailnetDevice,
    scope: &Scope<'_>,
    tagged: &mut TaggedDevices,
    observation: &mut Observation,
) {
    let name = device.hostname.to_ascii_lowercase();
    let stale = match tagged.devices.get(&name) {
        Some(other) if other.rank() >= device.rank() => Some(device),
        _ => tagged.devices.insert(name.clone(), device),
    };
    if let Some(stale) = stale {
        let known_as = format!("{}#{}", stale.hostname, stale.id);
        let key = ObjectKey::Device(known_as.clone());
        note_one(&stale, key, &scope.site_of_router(&name), scope, observation);
        tagged.namesakes.insert(known_as, stale);
    }
}

fn note_one(
    device: &TailnetDevice,
    key: ObjectKey,
    site: &Site,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let ownership = ownership(&device.tags, &scope.owner(), site);
    observation.inventory.note(
        key,
        Resource::TailnetDevice(resource(device, &scope.owner())),
        ownership,
    );
}

/// The ownership of a device with one of the topology's tags.
pub(super) fn ownership<'a>(
    tags: impl IntoIterator<Item = &'a String>,
    owner: &Owner,
    site: &Site,
) -> Ownership {
    let site = SiteName::from(site);
    match owner.tag_among(tags) {
        Some(tag) if owner.is_own_tag(tag) => Ownership::Ours { site },
        Some(_) => Ownership::Former { site },
        None => Ownership::Foreign,
    }
}

/// The compared fields of a device. The letter case of its host name does not count.
pub(super) fn resource(device: &TailnetDevice, owner: &Owner) -> Device {
    Device {
        hostname: device.hostname.to_ascii_lowercase(),
        node_id: Observable::Observed(device.node_id.clone()),
        authorized: device.authorized,
        online: device.online,
        key_expiry_disabled: device.key_expiry_disabled,
        tag: owner.tag_among(&device.tags).unwrap_or_default().to_owned(),
    }
}

/// Notes the device of a router, and its routes, under the router's name.
pub(super) fn note_routes(
    name: &str,
    device: &TailnetDevice,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let site = scope.site_of_router(name);
    note_one(device, ObjectKey::Device(name.to_owned()), &site, scope, observation);
    let ownership = Ownership::Ours { site: SiteName::from(&site) };
    let set = |prefixes: &BTreeSet<Ipv4Net>| RouteSet {
        hostname: name.to_owned(),
        prefixes: Pending::Known(prefixes.clone()),
    };
    let advertised = ObjectKey::DeviceAdvertised(name.to_owned());
    let approved = ObjectKey::DeviceApproved(name.to_owned());
    if let Some(route) = &device.unreadable_route {
        let failure = Failure::new(
            Code::SourceGap,
            format!(
                "Tailscale returned the route `{route}` of the device {name}, which is not a \
                     prefix"
            ),
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
    note_address(name, device, &site, scope, observation);
}

fn note_address(
    name: &str,
    device: &TailnetDevice,
    site: &Site,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    if !device.authorized && !scope.is_existing(site) {
        observation.explained_gap(Source::Host(name.to_owned()), unauthorized(name));
    }
    if device.addresses.is_empty() && !scope.is_existing(site) {
        let failure = Failure::new(
            Code::SourceGap,
            format!("Tailscale returned no IPv4 address of the device {name}"),
            "run the same command again; the device's page in the admin console shows its addresses",
        );
        observation.gap(Source::Host(name.to_owned()), failure);
    }
    // The address for SSH to the router, and the router address in Servers.
    if let Some(address) = device.addresses.first() {
        let is_reachable = scope.is_existing(site) || device.authorized;
        let facts = &mut observation.facts;
        let addresses = match is_reachable {
            true => &mut facts.router_addresses,
            false => &mut facts.unauthorized_routers,
        };
        addresses.insert(name.to_owned(), *address);
    }
}

fn unauthorized(name: &str) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!("the device {name} is not authorized in the tailnet, so its host cannot be read"),
        "`stargate apply` authorizes it; the Machines page of the admin console shows who \
         withdrew the authorization",
    )
}
