//! One object as it is now: what a step checks before and after it acts.

use serde_json::Value;

use super::{Scope, cluster, hosts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Observed;
use crate::plan::Change;
use crate::provider::access::ClusterAccess;
use crate::provider::azure::{api_version, codec};
use crate::provider::clients::Clients;
use crate::provider::host::HostTarget;
use crate::provider::tailnet::TailnetDevice;
use crate::resource::kubernetes::{CiliumNode, Manifest};
use crate::resource::ownership::SideName;
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{ArmId, ObjectKey, Ownership, Pending, Resource};

/// An object as it is now, and the body that Azure sent for it.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The object; absent where there is none.
    pub observed: Option<Observed>,
    /// Azure's own words, on which an update is built.
    pub body: Option<Value>,
}

/// Reads the object that a change is about.
///
/// # Errors
///
/// The service did not answer, or what it answered cannot be read.
pub async fn read_one(
    doors: &Clients,
    access: Option<&ClusterAccess>,
    target: Option<&HostTarget>,
    scope: &Scope<'_>,
    change: &Change,
) -> Result<Current, Failure> {
    match &change.key {
        ObjectKey::Azure(id) => azure(doors, scope, id, change).await,
        ObjectKey::AzureAssociation(id) => association(doors, id).await,
        ObjectKey::Device(name)
        | ObjectKey::DeviceAdvertised(name)
        | ObjectKey::DeviceApproved(name) => device(doors, scope, name, &change.key).await,
        ObjectKey::Kubernetes(_) => kubernetes(access, scope, change).await,
        ObjectKey::Host(_) => router(doors, target).await,
    }
}

async fn azure(
    doors: &Clients,
    scope: &Scope<'_>,
    id: &ArmId,
    change: &Change,
) -> Result<Current, Failure> {
    let body = doors.arm.get(id).await?;
    let Some(body) = body else { return Ok(Current::default()) };
    let resource_type =
        id.resource_type().unwrap_or_else(|| "Microsoft.Resources/resourceGroups".to_owned());
    let Some(decoded) = codec::decode_any(&resource_type, &body) else {
        return Ok(Current::default());
    };
    let resource = decoded.map_err(|error| unreadable(id, &error))?;
    let ownership = match (&resource, &change.ownership) {
        // A subnet carries no mark of its own.
        (Resource::Subnet(_), Some(known)) => known.clone(),
        (Resource::Subnet(_), None) => Ownership::Inherited,
        _ => codec::ownership(&body, &scope.owner()),
    };
    Ok(Current { observed: Some(Observed { resource, ownership }), body: Some(body) })
}

async fn association(doors: &Clients, subnet: &ArmId) -> Result<Current, Failure> {
    let body = doors.arm.get(subnet).await?;
    let Some(body) = body else { return Ok(Current::default()) };
    let value = codec::association::decode(&body).map_err(|error| unreadable(subnet, &error))?;
    let observed = Observed {
        resource: Resource::RouteTableAssociation(value),
        ownership: Ownership::Inherited,
    };
    Ok(Current { observed: Some(observed), body: Some(body) })
}

/// The device of a host name: among several the connected one.
pub(crate) async fn find_device(
    doors: &Clients,
    scope: &Scope<'_>,
    name: &str,
) -> Result<Option<TailnetDevice>, Failure> {
    let devices = doors.tailnet.devices().await?;
    let tag = scope.topology.tailnet.tag.as_str();
    let (name, id) = name.split_once('#').map_or((name, None), |(name, id)| (name, Some(id)));
    Ok(devices
        .into_iter()
        .filter(|device| device.hostname == name)
        .filter(|device| id.is_none_or(|id| device.id == id))
        .filter(|device| device.tags.iter().any(|other| other == tag))
        .max_by_key(|device| (device.online, device.created)))
}

async fn device(
    doors: &Clients,
    scope: &Scope<'_>,
    name: &str,
    key: &ObjectKey,
) -> Result<Current, Failure> {
    let Some(device) = find_device(doors, scope, name).await? else {
        return Ok(Current::default());
    };
    let hostname = device.hostname;
    let routes =
        |prefixes| RouteSet { hostname: hostname.clone(), prefixes: Pending::Known(prefixes) };
    let resource = match key {
        ObjectKey::DeviceAdvertised(_) => Resource::AdvertisedRoutes(routes(device.advertised)),
        ObjectKey::DeviceApproved(_) => Resource::ApprovedRoutes(routes(device.enabled)),
        _ => Resource::TailnetDevice(Device {
            hostname: hostname.clone(),
            authorized: device.authorized,
            online: device.online,
        }),
    };
    let side = scope.side_of_router(&hostname);
    let ownership = Ownership::Ours { side: SideName::from(&side) };
    Ok(Current { observed: Some(Observed { resource, ownership }), body: None })
}

async fn kubernetes(
    access: Option<&ClusterAccess>,
    scope: &Scope<'_>,
    change: &Change,
) -> Result<Current, Failure> {
    let Some(access) = access else { return Err(no_cluster()) };
    let resource = change.after.as_ref().or(change.before.as_ref());
    let observed = match resource {
        Some(Resource::Worker(worker)) => {
            let node = access.door.node(&worker.name).await?;
            node.and_then(|node| {
                Some(Observed {
                    resource: Resource::Worker(cluster::worker(&node, scope)?),
                    ownership: change.ownership.clone().unwrap_or(Ownership::Inherited),
                })
            })
        }
        Some(Resource::CiliumNode(wanted)) => {
            access.door.cilium_node(&wanted.name).await?.map(|pod_cidrs| Observed {
                resource: Resource::CiliumNode(CiliumNode { name: wanted.name.clone(), pod_cidrs }),
                ownership: Ownership::Inherited,
            })
        }
        Some(Resource::Manifest(manifest)) => manifest_now(access, manifest).await?,
        _ => None,
    };
    Ok(Current { observed, body: None })
}

async fn manifest_now(
    access: &ClusterAccess,
    manifest: &Manifest,
) -> Result<Option<Observed>, crate::provider::cluster::ClusterError> {
    let live =
        access.door.get(manifest.kind, manifest.namespace.as_deref(), &manifest.name).await?;
    Ok(live.map(|live| Observed {
        resource: Resource::Manifest(live.seen_against(manifest)),
        ownership: live.ownership,
    }))
}

async fn router(doors: &Clients, target: Option<&HostTarget>) -> Result<Current, Failure> {
    let Some(target) = target else { return Ok(Current::default()) };
    let probe = doors.hosts.probe_router(target).await?;
    let observed = Observed {
        resource: Resource::RouterHost(hosts::router_host(probe)),
        ownership: Ownership::Inherited,
    };
    Ok(Current { observed: Some(observed), body: None })
}

/// The failure of a step on a cluster that has no client yet.
pub(crate) fn no_cluster() -> Failure {
    Failure::new(
        Code::StepFailed,
        "the cluster has no usable credentials yet",
        "run the same command again once the cluster exists",
    )
}

/// The failure of an object that Azure returned and this version cannot read.
pub(super) fn unreadable(id: &ArmId, error: &codec::DecodeError) -> Failure {
    let message = format!("cannot read {}: {error}", api_version::describe(id));
    Failure { message, ..Failure::from(error) }
}
