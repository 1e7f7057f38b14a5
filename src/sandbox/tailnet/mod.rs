//! The tailnet: devices, keys, the policy, and the API v2.
//!
//! The host of a device sets its advertised routes, and the API sets its approved routes. The two
//! lists are independent, except that the policy's `autoApprovers` approve a prefix when it is
//! advertised for the first time.

mod credentials;
mod device;
mod endpoint;
pub mod hujson;
mod key;
mod policy;
mod response;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use credentials::{AcceptedCredential, AcceptedCredentials};
pub use device::EmulatedDevice;
pub use key::AuthKey;
pub use policy::AccessPolicy;

use super::digest::digest;
use super::entropy::Entropy;

/// The DNS name of the sandbox's tailnet.
const TAILNET_DOMAIN: &str = "sandbox.ts.net";

/// The scopes of the Tailscale API that stargate's requests need.
pub const TAILNET_SCOPES: [&str; 4] =
    ["auth_keys", "devices:core", "devices:routes", "policy_file"];

/// The state of the tailnet's control plane.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TailnetStore {
    /// Devices by their node id.
    devices: BTreeMap<String, EmulatedDevice>,
    keys: BTreeMap<String, AuthKey>,
    policy: AccessPolicy,
    /// Expiry times of the access tokens of OAuth clients, by digest.
    tokens: BTreeMap<String, Timestamp>,
    /// Scopes that no credential has.
    #[serde(default)]
    pub missing_scopes: BTreeSet<String>,
    /// Tags that get no owner again when the sandbox is opened.
    #[serde(default)]
    pub unowned_tags: BTreeSet<String>,
    /// The role of the user who owns API access tokens; without one, admin.
    #[serde(default)]
    pub owner_role: Option<String>,
    /// The credentials that are accepted; without any, all are.
    #[serde(default)]
    pub credentials: AcceptedCredentials,
}

/// The request of a host to join the tailnet.
#[derive(Debug, Clone)]
pub struct Enrolment<'a> {
    /// The host name.
    pub hostname: &'a str,
    /// The auth key.
    pub auth_key: &'a str,
}

impl TailnetStore {
    /// All devices, by node id.
    pub fn devices(&self) -> impl Iterator<Item = &EmulatedDevice> {
        self.devices.values()
    }

    /// A device by either of its ids.
    pub fn device(&self, id: &str) -> Option<&EmulatedDevice> {
        self.devices.get(id).or_else(|| self.devices().find(|device| device.id == id))
    }

    /// A device by either of its ids, mutable.
    pub fn device_mut(&mut self, id: &str) -> Option<&mut EmulatedDevice> {
        let node_id = self.device(id)?.node_id.clone();
        self.devices.get_mut(&node_id)
    }

    /// Deletes a device. Returns whether it existed.
    pub fn remove_device(&mut self, id: &str) -> bool {
        let node_id = self.device(id).map(|device| device.node_id.clone());
        node_id.is_some_and(|id| self.devices.remove(&id).is_some())
    }

    /// Makes the keys of a description unused, as before a machine joined with them.
    pub fn restore_key(&mut self, description: &str) {
        let keys = self.keys.values_mut().filter(|key| key.description == description);
        keys.for_each(|key| key.used = false);
    }

    /// Gives a device another host name, and the DNS name that follows from it.
    pub fn rename(&mut self, id: &str, hostname: &str) {
        let name = self.free_name(hostname);
        if let Some(device) = self.device_mut(id)
            && device.hostname != hostname
        {
            hostname.clone_into(&mut device.hostname);
            device.name = name;
        }
    }

    /// Gives a device a DNS name of its own; without one, the name that follows from its host
    /// name. Returns whether the name is free.
    pub(super) fn set_name(&mut self, id: &str, name: &str) -> bool {
        let label = name.trim_end_matches(&format!(".{TAILNET_DOMAIN}")).to_owned();
        let full = format!("{label}.{TAILNET_DOMAIN}");
        let Some(device) = self.device(id) else { return false };
        if !label.is_empty() && device.name == full {
            return true;
        }
        let name = match label.is_empty() {
            true => self.free_name(&device.hostname.clone()),
            false if self.devices().any(|device| device.name == full) => return false,
            false => full,
        };
        if let Some(device) = self.device_mut(id) {
            device.name = name;
        }
        true
    }

