//! The responses of the Tailscale API, read leniently: fields come and go with the
//! state of a device, and servers other than Tailscale's leave more of them out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A device of the tailnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailnetDevice {
    /// The old id, a number as text.
    pub id: String,
    /// The id that paths prefer; the old one where there is no other.
    pub node_id: String,
    /// The name that the host gives itself; not unique.
    pub hostname: String,
    /// The name in the tailnet's DNS; unique.
    pub name: String,
    /// Its tags, with `tag:` in front.
    pub tags: BTreeSet<String>,
    /// Its addresses in the tailnet.
    pub addresses: Vec<Ipv4Addr>,
    /// IPv4 prefixes that it advertises.
    pub advertised: BTreeSet<Ipv4Net>,
    /// IPv4 prefixes that are approved in the tailnet.
    pub enabled: BTreeSet<Ipv4Net>,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it may take part.
    pub authorized: bool,
    /// When it joined.
    pub created: Option<Timestamp>,
    /// Whether its node key never expires.
    pub key_expiry_disabled: bool,
    /// When its node key expires, unless expiry is disabled.
    pub expires: Option<Timestamp>,
    /// Whether it refuses connections from the tailnet (`tailscale set --shields-up`).
    pub blocks_incoming: bool,
    /// Why tailnet lock keeps the other devices from accepting its node key.
    pub lock_error: Option<String>,
    /// One of its routes that is no prefix at all, if there is one: its sets of
    /// prefixes are then incomplete.
    pub unreadable_route: Option<String>,
    /// Why nothing but its names, its ids and perhaps its tags could be read.
    pub unreadable: Option<String>,
}

impl TailnetDevice {
    /// Orders devices of one host name: the greatest is the router, the others may belong
    /// to earlier machines. Connected devices rank higher, then those that serve prefixes.
    pub fn rank(&self) -> impl Ord + use<> {
        let serves = self.enabled.intersection(&self.advertised).next().is_some();
        (self.online, serves, self.created)
    }
}

