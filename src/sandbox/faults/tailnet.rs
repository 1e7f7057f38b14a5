//! Faults of the tailnet.

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use super::{FaultError, Strike};
use crate::sandbox::hosts::HostKind;
use crate::sandbox::world::World;

pub(super) fn route_unapproved(
    world: &mut World,
    strike: Strike<'_>,
) -> Result<String, FaultError> {
    let accepted = |device: &super::super::tailnet::Device| {
        let prefix = *device.enabled_routes.intersection(&device.advertised_routes).next()?;
        Some((device.hostname.clone(), (device.node_id.clone(), prefix)))
    };
    let candidates: Vec<(String, (String, IpNet))> =
        world.tailnet.devices().filter_map(accepted).collect();
    let (name, (id, prefix)) = strike.choose(candidates)?;
    if let Some(device) = world.tailnet.device_mut(&id) {
        device.enabled_routes.remove(&prefix);
    }
    Ok(format!("the tailnet no longer accepts {prefix} from {name}"))
}

pub(super) fn broad_route(world: &mut World, strike: Strike<'_>) -> Result<String, FaultError> {
    let (node_group, pod_cidr) = cluster(world).ok_or_else(|| strike.nothing())?;
    let in_group = |kind: &HostKind| match kind {
        HostKind::Vm { id, .. } => {
            id.resource_group_name().is_some_and(|group| group.eq_ignore_ascii_case(&node_group))
        }
        HostKind::Existing { .. } => false,
    };
    let candidates = world
        .hosts
        .values()
        .filter(|host| in_group(&host.kind))
        .filter_map(|host| {
            let device = host.tailscale.as_ref()?.device.clone()?;
            Some((host.name.clone(), device))
        })
        .collect();
    let (name, id) = strike.choose(candidates)?;
    if let Some(tailscale) = world.hosts.get_mut(&name).and_then(|host| host.tailscale.as_mut()) {
        tailscale.advertised_routes.insert(pod_cidr);
    }
    if let Some(device) = world.tailnet.device_mut(&id) {
        device.enabled_routes.insert(IpNet::V4(pod_cidr));
    }
    Ok(format!("{name} offers {pod_cidr}, and the tailnet accepts it"))
}

fn cluster(world: &World) -> Option<(String, Ipv4Net)> {
    let (_, cluster) = world.arm.list("Microsoft.ContainerService/managedClusters").next()?;
    let text = |path: &str| cluster.pointer(path).and_then(Value::as_str);
    let group = text("/properties/nodeResourceGroup")?.to_owned();
    Some((group, text("/properties/networkProfile/podCidr")?.parse().ok()?))
}
