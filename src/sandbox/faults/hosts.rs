//! Faults of machines.

use super::{Fault, FaultError, Strike};
use crate::resource::azure::MachineRole;
use crate::sandbox::hosts::{CNI_FILE, Host};
use crate::sandbox::world::World;

/// Strikes the first host on which the fault would change something.
pub(super) fn strike(world: &mut World, strike: Strike<'_>) -> Result<String, FaultError> {
    let breakable = |host: &&Host| breaks(&mut (*host).clone(), strike.fault).is_some();
    let candidates =
        world.hosts.values().filter(breakable).map(|host| (host.name.clone(), ())).collect();
    let (name, ()) = strike.choose(candidates)?;
    let host = world.hosts.get_mut(&name).ok_or_else(|| strike.nothing())?;
    let what = breaks(host, strike.fault).ok_or_else(|| strike.nothing())?;
    Ok(format!("{name}: {what}"))
}

/// Breaks a host and says how; nothing if there is nothing to break.
fn breaks(host: &mut Host, fault: Fault) -> Option<String> {
    let router = host.role == MachineRole::Router;
    match fault {
        Fault::CniConfigMissing => {
            host.worker.cni_files.remove(CNI_FILE).map(|_| format!("deleted {CNI_FILE}"))
        }
        Fault::KernelRouteMissing if router => {
            let (destination, _) = host.our_routes().pop_first()?;
            host.kernel.routes.retain(|route| route.destination != destination);
            Some(format!("deleted the kernel route to {destination}"))
        }
        Fault::ForwardingOff if router => {
            clear(&mut host.kernel.ip_forwarding, "the kernel no longer forwards")
        }
        Fault::MasqueradeMissing => {
            clear(&mut host.firewall.masquerade, "the masquerade on tailscale0 is gone")
        }
        Fault::MssClampMissing => {
            clear(&mut host.firewall.mss_clamp, "the clamp of the segment size is gone")
        }
        Fault::WorkerNotReady => clear(&mut host.worker.kubelet_active, "the kubelet was stopped"),
        Fault::AcceptRoutesOff => clear(
            &mut host.tailscale.as_mut()?.accept_routes,
            "routes of other routers are no longer taken up",
        ),
        Fault::WorkerFirewall if !router && !host.drops_pods => {
            host.drops_pods = true;
            Some("a firewall drops what others ask of its pods".to_owned())
        }
        Fault::RouterOffline if router => clear(&mut host.powered_on, "it was powered off"),
        _ => None,
    }
}

fn clear(flag: &mut bool, what: &str) -> Option<String> {
    std::mem::take(flag).then(|| what.to_owned())
}