#[derive(Deserialize)]
pub(super) struct DeviceList {
    /// Required: an answer without it must not pass for an empty tailnet.
    pub(super) devices: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct DeviceJson {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    node_id: String,
    hostname: String,
    name: String,
    #[serde(deserialize_with = "or_default")]
    tags: BTreeSet<String>,
    #[serde(deserialize_with = "or_default")]
    addresses: Vec<String>,
    #[serde(flatten)]
    routes: Routes,
    connected_to_control: Option<bool>,
    last_seen: Option<String>,
    authorized: Option<bool>,
    created: Option<String>,
    key_expiry_disabled: Option<bool>,
    expires: Option<String>,
    blocks_incoming_connections: Option<bool>,
    tailnet_lock_error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Routes {
    #[serde(deserialize_with = "or_default")]
    advertised_routes: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    enabled_routes: Vec<String>,
}

impl Routes {
    /// Advertised and enabled prefixes.
    pub(super) fn sets(&self) -> (BTreeSet<Ipv4Net>, BTreeSet<Ipv4Net>) {
        (prefixes(&self.advertised_routes), prefixes(&self.enabled_routes))
    }

    /// The first text that is neither an IPv4 nor an IPv6 prefix.
    fn unreadable(&self) -> Option<String> {
        let mut texts = self.advertised_routes.iter().chain(&self.enabled_routes);
        texts.find(|text| text.parse::<IpNet>().is_err()).cloned()
    }
}

impl From<DeviceJson> for TailnetDevice {
    fn from(device: DeviceJson) -> Self {
        let (advertised, enabled) = device.routes.sets();
        let unreadable_route = device.routes.unreadable();
        let node_id = if device.node_id.is_empty() { &device.id } else { &device.node_id };
        Self {
            node_id: node_id.clone(),
            // `lastSeen` is omitted while connected, and by servers that do not report
            // connections.
            online: device.connected_to_control.unwrap_or(device.last_seen.is_none()),
            // Servers without device approval do not speak of it.
            authorized: device.authorized.unwrap_or(true),
            addresses: device.addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            created: device.created.and_then(|text| text.parse().ok()),
            // Servers without key expiry do not mention it.
            key_expiry_disabled: device.key_expiry_disabled.unwrap_or(true),
            expires: device.expires.and_then(|text| text.parse().ok()).filter(is_a_date),
            blocks_incoming: device.blocks_incoming_connections.unwrap_or(false),
            lock_error: device.tailnet_lock_error.filter(|error| !error.is_empty()),
            id: device.id,
            hostname: device.hostname,
            name: device.name,
            tags: device.tags,
            advertised,
            enabled,
            unreadable_route,
            unreadable: None,
        }
    }
}

impl TailnetDevice {
    /// A device of a list. One that cannot be read does not hide the others, if it says which
    /// one it is.
    ///
    /// # Errors
    ///
    /// It is no object, or has neither an id nor a host name.
    pub(super) fn of_list(device: Value) -> Result<Self, String> {
        let reason = match serde_json::from_value::<DeviceJson>(device.clone()) {
            Ok(device) => {
                let device = Self::from(device);
                if !device.node_id.is_empty() {
                    return Ok(device);
                }
                "a device in the response has no ID".to_owned()
            }
            Err(error) => error.to_string(),
        };
        let text = |name: &str| device[name].as_str().unwrap_or_default().to_owned();
        let tags = device["tags"].as_array().into_iter().flatten();
        let known = DeviceJson {
            id: text("id"),
            node_id: text("nodeId"),
            hostname: text("hostname"),
            name: text("name"),
            tags: tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
            ..DeviceJson::default()
        };
        let known = Self { unreadable: Some(reason.clone()), ..Self::from(known) };
        if known.node_id.is_empty() || known.hostname.is_empty() { Err(reason) } else { Ok(known) }
    }
}

/// Year 1 means no date.
fn is_a_date(time: &Timestamp) -> bool {
    *time > Timestamp::UNIX_EPOCH
}

/// The IPv4 prefixes; routers carry IPv6 ones for others.
fn prefixes(texts: &[String]) -> BTreeSet<Ipv4Net> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// Takes null for an empty value.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Takes a number where a text belongs.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    })
}

/// The parts of the tailnet's policy that stargate reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TailnetPolicy {
    /// Tags that may be given to devices.
    pub tag_owners: BTreeSet<String>,
    /// For each prefix, the users, groups and tags whose routes need no approval.
    pub auto_approver_routes: BTreeMap<Ipv4Net, BTreeSet<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PolicyBody {
    #[serde(deserialize_with = "or_default")]
    tag_owners: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default")]
    auto_approvers: AutoApprovers,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AutoApprovers {
    #[serde(deserialize_with = "or_default")]
    routes: BTreeMap<String, BTreeSet<String>>,
}

impl From<PolicyBody> for TailnetPolicy {
    fn from(body: PolicyBody) -> Self {
        let routes = body.auto_approvers.routes.into_iter();
        Self {
            tag_owners: body.tag_owners.into_keys().collect(),
            auto_approver_routes: routes
                .filter_map(|(prefix, who)| Some((prefix.parse().ok()?, who)))
                .collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CreatedKey {
    pub(super) key: String,
}

#[derive(Deserialize)]
pub(super) struct KeyList {
    /// Required: an answer without it must not pass for a tailnet without keys.
    pub(super) keys: Vec<ListedKey>,
}

#[derive(Deserialize)]
pub(super) struct ListedKey {
    pub(super) id: String,
}

/// An auth key without its secret.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyDetails {
    #[serde(deserialize_with = "or_default")]
    description: String,
    #[serde(rename = "userId", deserialize_with = "or_default")]
    user_id: String,
    invalid: bool,
    #[serde(deserialize_with = "or_default")]
    capabilities: Value,
}

/// A user of the tailnet.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct UserDetails {
    pub(super) role: Option<String>,
}

impl KeyDetails {
    /// The user who made the key; none for a key of the tailnet.
    pub(super) fn user(&self) -> Option<&str> {
        Some(self.user_id.as_str()).filter(|user| !user.is_empty())
    }

    /// Whether a machine can still join with this key of that description, as a device with
    /// that tag. Servers other than Tailscale's need not answer the tags of a key.
    pub(super) fn is_usable(&self, description: &str, tag: &str) -> bool {
        let tags = self.capabilities.pointer("/devices/create/tags").and_then(Value::as_array);
        let is_of_tag = tags.is_none_or(|tags| tags.iter().any(|it| it.as_str() == Some(tag)));
        !self.invalid && self.description == description && is_of_tag
    }
}

#[derive(Deserialize)]
pub(super) struct GrantedToken {
    pub(super) access_token: String,
    /// Tailscale's tokens last an hour; so does one that does not say.
    #[serde(default = "an_hour")]
    pub(super) expires_in: u64,
    #[serde(default)]
    scope: String,
}

impl GrantedToken {
    /// The scopes, if the server reported any.
    pub(super) fn scopes(&self) -> Option<BTreeSet<String>> {
        let scopes: BTreeSet<String> = self.scope.split_whitespace().map(str::to_owned).collect();
        (!scopes.is_empty()).then_some(scopes)
    }
}

fn an_hour() -> u64 {
    3600
}
