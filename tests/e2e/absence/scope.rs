//! The resources that one hidden response may affect.

use std::collections::BTreeSet;

use stargate::inventory::{Inventory, Source};
use stargate::provider::http::Api;
use stargate::resource::{Kind, ObjectKey, Service};

use super::mutation::{How, Mutation};

/// The facts that a response may make unknown.
struct Reach {
    sources: BTreeSet<Source>,
    kinds: BTreeSet<Kind>,
    hosts: bool,
    /// The facts of the cluster, and with them its credentials.
    cluster: bool,
}

impl Reach {
    fn of(mutation: &Mutation) -> Self {
        let mut reach =
            Self { sources: BTreeSet::new(), kinds: BTreeSet::new(), hosts: false, cluster: false };
        let identity = mutation.identity.as_str();
        match mutation.api {
            Api::Azure => {
                // Kubernetes is reached with the cluster's credentials.
                reach.cluster = !is_list(mutation)
                    && ["managedclusters", "/aks-vnet"].iter().any(|it| identity.contains(it));
                reach.sources.extend(reach.cluster.then_some(Source::Kubernetes));
                reach.kinds.extend(azure_kind(identity));
            }
            Api::Kubernetes => reach.kinds.extend(kubernetes_kind(identity)),
            Api::Tailscale => {
                // Without its id or its name it is unknown which router a device is.
                if is_list(mutation) || is_of_field(mutation, &["/hostname", "/nodeId", "/id"]) {
                    reach.sources.insert(Source::Tailscale);
                }
                reach.kinds.extend([
                    Kind::TailnetDevice,
                    Kind::AdvertisedRoutes,
                    Kind::ApprovedRoutes,
                    Kind::RouterHost,
                ]);
                reach.hosts = true;
            }
        }
        reach
    }
}

fn is_list(mutation: &Mutation) -> bool {
    matches!(mutation.how, How::List(_))
}

fn is_of_field(mutation: &Mutation, fields: &[&str]) -> bool {
    match &mutation.how {
        How::HideField(pointer) | How::Null(pointer) | How::Garble(pointer) => {
            fields.contains(&pointer.as_str())
        }
        _ => false,
    }
}

/// The kind that the last type in a path names.
fn azure_kind(path: &str) -> Vec<Kind> {
    let kinds = Kind::ALL.iter().copied().filter(|kind| match kind.facts().service {
        Service::Azure(arm) => {
            let name = arm.name.to_ascii_lowercase();
            let listed = path.ends_with(&name);
            let is_group = *kind == Kind::ResourceGroup
                && (path.ends_with("/resourcegroups")
                    || (path.contains("/resourcegroups/") && !path.contains("/providers/")));
            listed || is_group || path.contains(&format!("{name}/"))
        }
        _ => false,
    });
    let kinds: Vec<Kind> = kinds.collect();
    // The parts of an object are returned with it.
    let parts = [
        (Kind::VirtualNetwork, vec![Kind::Subnet, Kind::RouteTableAssociation]),
        (Kind::ManagedCluster, vec![Kind::NodePool]),
    ];
    let is_list = path.starts_with("list ");
    let of_parts = parts.into_iter().filter(|(whole, _)| !is_list && kinds.contains(whole));
    let of_parts: Vec<Kind> = of_parts.flat_map(|(_, parts)| parts).collect();
    kinds.into_iter().chain(of_parts).collect()
}

/// The kind of an object or of a list, which are named so: `Node UID NAME`, `list NodeList`.
fn kubernetes_kind(identity: &str) -> Option<Kind> {
    let name = identity.strip_prefix("list ").unwrap_or(identity);
    let name = name.split(' ').next().unwrap_or_default();
    Kind::ALL.iter().copied().find(|kind| match kind.facts().service {
        Service::Kubernetes(api) => api.kind == name || format!("{}List", api.kind) == name,
        _ => false,
    })
}

/// The sources of which nothing could be read.
pub(super) fn unread_sources(inventory: &Inventory) -> BTreeSet<Source> {
    let gaps = inventory.gaps().filter(|gap| !gap.in_part);
    gaps.map(|gap| gap.source.clone()).collect()
}

/// Facts that are unknown although they must be known.
pub(super) fn unknown_beyond(mutation: &Mutation, inventory: &Inventory) -> Vec<String> {
    let reach = Reach::of(mutation);
    let is_object = !is_list(mutation) && !matches!(mutation.how, How::HideFromLists);
    let mut beyond = Vec::new();
    for source in unread_sources(inventory) {
        let is_host = matches!(source, Source::Host(_));
        if !(reach.sources.contains(&source) || reach.hosts && is_host) {
            beyond.push(format!("{source} became unknown"));
        }
    }
    if reach.sources.contains(&Source::Tailscale) {
        return beyond;
    }
    let of_devices = [Kind::TailnetDevice, Kind::AdvertisedRoutes, Kind::ApprovedRoutes];
    let devices = of_devices.into_iter().flat_map(|kind| inventory.unread_objects(kind));
    let devices: BTreeSet<&str> = devices.map(|(key, _)| key.name()).collect();
    if devices.len() > 1 {
        beyond.push(format!("the devices {devices:?} became unknown"));
    }
    for kind in Kind::ALL.iter().copied() {
        if inventory.kind_gap(kind).is_some() && !reach.kinds.contains(&kind) {
            beyond.push(format!("all objects of the kind {kind} became unknown"));
        }
        for (key, _) in inventory.unread_objects(kind) {
            let is_it = is_object && reach.kinds.contains(&kind) && is_of(mutation, key);
            if !(is_it || reach.cluster && kind == Kind::ManagedCluster) {
                beyond.push(format!("{key:?} became unknown"));
            }
        }
    }
    beyond
}

/// Whether a key is that of the object that was changed, or of a part of it.
fn is_of(mutation: &Mutation, key: &ObjectKey) -> bool {
    match key {
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => {
            id.as_str().to_ascii_lowercase().starts_with(&mutation.identity)
        }
        ObjectKey::Device(_)
        | ObjectKey::DeviceAdvertised(_)
        | ObjectKey::DeviceApproved(_)
        | ObjectKey::Host(_) => mutation.api == Api::Tailscale,
        ObjectKey::Kubernetes(object) => mutation.identity.ends_with(&format!(" {}", object.name)),
    }
}
