//! A device of the tailnet and its representation in the API.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::entropy::Entropy;

/// The lifetime of a node key, unless its expiry is disabled.
const KEY_LIFETIME: SignedDuration = SignedDuration::from_hours(180 * 24);

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedDevice {
    /// The legacy id, a decimal number.
    pub id: String,
    /// The id that the CLI shows.
    pub node_id: String,
    /// The unique DNS name.
    pub name: String,
    /// The host name, which is not unique.
    pub hostname: String,
    /// The address in the tailnet.
    pub address: Ipv4Addr,
    /// The tags.
    pub tags: Vec<String>,
    /// Whether it may communicate with other devices.
    pub authorized: bool,
    /// Whether its host is connected to the control plane.
    pub online: bool,
    /// When it was last connected; absent while it is connected.
    pub last_seen: Option<Timestamp>,
    /// When its key expires; kept while expiry is disabled.
    pub expires: Timestamp,
    /// Whether key expiry is disabled.
    pub key_expiry_disabled: bool,
    /// The routes that its host advertises.
    pub advertised_routes: BTreeSet<IpNet>,
    /// The routes that are approved, advertised or not.
    pub enabled_routes: BTreeSet<IpNet>,
    /// Why tailnet lock keeps other devices from accepting its key.
    #[serde(default)]
    pub lock_error: Option<String>,
    /// When it joined. Absent in states that were saved before this field existed.
    #[serde(default)]
    pub joined: Option<Timestamp>,
}

impl EmulatedDevice {
    pub(super) fn new(
        hostname: &str,
        name: String,
        address: Ipv4Addr,
        tags: Vec<String>,
        authorized: bool,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Self {
        Self {
            id: (entropy.next_number() >> 12).to_string(),
            node_id: format!("n{:011x}CNTRL", entropy.next_number() >> 20),
            name,
            hostname: hostname.to_owned(),
            address,
            key_expiry_disabled: !tags.is_empty(),
            tags,
            authorized,
            online: true,
            last_seen: None,
            expires: now.checked_add(KEY_LIFETIME).unwrap_or(now),
            advertised_routes: BTreeSet::new(),
            enabled_routes: BTreeSet::new(),
            lock_error: None,
            joined: Some(now),
        }
    }

    /// Whether it serves a prefix: advertised and approved.
    pub fn serves(&self, prefix: &IpNet) -> bool {
        self.advertised_routes.contains(prefix) && self.enabled_routes.contains(prefix)
    }

    /// Orders devices that serve one prefix: Tailscale selects the first, which is the
    /// oldest of those that are connected.
    pub fn precedence(&self) -> impl Ord + use<> {
        (!(self.online && self.authorized), self.joined, self.node_id.clone())
    }

    /// Whether its node key has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        !self.key_expiry_disabled && self.expires <= now
    }

    pub(super) fn set_online(&mut self, online: bool, now: Timestamp) {
        if self.online && !online {
            self.last_seen = Some(now);
        } else if online {
            self.last_seen = None;
        }
        self.online = online;
    }

    /// The routes as the API shows them.
    pub(super) fn routes(&self) -> Value {
        json!({
            "advertisedRoutes": self.advertised_routes,
            "enabledRoutes": self.enabled_routes,
        })
    }

    /// The device in the API's format. Routes are included only with `fields=all`.
    pub(super) fn show(&self, all_fields: bool) -> Value {
        let mut rendered = json!({
            "id": self.id,
            "nodeId": self.node_id,
            "name": self.name,
            "hostname": self.hostname,
            "addresses": [self.address.to_string(), self.second_address()],
            "user": "sandbox@example.com",
            "os": "linux",
            "clientVersion": "1.92.3-tsandbox",
            "updateAvailable": false,
            // The service leaves it empty for tagged devices.
            "created": "",
            "connectedToControl": self.online,
            "expires": self.expires.to_string(),
            "keyExpiryDisabled": self.key_expiry_disabled,
            "authorized": self.authorized,
            "isExternal": false,
            "isEphemeral": false,
            "blocksIncomingConnections": false,
            "machineKey": format!("mkey:{}", self.node_id),
            "nodeKey": format!("nodekey:{}", self.node_id),
            "tailnetLockKey": "",
            "tailnetLockError": self.lock_error.as_deref().unwrap_or_default(),
        });
        if !self.tags.is_empty() {
            rendered["tags"] = json!(self.tags);
        }
        if let Some(last_seen) = self.last_seen {
            rendered["lastSeen"] = json!(last_seen.to_string());
        }
        if all_fields {
            rendered["advertisedRoutes"] = json!(self.advertised_routes);
            rendered["enabledRoutes"] = json!(self.enabled_routes);
            rendered["clientConnectivity"] = json!({ "endpoints": [], "derp": "" });
            rendered["sshEnabled"] = json!(false);
        }
        rendered
    }

    fn second_address(&self) -> String {
        let [_, second, third, fourth] = self.address.octets();
        format!("fd7a:115c:a1e0::{second:x}{third:02x}:{fourth:x}")
    }
}
