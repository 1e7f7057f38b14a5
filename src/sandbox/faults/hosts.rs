//! Faults of hosts.

use ipnet::Ipv4Net;

use super::{Fault, FaultError, Injection};
use crate::resource::azure::MachineRole;
use crate::resource::host::KernelRoute;
use crate::sandbox::arm::PowerOff;
use crate::sandbox::hosts::{CNI_FILE, EmulatedHost, EmulatedRule, HostAccess, HostKind, Route};
use crate::sandbox::state::SandboxState;

/// The table and the rule of tailscaled.
const TAILSCALE_TABLE: u32 = 52;
const TAILSCALE_RULE: u32 = 5_270;

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
    if let HostKind::Vm { id, .. } = &host.kind
        && !host.powered_on
    {
        // Azure reports a machine that powered itself off as stopped.
        sandbox.arm.set_power(&id.clone(), Some(PowerOff::Stopped));
    }
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
        Fault::RouterShieldsUp if router => {
            host.tailscale.as_mut()?.shields_up = true;
            Some("set shields up".to_owned())
        }
        Fault::RouterExitNode if router => {
            host.tailscale.as_mut()?.exit_node = Some("n3x1tCNTRL".to_owned());
            Some("uses the exit node n3x1tCNTRL".to_owned())
        }
        Fault::WorkerTailscale if !router => accept_routes(host),
        Fault::WorkerSysctl if !router => {
            let (name, value) = ("vm.overcommit_memory", "0");
            host.kernel.wrong_sysctls.insert(name.to_owned(), value.to_owned());
            Some(format!("set {name} to {value}"))
        }
        Fault::WorkerSwap if !router => clear(&mut host.kernel.swap_off, "turned on swap"),
        Fault::WorkerFirewall if !router && !host.drops_pods => {
            host.drops_pods = true;
            Some("added a firewall that drops connections to its pods".to_owned())
        }
        Fault::LoginRefused => {
            let before = std::mem::replace(&mut host.access, HostAccess::LoginRefused);
            (before == HostAccess::Granted).then(|| "refuses the login".to_owned())
        }
        Fault::SudoPassword => {
            let before = std::mem::replace(&mut host.access, HostAccess::SudoPassword);
            (before == HostAccess::Granted).then(|| "asks for a password for sudo".to_owned())
        }
        Fault::RouterOffline if router => clear(&mut host.powered_on, "powered off"),
        _ => None,
    }
}

/// The rule and the table that tailscaled keeps on a device that accepts routes.
fn accept_routes(host: &mut EmulatedHost) -> Option<String> {
    let network = Ipv4Net::new(host.ip, 24).ok()?.trunc();
    let pods = host.cni_chosen().map(|(_, pods)| *pods)?.supernet()?;
    for destination in [network, pods] {
        host.kernel.routes.push(Route {
            destination,
            via: KernelRoute::Tunnel,
            table: TAILSCALE_TABLE,
            protocol: 0,
        });
    }
    let destination = Ipv4Net::default();
    host.kernel.rules.push(EmulatedRule {
        priority: TAILSCALE_RULE,
        destination,
        table: TAILSCALE_TABLE,
    });
    Some(format!("tailscaled accepts routes to {network} and {pods}"))
}

fn clear(flag: &mut bool, what: &str) -> Option<String> {
    std::mem::take(flag).then(|| what.to_owned())
}
