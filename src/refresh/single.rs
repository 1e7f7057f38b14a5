//! Reads one current object: for the checks of a step before and after it acts.

use serde_json::Value;

use super::{cluster, hosts, tailnet};
use crate::diagnostics::service_text::{Breaks, make_safe};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Observed;
use crate::plan::{Action, ApplySettings, Change, Execution};
use crate::provider::azure::{api_version, codec};
use crate::provider::clients::ReadClients;
use crate::provider::cluster::NodeFacts;
use crate::provider::error::RequestError;
use crate::provider::host::HostTarget;
use crate::provider::read_write::ClusterRead;
use crate::provider::tailnet::TailnetDevice;
use crate::resource::kubernetes::{CiliumNode, Manifest};
use crate::resource::route_name::route_ownership;
use crate::resource::tailnet::RouteSet;
use crate::resource::{ArmId, Kind, ObjectKey, Owner, Ownership, Pending, Resource};

/// An object as it is now, and the body that Azure sent for it.
#[derive(Debug, Clone, Default)]
pub struct Current {
    /// The object; `None` if it does not exist.
    pub observed: Option<Observed>,
    /// The body that Azure returned, on which an update is based.
    pub body: Option<Value>,
}

/// Reads the object that a change is about. Without a client of the cluster, `cluster` is
/// the reason, which is the error for an object of the cluster.
///
/// # Errors
///
/// The service did not answer, or its answer cannot be parsed.
pub async fn read_one(
    clients: &ReadClients,
    cluster: Result<&dyn ClusterRead, &Failure>,
    target: Option<&HostTarget>,
    settings: &ApplySettings,
    change: &Change,
) -> Result<Current, Failure> {
    match &change.key {
        ObjectKey::Azure(id) => azure(clients, &settings.owner, id, change).await,
        ObjectKey::AzureAssociation(id) => association(clients, id).await,
        ObjectKey::Device(_) | ObjectKey::DeviceAdvertised(_) | ObjectKey::DeviceApproved(_) => {
            device(clients, &settings.owner, change).await
        }
        ObjectKey::Kubernetes(_) => kubernetes(cluster, settings, change).await,
        ObjectKey::Host(_) if change.address.kind == Kind::Worker => Ok(as_planned(change)),
        ObjectKey::Host(_) => router(clients, target, change).await,
    }
}

async fn azure(
    clients: &ReadClients,
    owner: &Owner,
    id: &ArmId,
    change: &Change,
) -> Result<Current, Failure> {
    match clients.azure.get(id).await? {
        Some(body) => object_of(owner, id, change, body),
        None => Ok(Current::default()),
    }
}

fn object_of(owner: &Owner, id: &ArmId, change: &Change, body: Value) -> Result<Current, Failure> {
    let resource_type =
        id.resource_type().unwrap_or_else(|| Kind::ResourceGroup.arm_type().to_owned());
    let safe = printable(&body);
    let Some(decoded) = codec::decode_any(&resource_type, &safe) else {
        return Ok(Current::default());
    };
    let resource = decoded.map_err(|error| unreadable(id, &error))?;
    // The plan has seen whether an earlier version created it.
    let is_planned = change.ownership.as_ref().is_some_and(Ownership::is_ours);
    let without_name = || codec::ownership_without_name(&body, owner).filter(|_| is_planned);
    let ownership = if resource.kind().facts().marked {
        match codec::ownership(&body, owner) {
            ownership if ownership.is_foreign() => without_name().unwrap_or(ownership),
            ownership => ownership,
        }
    } else if resource.kind() == Kind::Route {
        route_ownership(owner, id.name())
    } else {
        change.ownership.clone().unwrap_or(Ownership::Inherited)
    };
    Ok(Current { observed: Some(Observed { resource, ownership }), body: Some(body) })
}

/// A copy of a body for everything that may be printed: the body itself is written back as
/// it came.
fn printable(body: &Value) -> Value {
    let mut safe = body.clone();
    make_safe(&mut safe, Breaks::Escape);
    safe
}

