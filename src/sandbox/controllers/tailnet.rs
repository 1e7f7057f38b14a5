//! Hosts keep the control plane informed, and learn when it forgot them.

use jiff::Timestamp;

use super::reconciled::follow;
use crate::sandbox::hosts::Touched;
use crate::sandbox::world::World;

pub(super) fn reconcile(world: &mut World, touched: &Touched, now: Timestamp) {
    let World { hosts, tailnet, reconciled, .. } = world;
    follow(&mut reconciled.members, hosts, touched, |host| host.tailscale.is_some());
    for name in &reconciled.members {
        let Some(host) = hosts.for_settling(name) else { continue };
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