    /// The policy.
    pub fn policy(&self) -> &AccessPolicy {
        &self.policy
    }

    /// The policy, mutable.
    pub fn policy_mut(&mut self) -> &mut AccessPolicy {
        &mut self.policy
    }

    /// Registers a device with a key. Returns `None` if the key is not valid.
    pub fn enrol(
        &mut self,
        enrolment: &Enrolment<'_>,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Option<String> {
        let digest = digest(enrolment.auth_key);
        let key = self.keys.values_mut().find(|key| key.digest == digest)?;
        if !key.is_valid(now) {
            return None;
        }
        key.used = true;
        let (tags, authorized) = (key.tags.clone(), key.preauthorized);
        let address = self.free_address(entropy);
        let name = self.free_name(enrolment.hostname);
        let device =
            EmulatedDevice::new(enrolment.hostname, name, address, tags, authorized, now, entropy);
        let node_id = device.node_id.clone();
        self.devices.insert(node_id.clone(), device);
        Some(node_id)
    }

    /// The prefixes for which a device is selected among those that serve them.
    pub fn primary_routes(&self, id: &str) -> BTreeSet<Ipv4Net> {
        let Some(device) = self.device(id) else { return BTreeSet::new() };
        let is_selected = |prefix: &&IpNet| {
            let others = self.devices().filter(|other| other.serves(prefix));
            device.serves(prefix)
                && others.map(EmulatedDevice::precedence).min() == Some(device.precedence())
        };
        let selected = device.enabled_routes.iter().filter(is_selected);
        selected
            .filter_map(|prefix| match prefix {
                IpNet::V4(prefix) => Some(*prefix),
                IpNet::V6(_) => None,
            })
            .collect()
    }

    /// Adds the device of a user, connected, with these prefixes advertised and approved.
    /// Returns its node id.
    pub fn add_foreign(
        &mut self,
        hostname: &str,
        routes: &[IpNet],
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> String {
        let address = self.free_address(entropy);
        let name = self.free_name(hostname);
        let mut device =
            EmulatedDevice::new(hostname, name, address, Vec::new(), true, now, entropy);
        device.advertised_routes.extend(routes);
        device.enabled_routes.extend(routes);
        // Older than any that joined since: Tailscale selects the oldest.
        device.joined = None;
        let node_id = device.node_id.clone();
        self.devices.insert(node_id.clone(), device);
        node_id
    }

    /// Records the report of a device's host. The policy may approve prefixes that are advertised
    /// for the first time.
    pub fn report(
        &mut self,
        id: &str,
        online: bool,
        advertised: &BTreeSet<Ipv4Net>,
        now: Timestamp,
    ) {
        let Some(device) = self.devices.get(id) else { return };
        let advertised: BTreeSet<IpNet> =
            advertised.iter().map(|prefix| IpNet::V4(*prefix)).collect();
        let new = advertised.difference(&device.advertised_routes);
        let approved: Vec<IpNet> =
            new.filter(|prefix| self.policy.approves(prefix, &device.tags)).copied().collect();
        let Some(device) = self.devices.get_mut(id) else { return };
        device.enabled_routes.extend(approved);
        device.advertised_routes = advertised;
        device.set_online(online, now);
    }

    fn free_address(&self, entropy: &mut Entropy) -> std::net::Ipv4Addr {
        loop {
            let offset =
                u32::try_from(entropy.next_number() % ((1 << 22) - 512)).unwrap_or(0) + 256;
            let address = std::net::Ipv4Addr::from(0x6440_0000 + offset);
            // 100.100.x.x holds Tailscale's own services.
            let reserved = address.octets()[1] == 100;
            if !reserved && self.devices().all(|device| device.address != address) {
                return address;
            }
        }
    }

    fn free_name(&self, hostname: &str) -> String {
        let taken = |name: &str| self.devices().any(|device| device.name == name);
        let plain = format!("{hostname}.{TAILNET_DOMAIN}");
        if !taken(&plain) {
            return plain;
        }
        let mut number = 1;
        loop {
            let name = format!("{hostname}-{number}.{TAILNET_DOMAIN}");
            if !taken(&name) {
                return name;
            }
            number += 1;
        }
    }
}

#[cfg(test)]
mod tests;
