//! Faults of the tailnet.

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;

use super::{FaultError, Injection};
use crate::sandbox::hosts::HostKind;
use crate::sandbox::state::SandboxState;

pub(super) fn route_unapproved(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Result<String, FaultError> {
    let accepted = |device: &super::super::tailnet::EmulatedDevice| {
        let prefix = *device.enabled_routes.intersection(&device.advertised_routes).next()?;
        Some((device.hostname.clone(), (device.node_id.clone(), prefix)))
    };
    let candidates: Vec<(String, (String, IpNet))> =
        sandbox.tailnet.devices().filter_map(accepted).collect();
    let (name, (id, prefix)) = injection.choose(candidates)?;
    if let Some(device) = sandbox.tailnet.device_mut(&id) {
        device.enabled_routes.remove(&prefix);
    }
    Ok(format!("withdrew the approval of {prefix} from {name}"))
}

pub(super) fn broad_route(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Result<String, FaultError> {
    let (node_group, pod_cidr) = cluster(sandbox).ok_or_else(|| injection.no_target())?;
    let in_group = |kind: &HostKind| match kind {
        HostKind::Vm { id, .. } => {
            id.resource_group_name().is_some_and(|group| group.eq_ignore_ascii_case(&node_group))
        }
        HostKind::Existing { .. } => false,
    };
    let candidates = sandbox
        .hosts
        .values()
        .filter(|host| in_group(&host.kind))
        .filter_map(|host| {
            let device = host.tailscale.as_ref()?.device.clone()?;
            Some((host.name.clone(), device))
        })
        .collect();
    let (name, id) = injection.choose(candidates)?;
    if let Some(tailscale) = sandbox.hosts.get_mut(&name).and_then(|host| host.tailscale.as_mut()) {
        tailscale.advertised_routes.insert(pod_cidr);
    }
    if let Some(device) = sandbox.tailnet.device_mut(&id) {
        device.enabled_routes.insert(IpNet::V4(pod_cidr));
    }
    Ok(format!("{name} advertises {pod_cidr}, which is approved"))
}

fn cluster(sandbox: &SandboxState) -> Option<(String, Ipv4Net)> {
    let (_, cluster) = sandbox.arm.list("Microsoft.ContainerService/managedClusters").next()?;
    let text = |path: &str| cluster.pointer(path).and_then(Value::as_str);
    let group = text("/properties/nodeResourceGroup")?.to_owned();
    Some((group, text("/properties/networkProfile/podCidr")?.parse().ok()?))
}