/// Reads an object of which values may be printed and none is written back.
pub(super) async fn get_printable(
    clients: &ReadClients,
    id: &ArmId,
) -> Result<Option<Value>, RequestError> {
    let body = clients.azure.get(id).await?;
    Ok(body.as_ref().map(printable))
}

async fn association(clients: &ReadClients, subnet: &ArmId) -> Result<Current, Failure> {
    match clients.azure.get(subnet).await? {
        Some(body) => association_of(subnet, body),
        None => Ok(Current::default()),
    }
}

fn association_of(subnet: &ArmId, body: Value) -> Result<Current, Failure> {
    let safe = printable(&body);
    let value = codec::association::decode(&safe).map_err(|error| unreadable(subnet, &error))?;
    let observed = Observed {
        resource: Resource::RouteTableAssociation(value),
        ownership: Ownership::Inherited,
    };
    Ok(Current { observed: Some(observed), body: Some(body) })
}

/// The object that a change is about, of a body that Azure sent for it.
///
/// # Errors
///
/// The body cannot be parsed.
pub fn object_of_body(owner: &Owner, change: &Change, body: Value) -> Result<Current, Failure> {
    match &change.key {
        ObjectKey::Azure(id) => object_of(owner, id, change, body),
        ObjectKey::AzureAssociation(id) => association_of(id, body),
        _ => Ok(Current::default()),
    }
}

/// The device of a host name: among several the connected one.
pub(crate) async fn find_device(
    clients: &ReadClients,
    owner: &Owner,
    name: &str,
) -> Result<Option<TailnetDevice>, Failure> {
    let devices = clients.tailnet.devices().await?;
    let (name, id) = name.split_once('#').map_or((name, None), |(name, id)| (name, Some(id)));
    let unreadable = devices.iter().find_map(|device| {
        let is_it = device.hostname.eq_ignore_ascii_case(name);
        device.unreadable.as_ref().filter(|_| is_it)
    });
    if let Some(reason) = unreadable {
        return Err(Failure::new(
            Code::UnexpectedResponse,
            format!("Tailscale's answer for the device {name} cannot be read: {reason}"),
            "run the same command again",
        ));
    }
    Ok(devices
        .into_iter()
        .filter(|device| device.hostname.eq_ignore_ascii_case(name))
        .filter(|device| id.is_none_or(|id| device.id == id))
        .filter(|device| owner.tag_among(&device.tags).is_some())
        .max_by_key(TailnetDevice::rank))
}

/// The device that a change is about: of its router's name, or of the name that the
/// plan saw.
pub(crate) async fn device_of(
    clients: &ReadClients,
    owner: &Owner,
    change: &Change,
) -> Result<Option<TailnetDevice>, Failure> {
    let name = change.key.name();
    let device = find_device(clients, owner, name).await?;
    match &change.before {
        Some(Resource::TailnetDevice(seen)) if device.is_none() && !name.contains('#') => {
            find_device(clients, owner, &seen.hostname).await
        }
        _ => Ok(device),
    }
}

async fn device(clients: &ReadClients, owner: &Owner, change: &Change) -> Result<Current, Failure> {
    let Some(device) = device_of(clients, owner, change).await? else {
        return Ok(Current::default());
    };
    let hostname = change.key.name().split('#').next().unwrap_or_default().to_owned();
    let routes =
        |prefixes| RouteSet { hostname: hostname.clone(), prefixes: Pending::Known(prefixes) };
    let resource = match &change.key {
        ObjectKey::DeviceAdvertised(_) => Resource::AdvertisedRoutes(routes(device.advertised)),
        ObjectKey::DeviceApproved(_) => Resource::ApprovedRoutes(routes(device.enabled)),
        _ => Resource::TailnetDevice(tailnet::resource(&device, owner)),
    };
    let ownership = tailnet::ownership(&device.tags, owner, &change.address.site);
    Ok(Current { observed: Some(Observed { resource, ownership }), body: None })
}

