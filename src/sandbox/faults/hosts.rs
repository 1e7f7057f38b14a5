//! Faults of hosts.

use super::{Fault, FaultError, Injection};
use crate::resource::azure::MachineRole;
use crate::sandbox::hosts::{CNI_FILE, EmulatedHost};
use crate::sandbox::state::SandboxState;

/// Injects the fault into the first host that it changes.
pub(super) fn inject(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
) -> Result<String, FaultError> {
    let breakable =
        |host: &&EmulatedHost| apply_fault(&mut (*host).clone(), injection.fault).is_some();
    let candidates =
        sandbox.hosts.values().filter(breakable).map(|host| (host.name.clone(), ())).collect();
    let (name, ()) = injection.choose(candidates)?;
    let host = sandbox.hosts.get_mut(&name).ok_or_else(|| injection.no_target())?;
    let what = apply_fault(host, injection.fault).ok_or_else(|| injection.no_target())?;
    Ok(format!("{name}: {what}"))
}

/// Injects the fault into a host and returns a description, or `None` if it would change nothing.
fn apply_fault(host: &mut EmulatedHost, fault: Fault) -> Option<String> {
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
            clear(&mut host.kernel.ip_forwarding, "disabled IP forwarding in the kernel")
        }
        Fault::MasqueradeMissing => {
            clear(&mut host.firewall.masquerade, "removed the masquerade rule on tailscale0")
        }
        Fault::MssClampMissing => {
            clear(&mut host.firewall.mss_clamp, "removed the MSS clamping rule")
        }
        Fault::WorkerNotReady => clear(&mut host.worker.kubelet_active, "stopped the kubelet"),
        Fault::AcceptRoutesOff => {
            clear(&mut host.tailscale.as_mut()?.accept_routes, "disabled accept-routes")
        }
        Fault::WorkerFirewall if !router && !host.drops_pods => {
            host.drops_pods = true;
            Some("added a firewall that drops connections to its pods".to_owned())
        }
        Fault::RouterOffline if router => clear(&mut host.powered_on, "powered off"),
        _ => None,
    }
}

fn clear(flag: &mut bool, what: &str) -> Option<String> {
    std::mem::take(flag).then(|| what.to_owned())
}
