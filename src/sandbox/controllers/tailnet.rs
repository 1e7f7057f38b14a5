//! Hosts report to Tailscale's control plane, and log out when their device is deleted.

use jiff::Timestamp;

use super::changes::follow;
use crate::sandbox::hosts::Touched;
use crate::sandbox::state::SandboxState;

pub(super) fn reconcile(sandbox: &mut SandboxState, touched: &Touched, now: Timestamp) {
    let SandboxState { hosts, tailnet, reconciled, .. } = sandbox;
    follow(&mut reconciled.members, hosts, touched, |host| host.tailscale.is_some());
    for label in &reconciled.members {
        let Some(host) = hosts.get_mut_untracked(label) else { continue };
        let powered_on = host.powered_on;
        let Some(tailscale) = &mut host.tailscale else { continue };
        let Some(device) = &tailscale.device else { continue };
        let Some(known) = tailnet.device(device) else {
            // The device was deleted, so the host must log in again.
            tailscale.device = None;
            tailscale.address = None;
            continue;
        };
        let online = powered_on && !known.is_expired(now);
        tailnet.report(&device.clone(), online, &tailscale.advertised_routes, now);
    }
}
