//! Hosts keep the control plane informed, and learn when it forgot them.

use jiff::Timestamp;

use crate::sandbox::world::World;

pub(super) fn settle(world: &mut World, now: Timestamp) {
    let World { hosts, tailnet, .. } = world;
    for host in hosts.values_mut() {
        let powered_on = host.powered_on;
        let Some(tailscale) = &mut host.tailscale else { continue };
        let Some(device) = &tailscale.device else { continue };
        let Some(known) = tailnet.device(device) else {
            // Its device was deleted: the host is asked to log in again.
            tailscale.device = None;
            tailscale.address = None;
            continue;
        };
        let online = powered_on && !known.is_expired(now);
        tailnet.report(&device.clone(), online, &tailscale.advertised_routes, now);
    }
}
