//! Configuration changes of a router.

use std::collections::{BTreeMap, BTreeSet};

use super::{EmulatedFirewall, EmulatedHost, EmulatedRule, MAIN_TABLE, RULE_PRIORITY, Tailscale};
use crate::provider::host::RouterChange;
use crate::sandbox::entropy::Entropy;
use crate::sandbox::tailnet::{Enrolment, TailnetStore};

/// The parts of the sandbox other than the host that a change may modify.
pub struct HostEnvironment<'a> {
    /// The tailnet, for joining it.
    pub tailnet: &'a mut TailnetStore,
    /// The source of the new device's address.
    pub entropy: &'a mut Entropy,
    /// The current time.
    pub now: jiff::Timestamp,
}

impl EmulatedHost {
    /// Changes a router. The error says why the change failed.
    pub fn change_router(
        &mut self,
        change: &RouterChange,
        environment: &mut HostEnvironment<'_>,
    ) -> Result<(), String> {
        self.work_milliseconds += change_milliseconds(change);
        self.kernel.persistent |= survives_reboot(change);
        match change {
            RouterChange::Sysctls { ip_forwarding, reverse_path_filter, send_redirects } => {
                self.kernel.ip_forwarding = *ip_forwarding;
                self.kernel.reverse_path_filter = *reverse_path_filter;
                self.kernel.send_redirects = *send_redirects;
            }
            RouterChange::Firewall { masquerade, mss_clamp } => {
                self.firewall = EmulatedFirewall { masquerade: *masquerade, mss_clamp: *mss_clamp };
            }
            RouterChange::LocalPrefixes(prefixes) => self.set_local_prefixes(prefixes),
            RouterChange::KernelRoutes(routes) => match self.refuses(routes) {
                Some(reason) => return Err(reason),
                None => self.set_our_routes(routes),
            },
            RouterChange::TailscaleSettings { accept_routes, snat_subnet_routes } => {
                let tailscale = self.logged_in()?;
                tailscale.accept_routes = *accept_routes;
                tailscale.snat_subnet_routes = *snat_subnet_routes;
            }
            RouterChange::AdvertisedRoutes(prefixes) => {
                self.logged_in()?.advertised_routes = prefixes.clone();
            }
            RouterChange::DeviceName(name) => {
                let device = self.logged_in()?.device.clone().unwrap_or_default();
                environment.tailnet.rename(&device, name);
            }
            RouterChange::ProtectionRecord(block) => self.protected_by = block.clone(),
            RouterChange::JoinTailnet { auth_key } => {
                return self.join_tailnet(auth_key.expose(), environment);
            }
            RouterChange::Remove => self.remove_router(environment),
        }
        Ok(())
    }

    /// Installs Tailscale and logs in with a key, unless the host is logged in.
    pub fn join_tailnet(
        &mut self,
        key: &str,
        environment: &mut HostEnvironment<'_>,
    ) -> Result<(), String> {
        let tailscale = self
            .tailscale
            .get_or_insert_with(|| Tailscale { snat_subnet_routes: true, ..Tailscale::default() });
        if tailscale.device.is_some() {
            return Ok(());
        }
        let enrolment = Enrolment { hostname: &self.name, auth_key: key };
        let device = environment
            .tailnet
            .enrol(&enrolment, environment.now, environment.entropy)
            .ok_or("backend error: invalid key: API key does not exist")?;
        tailscale.address = environment.tailnet.device(&device).map(|device| device.address);
        tailscale.device = Some(device);
        Ok(())
    }

    fn logged_in(&mut self) -> Result<&mut Tailscale, String> {
        let tailscale = self.tailscale.as_mut().ok_or("tailscale: command not found")?;
        match tailscale.device {
            Some(_) => Ok(tailscale),
            None => Err("Tailscale is logged out".to_owned()),
        }
    }

    fn set_local_prefixes(&mut self, prefixes: &BTreeSet<ipnet::Ipv4Net>) {
        self.kernel.rules.retain(|rule| rule.priority != RULE_PRIORITY);
        self.kernel.rules.extend(prefixes.iter().map(|destination| EmulatedRule {
            priority: RULE_PRIORITY,
            destination: *destination,
            table: MAIN_TABLE,
        }));
    }

    /// Logging out leaves the device in the tailnet, offline.
    fn remove_router(&mut self, environment: &mut HostEnvironment<'_>) {
        let device = self.tailscale.take().and_then(|tailscale| tailscale.device);
        if let Some(device) = device {
            environment.tailnet.report(&device, false, &BTreeSet::new(), environment.now);
        }
        self.firewall = EmulatedFirewall::default();
        self.set_local_prefixes(&BTreeSet::new());
        self.set_our_routes(&BTreeMap::new());
        self.kernel.ip_forwarding = false;
        self.kernel.persistent = false;
        self.protected_by = None;
    }
}

/// Whether a change survives a reboot.
fn survives_reboot(change: &RouterChange) -> bool {
    matches!(
        change,
        RouterChange::Sysctls { .. }
            | RouterChange::Firewall { .. }
            | RouterChange::LocalPrefixes(_)
            | RouterChange::KernelRoutes(_)
    )
}

fn change_milliseconds(change: &RouterChange) -> u64 {
    match change {
        RouterChange::JoinTailnet { .. } => 30_000,
        RouterChange::Remove => 5_000,
        RouterChange::TailscaleSettings { .. }
        | RouterChange::AdvertisedRoutes(_)
        | RouterChange::DeviceName(_) => 500,
        _ => 300,
    }
}

/// The name of a change, for logs and fault injection.
pub fn change_name(change: &RouterChange) -> &'static str {
    match change {
        RouterChange::Sysctls { .. } => "sysctls",
        RouterChange::Firewall { .. } => "firewall",
        RouterChange::LocalPrefixes(_) => "local-prefixes",
        RouterChange::KernelRoutes(_) => "kernel-routes",
        RouterChange::TailscaleSettings { .. } => "tailscale-settings",
        RouterChange::AdvertisedRoutes(_) => "advertised-routes",
        RouterChange::DeviceName(_) => "device-name",
        RouterChange::ProtectionRecord(_) => "protection-record",
        RouterChange::JoinTailnet { .. } => "join-tailnet",
        RouterChange::Remove => "remove",
    }
}