async fn kubernetes(
    client: Result<&dyn ClusterRead, &Failure>,
    settings: &ApplySettings,
    change: &Change,
) -> Result<Current, Failure> {
    let client = client.map_err(Failure::clone)?;
    let resource = change.after.as_ref().or(change.before.as_ref());
    let observed = match resource {
        Some(Resource::Worker(worker)) => {
            let node = client.node(&worker.name).await?;
            node.map(|node| node_now(&node, settings)).transpose()?
        }
        Some(Resource::CiliumNode(desired)) => {
            client.cilium_node(&desired.name).await?.map(|pod_cidrs| Observed {
                resource: Resource::CiliumNode(
                    CiliumNode { name: desired.name.clone(), pod_cidrs }.into(),
                ),
                ownership: Ownership::Inherited,
            })
        }
        Some(Resource::Manifest(manifest)) => manifest_now(client, manifest).await?,
        _ => None,
    };
    Ok(Current { observed, body: None })
}

fn node_now(node: &NodeFacts, settings: &ApplySettings) -> Result<Observed, Failure> {
    Ok(Observed {
        resource: Resource::Worker(cluster::worker(node, &settings.managed)?.into()),
        ownership: cluster::node_ownership(node, &settings.owner),
    })
}

async fn manifest_now(
    client: &dyn ClusterRead,
    manifest: &Manifest,
) -> Result<Option<Observed>, crate::provider::cluster::ClusterError> {
    let live = client.get(manifest.kind, manifest.namespace.as_deref(), &manifest.name).await?;
    Ok(live.map(|live| Observed {
        resource: Resource::Manifest(live.with_desired_fields(manifest)),
        ownership: live.ownership,
    }))
}

/// A host without a Node, as the plan saw it: a reset is right in any state.
fn as_planned(change: &Change) -> Current {
    let ownership = change.ownership.clone().unwrap_or(Ownership::Inherited);
    let observed = change.before.clone().map(|resource| Observed { resource, ownership });
    Current { observed, body: None }
}

async fn router(
    clients: &ReadClients,
    target: Option<&HostTarget>,
    change: &Change,
) -> Result<Current, Failure> {
    let Some(target) = target else {
        return if remains_after(change) {
            Err(unreachable(change))
        } else {
            Ok(Current::default())
        };
    };
    let probe = clients.hosts.probe_router(target).await?;
    let observed = Observed {
        resource: Resource::RouterHost(hosts::router_host(probe).into()),
        ownership: Ownership::Inherited,
    };
    Ok(Current { observed: Some(observed), body: None })
}

/// Whether a change removes stargate's configuration from a machine that continues to
/// exist: a missing address does not prove that the configuration is absent. A router that
/// is created has no address before it joins, and a VM is deleted with its configuration.
fn remains_after(change: &Change) -> bool {
    let is_existing = match &change.execution {
        Execution::Router(execution) => execution.is_existing,
        Execution::Api
        | Execution::Worker(_)
        | Execution::WorkerRestart(_)
        | Execution::RouteDeletion(_)
        | Execution::NodePool(_) => false,
    };
    change.action == Action::Delete && is_existing
}

fn unreachable(change: &Change) -> Failure {
    Failure::new(
        Code::HostUnreachable,
        format!(
            "router {} has no address: what stargate configured on it cannot be removed",
            change.address.name
        ),
        "connect the router to the tailnet, or write its SSH address into the topology; then run \
         the same command again",
    )
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
    Failure::from(error).with_message(message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A body from Azure is written back unchanged, and printed only in the decoded form.
    #[test]
    fn the_association_of_a_subnet_is_safe_to_print() {
        let id =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/t\u{1b}[2J";
        let subnet = ArmId::resource_group("s", "g")
            .in_group("Microsoft.Network/virtualNetworks", "v")
            .child("subnets", "n");
        let body =
            json!({ "id": subnet.to_string(), "properties": { "routeTable": { "id": id } } });
        let current = association_of(&subnet, body.clone()).unwrap();
        let observed = format!("{:?}", current.observed);
        assert!(observed.contains("routeTables/t"), "{observed}");
        assert!(
            !serde_json::to_string(&current.observed.unwrap().resource)
                .unwrap()
                .contains("\\u001b")
        );
        assert_eq!(current.body, Some(body));
    }
}
