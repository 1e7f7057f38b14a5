//! Faults of routers' devices, and devices of others.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use jiff::SignedDuration;

use super::{Fault, FaultError, Injection};
use crate::resource::azure::MachineRole;
use crate::sandbox::hosts::{EmulatedHost, HostKind, Tailscale};
use crate::sandbox::state::SandboxState;
use crate::sandbox::tailnet::EmulatedDevice;

/// The name of the machine that serves a prefix of the topology's.
const FOREIGN_NAME: &str = "office-router";
const FOREIGN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 17);
/// How long an expiring key is still valid.
const REST_OF_KEY: SignedDuration = SignedDuration::from_hours(48);

/// The routers that are logged in, by name, with their devices.
fn routers(sandbox: &SandboxState) -> Vec<(String, String)> {
    let routers = sandbox.hosts.values().filter(|host| host.role == MachineRole::Router);
    let device = |host: &EmulatedHost| {
        let device = host.tailscale.as_ref()?.device.clone()?;
        Some((host.name.clone(), device))
    };
    routers.filter_map(device).collect()
}

/// Injects the fault into the device of a router.
pub(super) fn inject(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Result<String, FaultError> {
    let (name, id) = injection.choose(routers(sandbox))?;
    if injection.fault == Fault::DeviceDeleted {
        sandbox.tailnet.remove_device(&id);
        return Ok(format!("deleted the device of {name}"));
    }
    if injection.fault == Fault::DeviceRenamed {
        sandbox.tailnet.rename(&id, &format!("{name}-renamed"));
        return Ok(format!("gave the device of {name} the host name {name}-renamed"));
    }
    let device = sandbox.tailnet.device_mut(&id).ok_or_else(|| injection.no_target())?;
    Ok(change(device, &name, injection))
}

fn change(device: &mut EmulatedDevice, name: &str, injection: Injection<'_>) -> String {
    let mut expire = |expires: jiff::Timestamp| {
        device.key_expiry_disabled = false;
        device.expires = expires;
        format!("switched on key expiry for {name}: its key expires at {expires}")
    };
    match injection.fault {
        Fault::DeviceKeyExpiring => expire(injection.now + REST_OF_KEY),
        Fault::DeviceKeyExpired => expire(injection.now),
        Fault::RouterLockedOut => {
            device.lock_error = Some("node key is not signed".to_owned());
            format!("tailnet lock does not accept the key of {name}")
        }
        _ => {
            device.authorized = false;
            format!("withdrew the authorization of {name}")
        }
    }
}

/// Adds a machine of others that serves a prefix that a router serves, too.
pub(super) fn prefix_served_twice(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Result<String, FaultError> {
    let served = |device: &EmulatedDevice| -> Option<(String, Ipv4Net)> {
        let mut routes = device.enabled_routes.intersection(&device.advertised_routes);
        routes.find_map(|route| match route {
            IpNet::V4(route) => Some((device.hostname.clone(), *route)),
            IpNet::V6(_) => None,
        })
    };
    let candidates = sandbox.tailnet.devices().filter_map(served).collect();
    let (name, prefix) = injection.choose(candidates)?;
    let SandboxState { tailnet, entropy, .. } = sandbox;
    let device = tailnet.add_foreign(FOREIGN_NAME, &[prefix.into()], injection.now, entropy);
    let mut host = EmulatedHost::bare(
        FOREIGN_NAME,
        FOREIGN_ADDRESS,
        HostKind::Existing { mac: None },
        MachineRole::Worker,
    );
    host.tailscale = Some(Tailscale {
        address: tailnet.device(&device).map(|device| device.address),
        device: Some(device),
        advertised_routes: BTreeSet::from([prefix]),
        ..Tailscale::default()
    });
    sandbox.hosts.insert(host);
    Ok(format!("{FOREIGN_NAME} serves {prefix}, which {name} serves too"))
}
